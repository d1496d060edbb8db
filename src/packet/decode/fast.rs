//! The stacks that nearly every packet of a server has: Ethernet, IPv4 or IPv6, TCP, nothing more.
//!
//! Owns no meaning: where it decides, the general path decides the same. It is shorter because it
//! may give up, and leaves every error to the general path.

use etherparse::{EtherType, Ipv4Header, Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice, ip_number};

use super::network::Addresses;
use super::{Frame, LinkType, transport};
use crate::packet::Segment;

/// The headers of a common stack.
pub(super) struct Stack<'a> {
    addresses: Addresses,
    ttl: u8,
    header: TcpHeaderSlice<'a>,
    wire: usize,
}

impl Stack<'_> {
    /// The segment that these headers describe.
    #[inline(always)]
    pub(super) fn segment(&self, frame: &Frame<'_>) -> Segment {
        transport::segment(frame, self.addresses, self.ttl, &self.header, self.wire)
    }
}

/// Recognises the frame if its stack is one of the common ones and captured in full.
#[inline(always)]
pub(super) fn recognise<'a>(frame: &Frame<'a>) -> Option<Stack<'a>> {
    if frame.link != LinkType::ETHERNET {
        return None;
    }
    let ([.., t0, t1], rest) = frame.data.split_first_chunk::<14>()?;
    match EtherType(u16::from_be_bytes([*t0, *t1])) {
        EtherType::IPV4 => ipv4(rest),
        EtherType::IPV6 => ipv6(rest),
        _ => None,
    }
}

/// IPv4 without options, not a fragment.
#[inline(always)]
fn ipv4(data: &[u8]) -> Option<Stack<'_>> {
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
    tcp(Addresses::V4(header.source(), header.destination()), header.ttl(), rest, wire)
}

/// IPv6 without extension headers.
#[inline(always)]
fn ipv6(data: &[u8]) -> Option<Stack<'_>> {
    let header = Ipv6HeaderSlice::from_slice(data).ok()?;
    let wire = usize::from(header.payload_length());
    if header.next_header() != ip_number::TCP || wire == 0 {
        return None;
    }
    let rest = data.get(header.slice().len()..)?;
    tcp(Addresses::V6(header.source(), header.destination()), header.hop_limit(), rest, wire)
}

/// TCP whose options were captured.
#[inline(always)]
fn tcp(addresses: Addresses, ttl: u8, data: &[u8], wire: usize) -> Option<Stack<'_>> {
    let header = TcpHeaderSlice::from_slice(data.get(..wire).unwrap_or(data)).ok()?;
    Some(Stack { addresses, ttl, header, wire })
}
