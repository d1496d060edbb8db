//! Endpoints, and flow keys: unordered pairs of endpoints.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Endpoint of a connection: address and port, compact enough for flow tables.
///
/// An IPv4 address differs from its IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2): on the wire they are
/// different connections.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    address: Words,
    port: u16,
    v6: bool,
}

/// An address as two numbers, most significant first; IPv4 takes the upper half of the first. (Not bytes:
/// these stay in registers, and ordering two addresses, once per packet, takes two comparisons.)
type Words = [u64; 2];

impl Endpoint {
    /// An IPv4 endpoint from the four address bytes of the header.
    #[must_use]
    #[inline(always)]
    pub const fn v4(a: [u8; 4], port: u16) -> Self {
        Self { address: [(u32::from_be_bytes(a) as u64) << 32, 0], port, v6: false }
    }

    /// An IPv6 endpoint from the sixteen address bytes of the header.
    #[must_use]
    #[inline(always)]
    pub const fn v6(address: [u8; 16], port: u16) -> Self {
        let a = u128::from_be_bytes(address);
        Self { address: [(a >> 64) as u64, a as u64], port, v6: true }
    }

    /// The address as one number.
    #[inline(always)]
    const fn number(&self) -> u128 {
        let [upper, lower] = self.address;
        (upper as u128) << 64 | lower as u128
    }

    /// The address.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        if self.v6 {
            return IpAddr::V6(Ipv6Addr::from_bits(self.number()));
        }
        let [upper, _] = self.address;
        IpAddr::V4(Ipv4Addr::from_bits((upper >> 32) as u32))
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, for a hash of it: cheaper than [`Self::ip`].
    #[inline(always)]
    pub(crate) const fn address(&self) -> HashedAddress {
        HashedAddress { address: self.address, v6: self.v6 }
    }
}

/// An endpoint's address as it is hashed: one word for IPv4, two for IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashedAddress {
    address: Words,
    v6: bool,
}

impl Hash for HashedAddress {
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [upper, lower] = self.address;
        state.write_u64(upper);
        if self.v6 {
            state.write_u64(lower);
        }
    }
}

impl Hash for Endpoint {
    /// Writes one word to the hasher for IPv4, three for IPv6.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ([upper, lower], port) = (self.address, u64::from(self.port));
        if self.v6 {
            [upper, lower, port].into_iter().for_each(|word| state.write_u64(word));
        } else {
            state.write_u64(upper | port);
        }
    }
}

impl Ord for Endpoint {
    /// By address, then port. Only its consistency matters: it makes the flow key the same for both
    /// directions.
    #[inline(always)]
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |end: &Self| (end.number(), end.port, end.v6);
        rank(self).cmp(&rank(other))
    }
}

impl PartialOrd for Endpoint {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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

/// The two endpoints of a connection, ordered so that both directions have the same key.
///
/// Holds the endpoints' fields directly: two [`Endpoint`]s would need more padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowKey {
    low: Words,
    high: Words,
    ends: PackedEnds,
}

/// Ports and IP versions of the lower and the higher endpoint in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PackedEnds(u64);

impl PackedEnds {
    const HIGH_V6: u64 = 1 << 32;
    const LOW_V6: u64 = 1 << 33;
    const RENUMBERED: u64 = 1 << 34;

    #[inline(always)]
    fn new((low_port, low_v6): (u16, bool), (high_port, high_v6): (u16, bool)) -> Self {
        let versions = u64::from(low_v6) << 33 | u64::from(high_v6) << 32;
        Self(u64::from(low_port) << 16 | u64::from(high_port) | versions)
    }

    const fn low_port(self) -> u16 {
        (self.0 >> 16) as u16
    }

    const fn high_port(self) -> u16 {
        self.0 as u16
    }
}

/// The direction of travel of a segment between the two endpoints of its [`FlowKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the lower endpoint to the higher one.
    LowToHigh,
    /// From the higher endpoint to the lower one.
    HighToLow,
}

impl FlowKey {
    /// The key of a segment from `source` to `destination`, and the segment's direction.
    #[must_use]
    #[inline(always)]
    pub fn new(source: Endpoint, destination: Endpoint) -> (Self, Direction) {
        let forward = source <= destination;
        // Branch-free: the direction of the next packet is hard to predict.
        let swap = if forward { 0 } else { u64::MAX };
        let ([a, b], [c, d]) = (source.address, destination.address);
        let (x, y) = ((a ^ c) & swap, (b ^ d) & swap);
        let z = (source.port ^ destination.port) & swap as u16;
        let v = (source.v6 ^ destination.v6) & !forward;
        let ends =
            PackedEnds::new((source.port ^ z, source.v6 ^ v), (destination.port ^ z, destination.v6 ^ v));
        let key = Self { low: [a ^ x, b ^ y], high: [c ^ x, d ^ y], ends };
        (key, if forward { Direction::LowToHigh } else { Direction::HighToLow })
    }

    /// As [`Self::new`], of a segment between two IPv4 endpoints.
    #[must_use]
    #[inline(always)]
    pub fn v4(source: ([u8; 4], u16), destination: ([u8; 4], u16)) -> (Self, Direction) {
        // Address and port in one number have the same order as `Endpoint`.
        let number = |(address, port)| u64::from(u32::from_be_bytes(address)) << 16 | u64::from(port);
        let (source, destination): (u64, u64) = (number(source), number(destination));
        let (low, high) = (source.min(destination), source.max(destination));
        let ends = PackedEnds::new((low as u16, false), (high as u16, false));
        let key = Self { low: [low >> 16 << 32, 0], high: [high >> 16 << 32, 0], ends };
        (key, if source == low { Direction::LowToHigh } else { Direction::HighToLow })
    }

    /// A flow between the same endpoints, of segments with other sequence numbers: a firewall rewrites them.
    #[must_use]
    pub(crate) const fn renumbered(mut self) -> Self {
        self.ends.0 |= PackedEnds::RENUMBERED;
        self
    }

    /// True if both are equal, without a branch per field: after a match of the hash the keys are nearly
    /// always equal, so stopping at the first difference saves nothing.
    #[must_use]
    #[inline(always)]
    pub(crate) const fn is(&self, other: &Self) -> bool {
        let ([a, b], [c, d]) = (self.low, self.high);
        let ([v, w], [x, y]) = (other.low, other.high);
        (a ^ v) | (b ^ w) | (c ^ x) | (d ^ y) | (self.ends.0 ^ other.ends.0) == 0
    }

    /// The sender of a segment that travels in `direction`.
    #[must_use]
    pub const fn source(&self, direction: Direction) -> Endpoint {
        match direction {
            Direction::LowToHigh => Endpoint {
                address: self.low,
                port: self.ends.low_port(),
                v6: self.ends.0 & PackedEnds::LOW_V6 != 0,
            },
            Direction::HighToLow => Endpoint {
                address: self.high,
                port: self.ends.high_port(),
                v6: self.ends.0 & PackedEnds::HIGH_V6 != 0,
            },
        }
    }

    /// The receiver of a segment that travels in `direction`.
    #[must_use]
    pub const fn destination(&self, direction: Direction) -> Endpoint {
        self.source(direction.reverse())
    }
}

impl Direction {
    /// The opposite direction.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::LowToHigh => Self::HighToLow,
            Self::HighToLow => Self::LowToHigh,
        }
    }
}

impl Hash for FlowKey {
    /// Writes two words to the hasher if both addresses are IPv4, five otherwise.
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ([a, b], [c, d]) = (self.low, self.high);
        if self.ends.0 & (PackedEnds::LOW_V6 | PackedEnds::HIGH_V6) != 0 {
            [a, b, c, d, self.ends.0].into_iter().for_each(|word| state.write_u64(word));
        } else {
            state.write_u64(a >> 16 | u64::from(self.ends.low_port()));
            state.write_u64(c >> 16 | u64::from(self.ends.high_port()));
        }
    }
}

/// An odd constant with evenly spread bits (2^64 / golden ratio), by which a product's upper bits depend on all of a word.
pub(crate) const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// State of hash tables whose keys come from packets: seeded anew in each run, as [`FlowHasher`] is.
pub(crate) type Seeded = foldhash::quality::RandomState;

/// Hashes flow keys with a random seed per run: attackers choose addresses and ports, and must not be
/// able to choose collisions.
#[derive(Debug, Clone, Default)]
pub struct FlowHasher(Seeded);

impl FlowHasher {
    /// The 64-bit hash of a flow in this run's tables.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::manual_hash_one, reason = "hash_one is not inlined; see below")]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        // `hash_one` takes the key by reference, which would force the whole segment into memory.
        let mut state = self.0.build_hasher();
        key.hash(&mut state);
        state.finish()
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
    fn the_ipv4_constructor_gives_the_same_key() {
        let ends =
            [([10, 9, 0, 2], 7777), ([10, 9, 0, 2], 80), ([10, 9, 0, 1], 40248), ([255, 0, 0, 1], 65535)];
        for (a, b) in ends.iter().flat_map(|&a| ends.map(|b| (a, b))) {
            let long = FlowKey::new(Endpoint::v4(a.0, a.1), Endpoint::v4(b.0, b.1));
            assert_eq!(FlowKey::v4(a, b), long, "{a:?} {b:?}");
        }
    }

    #[test]
    fn endpoints_print_with_brackets_for_ipv6() {
        assert_eq!(Endpoint::v4([10, 9, 0, 2], 7777).to_string(), "10.9.0.2:7777");
        let v6: SocketAddr = "[fd09::2]:7777".parse().unwrap();
        assert_eq!(Endpoint::from(v6).to_string(), "[fd09::2]:7777");
        let mapped: SocketAddr = "[::ffff:10.9.0.2]:7777".parse().unwrap();
        assert_ne!(Endpoint::from(mapped), Endpoint::v4([10, 9, 0, 2], 7777));
    }
}
