//! Fast path for the header stacks of nearly every packet: Ethernet, IPv4 or IPv6, TCP.
//!
//! Returns `None` for anything else and for every error; the general path then decodes the packet.
//! The general path decodes each packet that the fast path accepts to the same result.

use etherparse::{
    EtherType, Ethernet2Header, Ipv4Header, Ipv4HeaderSlice, Ipv6Header, Ipv6HeaderSlice, TcpHeader,
    TcpHeaderSlice, ip_number,
};

use super::network::{Addresses, IpFields};
use super::{Glimpse, options, transport};
use crate::packet::{Checksum, Flags, FrameRef, Segment, Seq, Timestamp};

/// Checked headers of a common stack.
pub(crate) struct Stack<'a> {
    addresses: Addresses,
    ip: IpFields,
    flags: Flags,
    header: TcpHeaderSlice<'a>,
    /// Length of TCP header and payload in bytes.
    wire: usize,
}

/// The payload of an Ethernet frame, if it has this EtherType and at least `least` bytes.
///
/// `least` covers all following headers, so that their lengths are checked once.
#[inline(always)]
fn ethernet(frame: &[u8], ether_type: EtherType, least: usize) -> Option<&[u8]> {
    if frame.len() < Ethernet2Header::LEN + least {
        return None;
    }
    let ([.., t0, t1], rest) = frame.split_first_chunk::<{ Ethernet2Header::LEN }>()?;
    (u16::from_be_bytes([*t0, *t1]) == ether_type.0).then_some(rest)
}

/// Recognises Ethernet, IPv4 without options, not a fragment, and TCP captured with its options.
#[inline(always)]
pub(super) fn ipv4(frame: &[u8]) -> Option<Stack<'_>> {
    /// Version 4, and a header of five words: no options.
    const PLAIN: u8 = 0x45;
    /// More fragments, and the fragment offset.
    const FRAGMENT: u16 = 0x3fff;
    let data = ethernet(frame, EtherType::IPV4, Ipv4Header::MIN_LEN + TcpHeader::MIN_LEN)?;
    let (header, rest) = data.split_first_chunk::<{ Ipv4Header::MIN_LEN }>()?;
    // A single comparison for each pair of adjacent fields: version and header length, fragment flag and offset.
    let fragment = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT;
    if header[0] != PLAIN || fragment != 0 {
        return None;
    }
    let header = Ipv4HeaderSlice::from_slice(header).ok()?;
    if header.protocol() != ip_number::TCP {
        return None;
    }
    // A total length of zero (segmentation offload) gives up here.
    let wire = usize::from(header.total_len()).checked_sub(Ipv4Header::MIN_LEN)?;
    let addresses = Addresses::V4(header.source(), header.destination());
    tcp(addresses, IpFields { ttl: header.ttl(), id: header.identification() }, rest, wire)
}

/// Recognises Ethernet, IPv6 without extension headers, and TCP captured with its options.
#[inline(always)]
pub(super) fn ipv6(frame: &[u8]) -> Option<Stack<'_>> {
    let data = ethernet(frame, EtherType::IPV6, Ipv6Header::LEN + TcpHeader::MIN_LEN)?;
    let (header, rest) = data.split_first_chunk::<{ Ipv6Header::LEN }>()?;
    let header = Ipv6HeaderSlice::from_slice(header).ok()?;
    let wire = usize::from(header.payload_length());
    if header.next_header() != ip_number::TCP || wire == 0 {
        return None;
    }
    let addresses = Addresses::V6(header.source(), header.destination());
    tcp(addresses, IpFields { ttl: header.hop_limit(), id: 0 }, rest, wire)
}

#[inline(always)]
fn tcp(addresses: Addresses, ip: IpFields, data: &[u8], wire: usize) -> Option<Stack<'_>> {
    let header = TcpHeaderSlice::from_slice(data.get(..wire).unwrap_or(data)).ok()?;
    Some(Stack { addresses, ip, flags: transport::flags(data)?, header, wire })
}

impl Stack<'_> {
    /// Flow and flags.
    #[inline(always)]
    pub(super) fn glimpse(&self) -> Glimpse {
        let (flow, _) = transport::flow(self.addresses, &self.header);
        Glimpse { flow, flags: self.flags }
    }

    /// The segment; `verifies` is whether its checksum is verified, if it may be of a handshake.
    #[inline(always)]
    pub(crate) fn segment(&self, at: Timestamp, frame: FrameRef, verifies: bool) -> Segment {
        let options = transport::options_of(&self.header);
        let options = options::usual(options)
            .unwrap_or_else(|| options::parse(options, Seq(self.header.acknowledgment_number())));
        let checksum = match verifies {
            true => transport::checksum(self.addresses, self.flags, &self.header, self.wire),
            false => Checksum::Unverified,
        };
        let segment = transport::segment(
            (at, frame),
            self.addresses,
            self.ip,
            self.flags,
            &self.header,
            self.wire,
            options,
        );
        Segment { checksum, ..segment }
    }
}
