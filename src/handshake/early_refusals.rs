//! RST and ICMP refusals captured before the SYN that they answer.
//!
//! Owns what refused a flow that has no attempt (yet), for as long as its SYN may still come. Does not own what
//! the answer means to the attempt then (`pending`).

use std::collections::HashMap;

use super::duplicates::REORDERING;
use super::pending::answers_syn;
use crate::packet::{Flags, Packet, Segment, Seq};

/// The SYN must follow within so many packets, too: memory is bounded whatever the times are.
///
/// Packets of the whole input, so that what is found does not depend on how many shards share it. As many
/// pass in 50 ms at 330,000 packets a second.
const REACH: u64 = 16_384;

/// Refusals by flow. In a capture that is in order hardly any is without its attempt.
#[derive(Debug, Default)]
pub(super) struct EarlyRefusals {
    /// Refusals in the latest window of [`REACH`] packets.
    young: HashMap<u64, Vec<EarlyRefusal>>,
    /// Refusals in the window before.
    old: HashMap<u64, Vec<EarlyRefusal>>,
    /// Number of the latest window.
    window: u64,
}

/// A refusal of a SYN that is not there.
#[derive(Debug, Clone)]
pub(super) struct EarlyRefusal {
    pub(super) packet: Packet,
    /// Its position in the whole input.
    ordinal: u64,
    /// It was counted as one that belongs to no attempt.
    pub(super) counted: bool,
}

impl EarlyRefusals {
    pub(super) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    /// Keeps a refusal of the flow with this hash.
    #[cold]
    pub(super) fn keep(&mut self, hash: u64, packet: Packet, ordinal: u64, counted: bool) {
        self.go_to(ordinal);
        let early_refusals = self.young.entry(hash).or_insert_with(|| Vec::with_capacity(1));
        early_refusals.push(EarlyRefusal { packet, ordinal, counted });
    }

    /// Takes out the refusals of this SYN, in order. Other refusals of its flow answered other SYNs.
    #[cold]
    pub(super) fn take(
        &mut self,
        hash: u64,
        syn: &Segment,
        ordinal: u64,
    ) -> impl Iterator<Item = EarlyRefusal> {
        self.go_to(ordinal);
        let old = self.old.remove(&hash).unwrap_or_default();
        let young = self.young.remove(&hash).unwrap_or_default();
        let near = move |refusal: &EarlyRefusal| ordinal.saturating_sub(refusal.ordinal) <= REACH;
        old.into_iter().chain(young).filter(near).filter(|refusal| refusal.refuses(syn))
    }

    /// Drops refusals too old for a SYN at this position.
    fn go_to(&mut self, ordinal: u64) {
        let window = ordinal / REACH;
        match window.saturating_sub(self.window) {
            0 => return,
            1 => self.old = std::mem::take(&mut self.young),
            _ => *self = Self::default(),
        }
        self.window = window;
    }
}

impl EarlyRefusal {
    fn refuses(&self, syn: &Segment) -> bool {
        match &self.packet {
            Packet::Segment(rst) => {
                rst.flow == syn.flow
                    && rst.direction == syn.direction.reverse()
                    && answers_syn(rst.ack, syn.seq, syn.payload)
                    && syn.at.since(rst.at) <= REORDERING
            }
            Packet::Unreachable(error) => {
                error.flow == syn.flow
                    && error.direction == syn.direction
                    && error.seq == syn.seq
                    && syn.at.since(error.at) <= REORDERING
            }
        }
    }
}

/// RST that refuses a SYN: its sequence number is 0, because the SYN acknowledged none (RFC 9293 §3.5.2).
pub(super) fn is_refusal(segment: &Segment) -> bool {
    segment.flags.contains(Flags::RST.union(Flags::ACK))
        && !segment.flags.intersects(Flags::SYN.union(Flags::FIN))
        && segment.seq == Seq(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{
        Checksum, Endpoint, FlowKey, FrameRef, IcmpError, Span, TcpOptions, Timestamp, Unreachable,
    };

    const HASH: u64 = 7;

    fn syn(millis: i64) -> Segment {
        let (flow, direction) = FlowKey::new(Endpoint::v4([10, 0, 0, 1], 1), Endpoint::v4([10, 0, 0, 2], 2));
        Segment {
            at: Timestamp::default().plus(Span::from_millis(millis)),
            frame: FrameRef::new(0, 1),
            flow,
            direction,
            flags: Flags::SYN,
            ttl: 64,
            seq: Seq(u32::MAX),
            ack: Seq(0),
            payload: 0,
            window: 1,
            ip_id: 0,
            options: TcpOptions::default(),
            checksum: Checksum::Unverified,
        }
    }

    /// The refusal of [`syn`].
    fn rst() -> Segment {
        let (direction, flags) = (syn(0).direction.reverse(), Flags::RST.union(Flags::ACK));
        Segment { direction, flags, seq: Seq(0), ack: Seq(0), ..syn(0) }
    }

    fn taken(kept: &[(Packet, u64)], syn: &Segment, ordinal: u64) -> usize {
        let mut early_refusals = EarlyRefusals::default();
        for &(packet, ordinal) in kept {
            early_refusals.keep(HASH, packet, ordinal, true);
        }
        early_refusals.take(HASH, syn, ordinal).count()
    }

    #[test]
    fn only_the_numbers_of_this_very_syn_refuse_it() {
        assert!(is_refusal(&rst()));
        assert!(!is_refusal(&Segment { seq: Seq(1), ..rst() }), "it ends a connection");
        assert_eq!(taken(&[(Packet::Segment(rst()), 0)], &syn(0), 1), 1);
        for other in [
            Segment { ack: Seq(1), ..rst() },
            Segment { direction: syn(0).direction, ..rst() },
            Segment { flow: FlowKey::v4(([1, 1, 1, 1], 1), ([2, 2, 2, 2], 2)).0, ..rst() },
        ] {
            assert_eq!(taken(&[(Packet::Segment(other), 0)], &syn(0), 1), 0);
        }
        let Segment { at, frame, flow, direction, seq, .. } = syn(0);
        let icmp = IcmpError { v6: false, kind: 3, code: 1 };
        let from = std::net::Ipv4Addr::LOCALHOST.into();
        let error = Unreachable { at, frame, from, flow, direction, seq, icmp };
        assert_eq!(taken(&[(Packet::Unreachable(error), 0)], &syn(0), 1), 1);
        assert_eq!(taken(&[(Packet::Unreachable(Unreachable { seq: Seq(1), ..error }), 0)], &syn(0), 1), 0);
    }

    #[test]
    fn a_refusal_lasts_so_long_and_so_many_packets() {
        let rst = Packet::Segment(rst());
        assert_eq!(taken(&[(rst, 0)], &syn(50), 1), 1);
        assert_eq!(taken(&[(rst, 0)], &syn(51), 1), 0);
        // Wherever the stretches of packets begin.
        for first in [0, 1, REACH - 1, REACH, 5 * REACH + 77] {
            assert_eq!(taken(&[(rst, first)], &syn(0), first + REACH), 1, "from {first}");
            assert_eq!(taken(&[(rst, first)], &syn(0), first + REACH + 1), 0, "from {first}");
            assert_eq!(taken(&[(rst, first), (rst, first + REACH)], &syn(0), first + REACH + 1), 1);
        }
    }

    #[test]
    fn a_syn_takes_all_of_its_flow_and_memory_is_bounded() {
        let mut early_refusals = EarlyRefusals::default();
        early_refusals.keep(HASH, Packet::Segment(rst()), 0, true);
        early_refusals.keep(HASH + 1, Packet::Segment(rst()), 1, true);
        assert_eq!(early_refusals.take(HASH, &syn(0), 2).count(), 1);
        assert_eq!(early_refusals.take(HASH, &syn(0), 2).count(), 0);
        assert!(!early_refusals.is_empty());
        for ordinal in 0..10 * REACH {
            early_refusals.keep(ordinal, Packet::Segment(rst()), ordinal, true);
            assert!((early_refusals.young.len() + early_refusals.old.len()) as u64 <= 2 * REACH);
        }
        assert_eq!(early_refusals.take(HASH, &syn(0), 100 * REACH).count(), 0);
        assert!(early_refusals.is_empty());
    }
}
