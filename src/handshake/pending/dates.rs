//! Packets with impossible times: one misdated packet must not decide its attempt (DOMAIN §4).

use super::{Pending, is_syn};
use crate::handshake::facts::Fact;
use crate::packet::{Segment, Span};

/// No packet of an attempt comes longer after the one before (DOMAIN §4: TCP_RTO_MAX is 120 s).
const FAR: Span = Span::from_secs(130);

impl Pending {
    /// True if a packet at this distance from the attempt's last is too far off for its time to be used at once.
    pub(in crate::handshake) fn is_far(jump: Span) -> bool {
        jump.abs() > FAR
    }

    /// True if this segment at a far time shows that another packet was misdated: one that came before, or the only
    /// one, a SYN whose answer never comes so late.
    pub(in crate::handshake) fn is_doubtful_at(&self, segment: &Segment) -> bool {
        let answers = self.packets == 1 && !is_syn(segment);
        answers || self.cold().is_some_and(|cold| cold.doubted.is_some())
    }

    /// The segment with a time that can be believed. A packet that is far off gets the time of the packet before. A
    /// second one near it proves it: the client was silent for so long, or the attempt's only packet before was misdated.
    #[cold]
    pub(in crate::handshake) fn redated(&mut self, segment: &Segment) -> Segment {
        let second = self.packets == 1;
        self.facts.add(Fact::Misdated);
        let cold = self.cold_mut();
        match cold.doubted {
            Some((doubted, second)) if !Self::is_far(segment.at.since(doubted)) => {
                cold.doubted = None;
                if second {
                    self.shift(segment.at.since(self.last));
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
