//! Time-outs of an attempt: how long more is waited for.
//!
//! Owns when nothing more can come that would change the record, when an attempt looks stuck (its next retransmission is
//! overdue), and when it is given up. Does not own who keeps the deadlines (`table`) nor what is reported then (`decide`).

use super::duplicates::REORDERING;
use super::facts::{Fact, Facts};
use super::late;
use super::pending::{Pending, Phase};
use crate::packet::{Span, Timestamp};

/// A segment belongs to an attempt while no more than this has passed since its last packet (DOMAIN §4): retransmission
/// time-outs back off to 120 s (`TCP_RTO_MAX` in include/net/tcp.h).
pub(super) const GIVEN_UP: Span = Span::from_secs(130);

/// Wait after a refusal: Windows retries a refused SYN after 0.5 s, twice. Clients that reset a SYN-ACK do not go on.
const AFTER_REFUSAL: Span = Span::from_millis(1500);

/// Wait for the SYN-ACK retransmission that shows that a firewall sent the RST: after 1 s, or 3 s on old systems.
const AFTER_RESET: Span = Span::from_millis(3500);

/// A late first retransmission of any system: those before Linux 3.1 come after 3 s.
const FIRST_RETRANSMISSION: Span = Span::from_secs(4);

/// Wait for the answer to a SYN that was sent again, before a live capture reports that there is none yet: longer than most
/// round trips. The first retry comes after 1 s, so this is told within two.
const ANSWER_TO_RETRY: Span = Span::from_millis(250);

/// The client's side alone has no more to show than this long after its last packet.
const ONE_SIDED: Span = Span::from_secs(5);

/// Time for data that shows the round trip, or for the server to send.
const AFTER_ESTABLISHMENT: Span = Span::from_secs(1);

/// True if nothing that can still come would change the record. Has no branch, since attempts of all phases alternate.
#[inline(always)]
pub(super) fn is_settled(attempt: &Pending) -> bool {
    let facts = attempt.facts;
    // A reset right after the handshake may be the application's, a closing listener's or another's: wait for it until
    // the server has sent data or FIN; and then for the facts that show that it was another's.
    let served = facts.has(Fact::ServerSpoke) | facts.has(Fact::Contradicted);
    (attempt.phase == Phase::Established)
        & served
        & (attempt.cold.is_none() || !late::awaits_round_trip(attempt))
        | (attempt.phase == Phase::Ignored) & (facts.has(Fact::ClientAborted) | has_reset(attempt))
        | (attempt.phase == Phase::Acked)
            & facts.has_any(Facts::of(&[Fact::ClientAborted, Fact::ResetAfterIgnoredData]))
}

/// True if packets may still come that were sent before: at a further point, where points are told apart, or the SYN, which
/// the capture may hold late. Asked of an attempt that is settled else.
pub(super) fn awaits_earlier(attempt: &Pending) -> bool {
    attempt.sightings.as_ref().is_some_and(|sightings| sightings.awaits_client(attempt.last))
        || attempt.syn.is_none() && attempt.last.since(attempt.start) <= REORDERING
}

fn has_reset(attempt: &Pending) -> bool {
    attempt.cold().is_some_and(|cold| cold.rst_at.is_some())
}

/// Deadline of an attempt if nothing more comes after the packet at `at`, in packet time. The attempt looks stuck from
/// then on, or is settled if it does not wait for longer.
pub(super) fn deadline(attempt: &Pending, at: Timestamp) -> Timestamp {
    /// A time farther ahead is not the latest packet's, but another clock's.
    const AHEAD: Span = Span::from_secs(1);
    // Most retransmit nothing: by a table, since a branch predictor cannot guess their phases.
    let wait = match attempt.cold() {
        None => first_wait(attempt.phase),
        Some(_) => {
            let (syn, synack) = (attempt.syn_retransmissions().gap, attempt.synack_retransmissions().gap);
            wait(attempt.phase, syn, synack, attempt.client_sent_data())
        }
    };
    let wait = match attempt.phase {
        Phase::Established => established_wait(attempt),
        // The listener has its request still: another's RST ended the client's side alone.
        Phase::Reset if attempt.facts.has(Fact::SynAckAfterRst) => {
            next_retransmission(attempt.synack_retransmissions().gap)
        }
        _ => wait,
    };
    let last = if attempt.last.since(at) <= AHEAD { attempt.last } else { at };
    last.plus(wait)
}

/// Wait for an established attempt, which is settled once the server has sent data or FIN.
fn established_wait(attempt: &Pending) -> Span {
    let facts = attempt.facts;
    if facts.has(Fact::SackedBeyondHole) {
        // The segment that is missing may be lost once more, and come through by a later retransmission.
        GIVEN_UP
    } else if facts.has_any(Facts::of(&[Fact::ApplicationReset, Fact::ResetUnserved])) {
        AFTER_RESET
    } else if facts.has(Fact::ServerSpoke) || facts.has(Fact::ClientClosedFirst) {
        AFTER_ESTABLISHMENT
    } else {
        // The connection may wait in the accept queue for longer than any timer.
        GIVEN_UP
    }
}

/// Time from which on an attempt whose SYN was sent again goes wrong for now, if nothing answers until then; `None` for any other.
pub(super) fn unanswered_at(attempt: &Pending, at: Timestamp) -> Option<Timestamp> {
    let retried = attempt.phase == Phase::SynSent && attempt.syn_retransmissions().count > 0;
    retried.then(|| at.plus(ANSWER_TO_RETRY))
}

/// True if an attempt that looks stuck may still change, because a retry or a late answer belongs to it.
pub(super) const fn waits_longer(phase: Phase) -> bool {
    match phase {
        Phase::SynSent | Phase::Refused | Phase::Unreachable | Phase::SynReceived | Phase::Ignored => true,
        Phase::AnswerUnseen | Phase::ClientReset | Phase::Acked | Phase::Reset | Phase::Established => false,
    }
}

/// True if nothing matters of an attempt whose next retry is overdue but that retry, a refusal or an ICMP error: no SYN-ACK has
/// answered it.
pub(super) fn awaits_retry_alone(attempt: &Pending) -> bool {
    // After a SYN-ACK that the client did not take, its repeated SYN was refused.
    matches!(attempt.phase, Phase::SynSent | Phase::Refused | Phase::Unreachable) && attempt.synack.is_none()
}

/// Wait for an attempt in this phase, of which nothing was retransmitted yet.
pub(super) fn first_wait(phase: Phase) -> Span {
    WAITS[phase as usize]
}

/// [`wait`] without retransmissions, by phase.
static WAITS: [Span; Phase::ALL.len()] = {
    let mut waits = [Span::ZERO; Phase::ALL.len()];
    let mut at = 0;
    while at < waits.len() {
        waits[Phase::ALL[at] as usize] = wait(Phase::ALL[at], Span::ZERO, Span::ZERO, true);
        at += 1;
    }
    waits
};

/// Wait after the last packet of an attempt; `syn` and `synack` are the times between the last two of those.
const fn wait(phase: Phase, syn: Span, synack: Span, sent_data: bool) -> Span {
    match phase {
        Phase::SynSent => next_retransmission(syn),
        Phase::SynReceived => next_retransmission(longer(synack, syn)),
        // Not all systems give up after an ICMP error.
        Phase::Unreachable => next_retransmission(syn),
        // Others retry while the refusal does not reach them.
        Phase::Refused if syn.as_nanos() > 0 => next_retransmission(syn),
        Phase::Refused | Phase::ClientReset => AFTER_REFUSAL,
        Phase::AnswerUnseen => ONE_SIDED,
        Phase::Reset => AFTER_RESET,
        Phase::Established => AFTER_ESTABLISHMENT,
        // The request lives until its timer would retransmit the SYN-ACK once more. Data is retransmitted beyond that,
        // and answered with RST then (DOMAIN §2).
        Phase::Ignored if !sent_data => next_retransmission(synack),
        // A deferred request is silent for its whole period, and an idle client sends nothing;
        // retransmitted data backs off to 120 s.
        Phase::Acked | Phase::Ignored => GIVEN_UP,
    }
}

/// The next retransmission of a doubling timer, with slack; never sooner than a first one that is late.
const fn next_retransmission(gap: Span) -> Span {
    let next = longer(gap.scaled(23, 10), FIRST_RETRANSMISSION);
    if next.as_nanos() < GIVEN_UP.as_nanos() { next } else { GIVEN_UP }
}

const fn longer(one: Span, other: Span) -> Span {
    if one.as_nanos() > other.as_nanos() { one } else { other }
}
