//! Checksums of an attempt's segments: which were wrong, and which right, so that the sender's are not offloaded.

use super::{Pending, Phase};
use crate::handshake::facts::Fact;
use crate::packet::{Checksum, Flags, Segment};

impl Pending {
    /// True if the client's next ACK is its first, or answers a SYN-ACK that was retransmitted after one.
    #[inline(always)]
    pub(in crate::handshake) fn awaits_ack(&self) -> bool {
        matches!(self.phase, Phase::SynReceived | Phase::Ignored)
    }

    /// Records what the segment's checksum shows.
    #[inline(always)]
    pub(super) fn note_checksum(&mut self, segment: &Segment, from_client: bool) {
        match segment.checksum {
            Checksum::Unverified => {}
            Checksum::Right => {
                self.facts.add(if from_client {
                    Fact::ClientChecksumRight
                } else {
                    Fact::ServerChecksumRight
                });
                self.facts.add_if(Fact::AckChecksumRight, from_client && !segment.flags.contains(Flags::SYN));
            }
            Checksum::Wrong => self.note_wrong_checksum(segment, from_client),
        }
    }

    #[inline(always)]
    fn note_wrong_checksum(&mut self, segment: &Segment, from_client: bool) {
        let syn = segment.flags.contains(Flags::SYN);
        match (from_client, syn) {
            (true, true) => self.facts.add(Fact::SynChecksumWrong),
            (true, false) => {
                self.facts.add_if(Fact::AckChecksumWrong, self.phase != Phase::Established);
            }
            (false, true) => self.facts.add(Fact::SynAckChecksumWrong),
            (false, false) => {}
        }
    }
}
