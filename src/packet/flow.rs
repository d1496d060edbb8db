//! Endpoints, and the unordered pair of them that keys every flow table.

use std::fmt;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One end of a connection, compact enough for flow tables.
///
/// IPv4 addresses are kept apart from IPv4-mapped IPv6 ones (RFC 4291 §2.5.5.2): on the wire they
/// are different connections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    address: [u8; 16],
    port: u16,
    v6: bool,
}

impl Endpoint {
    /// An IPv4 endpoint from the four octets of the header.
    #[must_use]
    pub const fn v4(a: [u8; 4], port: u16) -> Self {
        let address = [a[0], a[1], a[2], a[3], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        Self { address, port, v6: false }
    }

    /// An IPv6 endpoint from the sixteen octets of the header.
    #[must_use]
    pub const fn v6(address: [u8; 16], port: u16) -> Self {
        Self { address, port, v6: true }
    }

    /// The address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        if self.v6 {
            return IpAddr::V6(Ipv6Addr::from(self.address));
        }
        let [a, b, c, d, ..] = self.address;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        match addr.ip() {
            IpAddr::V4(ip) => Self::v4(ip.octets(), addr.port()),
            IpAddr::V6(ip) => Self::v6(ip.octets(), addr.port()),
        }
    }
}

impl fmt::Display for Endpoint {
    /// `10.9.0.2:7777` or `[fd09::2]:7777`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip(), self.port).fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The unordered pair of endpoints of a connection: the same for both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    low: Endpoint,
    high: Endpoint,
}

/// Which way a segment travels between the two endpoints of its [`FlowKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the lower endpoint to the higher one.
    LowToHigh,
    /// From the higher endpoint to the lower one.
    HighToLow,
}

impl FlowKey {
    /// The key of a segment from `source` to `destination`, and the segment's direction under it.
    #[must_use]
    pub fn new(source: Endpoint, destination: Endpoint) -> (Self, Direction) {
        if source <= destination {
            (Self { low: source, high: destination }, Direction::LowToHigh)
        } else {
            (Self { low: destination, high: source }, Direction::HighToLow)
        }
    }

    /// The sender of a segment that travels in `direction`.
    #[must_use]
    pub const fn source(&self, direction: Direction) -> Endpoint {
        match direction {
            Direction::LowToHigh => self.low,
            Direction::HighToLow => self.high,
        }
    }

    /// The receiver of a segment that travels in `direction`.
    #[must_use]
    pub const fn destination(&self, direction: Direction) -> Endpoint {
        self.source(direction.reverse())
    }
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::LowToHigh => Self::HighToLow,
            Self::HighToLow => Self::LowToHigh,
        }
    }
}

/// Hashes flow keys with a seed drawn once per run: addresses and ports are chosen by strangers.
#[derive(Debug, Clone, Default)]
pub struct FlowHasher(foldhash::quality::RandomState);

impl FlowHasher {
    /// The 64-bit hash that names a flow in this run's tables.
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        self.0.hash_one(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_share_a_key() {
        let a = Endpoint::v4([10, 9, 0, 2], 7777);
        let b = Endpoint::v4([10, 9, 0, 1], 40248);
        let (key, there) = FlowKey::new(a, b);
        let (same, back) = FlowKey::new(b, a);
        assert_eq!(key, same);
        assert_eq!(there.reverse(), back);
        assert_eq!(key.source(there), a);
        assert_eq!(key.destination(there), b);
        let hasher = FlowHasher::default();
        assert_eq!(hasher.hash(&key), hasher.hash(&same));
    }

    #[test]
    fn endpoints_print_as_the_contract_says() {
        assert_eq!(Endpoint::v4([10, 9, 0, 2], 7777).to_string(), "10.9.0.2:7777");
        let v6: SocketAddr = "[fd09::2]:7777".parse().unwrap();
        assert_eq!(Endpoint::from(v6).to_string(), "[fd09::2]:7777");
        let mapped: SocketAddr = "[::ffff:10.9.0.2]:7777".parse().unwrap();
        assert_ne!(Endpoint::from(mapped), Endpoint::v4([10, 9, 0, 2], 7777));
    }
}
