//! Packets that are not decoded, counted by protocol.

use std::cmp::Reverse;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::packet::Protocol;

/// Packets whose decoding stopped at one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecoded {
    /// The protocol without a decoder, or that is not TCP.
    pub protocol: Protocol,
    /// Number of packets.
    pub packets: u64,
}

/// Counts of undecoded packets, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct UndecodedCounts {
    packets: HashMap<Protocol, u64, RandomState>,
}

impl UndecodedCounts {
    /// Bound on the protocols that are counted by themselves, some 100 KiB. Ports of UDP between clients can be many more; a protocol
    /// that first occurs after these is not counted here.
    const MAX_PROTOCOLS: usize = 4096;
    /// Most protocols in the summary.
    const MAX_FREQUENT: usize = 10;

    /// Counts a packet.
    pub(super) fn count(&mut self, protocol: Protocol) {
        if let Some(packets) = self.packets.get_mut(&protocol) {
            *packets += 1;
        } else if self.packets.len() < Self::MAX_PROTOCOLS {
            self.packets.insert(protocol, 1);
        }
    }

    /// The most frequent protocols, in descending order of packets.
    pub(super) fn most_frequent(&self) -> Vec<Undecoded> {
        let each = self.packets.iter().map(|(&protocol, &packets)| Undecoded { protocol, packets });
        let mut all: Vec<_> = each.collect();
        all.sort_unstable_by_key(|undecoded| (Reverse(undecoded.packets), undecoded.protocol));
        all.truncate(Self::MAX_FREQUENT);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_and_memory_is_bounded() {
        let mut counts = UndecodedCounts::default();
        (0..=u16::MAX).for_each(|port| counts.count(Protocol::UdpPort(port)));
        (0..7).for_each(|_| counts.count(Protocol::UdpPort(9)));
        (0..7).for_each(|_| counts.count(Protocol::UdpPort(8)));
        counts.count(Protocol::UdpPort(7));
        let first: Vec<_> = counts.most_frequent().iter().map(|u| (u.protocol, u.packets)).take(4).collect();
        let port = Protocol::UdpPort;
        assert_eq!(first, [(port(8), 8), (port(9), 8), (port(7), 2), (port(0), 1)]);
        assert_eq!(counts.most_frequent().len(), UndecodedCounts::MAX_FREQUENT);
        assert_eq!(counts.packets.len(), UndecodedCounts::MAX_PROTOCOLS);
    }
}
