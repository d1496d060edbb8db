//! Lateness: whether a retry completed the handshake, and what that cost (DOMAIN §4, "Late or not").

use super::pending::{Pending, Phase};
use crate::packet::{Span, Timestamp};

/// Lateness of a connection at its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// The first SYN and the first SYN-ACK did it.
    Prompt,
    /// Retries cost this time.
    Late(Span),
    /// There were retries, and the packets do not show whether the client needed them.
    Unclear,
}

/// True if data could still show the round trip that decides an unclear case.
pub(super) fn awaits_round_trip(attempt: &Pending) -> bool {
    let unknown = attempt.cold().is_some_and(|cold| cold.round_trip.is_none());
    unknown && lateness(attempt) == Lateness::Unclear
}

/// Decides whether the client of an attempt, whose ACK was seen, connected late, by the rules of DOMAIN §4 in order.
pub(super) fn lateness(attempt: &Pending) -> Lateness {
    let (Some(syn), Some(synack), Some(cold)) = (attempt.syn, attempt.synack, attempt.cold()) else {
        return Lateness::Prompt;
    };
    let ack_at = attempt.ack_at.unwrap_or(attempt.last);
    let synack_again = cold.synack.times.iter().any(|&at| synack.first.plus(at) <= ack_at);
    let taken = if synack_again { cold.taken } else { Some(0) };
    let retried = retries_before(attempt, synack.first) > 0;
    if !retried && !synack_again && cold.answered.is_none() {
        return Lateness::Prompt;
    }
    // 1. The SYN-ACK names a retry of the SYN by TSecr: the SYNs before that made no request.
    if let Some(place) = cold.answered.filter(|&place| place > 0) {
        let since_syn = syn.time_of(&cold.syn, place).since(syn.first);
        return Lateness::Late(since_syn.plus(since_first(attempt, taken.unwrap_or(0))));
    }
    // 2. The ACK names a retransmission of the SYN-ACK.
    if let Some(place) = taken.filter(|&place| place > 0) {
        return Lateness::Late(since_first(attempt, place));
    }
    if taken.is_some() && !retried {
        return Lateness::Prompt;
    }
    // 3. By the round trip.
    match cold.round_trip {
        Some(round_trip) => by_round_trip(attempt, syn.first, ack_at, round_trip),
        None if taken.is_some() => before_retry_or_unclear(attempt),
        None => Lateness::Unclear,
    }
}

/// From the first SYN-ACK to a retransmission of it.
fn since_first(attempt: &Pending, place: u8) -> Span {
    let times = &attempt.synack_retransmissions().times;
    place.checked_sub(1).and_then(|place| times.get(usize::from(place))).copied().unwrap_or(Span::ZERO)
}

/// Retries of the SYN before `at`.
fn retries_before(attempt: &Pending, at: Timestamp) -> usize {
    let Some(syn) = attempt.syn else { return 0 };
    attempt.syn_retransmissions().times.iter().filter(|&&since| syn.first.plus(since) <= at).count()
}

/// The SYN-ACK is late if it came later than a round trip by half the gap to the first retry; the SYN that it answers
/// is then the latest that is a round trip old.
fn by_round_trip(attempt: &Pending, syn: Timestamp, ack_at: Timestamp, round_trip: Span) -> Lateness {
    let Some(synack) = attempt.synack else { return Lateness::Prompt };
    let times = &attempt.syn_retransmissions().times;
    let gap = times.first().or(attempt.synack_retransmissions().times.first()).copied();
    let half = gap.unwrap_or(Span::ZERO).scaled(1, 2);
    let waited = synack.first.since(syn);
    if waited > round_trip.plus(half) {
        let answered = times.iter().rev().find(|&&since| waited.minus(since) >= round_trip.scaled(3, 4));
        return answered.map_or(Lateness::Unclear, |&since| Lateness::Late(since));
    }
    // The client may have needed a retransmission of the SYN-ACK.
    let again = &attempt.synack_retransmissions().times;
    let answered_after = ack_at.since(synack.first);
    let Some(&since) = again.iter().rev().find(|&&since| since <= answered_after) else {
        return Lateness::Prompt;
    };
    // The data's round trip is the server's side. Near the client it is all of it, and an ACK follows what it answers
    // at once; elsewhere a long way to the client leaves the same as a SYN-ACK that was lost.
    let at_client = answered_after.minus(since) <= round_trip.scaled(1, 4);
    match attempt.synack_to_ack.or(at_client.then_some(round_trip)) {
        Some(expected) if answered_after > expected.plus(half) => Lateness::Late(since),
        Some(_) => Lateness::Prompt,
        None => Lateness::Unclear,
    }
}

/// The first SYN-ACK, which the client took, came after a retry of the SYN and names the first SYN: that was not
/// dropped. A SYN-ACK was lost, or the round trip is longer than the retry timer.
fn before_retry_or_unclear(attempt: &Pending) -> Lateness {
    let (Some(syn), Some(synack)) = (attempt.syn, attempt.synack) else { return Lateness::Prompt };
    let waited = synack.first.since(syn.first);
    let last = attempt.syn_retransmissions().times.iter().rev().find(|&&since| since <= waited);
    match (last, attempt.synack_to_ack, attempt.phase) {
        (Some(&since), Some(client_side), _) if waited.minus(since) < client_side.scaled(1, 4) => {
            // Near the server, and at once after this retry: its answer.
            Lateness::Late(since)
        }
        (Some(_), _, Phase::SynSent) | (None, _, _) => Lateness::Prompt,
        (Some(_), _, _) => Lateness::Unclear,
    }
}
