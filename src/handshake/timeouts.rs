//! How long an attempt is waited for.
//!
//! Owns when nothing more can come that would change the record, and when it has not come in time. Does not own who keeps
//! the deadlines (`table`) nor what is said then (`decide`).

use super::pending::{Pending, Phase};
use crate::packet::{Span, Timestamp};

/// Whether nothing that can still come would change the record. Without a branch: attempts of all phases take turns.
pub(super) fn is_settled(attempt: &Pending) -> bool {
    let facts = &attempt.facts;
    // A reset right after the handshake is told as the application's: wait for it until the server has announced; and then
    // for what shows that it was another's.
    let announced = facts.server_spoke | facts.contradicted;
    (attempt.phase == Phase::Established) & announced
        | (attempt.phase == Phase::Ignored) & (facts.client_aborted | attempt.rst_at.is_some())
        | (attempt.phase == Phase::Acked) & facts.client_aborted
}

/// When an attempt is decided if nothing more comes after what came at `at`; in packet time.
pub(super) fn deadline(attempt: &Pending, at: Timestamp) -> Timestamp {
    /// What is farther ahead is not the latest packet's time, but another clock's.
    const AHEAD: Span = Span::from_secs(1);
    // What is told as the application's reset may be a firewall's as well.
    let phase = if attempt.facts.application_reset { Phase::Reset } else { attempt.phase };
    // Most repeat nothing: by a table, since no predictor knows their phases.
    let wait = match attempt.cold() {
        None => first_wait(phase),
        Some(_) => {
            wait(phase, attempt.syn_repeats().gap, attempt.synack_repeats().gap, attempt.client_sent_data())
        }
    };
    let last = if attempt.last.since(at) <= AHEAD { attempt.last } else { at };
    last.plus(wait)
}

/// How long an attempt in this phase is waited for, of which nothing was repeated yet.
pub(super) fn first_wait(phase: Phase) -> Span {
    WAITS[phase as usize]
}

/// [`wait`] where nothing was repeated, by phase.
static WAITS: [Span; Phase::ALL.len()] = {
    let mut waits = [Span::ZERO; Phase::ALL.len()];
    let mut at = 0;
    while at < waits.len() {
        waits[Phase::ALL[at] as usize] = wait(Phase::ALL[at], Span::ZERO, Span::ZERO, true);
        at += 1;
    }
    waits
};

/// How long after its last packet an attempt is decided; `syn` and `synack` are the times between the last two of those.
const fn wait(phase: Phase, syn: Span, synack: Span, sent_data: bool) -> Span {
    match phase {
        Phase::SynSent => next_repeat(syn),
        Phase::SynReceived => next_repeat(longer(synack, syn)),
        // An ICMP error is not the last word for everybody.
        Phase::Unreachable => next_repeat(syn),
        // Windows repeats a refused SYN after 0.5 s, twice. Others repeat it while the refusal does not reach them.
        Phase::Refused if syn.as_nanos() > 0 => next_repeat(syn),
        Phase::Refused | Phase::ClientReset => Span::from_millis(1500),
        Phase::AnswerUnseen => Span::from_secs(5),
        // A firewall's RST is told by the SYN-ACK repeat that follows after 1 s, or after 3 s.
        Phase::Reset => Span::from_millis(3500),
        Phase::Established => Span::from_secs(1),
        // The request lives until its timer would repeat the SYN-ACK once more. Data is repeated beyond that,
        // and answered with RST then (DOMAIN §1).
        Phase::Ignored if !sent_data => next_repeat(synack),
        // A deferred request is silent for as long as it was told to, and an idle client tells nothing;
        // repeated data backs off to 120 s.
        Phase::Acked | Phase::Ignored => Span::from_secs(130),
    }
}

/// The next repeat of a doubling timer, with slack; never sooner than a first repeat that is late.
const fn next_repeat(gap: Span) -> Span {
    let longest = Span::from_secs(150);
    let next = longer(gap.scaled(23, 10), Span::from_secs(4));
    if next.as_nanos() < longest.as_nanos() { next } else { longest }
}

const fn longer(one: Span, other: Span) -> Span {
    if one.as_nanos() > other.as_nanos() { one } else { other }
}
