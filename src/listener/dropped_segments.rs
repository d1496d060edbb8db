//! Segments that the kernel dropped, each by its own event: which attempt it belongs to, and what its reason means.

use std::collections::HashMap;

use crate::handshake::{Attempt, Cause, Evidence, SegmentStep, Verdict};
use crate::kernel::{DropNetns, DropReason};
use crate::packet::{Endpoint, Flags, Seq, Span, Timestamp};

/// Most clients in each of two generations of remembered dropped segments.
const MAX_CLIENTS: usize = 8192;

/// Most dropped segments that are remembered of a client: more than any handshake has.
const MAX_SEGMENTS: usize = 16;

/// Largest difference between the time stamps of an event and a packet: both are of one kernel, whose clock may be set.
const CLOCK_SLACK: Span = Span::from_millis(500);

/// Most bytes behind the handshake that a segment begins at: data that a client sends before it has an answer.
const FIRST_FLIGHT: u32 = 1 << 20;

/// A segment that the kernel dropped, with the reason of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelDrop {
    /// Time of the event, by the clock that stamps packets.
    pub at: Timestamp,
    /// The reason.
    pub reason: DropReason,
    /// The network namespace in which it was dropped.
    pub netns: DropNetns,
    /// True if the server sent it.
    pub from_server: bool,
    /// True if it met a full accept queue, in the listener's own network namespace.
    pub is_overflow: bool,
    /// Control bits of the segment.
    pub flags: Flags,
    /// Sequence number of the segment.
    pub seq: Seq,
    /// Acknowledgement number of the segment.
    pub ack: Seq,
}

/// Meaning of the segments of one attempt that the kernel dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DroppedByKernel {
    /// The cause that they prove.
    pub(super) cause: Cause,
    reason: DropReason,
    netns: DropNetns,
    /// Number of segments that were dropped there for this reason.
    segments: u32,
}

impl DroppedByKernel {
    pub(super) fn evidence(self) -> Evidence {
        let Self { reason, netns, segments, .. } = self;
        Evidence::KernelDroppedSegments { reason, segments, netns }
    }
}

/// Segments that the kernel dropped, by client; the latest of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct DroppedSegments {
    latest: HashMap<Endpoint, Vec<KernelDrop>>,
    before: HashMap<Endpoint, Vec<KernelDrop>>,
}

impl DroppedSegments {
    pub(super) fn insert(&mut self, client: Endpoint, segment: KernelDrop) {
        if self.latest.len() >= MAX_CLIENTS && !self.latest.contains_key(&client) {
            self.before = std::mem::take(&mut self.latest);
        }
        let segments = self.latest.entry(client).or_default();
        if segments.len() >= MAX_SEGMENTS {
            // Of an earlier connection from the same port, or data behind the handshake.
            segments.remove(0);
        }
        segments.push(segment);
    }

    /// True if there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// The dropped segments of an attempt.
    fn of(&self, attempt: &Attempt) -> impl Iterator<Item = &KernelDrop> {
        let known = [&self.before, &self.latest].into_iter();
        let segments = known.filter_map(|segments| segments.get(&attempt.client)).flatten();
        segments.filter(move |segment| segment.belongs(attempt))
    }

    /// The meaning of the dropped segments of an attempt: a full accept queue, else the most frequent reason that explains its
    /// verdict.
    pub(super) fn meaning(&self, attempt: &Attempt) -> Option<DroppedByKernel> {
        if self.is_empty() {
            return None;
        }
        let mut known: Vec<DroppedByKernel> = Vec::new();
        for segment in self.of(attempt) {
            let Some(cause) = segment.cause(attempt.verdict) else { continue };
            let KernelDrop { reason, netns, .. } = *segment;
            let same =
                |one: &&mut DroppedByKernel| (one.cause, one.reason, one.netns) == (cause, reason, netns);
            match known.iter_mut().find(same) {
                Some(one) => one.segments += 1,
                None => known.push(DroppedByKernel { cause, reason, netns, segments: 1 }),
            }
        }
        known.into_iter().max_by_key(|one| (one.cause == Cause::AcceptQueueOverflow, one.segments))
    }

    /// Number of clients that are remembered.
    #[cfg(test)]
    fn clients(&self) -> usize {
        self.latest.len() + self.before.len()
    }
}

impl KernelDrop {
    fn step(&self) -> SegmentStep {
        match (self.from_server, self.flags.contains(Flags::SYN)) {
            (true, _) => SegmentStep::SynAck,
            (false, true) => SegmentStep::Syn,
            (false, false) => SegmentStep::Ack,
        }
    }

    /// True if the segment is one of the attempt's handshake, by its time and numbers.
    fn belongs(&self, attempt: &Attempt) -> bool {
        let (from, to) = (attempt.start.minus(CLOCK_SLACK), attempt.end.plus(CLOCK_SLACK));
        let isn = attempt.client_isn.0;
        let beyond = |number: Seq| number.0.wrapping_sub(isn.wrapping_add(1)) < FIRST_FLIGHT;
        let fits = match self.step() {
            SegmentStep::Syn => self.seq.0 == isn,
            SegmentStep::SynAck => beyond(self.ack),
            SegmentStep::Ack => beyond(self.seq),
        };
        from <= self.at && self.at <= to && fits
    }

    /// The cause that this drop proves of an attempt with this verdict; `None` where it explains nothing of it.
    fn cause(&self, verdict: Verdict) -> Option<Cause> {
        let step = self.step();
        if self.is_overflow {
            return Some(Cause::AcceptQueueOverflow);
        }
        let explains = match step {
            SegmentStep::Syn => matches!(
                verdict,
                Verdict::Unanswered | Verdict::CompletedLate | Verdict::Refused | Verdict::Unreachable
            ),
            SegmentStep::SynAck => {
                matches!(verdict, Verdict::Unanswered | Verdict::HalfOpen | Verdict::CompletedLate)
            }
            SegmentStep::Ack => matches!(
                verdict,
                Verdict::SynackRetransmitted
                    | Verdict::AckIgnored
                    | Verdict::HalfOpen
                    | Verdict::ResetAfterAck
            ),
        };
        if !explains {
            return None;
        }
        match self.reason {
            DropReason::NoSocket => (verdict == Verdict::Refused).then_some(Cause::PortClosed),
            DropReason::Paws | DropReason::TimeWaitPaws => Some(Cause::OldConnection),
            // nftables' reject answers with RST what it drops.
            DropReason::Netfilter if verdict == Verdict::ResetAfterAck => Some(Cause::FirewallReset),
            DropReason::Netfilter
            | DropReason::ReversePath
            | DropReason::SocketFilter
            | DropReason::Xfrm
            | DropReason::BpfCgroupEgress => Some(Cause::Filtered),
            // Damaged on the way, or no room in this host's own queues.
            DropReason::Checksum | DropReason::Qdisc | DropReason::CpuBacklog => Some(match step {
                SegmentStep::Syn => Cause::SynLost,
                SegmentStep::SynAck => Cause::SynackLost,
                SegmentStep::Ack => Cause::AckLost,
            }),
            DropReason::ListenOverflow | DropReason::InvalidSyn => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    fn attempt(verdict: Verdict) -> Attempt {
        samples::overflow_mixed().1.into_iter().find(|attempt| attempt.verdict == verdict).unwrap()
    }

    fn dropped(attempt: &Attempt, reason: DropReason, flags: Flags) -> KernelDrop {
        let after = u32::from(!flags.contains(Flags::SYN));
        KernelDrop {
            at: attempt.end,
            reason,
            netns: DropNetns::Listener,
            from_server: false,
            is_overflow: reason == DropReason::ListenOverflow,
            flags,
            seq: Seq(attempt.client_isn.0.wrapping_add(after)),
            ack: Seq(0),
        }
    }

    fn meaning(attempt: &Attempt, segments: &[KernelDrop]) -> Option<(Cause, u32)> {
        let mut known = DroppedSegments::default();
        segments.iter().for_each(|&segment| known.insert(attempt.client, segment));
        known.meaning(attempt).map(|dropped| (dropped.cause, dropped.segments))
    }

    #[test]
    fn a_segment_belongs_by_time_and_numbers() {
        let attempt = attempt(Verdict::SynackRetransmitted);
        let met = dropped(&attempt, DropReason::ListenOverflow, Flags::ACK);
        assert_eq!(meaning(&attempt, &[met, met]), Some((Cause::AcceptQueueOverflow, 2)));
        let other = KernelDrop { seq: Seq(met.seq.0.wrapping_add(FIRST_FLIGHT)), ..met };
        let before = KernelDrop { seq: Seq(met.seq.0.wrapping_sub(1)), ..met };
        let later = KernelDrop { at: attempt.end.plus(Span::from_secs(60)), ..met };
        assert_eq!(meaning(&attempt, &[other, before, later]), None, "of the same ports");
    }

    #[test]
    fn a_reason_proves_a_cause_only_of_what_it_explains() {
        let (silent, ignored) = (attempt(Verdict::Unanswered), attempt(Verdict::SynackRetransmitted));
        let of = |attempt: &Attempt, reason, flags| {
            meaning(attempt, &[dropped(attempt, reason, flags)]).map(|(cause, _)| cause)
        };
        assert_eq!(of(&silent, DropReason::Netfilter, Flags::SYN), Some(Cause::Filtered));
        assert_eq!(of(&silent, DropReason::Paws, Flags::SYN), Some(Cause::OldConnection));
        assert_eq!(of(&silent, DropReason::Checksum, Flags::SYN), Some(Cause::SynLost));
        assert_eq!(of(&ignored, DropReason::Netfilter, Flags::ACK), Some(Cause::Filtered));
        assert_eq!(of(&ignored, DropReason::Checksum, Flags::ACK), Some(Cause::AckLost));
        assert_eq!(of(&ignored, DropReason::Netfilter, Flags::SYN), None, "its SYN was answered");
        assert_eq!(of(&silent, DropReason::NoSocket, Flags::SYN), None, "then it would have been refused");
        let both = [
            dropped(&ignored, DropReason::Netfilter, Flags::ACK),
            dropped(&ignored, DropReason::Netfilter, Flags::ACK),
            dropped(&ignored, DropReason::ListenOverflow, Flags::ACK),
        ];
        assert_eq!(meaning(&ignored, &both), Some((Cause::AcceptQueueOverflow, 1)));
    }

    #[test]
    fn dropped_segments_of_many_clients_are_bounded() {
        let attempt = attempt(Verdict::SynackRetransmitted);
        let met = dropped(&attempt, DropReason::ListenOverflow, Flags::ACK);
        let mut known = DroppedSegments::default();
        let client = |n: usize| Endpoint::v4((n as u32).to_be_bytes(), 1);
        (0..3 * MAX_CLIENTS).for_each(|n| known.insert(client(n), met));
        assert!(known.clients() <= 2 * MAX_CLIENTS);
        let of = |n| Attempt { client: client(n), ..attempt.clone() };
        assert_eq!(known.of(&of(3 * MAX_CLIENTS - 1)).count(), 1);
        assert_eq!(known.of(&of(0)).count(), 0);
        (0..100).for_each(|_| known.insert(client(3 * MAX_CLIENTS - 1), met));
        assert_eq!(known.of(&of(3 * MAX_CLIENTS - 1)).count(), MAX_SEGMENTS);
    }
}
