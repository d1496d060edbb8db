//! The stacks that nearly every packet of a server has: Ethernet, IPv4 or IPv6, TCP, nothing more.
//!
//! Owns no meaning: where it decides, the general path decides the same. It is shorter because it
//! may give up, and leaves every error to the general path.

use etherparse::{EtherType, Ipv4Header, Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice, ip_number};

use super::network::Addresses;
use super::{Frame, options, transport};
use crate::packet::{LinkType, Segment};

/// The headers of a common stack.
pub(super) struct Stack<'a> {
    addresses: Addresses,
    ttl: u8,
    header: TcpHeaderSlice<'a>,
    /// Octets of TCP header and payload.
    wire: usize,
}

/// Recognises any of these stacks.
pub(super) fn stack<'a>(frame: &Frame<'a>) -> Option<Stack<'a>> {
    match ethernet(frame)? {
        (EtherType::IPV4, rest) => ipv4(rest),
        (EtherType::IPV6, rest) => ipv6(rest),
        _ => None,
    }
}

/// What EtherType an Ethernet frame has, and what follows its header.
#[inline(always)]
pub(super) fn ethernet<'a>(frame: &Frame<'a>) -> Option<(EtherType, &'a [u8])> {
    if frame.link != LinkType::ETHERNET {
        return None;
    }
    let ([.., t0, t1], rest) = frame.data.split_first_chunk::<14>()?;
    Some((EtherType(u16::from_be_bytes([*t0, *t1])), rest))
}

/// Recognises IPv4 without options, not a fragment, and TCP captured with its options.
#[inline(always)]
pub(super) fn ipv4(data: &[u8]) -> Option<Stack<'_>> {
    let header = Ipv4HeaderSlice::from_slice(data).ok()?;
    if header.slice().len() != Ipv4Header::MIN_LEN
        || header.protocol() != ip_number::TCP
        || header.is_fragmenting_payload()
    {
        return None;
    }
    let rest = data.get(Ipv4Header::MIN_LEN..)?;
    // A total length of zero (segmentation offload) gives up here.
    let wire = usize::from(header.total_len()).checked_sub(Ipv4Header::MIN_LEN)?;
    let addresses = Addresses::V4(header.source(), header.destination());
    Some(Stack { addresses, ttl: header.ttl(), header: tcp(rest, wire)?, wire })
}

/// Recognises IPv6 without extension headers and TCP captured with its options.
#[inline(always)]
pub(super) fn ipv6(data: &[u8]) -> Option<Stack<'_>> {
    let header = Ipv6HeaderSlice::from_slice(data).ok()?;
    let wire = usize::from(header.payload_length());
    if header.next_header() != ip_number::TCP || wire == 0 {
        return None;
    }
    let rest = data.get(header.slice().len()..)?;
    let addresses = Addresses::V6(header.source(), header.destination());
    Some(Stack { addresses, ttl: header.hop_limit(), header: tcp(rest, wire)?, wire })
}

#[inline(always)]
fn tcp(data: &[u8], wire: usize) -> Option<TcpHeaderSlice<'_>> {
    TcpHeaderSlice::from_slice(data.get(..wire).unwrap_or(data)).ok()
}

impl Stack<'_> {
    /// The segment, if its options have a usual layout.
    #[inline(always)]
    pub(super) fn segment(&self, frame: &Frame<'_>) -> Option<Segment> {
        let options = options::usual(transport::options_of(&self.header))?;
        Some(transport::segment(frame, self.addresses, self.ttl, &self.header, self.wire, options))
    }

    /// The segment, whatever its options are.
    pub(super) fn segment_with_any_options(&self, frame: &Frame<'_>) -> Segment {
        let options = options::parse(transport::options_of(&self.header));
        transport::segment(frame, self.addresses, self.ttl, &self.header, self.wire, options)
    }
}
