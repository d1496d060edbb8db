//! Results of decoding: a TCP segment, or an ICMP error about one, or the reason why neither.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use strum::{EnumCount, EnumIter, IntoStaticStr};

use super::{CapturePoint, Direction, Endpoint, Flags, FlowKey, OptionLayout, Seq, Timestamp};

/// The position of a packet: the index of its capture and its number in that capture, counted from 1
/// as in Wireshark and tcpdump; with the point where it was captured, if points are told apart.
///
/// From the highest bit: 16 bits of capture, 38 of number (files of 19 TB at least), 10 of point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FrameRef(u64);

impl FrameRef {
    const NUMBER_BITS: u32 = 48 - CapturePoint::BITS;
    const NUMBERS: u64 = (1 << Self::NUMBER_BITS) - 1;
    const POINTS: u64 = (1 << CapturePoint::BITS) - 1;

    /// `capture` counts input files from 0; `number` counts packets in it from 1.
    #[must_use]
    #[inline(always)]
    pub const fn new(capture: u16, number: u64) -> Self {
        Self((capture as u64) << 48 | (number & Self::NUMBERS) << CapturePoint::BITS)
    }

    /// The same position at this point.
    #[must_use]
    #[inline(always)]
    pub const fn at_point(self, point: CapturePoint) -> Self {
        Self(self.0 & !Self::POINTS | point.number() as u64)
    }

    /// The position `packets` later in the same capture.
    #[must_use]
    #[inline(always)]
    pub(crate) const fn plus(self, packets: u64) -> Self {
        Self(self.0 + (packets << CapturePoint::BITS))
    }

    /// The index of the capture.
    #[must_use]
    pub const fn capture(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The packet's number in that capture, from 1.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0 >> CapturePoint::BITS & Self::NUMBERS
    }

    /// The point where it was captured.
    #[must_use]
    #[inline(always)]
    pub const fn point(self) -> CapturePoint {
        CapturePoint::from_number((self.0 & Self::POINTS) as u16)
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

/// The fields of a TCP segment that the analysis uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Time of capture.
    pub at: Timestamp,
    /// Position of the packet in the input.
    pub frame: FrameRef,
    /// The connection it belongs to.
    pub flow: FlowKey,
    /// The direction of travel within `flow`.
    pub direction: Direction,
    /// Control bits.
    pub flags: Flags,
    /// IPv4 TTL or IPv6 hop limit as captured.
    pub ttl: u8,
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgment number; meaningful only with [`Flags::ACK`].
    pub ack: Seq,
    /// Payload length in bytes by the IP header; the snap length may have kept fewer.
    pub payload: u32,
    /// The window field, unscaled.
    pub window: u16,
    /// The IPv4 identification, 0 with IPv6: a duplicate has the same, a retransmission another (RFC 6864 §4.1).
    pub ip_id: u16,
    /// TCP options.
    pub options: TcpOptions,
    /// The TCP checksum, as far as it was verified.
    pub checksum: Checksum,
}

/// Result of verifying a TCP checksum. Where the sending interface computes it, captures on that host hold wrong ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksum {
    /// Not verified: only those of SYNs and bare ACKs without payload are.
    #[default]
    Unverified,
    /// The sum fits the segment.
    Right,
    /// The sum does not fit: a receiver drops the segment.
    Wrong,
}

impl Segment {
    /// The segment's IP ID, if a retransmission would have another one. `None` for constants: Linux's SYN-ACKs all
    /// carry 0, packets made by hand 1 (scapy's default), and zmap's probes 54321.
    #[must_use]
    #[inline(always)]
    pub const fn own_ip_id(&self) -> Option<u16> {
        match self.ip_id {
            0 | 1 | 54321 => None,
            id => Some(id),
        }
    }

    /// A segment without payload or options, as its sender sends it (TTL 64). All fields can be set afterwards.
    #[must_use]
    pub fn new(
        at: Timestamp,
        source: Endpoint,
        destination: Endpoint,
        flags: Flags,
        seq: Seq,
        ack: Seq,
    ) -> Self {
        let (flow, direction) = FlowKey::new(source, destination);
        Self {
            at,
            frame: FrameRef::new(0, 1),
            flow,
            direction,
            flags,
            ttl: 64,
            seq,
            ack,
            payload: 0,
            window: u16::MAX,
            ip_id: 0,
            options: TcpOptions::NONE,
            checksum: Checksum::Unverified,
        }
    }
}

/// The TCP options that the analysis uses.
///
/// Plain numbers rather than an `Option`, so that they stay in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpOptions {
    /// TSval in the upper half, TSecr in the lower; 0 without timestamps.
    stamps: u64,
    layout: OptionLayout,
    /// Set if the timestamps are complete.
    timestamps: bool,
    /// Bytes of the first SACK block if that begins beyond the acknowledgment number, as far as they can be counted; else 0.
    sacked: u16,
}

impl TcpOptions {
    /// No option at all.
    pub const NONE: Self = Self::others(OptionLayout::NONE);

    /// Options of unknown kinds, as where the snap length cut them off.
    pub const OTHERS: Self = Self::others(OptionLayout::UNKNOWN);

    /// Options in this order, without complete timestamps.
    #[must_use]
    #[inline(always)]
    pub const fn others(layout: OptionLayout) -> Self {
        Self { stamps: 0, layout, timestamps: false, sacked: 0 }
    }

    /// Options with the timestamps TSval and TSecr (RFC 7323 §3), laid out as in most segments without SYN.
    #[must_use]
    #[inline(always)]
    pub const fn with_timestamps(tsval: u32, tsecr: u32) -> Self {
        Self::others(OptionLayout::TIMESTAMPS).stamped(tsval, tsecr)
    }

    /// The same options with these timestamps.
    #[must_use]
    #[inline(always)]
    pub const fn stamped(mut self, tsval: u32, tsecr: u32) -> Self {
        self.stamps = (tsval as u64) << 32 | tsecr as u64;
        self.timestamps = true;
        self
    }

    /// The same options in another order.
    #[must_use]
    #[inline(always)]
    pub const fn laid_out(mut self, layout: OptionLayout) -> Self {
        self.layout = layout;
        self
    }

    /// The same options with a SACK block of so many bytes that begins beyond the acknowledgment number.
    #[must_use]
    pub fn sacked(mut self, bytes: u32) -> Self {
        self.sacked = u16::try_from(bytes.max(1)).unwrap_or(u16::MAX);
        self
    }

    /// TSval and TSecr; `None` without timestamps, or if the snap length cut them off.
    #[must_use]
    #[inline(always)]
    pub const fn timestamps(&self) -> Option<(u32, u32)> {
        if self.timestamps { Some(((self.stamps >> 32) as u32, self.stamps as u32)) } else { None }
    }

    /// True if a SACK block shows data beyond the acknowledgment number (RFC 2018 §3), so not a D-SACK (RFC 2883).
    #[must_use]
    #[inline(always)]
    pub const fn has_sacked(&self) -> bool {
        self.sacked != 0
    }

    /// Bytes of that block: the latest segment that arrived, and those that adjoin it (RFC 2018 §4).
    #[must_use]
    pub const fn sacked_bytes(&self) -> u16 {
        self.sacked
    }

    /// The kinds of options in their order.
    #[must_use]
    #[inline(always)]
    pub const fn layout(&self) -> OptionLayout {
        self.layout
    }

    /// TSval and TSecr in one number, TSval in the upper half; 0 without timestamps.
    #[must_use]
    #[inline(always)]
    pub(crate) const fn stamps(&self) -> u64 {
        self.stamps
    }

    /// True if the header has any option, known or not.
    #[must_use]
    #[inline(always)]
    pub const fn any(&self) -> bool {
        !self.layout.is_none()
    }
}

/// An ICMP destination-unreachable (or ICMPv6 error) that quotes a TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreachable {
    /// Time of capture.
    pub at: Timestamp,
    /// Position of the packet in the input.
    pub frame: FrameRef,
    /// The sender of the error.
    pub from: IpAddr,
    /// The connection of the quoted segment.
    pub flow: FlowKey,
    /// The direction of travel of the quoted segment within `flow`.
    pub direction: Direction,
    /// Sequence number of the quoted segment, which every quote includes (RFC 792, RFC 4443).
    pub seq: Seq,
    /// The error.
    pub icmp: IcmpError,
}

/// Type and code of an ICMP error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IcmpError {
    /// ICMPv6 (RFC 4443) rather than ICMP (RFC 792).
    pub v6: bool,
    /// The type field.
    pub kind: u8,
    /// The code field.
    pub code: u8,
}

impl IcmpError {
    /// True for "fragmentation needed" (RFC 1191 §4) and "packet too big" (RFC 4443 §3.2): path MTU discovery answers
    /// them with smaller segments.
    #[must_use]
    pub const fn is_too_big(self) -> bool {
        matches!((self.v6, self.kind, self.code), (false, 3, 4) | (true, 2, _))
    }

    /// True for "time exceeded" (RFC 792, RFC 4443 §3.3): a loop of the path, or a TTL too small for it.
    #[must_use]
    pub const fn is_time_exceeded(self) -> bool {
        matches!((self.v6, self.kind), (false, 11) | (true, 3))
    }
}

impl fmt::Display for IcmpError {
    /// `icmp type 3 code 13`, `icmpv6 type 1 code 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.v6 { "icmpv6" } else { "icmp" };
        write!(f, "{protocol} type {} code {}", self.kind, self.code)
    }
}

/// The reason for not using a packet. Every captured packet is either used or counted under a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumCount, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Skip {
    /// Neither IPv4 nor IPv6.
    NotIp,
    /// IP, but neither TCP nor an ICMP error that quotes TCP.
    NotTcp,
    /// An IP fragment without the TCP header.
    Fragment,
    /// The snap length cut the packet before the end of the 20-byte TCP header, or the file became
    /// shorter while it was read.
    Truncated,
    /// A header contradicts itself.
    Malformed,
    /// The link type has no decoder.
    UnsupportedLinkType,
}

impl Skip {
    /// The name in the machine-readable outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}
