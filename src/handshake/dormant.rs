//! Dormant attempts: those whose SYN got no answer, or a refusal, and whose next retry is overdue. They are kept in a
//! small form until their deadline.
//!
//! Owns that form. Does not own their deadlines (`timeouts`) nor where they are kept (`table`).

use super::duplicates::Recent;
use super::facts::Facts;
use super::history::History;
use super::pending::{ColdState, Pending, Phase};
use super::retransmissions::HandshakeSegment;
use super::sighting_log::SightingLog;
use crate::packet::{Direction, FrameRef, Seq, Timestamp};

/// The state of an attempt that no SYN-ACK answered yet.
#[derive(Debug)]
pub(super) struct Dormant {
    cold: Option<Box<ColdState>>,
    sightings: Option<Box<SightingLog>>,
    facts: Facts,
    history: History,
    frame: FrameRef,
    pub(super) ordinal: u64,
    start: Timestamp,
    last: Timestamp,
    syn: HandshakeSegment,
    pub(super) client_isn: Seq,
    syn_payload: u32,
    packets: u32,
    phase: Phase,
    outward: Direction,
}

// A flood leaves a million: each byte of one is a megabyte then.
const _: () = assert!(size_of::<Dormant>() <= 96);

/// True if the attempt, which no SYN-ACK answered, becomes dormant when its next retry is overdue.
pub(super) fn becomes_dormant(attempt: &Pending) -> bool {
    match attempt.phase {
        // The client did not take the SYN-ACK: its repeated SYN was refused.
        Phase::Refused if attempt.synack.is_some() => false,
        Phase::SynSent | Phase::Refused | Phase::Unreachable => true,
        Phase::AnswerUnseen
        | Phase::SynReceived
        | Phase::ClientReset
        | Phase::Acked
        | Phase::Ignored
        | Phase::Reset
        | Phase::Established => false,
    }
}

impl Dormant {
    /// The small form of an attempt, if it has one: of its segments only SYNs, refusals and ICMP errors may matter.
    pub(super) fn of(attempt: &mut Pending) -> Option<Self> {
        if !becomes_dormant(attempt) {
            return None;
        }
        Some(Self {
            syn: attempt.syn?,
            cold: attempt.cold.take(),
            sightings: attempt.sightings.take(),
            facts: attempt.facts,
            history: attempt.history,
            frame: attempt.frame,
            ordinal: attempt.ordinal,
            start: attempt.start,
            last: attempt.last,
            client_isn: attempt.client_isn,
            syn_payload: attempt.syn_payload,
            packets: attempt.packets,
            phase: attempt.phase,
            outward: attempt.outward,
        })
    }

    /// The attempt in full, without its latest segments: they are too old for duplicates without timestamps.
    pub(super) fn revive(self) -> Pending {
        let mut attempt =
            Pending::blank(self.start, self.frame, self.ordinal, self.outward, Recent::default());
        attempt.cold = self.cold;
        attempt.sightings = self.sightings;
        attempt.facts = self.facts;
        attempt.history = self.history;
        attempt.last = self.last;
        attempt.phase = self.phase;
        attempt.packets = self.packets;
        attempt.is_overdue = true;
        attempt.restore_syn(self.syn, self.client_isn, self.syn_payload);
        attempt
    }
}
