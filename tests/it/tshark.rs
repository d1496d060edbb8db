//! tshark as a second opinion on every bundled capture, and on random ones: the same packets, the same attempts, the same
//! retries, and resets where the verdicts say there are. `disagreements` names each reason why the two may differ.
//!
//! tshark only takes the packets apart here. What belongs to which attempt, and what is a copy, is worked out
//! again from its fields and the definitions, with nothing of the library's code.

mod disagreements;
mod random;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

use self::disagreements::{Disagreements, Reason, compare};
use crate::util::{captures, count, list, program, report, require_tools, string};

/// A TCP segment as tshark shows it.
#[derive(Debug)]
struct Packet {
    frame: u64,
    /// Nanoseconds since 1970.
    at: i128,
    from: String,
    to: String,
    syn: bool,
    ack_flag: bool,
    fin: bool,
    rst: bool,
    seq: u32,
    ack: u32,
    window: u32,
    len: u32,
    tsval: Option<u32>,
    tsecr: Option<u32>,
    /// tshark calls it a retransmission.
    retransmission: bool,
    /// tshark calls it out of order.
    out_of_order: bool,
    /// Parts that tshark saw of the whole connection (`tcp.completeness`).
    completeness: u32,
}

impl Packet {
    const FIELDS: [&str; 21] = [
        "frame.number",
        "frame.time_epoch",
        "ip.src",
        "ipv6.src",
        "tcp.srcport",
        "ip.dst",
        "ipv6.dst",
        "tcp.dstport",
        "tcp.flags.syn",
        "tcp.flags.ack",
        "tcp.flags.fin",
        "tcp.flags.reset",
        "tcp.seq",
        "tcp.ack",
        "tcp.window_size_value",
        "tcp.len",
        "tcp.options.timestamp.tsval",
        "tcp.options.timestamp.tsecr",
        "tcp.analysis.retransmission",
        "tcp.analysis.out_of_order",
        "tcp.completeness",
    ];

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let (packet, analysis) = fields.split_at_checked(18)?;
        let [
            frame,
            at,
            s4,
            s6,
            sport,
            d4,
            d6,
            dport,
            syn,
            ack_flag,
            fin,
            rst,
            seq,
            ack,
            window,
            len,
            tsval,
            tsecr,
        ] = packet[..]
        else {
            return None;
        };
        let [retransmission, out_of_order, completeness] = analysis[..] else { return None };
        let (seconds, fraction) = at.split_once('.')?;
        let nanos = format!("{seconds}{fraction:0<9}").parse().ok()?;
        let endpoint = |v4: &str, v6: &str, port: &str| match v4 {
            "" => format!("[{v6}]:{port}"),
            _ => format!("{v4}:{port}"),
        };
        Some(Self {
            frame: frame.parse().ok()?,
            at: nanos,
            from: endpoint(s4, s6, sport),
            to: endpoint(d4, d6, dport),
            syn: syn == "1",
            ack_flag: ack_flag == "1",
            fin: fin == "1",
            rst: rst == "1",
            seq: seq.parse().ok()?,
            ack: ack.parse().unwrap_or(0),
            window: window.parse().ok()?,
            len: len.parse().ok()?,
            tsval: tsval.parse().ok(),
            tsecr: tsecr.parse().ok(),
            retransmission: retransmission == "1",
            out_of_order: out_of_order == "1",
            completeness: completeness.parse().ok()?,
        })
    }

    /// The same segment again, so soon that nobody's timer can have sent it: within 100 ms where TSval
    /// tells a repeat from a copy, within 5 ms where there is none.
    fn is_copy_of(&self, earlier: &Self) -> bool {
        let limit = if self.tsval.is_some() { 100_000_000 } else { 5_000_000 };
        let key = |p: &Self| (p.syn, p.ack_flag, p.rst, p.seq, p.ack, p.len, p.tsval);
        self.from == earlier.from
            && self.to == earlier.to
            && key(self) == key(earlier)
            && self.at - earlier.at <= limit
    }
}

/// All TCP packets of a capture, those that an ICMP error quotes left out.
fn packets(path: &Path) -> Vec<Packet> {
    // Twice: `tcp.completeness` is that of the whole connection then, and not that so far.
    let mut args =
        vec!["-2", "-n", "-o", "tcp.relative_sequence_numbers:FALSE", "-r", path.to_str().unwrap()];
    args.extend(["-Y", "tcp && !icmp && !icmpv6", "-T", "fields", "-E", "occurrence=f"]);
    args.extend(Packet::FIELDS.iter().flat_map(|field| ["-e", field]));
    let ran = program("tshark", args).succeed();
    let parse = |line| Packet::parse(line).unwrap_or_else(|| panic!("cannot read '{line}' of\n{ran}"));
    ran.text().lines().map(parse).collect()
}

/// The packets without copies.
fn originals(packets: &[Packet]) -> Vec<&Packet> {
    let mut kept: Vec<&Packet> = Vec::new();
    for packet in packets {
        if !kept.iter().any(|earlier| packet.is_copy_of(earlier)) {
            kept.push(packet);
        }
    }
    kept
}

/// One client SYN, by tshark: its packets, copies left out, in order.
struct Attempt<'a> {
    syns: Vec<&'a Packet>,
    /// SYN-ACKs that acknowledge this SYN, up to its data.
    syn_acks: Vec<&'a Packet>,
    /// Everything from the SYN on that belongs to it, both ways.
    all: Vec<&'a Packet>,
}

impl Attempt<'_> {
    /// RST that acknowledges the SYN, where no SYN-ACK did.
    fn refused(&self) -> bool {
        self.syn_acks.is_empty() && self.all.iter().any(|p| p.rst && self.answers_syn(p))
    }

    /// A RST without ACK from the server, whose sequence number the client's ACK gave.
    fn bare_reset(&self) -> bool {
        let from_server = |p: &&&Packet| p.from == self.syns[0].to;
        let acked = |n: u32| self.all.iter().any(|p| p.from == self.syns[0].from && p.ack_flag && p.ack == n);
        self.all.iter().filter(from_server).any(|p| p.rst && !p.ack_flag && acked(p.seq))
    }

    /// The client's RST where its ACK should be.
    fn client_reset(&self) -> bool {
        let answer = self.all.iter().find(|p| p.from == self.syns[0].from && !p.syn);
        !self.syn_acks.is_empty() && answer.is_some_and(|p| p.rst)
    }

    fn answers_syn(&self, p: &Packet) -> bool {
        let syn = self.syns[0];
        p.from == syn.to && p.ack_flag && (1..=syn.len + 1).contains(&p.ack.wrapping_sub(syn.seq))
    }
}

/// The attempts of a capture, in order of their first SYN.
fn attempts<'a>(packets: &[&'a Packet]) -> Vec<Attempt<'a>> {
    let mut by_isn = BTreeMap::<(&str, &str, u32), Vec<&Packet>>::new();
    for p in packets.iter().filter(|p| p.syn && !p.ack_flag) {
        by_isn.entry((&p.from, &p.to, p.seq)).or_default().push(p);
    }
    let mut attempts: Vec<_> = by_isn.into_values().map(|syns| attempt(syns, packets)).collect();
    attempts.sort_by_key(|a| a.syns[0].frame);
    attempts
}

fn attempt<'a>(syns: Vec<&'a Packet>, packets: &[&'a Packet]) -> Attempt<'a> {
    let first = syns[0];
    let ours = |p: &&&Packet| {
        p.frame >= first.frame
            && ((p.from == first.from && p.to == first.to) || (p.from == first.to && p.to == first.from))
    };
    let all: Vec<_> = packets.iter().filter(ours).copied().collect();
    let mut attempt = Attempt { syns, syn_acks: Vec::new(), all };
    attempt.syn_acks = attempt.all.iter().filter(|p| p.syn && attempt.answers_syn(p)).copied().collect();
    attempt
}

/// The bundled captures by name, with tshark's packets and our report: read once for all tests.
static BUNDLED: LazyLock<Vec<(String, Vec<Packet>, Value)>> = LazyLock::new(|| {
    let read = |path: &PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), packets(path), report([path]))
    };
    captures().iter().map(read).collect()
});

/// Calls `check` with each capture's name, tshark's packets and our report.
fn each_capture(check: impl Fn(&str, &[Packet], &Value)) {
    if require_tools(&["tshark"]) {
        BUNDLED.iter().for_each(|(name, packets, report)| check(name, packets, report));
    }
}

/// Each attempt of tshark's with ours of the same first packet; both must have the same ones.
fn each_attempt(check: impl Fn(&str, &Attempt<'_>, &Value)) {
    each_capture(|name, packets, report| {
        let originals = originals(packets);
        let theirs = attempts(&originals);
        let ours = list(report, "attempts");
        assert!(!theirs.is_empty(), "{name}: tshark shows no SYN");
        assert_eq!(theirs.len(), ours.len(), "{name}: attempts by tshark and by us");
        for (theirs, ours) in theirs.iter().zip(ours) {
            check(name, theirs, ours);
        }
    });
}

#[test]
fn the_packets_are_the_same() {
    each_capture(|name, packets, report| {
        assert_eq!(count(report, "/packets/tcp"), packets.len() as u64, "{name}: TCP packets");
        let skipped = report["packets"]["skipped"].as_object().unwrap();
        for reason in ["truncated", "malformed", "fragment", "unsupported-link-type"] {
            assert_eq!(skipped[reason], 0, "{name}: tshark reads them all, but we skipped: {skipped:?}");
        }
    });
}

/// The first packet, and who it is from and to.
fn check_begin(name: &str, theirs: &Attempt<'_>, ours: &Value) {
    let first = theirs.syns[0];
    assert_eq!(first.from, string(ours, "client"), "{name}: {ours}");
    assert_eq!(first.to, string(ours, "server"), "{name}: {ours}");
    assert_eq!(first.frame, count(ours, "/frame"), "{name}: {ours}");
    let start: jiff::Timestamp = string(ours, "start").parse().unwrap();
    assert_eq!(first.at, start.as_nanosecond(), "{name}: {ours}");
}

/// The number of SYNs.
fn check_syns(name: &str, theirs: &Attempt<'_>, ours: &Value) {
    let syns = 1 + count(ours, "/retries/syn");
    assert_eq!(theirs.syns.len() as u64, syns, "{name}: SYNs of frame {}: {ours}", theirs.syns[0].frame);
}

/// The number of SYN-ACKs.
fn check_syn_acks(name: &str, theirs: &Attempt<'_>, ours: &Value) {
    let syn_acks = theirs.syn_acks.len() as u64;
    let repeats = count(ours, "/retries/syn_ack");
    assert_eq!(
        syn_acks.saturating_sub(1),
        repeats,
        "{name}: SYN-ACKs of frame {}: {ours}",
        theirs.syns[0].frame
    );
    let answered = !ours["timing"]["syn_to_synack"].is_null();
    assert_eq!(syn_acks > 0, answered, "{name}: whether there was a SYN-ACK: {ours}");
}

#[test]
fn the_attempts_are_the_same() {
    each_attempt(check_begin);
}

#[test]
fn the_syns_and_syn_acks_are_as_many() {
    each_attempt(|name, theirs, ours| {
        check_syns(name, theirs, ours);
        check_syn_acks(name, theirs, ours);
    });
}

/// With the counts above, this accounts for every SYN and SYN-ACK of the capture: none is left over.
#[test]
fn no_syn_is_left_over() {
    each_capture(|name, packets, report| {
        let originals = originals(packets);
        let ours = list(report, "attempts");
        let syns = originals.iter().filter(|p| p.syn && !p.ack_flag).count() as u64;
        let counted: u64 = ours.iter().map(|a| 1 + count(a, "/retries/syn")).sum();
        assert_eq!(syns, counted, "{name}: SYNs");
        let syn_acks = originals.iter().filter(|p| p.syn && p.ack_flag).count() as u64;
        let answered = ours.iter().filter(|a| !a["timing"]["syn_to_synack"].is_null()).count() as u64;
        let counted = answered + ours.iter().map(|a| count(a, "/retries/syn_ack")).sum::<u64>();
        assert_eq!(syn_acks, counted, "{name}: SYN-ACKs");
        let copies = packets.iter().filter(|p| p.syn).count() as u64 - syns - syn_acks;
        assert!(
            count(report, "/packets/duplicates") >= copies,
            "{name}: {copies} copies of SYN and SYN-ACK alone"
        );
    });
}

/// A verdict that speaks of a reset has that reset in the capture, and a reset of that kind has the verdict.
fn check_resets(name: &str, theirs: &Attempt<'_>, ours: &Value) {
    let verdict = string(ours, "verdict");
    let at = format!("{name}: frame {}: {ours}", theirs.syns[0].frame);
    assert_eq!(theirs.refused(), verdict == "refused", "RST that answers the SYN, {at}");
    assert_eq!(theirs.client_reset(), verdict == "client-reset", "the client's RST for SYN-ACK, {at}");
    if verdict == "reset-after-ack" {
        assert!(theirs.bare_reset(), "no bare RST, {at}");
    }
    // A request that has expired answers late data with the same RST; then SYN-ACK was repeated before.
    if theirs.bare_reset() {
        let verdicts = ["reset-after-ack", "synack-retransmitted", "ack-ignored"];
        assert!(verdicts.contains(&verdict), "bare RST for the client's ACK, {at}");
    }
}

#[test]
fn the_resets_are_where_the_verdicts_say() {
    each_attempt(check_resets);
}

/// Every reset in the capture belongs to an attempt that is reported.
#[test]
fn no_reset_is_left_over() {
    each_capture(|name, packets, report| {
        let known = |a: &str, b: &str| {
            list(report, "attempts").iter().any(|x| string(x, "client") == a && string(x, "server") == b)
        };
        for p in packets.iter().filter(|p| p.rst) {
            assert!(known(&p.from, &p.to) || known(&p.to, &p.from), "{name}: RST in frame {}", p.frame);
        }
    });
}

/// Captures whose attempts have packets that tshark's list lacks: copies, and ICMP errors.
fn has_others(report: &Value) -> bool {
    count(report, "/packets/duplicates") > 0 || count(report, "/packets/icmp_errors") > 0
}

#[test]
fn all_that_the_records_say_is_the_same() {
    let found = Mutex::new(Disagreements::new());
    each_capture(|name, packets, report| {
        if has_others(report) {
            return;
        }
        let originals = originals(packets);
        for (theirs, ours) in attempts(&originals).iter().zip(list(report, "attempts")) {
            compare(name, theirs, ours, &mut found.lock().unwrap());
        }
    });
    // Segments as hosts send them leave these alone.
    let known = [Reason::RecordEndsWithProof, Reason::RecordEndsWithReset, Reason::RepeatedBeforeReset];
    let found = found.into_inner().unwrap();
    assert!(found.keys().all(|reason| known.contains(reason)), "{found:?}");
}
