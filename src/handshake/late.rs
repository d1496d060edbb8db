//! Lateness: whether a retry completed the handshake, and what that cost (DOMAIN §4, "Late or not").
//!
//! Owns the rules for one attempt. Does not own the round trips of the client's other attempts (`listener`), which decide
//! what these leave open.

use super::attempt::Attempt;
use super::facts::Fact;
use super::pending::{DataRoundTrip, Pending, Phase};
use super::retransmissions::{Retransmissions, SHORTEST_SET_TIMER, SHORTEST_TIMER};
use super::verdict::Verdict;
use crate::packet::Span;

/// Lateness of a connection at its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// The first SYN and the first SYN-ACK did it.
    Prompt,
    /// Retries cost time.
    Late {
        /// From the first SYN to the one that was answered.
        syn: Span,
        /// From the first SYN-ACK to the one that the client took.
        synack: Span,
    },
    /// There were retries, and the packets do not show whether the client needed them.
    Unclear,
}

impl Lateness {
    /// By the SYN that the first SYN-ACK answers, and the SYN-ACK that the client took.
    fn of(syn: Answered, synack: Answered) -> Self {
        match (syn, synack) {
            (Answered::First, Answered::First) => Self::Prompt,
            (Answered::Again(syn), Answered::Again(synack)) => Self::Late { syn, synack },
            (Answered::Again(syn), _) => Self::Late { syn, synack: Span::ZERO },
            (_, Answered::Again(synack)) => Self::Late { syn: Span::ZERO, synack },
            (Answered::Unclear, _) | (_, Answered::Unclear) => Self::Unclear,
        }
    }

    /// The time that retries cost; `None` where it is unclear.
    pub(super) fn delay(self) -> Option<Span> {
        match self {
            Self::Prompt => Some(Span::ZERO),
            Self::Late { syn, synack } => Some(syn.plus(synack)),
            Self::Unclear => None,
        }
    }
}

/// The transmission that an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    /// The first.
    First,
    /// A retransmission sent this long after the first.
    Again(Span),
    /// The packets do not show which one.
    Unclear,
}

/// True if data could still show the round trip that decides an unclear case.
pub(super) fn awaits_round_trip(attempt: &Pending) -> bool {
    let unknown = attempt.cold().is_some_and(|cold| {
        cold.round_trip.is_none_or(|known| known.is_bound) || cold.client_round_trip.is_none()
    });
    unknown && Lateness::of(answered_syn(attempt), taken_synack(attempt, false)) == Lateness::Unclear
}

/// Decides whether the client of an attempt, whose ACK was seen, connected late, by the rules of DOMAIN §4.
pub(super) fn lateness(attempt: &Pending) -> Lateness {
    if attempt.syn.is_none() || attempt.synack.is_none() || attempt.cold().is_none() {
        return Lateness::Prompt;
    }
    Lateness::of(answered_syn(attempt), taken_synack(attempt, true))
}

/// True for a late connect whose first SYN was answered before any retry of it: what cost the time is the SYN-ACK.
pub(super) fn is_synack_late(attempt: &Pending, lateness: Lateness) -> bool {
    let Lateness::Late { syn: Span::ZERO, .. } = lateness else { return false };
    let Some((syn, synack)) = attempt.syn.zip(attempt.synack) else { return false };
    let waited = synack.first.since(syn.first);
    attempt.syn_retransmissions().sent_within(waited).next().is_none()
}

impl Attempt {
    /// Decides an attempt that [`Self::is_delay_unclear`] by what other attempts of its client take from the SYN to the SYN-ACK
    /// and from there to the ACK.
    pub(crate) fn decide_delay(&mut self, server: Span, client: Span) {
        let exact = |span| DataRoundTrip { span, is_bound: false };
        let Some((synack, acked)) = self.first_synack.zip(self.acked) else { return };
        let (first, waited) = (synack.since(self.start), acked.since(synack));
        let syns = self.syn_retry_at.iter().copied().filter(|&since| since <= first);
        let is_known = self.timing.connect.is_some();
        let synacks = self.retry_at.iter().copied().filter(|&since| since <= waited && !is_known);
        let at_once = syns.clone().next().is_none();
        let syn = answered_by(first, syns, exact(server));
        let asked_again = self.syn_retry_at.iter().any(|&since| since > first && since <= first.plus(waited));
        let lateness = Lateness::of(syn, taken_by(waited, synacks, exact(client), asked_again));
        let (Some(delay), timing) = (lateness.delay(), &mut self.timing) else { return };
        timing.delay = Some(delay);
        if let Lateness::Late { syn, synack } = lateness {
            self.verdict = Verdict::CompletedLate;
            self.facts.add_if(Fact::FirstSynAnswered, at_once && syn == Span::ZERO);
            timing.syn_to_synack = Some(first.minus(syn));
            timing.connect = timing.connect.or(Some(first.plus(synack)));
        } else {
            timing.syn_to_synack = Some(first);
            timing.connect = timing.connect.or(Some(first));
        }
    }
}

/// The SYN that the first SYN-ACK answers.
fn answered_syn(attempt: &Pending) -> Answered {
    let (Some(syn), Some(synack), Some(cold)) = (attempt.syn, attempt.synack, attempt.cold()) else {
        return Answered::First;
    };
    let waited = synack.first.since(syn.first);
    // The SYN-ACK names a retry of the SYN by TSecr: the SYNs before that made no request.
    let named = cold.answered.filter(|&place| place > 0 && !syn.is_after(&cold.syn, place));
    let named = named.map(|place| syn.time_of(&cold.syn, place).since(syn.first));
    let since = named.unwrap_or(Span::ZERO);
    // The SYN-ACK was under way for so long at least: what was sent later it cannot answer.
    let transit = if cold.synack_transit <= waited { cold.synack_transit } else { Span::ZERO };
    let after_named = cold.syn.sent_within(waited.minus(transit)).filter(move |&retry| retry > since);
    let after_named = after_named.map(move |retry| retry.minus(since));
    let answered = match cold.round_trip {
        _ if after_named.clone().next().is_none() => Answered::First,
        Some(round_trip) => answered_by(waited.minus(since), after_named, round_trip),
        None => Answered::Unclear,
    };
    match (answered, named) {
        (Answered::Again(retry), _) => Answered::Again(since.plus(retry)),
        (Answered::First | Answered::Unclear, Some(named)) => Answered::Again(named),
        (Answered::First, None) => Answered::First,
        (Answered::Unclear, None) => at_once_or_unclear(attempt, waited),
    }
}

/// The SYN-ACK that the client's first ACK answers. While a round trip of the client's side may still show, `guesses` is false:
/// then nothing is concluded from the server's side.
fn taken_synack(attempt: &Pending, guesses: bool) -> Answered {
    let (Some(synack), Some(cold)) = (attempt.synack, attempt.cold()) else { return Answered::First };
    let ack_at = attempt.ack_at.unwrap_or(attempt.last);
    let waited = ack_at.since(synack.first);
    let again = cold.synack.sent_within(waited);
    let Some(latest) = again.clone().next_back() else { return Answered::First };
    if let Some(place) = cold.taken {
        let since = synack.time_of(&cold.synack, place).since(synack.first);
        return if place > 0 { Answered::Again(since) } else { Answered::First };
    }
    // The data's round trip is the server's side. Near the client it is all of it, and an ACK follows what it answers
    // at once; elsewhere a long way to the client leaves the same as a SYN-ACK that was lost.
    let at_client =
        cold.round_trip.filter(|known| guesses && waited.minus(latest) <= known.span.scaled(1, 4));
    let asked_again =
        attempt.syn.is_some_and(|syn| sent_between(&cold.syn, synack.first.since(syn.first), waited));
    match cold.client_round_trip.or(at_client) {
        Some(round_trip) => taken_by(waited, again, round_trip, asked_again),
        None => Answered::Unclear,
    }
}

/// True if a retransmission was sent between `from` and `length` after that, both from the first transmission on.
fn sent_between(retransmissions: &Retransmissions, from: Span, length: Span) -> bool {
    retransmissions.sent_within(from.plus(length)).any(|since| since > from)
}

/// The SYN-ACK that an ACK answers, by the client's side of the round trip. A client that did not repeat its SYN
/// (`asked_again`), and acknowledges none of the SYN-ACKs at once, has had the first: its first ACK was lost, or late.
fn taken_by(
    waited: Span,
    again: impl DoubleEndedIterator<Item = Span> + Clone,
    round_trip: DataRoundTrip,
    asked_again: bool,
) -> Answered {
    /// Time that a client may take more to acknowledge a SYN-ACK than data.
    const SLACK: Span = Span::from_millis(50);
    let at_once = |since: Span| waited.minus(since) <= round_trip.span.scaled(5, 4).plus(SLACK);
    match answered_by(waited, again, round_trip) {
        Answered::Again(since) if !asked_again && !at_once(since) => Answered::First,
        taken => taken,
    }
}

/// The transmission that an answer belongs to which came `waited` after the first, by the round trip. `again` are the times
/// of the retransmissions before the answer, one at least.
///
/// The round trip that data shows is hardly ever shorter than the one of the handshake, and often longer by what a program
/// took. What was sent longer ago than that was not answered.
fn answered_by(
    waited: Span,
    again: impl DoubleEndedIterator<Item = Span> + Clone,
    round_trip: DataRoundTrip,
) -> Answered {
    /// A retransmission and the answer to what was sent before it hardly ever meet as closely as this part of a round trip.
    const AT_ONCE: i64 = 64;
    /// Difference between two round trips of one path, as a part of them.
    const JITTER: i64 = 16;
    let DataRoundTrip { span: round_trip, is_bound } = round_trip;
    // Sooner than any timer: the path had held back what was sent before, and the answer was late by no more than that.
    let mut again = again.filter(|&since| since >= SHORTEST_SET_TIMER);
    let (first, last) = (again.clone().next(), again.clone().next_back());
    let Some((first, last)) = first.zip(last) else { return Answered::First };
    // A retransmission that is sooner than any timer costs no more than that.
    let (half, jitter) = (first.max(SHORTEST_TIMER).scaled(1, 2), waited.scaled(1, JITTER));
    if waited.minus(round_trip).abs() <= jitter {
        return Answered::First;
    }
    if waited.minus(last) <= round_trip.scaled(1, AT_ONCE) {
        return Answered::Again(last);
    }
    if waited > round_trip.plus(half) {
        // A program may have taken longer than the gap between two retries.
        let fits = |&since: &Span| !is_bound && waited.minus(since) <= round_trip.scaled(5, 4);
        return Answered::Again(again.find(fits).unwrap_or(last));
    }
    let is_open = is_bound && !(waited.minus(jitter)..=waited.plus(half)).contains(&round_trip);
    if is_open { Answered::Unclear } else { Answered::First }
}

/// The SYN-ACK came after a retry of the SYN, and no data shows a round trip.
fn at_once_or_unclear(attempt: &Pending, waited: Span) -> Answered {
    let last = attempt.syn_retransmissions().sent_within(waited).next_back();
    let client_side =
        attempt.synack_to_ack.or(attempt.cold().and_then(|cold| Some(cold.client_round_trip?.span)));
    match (last, client_side, attempt.phase) {
        // Near the server, and at once after this retry: its answer.
        (Some(since), Some(client_side), _) if waited.minus(since) < client_side.scaled(1, 4) => {
            Answered::Again(since)
        }
        (Some(_), _, Phase::SynSent) | (None, _, _) => Answered::First,
        (Some(_), _, _) => Answered::Unclear,
    }
}
