//! Uneven packet times: no verdict may depend on a wrong clock.

use std::fs;
use std::path::Path;

use etherparse::PacketBuilder;
use serde_json::Value;

use crate::generated::traffic::Plan;
use crate::generated::{capture, plan};
use crate::util::{self, count, hsanalyze, list};

/// Lengths of the file header and of a record header.
const HEADER: usize = 24;
const RECORD: usize = 16;

fn report(bytes: Vec<u8>, args: &[&str]) -> Value {
    hsanalyze(["--format", "json"].iter().chain(args).chain(&["-"])).stdin(bytes).succeed().json()
}

/// A capture of healthy handshakes.
fn healthy() -> Vec<u8> {
    capture(&Plan { attempts: 3_000, pace: 3_000, mix: "completed=1".parse().unwrap(), ..plan() }).1
}

/// The positions of a capture's records.
fn records(bytes: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    let mut at = HEADER;
    while let Some(length) = bytes.get(at + 8..at + 12) {
        places.push(at);
        at += RECORD + u32::from_le_bytes(length.try_into().unwrap()) as usize;
    }
    places
}

/// Shifts the time of the record at this position by so many seconds.
fn shift(bytes: &mut [u8], place: usize, seconds: i32) {
    let field: &mut [u8; 4] = (&mut bytes[place..place + 4]).try_into().unwrap();
    *field = u32::from_le_bytes(*field).wrapping_add_signed(seconds).to_le_bytes();
}

/// The number of attempts, and of those that failed or are undetermined.
fn judged(report: &Value) -> (u64, u64) {
    let completed = count(report, "/verdicts/completed");
    let all = list(report, "attempts").len() as u64;
    (all, all - completed)
}

#[test]
fn one_packet_with_a_time_far_ahead_or_behind_makes_no_handshake_fail() {
    let even = healthy();
    assert_eq!(judged(&report(even.clone(), &[])), (3_000, 0));
    for seconds in [10, 3_600, -3_600] {
        for place in [0, 1_700, 4_095, 4_096] {
            let mut bytes = even.clone();
            // A packet of no connection: the others are unchanged.
            let at = records(&bytes)[place];
            let mut misdated = bytes[at..at + 8].to_vec();
            let mut frame = Vec::new();
            let ack = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 9, 9, 9], [10, 9, 9, 8], 64);
            ack.tcp(9, 9, 5, 1_024).ack(5).write(&mut frame, &[]).unwrap();
            misdated.extend([(frame.len() as u32).to_le_bytes(); 2].concat());
            misdated.extend(frame);
            shift(&mut misdated, 0, seconds);
            bytes.splice(at..at, misdated);
            for threads in ["1", "3"] {
                let report = report(bytes.clone(), &["--threads", threads]);
                let said = format!("{seconds} s, before packet {place}, {threads} threads");
                assert_eq!(judged(&report), (3_000, 0), "{said}");
                assert_eq!(count(&report, "/packets/midstream"), 2, "this one and the last: {said}");
            }
        }
    }
}

#[test]
fn a_clock_that_is_set_makes_no_handshake_fail() {
    for seconds in [-3_600, -5, 5, 3_600] {
        let mut bytes = healthy();
        let records = records(&bytes);
        let (_, later) = records.split_at(records.len() / 2);
        later.iter().for_each(|&place| shift(&mut bytes, place, seconds));
        let (attempts, wrong) = judged(&report(bytes, &["--threads", "2"]));
        assert_eq!(attempts, 3_000, "{seconds} s");
        // A clock that is set ahead looks like silence: open attempts got no answer.
        let most = if seconds > 0 { 200 } else { 0 };
        assert!(wrong <= most, "{wrong} wrong with the clock set by {seconds} s");
    }
}

/// The verdicts of a capture, by client.
fn verdicts(bytes: &[u8]) -> Vec<String> {
    let report = hsanalyze(["--format", "json", "-"]).stdin(bytes).run().json();
    let attempts = list(&report, "attempts");
    let mut verdicts: Vec<String> =
        attempts.iter().map(|attempt| format!("{} {}", attempt["client"], attempt["verdict"])).collect();
    verdicts.sort();
    verdicts
}

#[test]
fn one_misdated_packet_changes_no_verdict() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for name in ["captures/completed_echo-server", "captures/overflow_drop-server", "field/late-63s"] {
        let even = fs::read(root.join(name).with_extension("pcap")).unwrap();
        let right = verdicts(&even);
        let records = records(&even);
        let second = |place: usize| u32::from_le_bytes(even[place..place + 4].try_into().unwrap());
        // Some of them, and the first; the last one's time is the capture's end.
        let chosen = records.iter().step_by(records.len().div_ceil(8));
        for &place in chosen {
            let epoch = second(place).cast_signed().wrapping_neg();
            for seconds in [epoch, 3_600, -3_600, 46 * 31_557_600] {
                let mut bytes = even.clone();
                shift(&mut bytes, place, seconds);
                assert_eq!(verdicts(&bytes), right, "{name}: byte {place} by {seconds} s");
            }
        }
    }
}

/// A SYN, packets of other connections for longer than any answer takes, and then a last packet.
fn late(others: usize, last: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        bytes.extend(field.to_le_bytes());
    }
    let mut record = |second: u32, frame: &[u8]| {
        for field in [1_790_000_000 + second, 0, frame.len() as u32, frame.len() as u32] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(frame);
    };
    record(0, &syn());
    let mut stranger = Vec::new();
    let ack = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 9, 9, 9], [10, 9, 9, 8], 64);
    ack.tcp(9, 9, 5, 1_024).ack(5).write(&mut stranger, &[]).unwrap();
    (0..others).for_each(|_| record(600, &stranger));
    record(600, last);
    bytes
}

fn syn() -> Vec<u8> {
    let mut syn = Vec::new();
    let packet = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    packet.tcp(40_000, 80, 1, 1_024).syn().write(&mut syn, &[]).unwrap();
    syn
}

#[test]
fn an_error_after_the_deadline_answers_nothing() {
    let mut error = Vec::new();
    let quoted = &syn()[14..];
    let unreachable = PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 9, 9, 9], [10, 0, 0, 1], 64)
        .icmpv4_raw(3, 1, [0; 4]);
    unreachable.write(&mut error, quoted).unwrap();
    // With and without a batch in between, whose end advances the timing wheel.
    for others in [2, 2_046, 2_048, 5_000] {
        let report = report(late(others, &error), &[]);
        assert_eq!(count(&report, "/verdicts/unanswered"), 1, "{others} others");
    }
}

#[test]
fn attempts_that_are_due_are_not_evicted() {
    let mut bytes = late(2_100, &syn());
    let first = bytes[HEADER..HEADER + RECORD + syn().len()].to_vec();
    // Nine more clients at the beginning, each with a port of its own.
    for port in 1_u8..10 {
        let mut record = first.clone();
        record[RECORD + 14 + 20] = port;
        bytes.splice(HEADER..HEADER, record);
    }
    for threads in ["1", "2"] {
        let report = report(bytes.clone(), &["--max-attempts", "2", "--threads", threads]);
        assert_eq!(count(&report, "/verdicts/unanswered"), 10, "{threads} threads");
    }
}

/// What the captures cannot support is known only at the end; it weakens the server's lines as it does its attempts.
#[test]
fn a_listener_is_no_surer_than_its_attempts() {
    let names = ["overflow_mixed-server", "overflow_mixed-client", "overflow_drop_recovered-server"];
    let report = util::report(names.map(util::capture));
    let apart = |attempt: &&Value| attempt["capture"] == 2 && attempt["cause"] == "accept-queue-overflow";
    let mut apart = list(&report, "attempts").iter().filter(apart).peekable();
    assert!(apart.peek().is_some());
    assert!(apart.all(|attempt| attempt["confidence"] == "possible"), "its clock is unknown: {report}");
    let episodes = list(&list(&report, "listeners")[0], "episodes");
    let surest: Vec<&Value> = episodes.iter().map(|episode| &episode["confidence"]).collect();
    assert_eq!(surest, ["possible", "likely"], "{report}");
}
