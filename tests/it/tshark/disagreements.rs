//! All that an attempt's record says of its segments, compared with what tshark says of the same ones; and each reason why the two
//! may differ.
//!
//! A reason is decided by tshark's fields and the definitions (DOMAIN §4), with nothing of the library's code. Where none holds,
//! the test fails.

use std::collections::BTreeMap;

use serde_json::Value;
use strum::EnumIter;

use super::{Attempt, Packet};
use crate::util::{count, list, string};

/// A reason why a record and tshark's packets differ, where both are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumIter)]
pub(super) enum Reason {
    /// Segments after the record's last: the server had sent data or FIN, or acknowledged more than the SYN, so that nothing can
    /// change the verdict.
    RecordEndsWithProof,
    /// The same: an RST had ended the attempt.
    RecordEndsWithReset,
    /// The same: a client went on without an answer in the capture, and then was silent for 5 s.
    RecordEndsOneSided,
    /// Segments that are in no record: nothing had answered the SYN, its next retry was overdue, and they are neither SYNs nor RSTs.
    RecordLacksSegmentsWhileOverdue,
    /// A SYN-ACK that is no repeat: it acknowledges the client's data, which the first one cannot have.
    SynAckAcknowledgesData,
    /// The same: it came sooner than any timer, by the capture's clock and by its sender's.
    SynAckSoonerThanTimers,
    /// A repeat that tshark does not call one: its sender's next number was 0, which stands for none there.
    TsharkTakesZeroForNone,
    /// The same: its sender had gone on, and tshark calls it out of order.
    TsharkCallsItOutOfOrder,
    /// The round trip is null: the SYN-ACK echoes a TSval that no SYN before it had.
    SynAckEchoesNoSyn,
    /// The same: the SYN was repeated, and nothing tells which one was answered.
    SynAckAnswersAnySyn,
    /// An RST that answers the SYN, and no refusal: the client had gone on before, so that the capture lacks a SYN-ACK.
    ClientWentOnBeforeRefusal,
    /// A refusal after a SYN-ACK: it answers a SYN that the client repeated after that, which it did not take.
    RepeatedSynRefused,
    /// The client's RST, and not for the SYN-ACK: the server had proven that it has the connection.
    ProvenBeforeClientReset,
    /// An RST for the SYN-ACK that the capture holds up to 50 ms before it.
    ClientResetCapturedEarly,
    /// The server's bare RST, and not for the ACK: the server had proven that it has the connection.
    ProvenBeforeReset,
    /// The same: the client had reset the connection itself.
    ClientResetBefore,
    /// The same: SYN-ACK or data had been repeated after the ACK, which is another verdict.
    RepeatedBeforeReset,
    /// The same: the client had sent more than its first data or FIN, which is another verdict.
    ClientWentOnBeforeReset,
    /// The same: it came later than an answer to any segment of the client's.
    ResetTooLate,
    /// The same: the capture has no SYN-ACK whose ACK it could answer.
    ResetWithoutSynAck,
    /// An RST for the ACK that the capture holds up to 50 ms before it.
    ResetCapturedEarly,
    /// Data that the server sent after the client's RST proves nothing that the client could use.
    ProofAfterClientReset,
    /// Proof that tshark's other fields do not show: an RST that acknowledges data, or has an open window.
    ProvenByReset,
}

/// Number of times that each reason held.
pub(super) type Disagreements = BTreeMap<Reason, u64>;

/// Longest time by which a capture may hold one direction too late, in nanoseconds.
const REORDERING: i128 = 50_000_000;

/// A round trip that nothing tells is no longer than this, in nanoseconds.
const LONGEST_ROUND_TRIP: i128 = 1_000_000_000;

/// An attempt by tshark and by us.
pub(super) struct Comparison<'a> {
    name: &'a str,
    theirs: &'a Attempt<'a>,
    ours: &'a Value,
    /// The packets that the record may be about, in order.
    all: &'a [&'a Packet],
    /// Segments that it is about.
    counted: &'a [&'a Packet],
    found: &'a mut Disagreements,
}

/// Compares segments, SYN-ACKs, resets, proof and times of an attempt.
pub(super) fn compare(name: &str, theirs: &Attempt<'_>, ours: &Value, found: &mut Disagreements) {
    let none = &mut Disagreements::new();
    let whole = Comparison { name, theirs, ours, all: &theirs.all, counted: &[], found: none };
    let all = whole.without_overdue();
    let counted = all.get(..count(ours, "/packets") as usize);
    let counted = counted.unwrap_or_else(|| panic!("{name}: more packets than tshark has: {ours}"));
    let mut comparison = Comparison { name, theirs, ours, all: &all, counted, found };
    if all.len() < theirs.all.len() {
        comparison.explain("segments", Some(Reason::RecordLacksSegmentsWhileOverdue));
    }
    comparison.segments();
    comparison.syns();
    comparison.syn_acks();
    comparison.analysis();
    comparison.refusal();
    comparison.client_reset();
    comparison.reset_after_ack();
    comparison.proof();
    comparison.round_trip();
}

impl<'a> Comparison<'a> {
    fn explain(&mut self, what: &str, reason: Option<Reason>) {
        let Some(reason) = reason else { panic!("{what}: {}", self.described()) };
        *self.found.entry(reason).or_default() += 1;
    }

    /// The attempt by us and by tshark.
    fn described(&self) -> String {
        let all: Vec<String> = self.theirs.all.iter().map(|p| self.shown(p)).collect();
        format!("{}: {}\n{}", self.name, self.ours, all.join("\n"))
    }

    fn shown(&self, p: &Packet) -> String {
        let since = (p.at - self.theirs.syns[0].at) / 1_000;
        format!("{since:>10} µs {} seq {} ack {} tsval {:?}", self.letter(p), p.seq, p.ack, p.tsval)
    }

    fn is_client(&self, p: &Packet) -> bool {
        p.from == self.theirs.syns[0].from
    }

    /// Letter of the segment in `history`.
    fn letter(&self, p: &Packet) -> char {
        let letter = match p {
            Packet { rst: true, .. } => 'R',
            Packet { syn: true, .. } => 'S',
            Packet { fin: true, .. } => 'F',
            Packet { len: 1.., .. } => 'D',
            _ => 'A',
        };
        if self.is_client(p) { letter } else { letter.to_ascii_lowercase() }
    }

    /// The number by which an acknowledgment is past the SYN's.
    fn beyond(&self, p: &Packet) -> i32 {
        p.ack.wrapping_sub(self.theirs.syns[0].seq.wrapping_add(1)).cast_signed()
    }

    /// The number of a client's segment, from its first data on.
    fn number(&self, p: &Packet) -> i32 {
        p.seq.wrapping_sub(self.theirs.syns[0].seq.wrapping_add(1)).cast_signed()
    }

    /// The data of the SYN (Fast Open).
    fn syn_data(&self) -> i32 {
        self.theirs.syns[0].len.cast_signed()
    }

    /// True if the server shows that it has the connection.
    fn proves(&self, p: &Packet) -> bool {
        !self.is_client(p) && !p.rst && !p.syn && (p.len > 0 || p.fin || self.beyond(p) > self.syn_data())
    }

    /// True if the client's RST acknowledges more than the SYN-ACK.
    fn has_acknowledged_server(&self, rst: &Packet) -> bool {
        let synack = self.syn_ack().map(|place| self.counted[place]);
        let beyond = |synack: &Packet| rst.ack.wrapping_sub(synack.seq.wrapping_add(1)).cast_signed() > 0;
        self.letter(rst) == 'R' && rst.ack_flag && synack.is_some_and(beyond)
    }

    /// The packets without those that came while the retry of an unanswered SYN was overdue.
    fn without_overdue(&self) -> Vec<&'a Packet> {
        let mut taken: Vec<&Packet> = Vec::new();
        for p in self.all {
            let due = taken.last().zip(self.wait(&taken)).map(|(latest, wait)| latest.at + wait);
            if p.syn || p.rst || due.is_none_or(|due| p.at <= due) {
                taken.push(*p);
            }
        }
        taken
    }

    /// Time after the last of these packets at which the next retry of the SYN is overdue, in nanoseconds; none if it was answered, or
    /// the client went on as if it were.
    fn wait(&self, taken: &[&Packet]) -> Option<i128> {
        const FIRST_RETRY: i128 = 4_000_000_000;
        const AFTER_REFUSAL: i128 = 1_500_000_000;
        let is_refusal = |p: &&Packet| self.letter(p) == 'r' && self.theirs.answers_syn(p);
        let refused = taken.iter().position(is_refusal);
        // After a refusal the client's segments show no answer.
        let went_on =
            taken.iter().take(refused.unwrap_or(taken.len())).any(|p| "ADF".contains(self.letter(p)));
        let answered = |p: &&Packet| self.letter(p) == 's' && self.theirs.answers_syn(p) || self.proves(p);
        if went_on || taken.iter().any(answered) {
            return None;
        }
        let syns: Vec<i128> = taken.iter().filter(|p| self.letter(p) == 'S').map(|p| p.at).collect();
        match syns[..] {
            [.., before, last] => Some(((last - before) * 23 / 10).max(FIRST_RETRY)),
            _ if refused.is_some() => Some(AFTER_REFUSAL),
            _ => Some(FIRST_RETRY),
        }
    }

    /// The same packets in the same order, from the same ends, up to the end of the record.
    fn segments(&mut self) {
        let letters: String = self.counted.iter().map(|p| self.letter(p)).collect();
        let history = string(self.ours, "history");
        match history.strip_suffix('+') {
            Some(begin) => assert!(letters.starts_with(begin), "{letters}: {}", self.described()),
            None => assert_eq!(letters, history, "{}", self.described()),
        }
        let (first, last) = (self.counted[0], self.counted[self.counted.len() - 1]);
        self.same_time("duration", "/timing/duration", Some(last.at - first.at));
        self.completeness();
        let Some(next) = self.all.get(self.counted.len()) else { return };
        let one_sided = self.ours["reason"] == "one-sided" && next.at - last.at >= 5_000_000_000;
        let reason = if self.counted.iter().any(|p| p.rst) {
            Some(Reason::RecordEndsWithReset)
        } else if self.counted.iter().any(|p| self.proves(p)) {
            Some(Reason::RecordEndsWithProof)
        } else {
            one_sided.then_some(Reason::RecordEndsOneSided)
        };
        self.explain("the record ends before the packets do", reason);
    }

    /// Parts that tshark saw of the whole connection: SYN, SYN-ACK, data, FIN and RST. Its bit for ACK is anybody's.
    fn completeness(&self) {
        let kinds: String = self.theirs.all.iter().map(|p| self.letter(p)).collect();
        for (bit, letters) in [(1, "S"), (2, "s"), (8, "Dd"), (16, "Ff"), (32, "Rr")] {
            let has = kinds.contains(|letter| letters.contains(letter));
            let theirs = self.theirs.syns[0].completeness & bit != 0;
            assert_eq!(theirs, has, "{}: {letters} of {kinds}: {}", self.name, self.ours);
        }
    }

    fn same_time(&self, what: &str, pointer: &str, theirs: Option<i128>) {
        let ours =
            self.ours.pointer(pointer).and_then(Value::as_f64).map(|seconds| (seconds * 1e9).round() as i128);
        assert_eq!(theirs, ours, "{}: {what} in ns: {}", self.name, self.ours);
    }

    /// The times of packets since the first of them.
    fn same_times(&self, what: &str, theirs: &[i128]) {
        let ours = list(self.ours, what).iter().map(|at| (at.as_f64().unwrap() * 1e9).round() as i128);
        let begin = theirs.first().copied().unwrap_or(0);
        let theirs = theirs.iter().skip(1).map(|at| at - begin);
        assert!(theirs.eq(ours), "{}: {what}: {}", self.name, self.ours);
    }

    fn syns(&self) {
        let at: Vec<i128> = self.counted.iter().filter(|p| self.letter(p) == 'S').map(|p| p.at).collect();
        self.same_times("syn_retry_at", &at);
    }

    fn syn_acks(&mut self) {
        let mut repeats: Vec<&Packet> = Vec::new();
        let mut syns = 0;
        for p in self.counted {
            syns += usize::from(self.letter(p) == 'S');
            if self.letter(p) != 's' {
                continue;
            }
            let latest = repeats.last().copied();
            if self.beyond(p) > self.syn_data() {
                self.explain("SYN-ACK", Some(Reason::SynAckAcknowledgesData));
            } else if syns == 1 && latest.is_some_and(|latest| is_soon_after(p, latest)) {
                self.explain("SYN-ACK", Some(Reason::SynAckSoonerThanTimers));
            } else {
                repeats.push(p);
            }
        }
        assert_eq!(
            repeats.len().saturating_sub(1) as u64,
            count(self.ours, "/retries/syn_ack"),
            "{}: SYN-ACKs: {}",
            self.name,
            self.ours
        );
        let at: Vec<i128> = repeats.iter().map(|p| p.at).collect();
        self.same_times("retry_at", &at);
    }

    /// tshark's own word on each repeated SYN and SYN-ACK.
    fn analysis(&mut self) {
        for p in self.counted.iter().filter(|p| p.syn) {
            let is_before = |earlier: &&&Packet| earlier.frame < p.frame && earlier.from == p.from;
            let before = || self.theirs.all.iter().filter(is_before);
            let again = before().any(|earlier| earlier.syn);
            if again == p.retransmission {
                continue;
            }
            if p.retransmission {
                let is_left_out =
                    |earlier: &&Packet| self.all.iter().all(|taken| taken.frame != earlier.frame);
                let reason = before().any(is_left_out).then_some(Reason::RecordLacksSegmentsWhileOverdue);
                self.explain("tshark calls a first segment a retransmission", reason);
                continue;
            }
            // The number that tshark expects next of this end.
            let end = |earlier: &&Packet| {
                earlier.seq.wrapping_add(earlier.len + u32::from(earlier.syn) + u32::from(earlier.fin))
            };
            let later =
                |one: u32, other: u32| if other.wrapping_sub(one).cast_signed() > 0 { other } else { one };
            let next = before().map(end).reduce(later);
            let reason = if next == Some(0) {
                Some(Reason::TsharkTakesZeroForNone)
            } else {
                let went_on = next != Some(p.seq.wrapping_add(1));
                (p.out_of_order && went_on).then_some(Reason::TsharkCallsItOutOfOrder)
            };
            self.explain("a repeat that tshark calls none", reason);
        }
    }

    /// The place of the first SYN-ACK that answers the SYN.
    fn syn_ack(&self) -> Option<usize> {
        self.counted.iter().position(|p| self.letter(p) == 's' && self.theirs.answers_syn(p))
    }

    fn is_verdict(&self, verdict: &str) -> bool {
        self.ours["verdict"] == verdict
    }

    fn refusal(&mut self) {
        let answers = |p: &&&Packet| self.letter(p) == 'r' && self.theirs.answers_syn(p);
        let refused = self.syn_ack().is_none() && self.counted.iter().any(|p| answers(&p));
        if refused == self.is_verdict("refused") {
            return;
        }
        let before = self.counted.iter().take_while(|p| !answers(p));
        let went_on = before.into_iter().any(|p| "ADF".contains(self.letter(p)));
        let reason = match refused && went_on && self.ours["reason"] == "one-sided" {
            true => Some(Reason::ClientWentOnBeforeRefusal),
            false => self.is_repeated_syn_refused().then_some(Reason::RepeatedSynRefused),
        };
        self.explain("refused", reason);
    }

    /// True if the client repeated its SYN after the SYN-ACK, and was refused.
    fn is_repeated_syn_refused(&self) -> bool {
        let Some(place) = self.syn_ack().filter(|_| self.is_verdict("refused")) else { return false };
        let mut later = self.counted.iter().skip(place + 1);
        later.any(|p| self.letter(p) == 'S')
            && later.any(|p| self.letter(p) == 'r' && self.theirs.answers_syn(p))
    }

    fn client_reset(&mut self) {
        let syn_ack = self.syn_ack();
        let after = |place: usize| &self.counted[place..];
        let answer = syn_ack.and_then(|place| {
            after(place).iter().position(|p| self.is_client(p) && !p.syn).map(|at| place + at)
        });
        let answers = answer.is_some_and(|at| self.counted[at].rst);
        if answers == self.is_verdict("client-reset") {
            return;
        }
        let proven = answer.is_some_and(|at| {
            self.counted[..at].iter().any(|p| self.proves(p))
                || self.has_acknowledged_server(self.counted[at])
        });
        let early = syn_ack.is_some_and(|place| {
            let at = self.counted[place].at;
            self.counted[..place].iter().any(|p| self.letter(p) == 'R' && at - p.at <= REORDERING)
        });
        let reason = match answers {
            true if self.is_repeated_syn_refused() => Some(Reason::RepeatedSynRefused),
            true => proven.then_some(Reason::ProvenBeforeClientReset),
            false => early.then_some(Reason::ClientResetCapturedEarly),
        };
        self.explain("client-reset", reason);
    }

    /// The first bare RST of the server's with a number that the client had acknowledged, and its place.
    fn bare_reset(&self) -> Option<(usize, &Packet)> {
        let acked = |end: usize, number: u32| {
            self.counted[..end].iter().any(|p| self.is_client(p) && p.ack_flag && p.ack == number)
        };
        let bare =
            |(place, p): &(usize, &&Packet)| self.letter(p) == 'r' && !p.ack_flag && acked(*place, p.seq);
        self.counted.iter().enumerate().find(bare).map(|(place, p)| (place, *p))
    }

    fn reset_after_ack(&mut self) {
        let reset = self.bare_reset();
        if reset.is_some() == self.is_verdict("reset-after-ack") {
            return;
        }
        let reason = match reset {
            Some((place, p)) => self.no_answer_to_ack(place, p),
            None => self.is_captured_early().then_some(Reason::ResetCapturedEarly),
        };
        self.explain("reset-after-ack", reason);
    }

    /// Reason why a bare RST of the server's is no answer to the client's ACK.
    fn no_answer_to_ack(&self, place: usize, reset: &Packet) -> Option<Reason> {
        let before = &self.counted[..place];
        let Some(syn_ack) = self.syn_ack().filter(|&at| at < place) else {
            return Some(Reason::ResetWithoutSynAck);
        };
        if before.iter().any(|p| self.proves(p)) {
            return Some(Reason::ProvenBeforeReset);
        }
        if before.iter().any(|p| self.letter(p) == 'R') {
            return Some(Reason::ClientResetBefore);
        }
        let ack = before.iter().position(|p| self.is_client(p) && !p.syn && p.ack_flag)?;
        let repeated = before.iter().enumerate().any(|(at, p)| {
            at > ack
                && (self.letter(p) == 's'
                    || before[..at]
                        .iter()
                        .any(|q| q.len + u32::from(q.fin) > 0 && (&q.from, q.seq) == (&p.from, p.seq)))
        });
        if repeated && (self.is_verdict("synack-retransmitted") || self.is_verdict("ack-ignored")) {
            return Some(Reason::RepeatedBeforeReset);
        }
        let went_on = |p: &&Packet| "ADF".contains(self.letter(p)) && self.number(p) > 0;
        if before.iter().any(went_on) {
            return Some(Reason::ClientWentOnBeforeReset);
        }
        let latest = before.iter().rfind(|p| self.is_client(p))?;
        let round_trip = self.time_to_answer(syn_ack).unwrap_or(LONGEST_ROUND_TRIP);
        let late = reset.at - latest.at > 2 * round_trip + 200_000_000
            || reset.at - before[ack].at >= 1_200_000_000 + round_trip;
        late.then_some(Reason::ResetTooLate)
    }

    /// True if a bare RST stands in the capture up to 50 ms before the ACK that it answers.
    fn is_captured_early(&self) -> bool {
        let resets = self.counted.iter().enumerate().filter(|(_, p)| self.letter(p) == 'r' && !p.ack_flag);
        resets.into_iter().any(|(place, reset)| {
            let mut after = self.counted[place..].iter();
            after.any(|p| self.is_client(p) && p.ack == reset.seq && p.at - reset.at <= REORDERING)
        })
    }

    /// Compares whether the server proved that it has the connection.
    fn proof(&mut self) {
        let proven = self.counted.iter().any(|p| self.proves(p));
        if proven == (self.ours["established"] == true) {
            return;
        }
        let by_reset = |p: &&Packet| {
            self.letter(p) == 'r'
                && p.ack_flag
                && (self.beyond(p) > 0 || p.window > 0 && self.is_verdict("synack-retransmitted"))
        };
        let by_reset = self.counted.iter().any(|p| by_reset(p) || self.has_acknowledged_server(p));
        let first = self.counted.iter().position(|p| self.proves(p));
        let client_reset = self.counted.iter().position(|p| self.letter(p) == 'R');
        let reason = match proven {
            true => (client_reset < first && client_reset.is_some()).then_some(Reason::ProofAfterClientReset),
            false => by_reset.then_some(Reason::ProvenByReset),
        };
        self.explain("established", reason);
    }

    /// The SYNs before the SYN-ACK at this place.
    fn syns_before(&self, syn_ack: usize) -> Vec<&Packet> {
        self.counted[..syn_ack].iter().copied().filter(|p| self.letter(p) == 'S').collect()
    }

    /// The time from the SYN that the SYN-ACK at this place answers to it, if that can be told.
    fn time_to_answer(&self, syn_ack: usize) -> Option<i128> {
        let answer = self.counted[syn_ack];
        let syns = self.syns_before(syn_ack);
        let echoed = syns.iter().find(|syn| syn.tsval.is_some() && syn.tsval == answer.tsecr);
        let answered = match (&syns[..], echoed) {
            (_, Some(syn)) => Some(*syn),
            ([only], None) if only.tsval.is_none() => Some(*only),
            (_, None) => None,
        };
        answered.map(|syn| answer.at - syn.at)
    }

    /// The time from the SYN that was answered to its answer.
    fn round_trip(&mut self) {
        let Some(place) = self.syn_ack() else { return };
        let known = self.time_to_answer(place);
        let answer = self.counted[place].at;
        let ours = self.ours["timing"]["syn_to_synack"].as_f64().map(|span| (span * 1e9).round() as i128);
        // Data may show which of several SYNs was answered, also where a SYN-ACK before this one was lost.
        let syns = self.syns_before(place);
        let of_several = syns.len() > 1 && ours != known;
        if let Some(ours) = ours.filter(|_| of_several) {
            assert!(syns.iter().any(|syn| answer - syn.at == ours), "{}: {}", self.name, self.ours);
            return self.explain("round trip", Some(Reason::SynAckAnswersAnySyn));
        }
        if (known.is_none() || of_several) && self.ours["timing"]["syn_to_synack"].is_null() {
            let any = self.syns_before(place).len() > 1;
            let reason = if any { Reason::SynAckAnswersAnySyn } else { Reason::SynAckEchoesNoSyn };
            self.explain("round trip", Some(reason));
            return;
        }
        self.same_time("round trip", "/timing/syn_to_synack", known);
    }
}

/// True if a SYN-ACK with timestamps came sooner after another one than any timer runs.
fn is_soon_after(later: &Packet, earlier: &Packet) -> bool {
    /// The shortest time-out that anybody sets, 100 ms, less some jitter.
    const SHORTEST_MS: u32 = 80;
    let (Some(now), Some(before)) = (later.tsval, earlier.tsval) else { return false };
    later.at - earlier.at < i128::from(SHORTEST_MS) * 1_000_000 && now.wrapping_sub(before) < SHORTEST_MS
}
