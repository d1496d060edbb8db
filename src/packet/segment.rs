//! What decoding yields: a TCP segment, or an ICMP error about one, or the reason why neither.

use super::{Direction, Flags, FlowKey, Seq, Timestamp};

/// Where a packet stands: the index of its capture and its number in it, counted from 1 as
/// Wireshark and tcpdump count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameRef(u64);

impl FrameRef {
    const NUMBER_BITS: u32 = 48;

    /// `capture` counts input files from 0; `number` counts packets in it from 1.
    #[must_use]
    pub const fn new(capture: u16, number: u64) -> Self {
        Self(((capture as u64) << Self::NUMBER_BITS) | (number & ((1 << Self::NUMBER_BITS) - 1)))
    }

    /// The packet so many later in the same capture.
    #[must_use]
    pub(crate) const fn plus(self, packets: u64) -> Self {
        Self(self.0 + packets)
    }

    /// The index of the capture.
    #[must_use]
    pub const fn capture(self) -> u16 {
        (self.0 >> Self::NUMBER_BITS) as u16
    }

    /// The packet's number in that capture, from 1.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0 & ((1 << Self::NUMBER_BITS) - 1)
    }
}

/// A decoded packet that the analysis uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// A TCP segment.
    Segment(Segment),
    /// An ICMP or ICMPv6 error that quotes a segment.
    Unreachable(Unreachable),
}

/// A TCP segment with what the handshake needs of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// When it was captured.
    pub at: Timestamp,
    /// Which packet of which capture it is.
    pub frame: FrameRef,
    /// The connection it belongs to.
    pub flow: FlowKey,
    /// Which way it travels.
    pub direction: Direction,
    /// Control bits.
    pub flags: Flags,
    /// IPv4 TTL or IPv6 hop limit as captured.
    pub ttl: u8,
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgment number; meaningful only with [`Flags::ACK`].
    pub ack: Seq,
    /// Payload octets according to the IP header, whatever the snap length kept.
    pub payload: u32,
    /// The window field, unscaled.
    pub window: u16,
    /// What the TCP options say.
    pub options: Options,
}

/// What the analysis wants of the TCP options.
///
/// Two plain numbers rather than an `Option`: they stay in registers, however they came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// TSval in the upper half, TSecr in the lower; 0 where there are none.
    stamps: u64,
    kinds: Kinds,
}

/// Which options there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kinds {
    #[default]
    None,
    Others,
    Timestamps,
}

impl Options {
    /// No option at all.
    pub const NONE: Self = Self { stamps: 0, kinds: Kinds::None };

    /// Options of which timestamps are none, whole or known.
    pub const OTHERS: Self = Self { stamps: 0, kinds: Kinds::Others };

    /// Options with timestamps (RFC 7323 §3): TSval and TSecr.
    #[must_use]
    #[inline(always)]
    pub const fn with_timestamps(tsval: u32, tsecr: u32) -> Self {
        Self { stamps: (tsval as u64) << 32 | tsecr as u64, kinds: Kinds::Timestamps }
    }

    /// TSval and TSecr; `None` where there are none, or where the snap length cut them off.
    #[must_use]
    #[inline(always)]
    pub const fn timestamps(&self) -> Option<(u32, u32)> {
        match self.kinds {
            Kinds::Timestamps => Some(((self.stamps >> 32) as u32, self.stamps as u32)),
            Kinds::None | Kinds::Others => None,
        }
    }

    /// TSval and TSecr in one number, TSval in the upper half; 0 where there are none.
    #[must_use]
    #[inline(always)]
    pub(crate) const fn stamps(&self) -> u64 {
        self.stamps
    }

    /// Whether the header had options at all, known or not.
    #[must_use]
    #[inline(always)]
    pub const fn any(&self) -> bool {
        !matches!(self.kinds, Kinds::None)
    }
}

/// An ICMP destination-unreachable (or ICMPv6 error) that quotes a TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreachable {
    /// When it was captured.
    pub at: Timestamp,
    /// Which packet of which capture it is.
    pub frame: FrameRef,
    /// The connection of the quoted segment.
    pub flow: FlowKey,
    /// Which way the quoted segment travelled.
    pub direction: Direction,
    /// Sequence number of the quoted segment; all quotes hold at least that (RFC 792, RFC 4443).
    pub seq: Seq,
    /// The error.
    pub icmp: IcmpError,
}

/// Type and code of an ICMP error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IcmpError {
    /// ICMPv6 (RFC 4443) rather than ICMP (RFC 792).
    pub v6: bool,
    /// The type field.
    pub kind: u8,
    /// The code field.
    pub code: u8,
}

/// Why a packet is not used. Every captured packet is either used or counted under one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skip {
    /// Neither IPv4 nor IPv6.
    NotIp,
    /// IP, but neither TCP nor an ICMP error that quotes TCP.
    NotTcp,
    /// An IP fragment without the TCP header.
    Fragment,
    /// The snap length cut the packet before the end of the 20-octet TCP header, or the file was cut while it was read.
    Truncated,
    /// A header contradicts itself.
    Malformed,
    /// The link type has no decoder.
    UnsupportedLinkType,
}

impl Skip {
    /// All reasons, in the order of the outputs.
    pub const ALL: [Self; 6] = [
        Self::NotIp,
        Self::NotTcp,
        Self::Fragment,
        Self::Truncated,
        Self::Malformed,
        Self::UnsupportedLinkType,
    ];

    /// The name in the machine-readable outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not-ip",
            Self::NotTcp => "not-tcp",
            Self::Fragment => "fragment",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::UnsupportedLinkType => "unsupported-link-type",
        }
    }
}
