//! ICMP errors, and the refusals that are captured before the SYN that they answer.
//!
//! Owns which attempt they belong to. Does not own which of them are kept (`early_refusals`) nor what they mean to an attempt
//! (`pending`).

use super::{Tracker, evict};
use crate::handshake::decide::Ending;
use crate::handshake::pending::Pending;
use crate::handshake::table::{Place, Position};
use crate::handshake::timeouts::{GIVEN_UP, deadline};
use crate::packet::{Packet, Segment, Unreachable};

impl Tracker {
    /// Gives the attempt of this SYN the refusals captured before it.
    #[cold]
    pub(super) fn recall_refusals(&mut self, at: Option<Position>, syn: &Segment, hash: u64, ordinal: u64) {
        let Some((at, tracked)) = at.and_then(|at| Some((at, self.table.get_mut(at)?))) else { return };
        let attempt = &mut tracked.attempt;
        for refusal in self.early_refusals.take(hash, syn, ordinal) {
            let counted = u64::from(refusal.counted);
            match &refusal.packet {
                Packet::Segment(rst) => {
                    self.counts.midstream -= counted;
                    self.counts.duplicates += u64::from(attempt.take(rst, self.copies, None));
                }
                Packet::Unreachable(error) => {
                    self.counts.unmatched_errors -= counted;
                    attempt.take_icmp(error);
                }
            }
        }
        let due = deadline(attempt, syn.at);
        let due = self.steady(due);
        self.table.set_due(at, due);
    }

    pub(super) fn take_unreachable(&mut self, error: &Unreachable, hash: u64, ordinal: u64) {
        let place = self.table.find(hash, &error.flow);
        if let Place::Entry(at) = place
            && let Some(tracked) = self.table.get(at)
            && !tracked.settled
            && error.at.since(tracked.attempt.last) > GIVEN_UP
        {
            // As for a segment.
            self.settle_due(at);
        }
        if let Place::Entry(at) = place
            && let Some(tracked) = self.table.get_mut(at)
            && !tracked.settled
            && tracked.attempt.outward == error.direction
            // Other errors quote another attempt's segment, or no SYN.
            && (tracked.attempt.client_isn == error.seq || error.icmp.is_too_big())
        {
            let class = evict::class_of(&tracked.attempt);
            tracked.attempt.is_overdue = false;
            tracked.attempt.take_icmp(error);
            let becomes = evict::class_of(&tracked.attempt);
            if becomes != class {
                self.table.reclassify(at, becomes, ordinal);
            }
            return self.reconsider(at, error.at);
        }
        self.counts.unmatched_errors += 1;
        if !error.icmp.is_too_big() {
            self.early_refusals.keep(hash, Packet::Unreachable(*error), ordinal, true);
        } else if place != Place::Unknown {
            let (oversized, at) = (Pending::from_oversized(error, ordinal), self.steady(error.at));
            self.report_untracked(&oversized, error.flow, at, Ending::Expired);
        }
    }
}
