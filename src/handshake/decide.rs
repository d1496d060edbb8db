//! From an undecided attempt to its record: verdict, reason, timing, vantage and `connect()`.
//!
//! Owns the verdicts' definitions (DOMAIN §4) and `connect()`'s outcome (§6). Does not own causes
//! (`listener/hypotheses`): those may need other attempts.

use super::attempt::{Attempt, RetryTimes, Timing};
use super::cause::SharedInference;
use super::facts::Fact;
use super::late::{Lateness, is_synack_late, lateness};
use super::passage::Passage;
use super::pending::{ColdState, Pending, Phase};
use super::retransmissions::{HandshakeSegment, Retransmissions};
use super::timeouts::{self, is_settled};
use super::verdict::{Connect, ConnectOutcome, Errno, Reason, Unproven, Vantage, Verdict};
use crate::packet::{CaptureSet, Direction, FlowKey, IcmpError, PathOrder, Span, Timestamp};

/// Reason why a record of an attempt is made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing that can still come would change it, or its deadline passed.
    Expired,
    /// Another SYN took its ports.
    Replaced,
    /// The attempt was dropped to bound memory.
    Evicted,
    /// The capture ended, with its last packet at this time.
    CaptureEnd(Timestamp),
    /// The attempt is not settled; the record is its state so far.
    Provisional,
}

/// Longest time until a process that blocks in `connect()` runs again, on any machine.
const WAKE_UP: Span = Span::from_secs(1);

/// Time before the capture's end in which a new stage of the handshake is not judged (DOMAIN §4).
const CUT_MARGIN: Span = Span::from_secs(1);

/// The latest first retransmission of a SYN-ACK, with the lateness of timers: 3 s on systems before RFC 6298, and on a
/// listener that defers for 2 s. Linux from 3.1 sends it after 1 s, but the listener of a silent client may defer.
const FIRST_RETRANSMISSION: Span = Span::from_millis(3500);

/// Facts about the captures that a record is made with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context {
    /// Captures without a bare ACK, so that the client's would not be in them: a handshake without one proves nothing there.
    pub(super) lacks_bare_acks: CaptureSet,
    /// Captures of nothing but SYNs, so that an answer would not be in them: a SYN that the client did not repeat may have had
    /// one.
    pub(super) lacks_answers: CaptureSet,
    /// The order of points, if it was given.
    pub(super) path: PathOrder,
}

/// The record of `pending`, whose flow is `key`, at this time.
#[inline(always)]
pub(super) fn decide(
    pending: &Pending,
    key: FlowKey,
    (ending, at): (Ending, Timestamp),
    context: &Context,
) -> Attempt {
    let ending = if pending.cold.is_some() { by_own_time(pending, ending) } else { ending };
    let lateness = if pending.cold.is_none() { Lateness::Prompt } else { lateness(pending) };
    let ignored = ignored_acks(pending, lateness);
    let passage = pending.sightings.as_ref().map(|log| log.passage(&context.path, at));
    // A point may have the segments that the other one lacks.
    let seen_elsewhere = |captures: CaptureSet| {
        let elsewhere = |passage: &Passage| passage.sightings.iter().any(|seen| !captures.has(seen.frame));
        pending.has_two_points && passage.as_deref().is_none_or(elsewhere)
    };
    let lacks = |captures: CaptureSet| captures.has(pending.frame) && !seen_elsewhere(captures);
    let lacking = (lacks(context.lacks_bare_acks), lacks(context.lacks_answers));
    let (verdict, reason) = verdict(pending, ending, (lateness, ignored.is_some()), lacking);
    let timing = timing(pending, lateness);
    let cold = pending.cold();
    let mut facts = pending.facts;
    facts.add_if(Fact::PortUsedAnew, ending == Ending::Replaced);
    facts.add_if(Fact::FirstSynAnswered, is_synack_late(pending, lateness));
    facts.add_if(Fact::Contradicted, ignored.is_some());
    facts.add_if(Fact::DataIgnored, ignored.is_some_and(|(_, data)| data));
    if cold.is_some_and(|cold| cold.sacked_bytes > 0 && u32::from(cold.sacked_bytes) >= cold.resent_bytes) {
        // A segment that passed was no smaller than the missing one.
        facts.remove(Fact::SackedBeyondHole);
    }
    let icmp = cold.and_then(|cold| cold.icmp.as_deref()).filter(|_| match verdict {
        Verdict::Unreachable => true,
        // Until a retry got through. A SYN that was answered all the same needed none.
        Verdict::CompletedLate => !facts.has(Fact::FirstSynAnswered),
        _ => false,
    });
    let mut retries = pending.retries();
    retries.after_ack = ignored.map_or(retries.after_ack, |(acks, _)| u32::from(acks));
    let ends = passage.as_ref().and_then(|passage| passage.ends());
    let (client, server) =
        ends.unwrap_or_else(|| (key.source(pending.outward), key.destination(pending.outward)));
    Attempt {
        client,
        server,
        frame: pending.frame,
        ordinal: pending.ordinal,
        start: pending.start,
        end: pending.last,
        verdict,
        reason,
        icmp: icmp.map(|&(_, answer)| answer),
        unproven: unproven(pending, verdict, ending),
        client_finishes: false,
        established: established(pending, verdict),
        retries,
        retry_at: times(pending.synack_retransmissions()),
        syn_retry_at: times(pending.syn_retransmissions()),
        timing,
        vantage: vantage(pending, key, &timing, passage.as_deref()),
        connect: connect(pending, verdict, ending),
        history: pending.history,
        packets: pending.packets,
        facts,
        synack: pending.answer_traits(),
        client_isn: pending.client_isn,
        client_clock: pending.client_clock(),
        data_retransmissions: pending.data_retransmissions,
        sent_bytes: pending.sent_bytes(),
        resent_bytes: cold.map_or(0, |cold| cold.resent_bytes),
        server_rsts: cold.map_or(0, |cold| cold.server_rsts),
        rst_answers_segment: pending.rst_answers_segment,
        first_synack: pending.synack.map(|synack| synack.first),
        acked: pending.ack_at,
        sent: pending.data_at,
        reset: cold.and_then(|cold| cold.rst_at),
        silence: silence(pending, ending),
        ports_before: None,
        has_older_stamp: false,
        path_worked: false,
        answered_from: passage.as_ref().and_then(|passage| passage.answered_from()),
        is_translated: false,
        passage,
        inference: SharedInference::default(),
    }
}

/// The times of retransmissions, of which most attempts have none.
#[inline(always)]
fn times(retransmissions: &Retransmissions) -> RetryTimes {
    if retransmissions.times.is_empty() {
        return RetryTimes::new();
    }
    RetryTimes::from_slice(&retransmissions.times)
}

/// The capture's end by the attempt's own clock. Where the time of its latest packet was too far ahead and was
/// corrected, the end is moved back by as much.
fn by_own_time(pending: &Pending, ending: Ending) -> Ending {
    match (ending, pending.cold().and_then(ColdState::doubted_time)) {
        (Ending::CaptureEnd(end), Some(doubted)) => {
            let after = end.since(doubted).max(Span::ZERO);
            Ending::CaptureEnd(end.min(pending.last.plus(after)))
        }
        (_, _) => ending,
    }
}

/// ACKs that the server ignored, and whether data with them, where only the SYN that it answered shows the round trip: until
/// that was known, its SYN-ACKs may have crossed them.
fn ignored_acks(pending: &Pending, lateness: Lateness) -> Option<(u16, bool)> {
    let unknown =
        pending.syn_to_synack.is_none() && matches!(pending.phase, Phase::Acked | Phase::Established);
    pending.cold().filter(|cold| unknown && cold.crossed > 0)?;
    pending.ignored_by_round_trip(syn_to_synack(pending, lateness)?)
}

fn verdict(
    pending: &Pending,
    ending: Ending,
    (lateness, ignored): (Lateness, bool),
    (lacks_bare_acks, lacks_answers): (bool, bool),
) -> (Verdict, Option<Reason>) {
    let plain = if ignored { Verdict::SynackRetransmitted } else { shown(pending, lateness, ending) };
    if ending == Ending::Evicted && !is_plain_already(pending, plain) {
        return (Verdict::Undetermined, Some(Reason::Evicted));
    }
    if is_one_sided(pending) {
        return (Verdict::Undetermined, Some(Reason::OneSided));
    }
    if let Ending::CaptureEnd(end) = ending
        && stage_begin(pending).is_some_and(|begin| end.since(begin) < CUT_MARGIN)
    {
        return (Verdict::Undetermined, Some(Reason::CaptureCut));
    }
    match plain {
        Verdict::HalfOpen if lacks_bare_acks => (Verdict::Undetermined, Some(Reason::NoBareAcks)),
        Verdict::Unanswered if lacks_answers && is_alone(pending) => {
            (Verdict::Undetermined, Some(Reason::OneSided))
        }
        _ => (plain, None),
    }
}

/// True if the client sent one SYN with options. A client that repeats its SYN got no answer to it, and a program that crafts SYNs
/// without options repeats none.
fn is_alone(pending: &Pending) -> bool {
    pending.syn_retransmissions().count == 0 && !pending.facts.has(Fact::SynWithoutOptions)
}

/// True if an evicted attempt shows its verdict without more packets: the server repeated its SYN-ACK after the ACK, or
/// reset the connection, or the next retransmission is overdue.
fn is_plain_already(pending: &Pending, plain: Verdict) -> bool {
    matches!(plain, Verdict::SynackRetransmitted | Verdict::ResetAfterAck)
        || pending.facts.has(Fact::ApplicationReset)
        || pending.is_overdue
}

/// Start of the unfinished stage of a handshake: the time of its SYN, or of its first SYN-ACK.
fn stage_begin(pending: &Pending) -> Option<Timestamp> {
    match pending.phase {
        Phase::SynSent => Some(pending.start),
        Phase::SynReceived => pending.synack.map(|synack| synack.first),
        Phase::Refused
        | Phase::Unreachable
        | Phase::AnswerUnseen
        | Phase::ClientReset
        | Phase::Acked
        | Phase::Ignored
        | Phase::Reset
        | Phase::Established => None,
    }
}

/// The verdict by the phase alone.
fn shown(pending: &Pending, lateness: Lateness, ending: Ending) -> Verdict {
    let gave_up = matches!(ending, Ending::Expired | Ending::Replaced);
    let completed = match lateness {
        Lateness::Late { .. } => Verdict::CompletedLate,
        Lateness::Prompt | Lateness::Unclear => Verdict::Completed,
    };
    match pending.phase {
        Phase::SynSent => Verdict::Unanswered,
        Phase::Refused => Verdict::Refused,
        Phase::Unreachable => Verdict::Unreachable,
        Phase::AnswerUnseen => Verdict::Undetermined,
        // A SYN that crosses ours is no answer to it.
        Phase::SynReceived if !pending.facts.has(Fact::SynAckSeen) => Verdict::Unanswered,
        Phase::SynReceived => Verdict::HalfOpen,
        Phase::ClientReset => Verdict::ClientReset,
        Phase::Acked
            if shows_ignored_data(pending, ending) || gave_up && pending.facts.has(Fact::FinIgnored) =>
        {
            Verdict::AckIgnored
        }
        Phase::Acked => completed,
        Phase::Ignored => Verdict::SynackRetransmitted,
        Phase::Reset => Verdict::ResetAfterAck,
        Phase::Established if pending.facts.has(Fact::Contradicted) => Verdict::SynackRetransmitted,
        Phase::Established => completed,
    }
}

/// True if the server ignored the client's data, and the capture lasts until its SYN-ACK would have been repeated: that
/// comes first in the order of verdicts.
fn shows_ignored_data(pending: &Pending, ending: Ending) -> bool {
    let may_repeat = ends_before_repeat(pending, ending) && !is_settled(pending);
    pending.has_ignored_data() && !may_repeat
}

/// True if the capture ends before the server's next SYN-ACK would be due after the client's ACK.
fn ends_before_repeat(pending: &Pending, ending: Ending) -> bool {
    /// The longest gap between SYN-ACKs while a request lives: by default Linux repeats at 1, 3, 7, 15 and 31 s and
    /// gives up at 63 s.
    const LONGEST_GAP: Span = Span::from_secs(32);
    let (Ending::CaptureEnd(end), Some(ack_at)) = (ending, pending.ack_at) else { return false };
    let wait = if pending.syn.is_none() {
        // The SYN-ACK may itself be a repeat.
        LONGEST_GAP
    } else {
        FIRST_RETRANSMISSION.max(pending.synack_retransmissions().gap.scaled(23, 10))
    };
    end.since(ack_at) < wait
}

/// True if only one direction of the connection is in the capture.
fn is_one_sided(pending: &Pending) -> bool {
    match pending.phase {
        Phase::AnswerUnseen => true,
        Phase::SynReceived | Phase::Established => {
            let client_unseen = pending.syn.is_none() && !pending.facts.has(Fact::ClientWentOn);
            client_unseen && !pending.facts.has(Fact::WrongAck)
        }
        Phase::SynSent
        | Phase::Refused
        | Phase::Unreachable
        | Phase::ClientReset
        | Phase::Acked
        | Phase::Ignored
        | Phase::Reset => false,
    }
}

fn established(pending: &Pending, verdict: Verdict) -> Option<bool> {
    match verdict {
        _ if pending.facts.has(Fact::Established) => Some(true),
        Verdict::Completed | Verdict::CompletedLate | Verdict::Undetermined => None,
        Verdict::SynackRetransmitted
        | Verdict::ResetAfterAck
        | Verdict::AckIgnored
        | Verdict::Refused
        | Verdict::Unreachable
        | Verdict::Unanswered
        | Verdict::HalfOpen
        | Verdict::ClientReset => Some(false),
    }
}

/// Reason why nothing proves a completed attempt, if it shows that alone; its listener may have more reasons.
fn unproven(pending: &Pending, verdict: Verdict, ending: Ending) -> Option<Unproven> {
    if !verdict.is_completed() || pending.facts.has(Fact::Established) || pending.phase != Phase::Acked {
        return None;
    }
    if pending.client_sent_data() {
        return Some(Unproven::DataUnacknowledged);
    }
    ends_before_repeat(pending, ending).then_some(Unproven::CaptureEnds)
}

fn timing(pending: &Pending, lateness: Lateness) -> Timing {
    let duration = pending.last.since(pending.start);
    if pending.synack.is_none() && pending.cold.is_none() {
        // A lone SYN, as in a flood.
        return Timing { duration, ..Timing::default() };
    }
    let taken = pending.ack_at.and(pending.synack).and_then(|synack| taken_at(pending, &synack, lateness));
    // Time of the SYN-ACK between the first point and the client's, where both saw it.
    let way =
        pending.cold().filter(|_| pending.has_two_points).map_or(Span::ZERO, |cold| cold.synack_under_way);
    let taken = taken.map(|taken| taken.plus(way));
    let seen = pending.facts.has(Fact::SynSeen) && taken.is_some();
    Timing {
        connect: in_order(pending.syn.zip(taken).map(|(syn, taken)| taken.since(syn.first)).filter(|_| seen)),
        delay: lateness.delay().filter(|_| seen),
        stall: pending.cold().and_then(|cold| cold.stall),
        syn_to_synack: in_order(syn_to_synack(pending, lateness)),
        synack_to_ack: in_order(pending.synack_to_ack),
        ack_to_rst: in_order(pending.cold().and_then(|cold| cold.ack_to_rst)),
        duration,
    }
}

/// Time of the SYN-ACK that the client took; `None` where it was repeated before the ACK and nothing shows which one.
fn taken_at(pending: &Pending, synack: &HandshakeSegment, lateness: Lateness) -> Option<Timestamp> {
    let again = pending.synack_retransmissions();
    if let Some(place) = pending.cold().and_then(|cold| cold.taken) {
        return Some(synack.time_of(again, place));
    }
    let ack_at = pending.ack_at?;
    let repeated = again.sent_within(ack_at.since(synack.first)).next().is_some();
    match lateness {
        Lateness::Late { synack: since, .. } => Some(synack.first.plus(since)),
        Lateness::Unclear if repeated => None,
        Lateness::Prompt | Lateness::Unclear => Some(synack.first),
    }
}

/// Time from the SYN to the SYN-ACK that answers it; `None` where it was sent again before, and nothing shows which one that is.
fn syn_to_synack(pending: &Pending, lateness: Lateness) -> Option<Span> {
    let waited = pending.synack?.first.since(pending.syn?.first);
    let retried = pending.syn_retransmissions().sent_within(waited).next().is_some();
    match lateness {
        Lateness::Late { syn, .. } if syn > Span::ZERO => Some(waited.minus(syn)),
        Lateness::Prompt if retried => Some(waited),
        Lateness::Late { .. } | Lateness::Unclear if retried => None,
        Lateness::Late { .. } | Lateness::Prompt | Lateness::Unclear => pending.syn_to_synack,
    }
}

/// The time between two packets; `None` if they are in the wrong order, which the capture then cannot show.
fn in_order(span: Option<Span>) -> Option<Span> {
    span.filter(|&span| span >= Span::ZERO)
}

/// Place where the capture was taken (DOMAIN §5). Where points are not told apart but are several it is the one nearest to the
/// client, which sees every SYN and ACK first and every SYN-ACK last.
fn vantage(pending: &Pending, key: FlowKey, timing: &Timing, passage: Option<&Passage>) -> Option<Vantage> {
    if let Some(passage) = passage.filter(|passage| passage.on_path().nth(1).is_some()) {
        return passage.vantage(pending.after_ack);
    }
    // The time of a misdated segment is that of another, and shows no round trip.
    let dated = !pending.facts.has(Fact::Misdated);
    let (server, client) = timing.syn_to_synack.zip(timing.synack_to_ack).filter(|_| dated)?;
    let client = pending.synack_drew_ack().map_or(client, |drawn| drawn.min(client));
    let ends = [key.source(Direction::LowToHigh).ip(), key.destination(Direction::LowToHigh).ip()];
    let place = |server, client| Vantage::by_round_trips(Some(server), Some(client), ends);
    if !pending.has_two_points {
        return place(server, client);
    }
    let (syn_under_way, synack_under_way) =
        pending.cold().map_or((Span::ZERO, Span::ZERO), |cold| (cold.syn_under_way, cold.synack_under_way));
    let acks_reached_it = pending.after_ack == 0
        || pending.facts.has(Fact::AckAtSecondPoint) && !pending.facts.has(Fact::AckAtOnePoint);
    let farther = place(server.minus(syn_under_way).max(Span::ZERO), client.plus(syn_under_way))?;
    if acks_reached_it && farther == Vantage::Server {
        // The farther one has seen what the nearer one has.
        return Some(farther);
    }
    place(server.plus(synack_under_way), client.minus(synack_under_way).max(Span::ZERO))
}

/// Silence at the capture's end, if that is shorter than the wait for the next retransmission.
fn silence(pending: &Pending, ending: Ending) -> Option<Span> {
    match ending {
        Ending::CaptureEnd(end) => Some(end.since(pending.last)).filter(|_| !is_overdue(pending, end)),
        // Nothing is known of what would have come.
        Ending::Replaced | Ending::Evicted | Ending::Provisional => Some(Span::ZERO),
        Ending::Expired => None,
    }
}

/// True if the next retransmission should have come before `end`.
fn is_overdue(pending: &Pending, end: Timestamp) -> bool {
    end > timeouts::deadline(pending, pending.last)
}

fn connect(pending: &Pending, verdict: Verdict, ending: Ending) -> Connect {
    match verdict {
        Verdict::Completed | Verdict::CompletedLate | Verdict::SynackRetransmitted | Verdict::AckIgnored => {
            plain(ConnectOutcome::Succeeded)
        }
        Verdict::ResetAfterAck => match race_window(pending) {
            Some(window) if window > WAKE_UP => plain(ConnectOutcome::Succeeded),
            window => Connect { outcome: ConnectOutcome::Raced, errno: None, window },
        },
        Verdict::Refused if ignores_refusal(pending) => unanswered(pending, ending),
        Verdict::Refused => failed(Errno::Econnrefused),
        Verdict::Unreachable => unreachable(pending, ending),
        Verdict::Unanswered => unanswered(pending, ending),
        Verdict::HalfOpen => half_open(pending, ending),
        Verdict::ClientReset => plain(ConnectOutcome::Unknown),
        Verdict::Undetermined if pending.facts.has(Fact::Established) => plain(ConnectOutcome::Succeeded),
        Verdict::Undetermined => plain(match (pending.phase, ending) {
            (Phase::AnswerUnseen | Phase::Acked | Phase::Established | Phase::Ignored, _) => {
                ConnectOutcome::Succeeded
            }
            (Phase::SynSent, Ending::CaptureEnd(_)) => ConnectOutcome::Pending,
            (_, _) => ConnectOutcome::Unknown,
        }),
    }
}

/// An outcome without an error.
const fn plain(outcome: ConnectOutcome) -> Connect {
    Connect { outcome, errno: None, window: None }
}

const fn failed(errno: Errno) -> Connect {
    Connect { outcome: ConnectOutcome::Failed, errno: Some(errno), window: None }
}

/// Linux gives up at the first ICMP error (`tcp_v4_err`). A client that repeats its SYN afterwards has a system that
/// keeps the error for the end (RFC 1122 §4.2.3.9).
fn unreachable(pending: &Pending, ending: Ending) -> Connect {
    let Some(&(at, icmp)) = pending.cold().and_then(|cold| cold.icmp.as_deref()) else {
        return plain(ConnectOutcome::Unknown);
    };
    let retries = pending.syn_retransmissions();
    let ignores_rest = retries.count > 0 && pending.syn.is_some_and(|syn| syn.last(retries) > at);
    if icmp.error.is_too_big() {
        // The client sends smaller segments, and waits on.
        return unanswered(pending, ending);
    }
    let waits = Some(unanswered(pending, ending))
        .filter(|connect| ignores_rest && connect.outcome != ConnectOutcome::Failed);
    waits.unwrap_or_else(|| failed(errno(icmp.error)))
}

/// True if the client repeated its SYN by its timer although each was refused: the RSTs do not reach it, or it ignores them. One may
/// be lost; and Windows tries a refused SYN again, but sooner than any timer.
fn ignores_refusal(pending: &Pending) -> bool {
    /// Fewest retries after a refusal that show it.
    const FEWEST: usize = 2;
    /// Longer than Windows waits after a refusal (0.5 s), and shorter than a timer (RFC 6298 §2.1).
    const BY_TIMER: Span = Span::from_millis(800);
    let Some((syn, refused)) = pending.syn.zip(pending.cold().and_then(|cold| cold.rst_at)) else {
        return false;
    };
    let retries = &pending.syn_retransmissions().times;
    let before = std::iter::once(&Span::ZERO).chain(retries);
    let again = retries
        .iter()
        .zip(before)
        .filter(|&(&since, &before)| syn.first.plus(since) > refused && since.minus(before) >= BY_TIMER);
    again.count() >= FEWEST
}

/// A SYN that got no answer: the retries ran out, or may still go on.
fn unanswered(pending: &Pending, ending: Ending) -> Connect {
    let exhausted = may_be_exhausted(pending.syn_retransmissions());
    let overdue = match ending {
        Ending::CaptureEnd(end) => is_overdue(pending, end),
        Ending::Expired | Ending::Replaced | Ending::Evicted => true,
        Ending::Provisional => pending.is_overdue,
    };
    match ending {
        _ if !overdue => plain(ConnectOutcome::Pending),
        // The next retry did not come when it was due.
        Ending::Expired | Ending::CaptureEnd(_) | Ending::Provisional if exhausted => {
            failed(Errno::Etimedout)
        }
        // One SYN alone is a scan, a flood, or a program that gave up by itself; so is one retry.
        _ => plain(ConnectOutcome::Unknown),
    }
}

/// True if a system may have sent all its retries: their number fits its schedule. Else a program gave up before.
fn may_be_exhausted(retries: &Retransmissions) -> bool {
    /// The fewest of any system (Windows; Linux's default is 6).
    const FEWEST: u32 = 2;
    /// The fewest of those that begin with even gaps: `tcp_syn_linear_timeouts` (4) and one retry (macOS sends more).
    const FEWEST_LINEAR: u32 = 5;
    let is_linear = match *retries.times {
        [first, second, ..] => second.minus(first) < first.scaled(3, 2),
        _ => false,
    };
    u32::from(retries.count) >= if is_linear { FEWEST_LINEAR } else { FEWEST }
}

/// Result of a `connect()` whose SYN-ACK was not acknowledged. A client that repeats its SYN did not get the SYN-ACK;
/// otherwise the result is unknown once the server has given up.
fn half_open(pending: &Pending, ending: Ending) -> Connect {
    let retried = pending.syn_retransmissions().count > 0;
    match ending {
        _ if retried => unanswered(pending, ending),
        Ending::CaptureEnd(end) if !is_overdue(pending, end) => plain(ConnectOutcome::Pending),
        Ending::Provisional if !pending.is_overdue => plain(ConnectOutcome::Pending),
        Ending::CaptureEnd(_)
        | Ending::Provisional
        | Ending::Expired
        | Ending::Replaced
        | Ending::Evicted => plain(ConnectOutcome::Unknown),
    }
}

/// The time between SYN-ACK and RST at the client. Seen from the server it is the time between ACK and
/// RST plus the client's round trip, which is the same sum. Unknown where the last SYN-ACK was repeated after the RST.
fn race_window(pending: &Pending) -> Option<Span> {
    let rst_at = pending.cold()?.rst_at?;
    in_order(match (pending.synack_to_ack, pending.ack_at) {
        (Some(round_trip), Some(ack_at)) => Some(rst_at.since(ack_at).plus(round_trip)),
        (_, _) => Some(rst_at.since(pending.synack?.last(pending.synack_retransmissions()))),
    })
}

/// The errno that Linux makes of an ICMP error in SYN_SENT (`icmp_err_convert` in net/ipv4/icmp.c, `icmpv6_err_convert`
/// in net/ipv6/icmp.c).
fn errno(icmp: IcmpError) -> Errno {
    match (icmp.v6, icmp.kind, icmp.code) {
        (false, 3, 0 | 6 | 9 | 11) => Errno::Enetunreach,
        (false, 3, 2) => Errno::Enoprotoopt,
        (false, 3, 3) => Errno::Econnrefused,
        (false, 3, 5) => Errno::Eopnotsupp,
        (false, 3, 7) => Errno::Ehostdown,
        (false, 3, 8) => Errno::Enonet,
        (false, 12, _) => Errno::Eproto,
        (true, 1, 0) => Errno::Enetunreach,
        (true, 1, 1 | 5 | 6) => Errno::Eacces,
        (true, 1, 4) => Errno::Econnrefused,
        (true, 4, _) => Errno::Eproto,
        (_, _, _) => Errno::Ehostunreach,
    }
}
