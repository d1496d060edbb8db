//! Packets with impossible times: one misdated packet must not decide its attempt (DOMAIN §4).

use super::{HandshakeSegment, Pending, is_syn};
use crate::handshake::facts::Fact;
use crate::packet::{Segment, Span, Timestamp, ticks_between};

/// Longest time between two packets of an attempt (DOMAIN §4: TCP_RTO_MAX is 120 s).
const MAX_GAP: Span = Span::from_secs(130);

impl Pending {
    /// True if a packet at this distance from the attempt's last is too far off for its time to be used at once.
    pub(in crate::handshake) fn is_far(jump: Span) -> bool {
        jump.abs() > MAX_GAP
    }

    /// True if this segment at a far time shows that another packet was misdated: one that came before, or the only
    /// one, a SYN whose answer never comes so late.
    pub(in crate::handshake) fn is_doubtful_at(&self, segment: &Segment) -> bool {
        let only = self.packets == 1 && (!is_syn(segment) || self.is_first_misdated(segment));
        only || self.cold().is_some_and(|cold| cold.doubted.is_some())
    }

    /// True if a retry of the attempt's only SYN shows that the SYN has a wrong time: it was far from the packet clock, or
    /// from an age without captures, or its sender's timestamps say that less time has passed.
    fn is_first_misdated(&self, retry: &Segment) -> bool {
        /// 1985: the first programs that capture packets are younger.
        const FIRST_CAPTURES: Timestamp = Timestamp::from_nanos(473_385_600_000_000_000);
        /// The coarsest timestamp clock ticks once a second (RFC 7323 §5.4).
        const COARSEST_TICK: Span = Span::from_secs(1);
        let stamps = self.syn.filter(HandshakeSegment::has_clock).zip(retry.options.timestamps());
        let ticks = stamps.map(|(syn, (tsval, _))| ticks_between(syn.tsval(), tsval));
        let too_few = ticks.filter(|&ticks| ticks >= 0).is_some_and(|ticks| {
            retry.at.since(self.start) > COARSEST_TICK.scaled(i64::from(ticks).saturating_add(1), 1)
        });
        let ancient = self.start < FIRST_CAPTURES && retry.at >= FIRST_CAPTURES;
        self.has_sent_same_syn(retry) && (self.facts.has(Fact::Misdated) || ancient || too_few)
    }

    /// True if `segment` is the attempt's SYN once more.
    fn has_sent_same_syn(&self, segment: &Segment) -> bool {
        segment.direction == self.outward && segment.seq == self.client_isn
    }

    /// The segment with a plausible time. A packet whose time is far off gets the time of the packet before. A second
    /// packet near it confirms its time: the client was silent that long, or the attempt's only packet before was
    /// misdated.
    #[cold]
    pub(in crate::handshake) fn redated(&mut self, segment: &Segment) -> Segment {
        let second = self.packets == 1;
        self.facts.add(Fact::Misdated);
        let cold = self.cold_mut();
        match cold.doubted {
            Some((doubted, second)) if !Self::is_far(segment.at.since(doubted)) => {
                cold.doubted = None;
                if second {
                    self.shift(doubted.since(self.last));
                }
                *segment
            }
            Some(_) | None => {
                cold.doubted = Some((segment.at, second));
                Segment { at: self.last, ..*segment }
            }
        }
    }

    /// Moves all times.
    fn shift(&mut self, by: Span) {
        for time in [&mut self.start, &mut self.last, &mut self.client_last] {
            *time = time.plus(by);
        }
        for time in [&mut self.ack_at, &mut self.data_at].into_iter().flatten() {
            *time = time.plus(by);
        }
        for sent in [&mut self.syn, &mut self.synack].into_iter().flatten() {
            *sent = sent.at(sent.first.plus(by));
        }
        if let Some(cold) = &mut self.cold {
            cold.syn.shift(by);
            cold.synack.shift(by);
            cold.rst_at = cold.rst_at.map(|at| at.plus(by));
            cold.early_client_rst = cold.early_client_rst.map(|at| at.plus(by));
        }
    }
}
