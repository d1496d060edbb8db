//! The stacks that nearly every packet of a server has: Ethernet, IPv4 or IPv6, TCP, nothing more.
//!
//! Owns no meaning: where it decides, the general path decides the same. It is shorter because it
//! may give up, and leaves every error to the general path.

use etherparse::{
    EtherType, Ipv4Header, Ipv4HeaderSlice, Ipv6Header, Ipv6HeaderSlice, TcpHeaderSlice, ip_number,
};

use super::network::Addresses;
use super::{Glimpse, options, transport};
use crate::packet::{FrameRef, Segment, Timestamp};

/// The headers of a common stack.
pub(crate) struct Stack<'a> {
    addresses: Addresses,
    ttl: u8,
    header: TcpHeaderSlice<'a>,
    /// Octets of TCP header and payload.
    wire: usize,
}

/// What EtherType an Ethernet frame has, and what follows its header.
#[inline(always)]
pub(super) fn ethernet(frame: &[u8]) -> Option<(EtherType, &[u8])> {
    let ([.., t0, t1], rest) = frame.split_first_chunk::<14>()?;
    Some((EtherType(u16::from_be_bytes([*t0, *t1])), rest))
}

/// Recognises IPv4 without options, not a fragment, and TCP captured with its options.
#[inline(always)]
pub(super) fn ipv4(data: &[u8]) -> Option<Stack<'_>> {
    /// Version 4, and a header of five words: no options.
    const PLAIN: u8 = 0x45;
    /// More fragments, and the fragment offset.
    const FRAGMENT: u16 = 0x3fff;
    let (header, rest) = data.split_first_chunk::<{ Ipv4Header::MIN_LEN }>()?;
    // Asked here in one comparison each, of what is in memory side by side.
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
    Some(Stack { addresses, ttl: header.ttl(), header: tcp(rest, wire)?, wire })
}

/// Recognises IPv6 without extension headers and TCP captured with its options.
#[inline(always)]
pub(super) fn ipv6(data: &[u8]) -> Option<Stack<'_>> {
    let (header, rest) = data.split_first_chunk::<{ Ipv6Header::LEN }>()?;
    let header = Ipv6HeaderSlice::from_slice(header).ok()?;
    let wire = usize::from(header.payload_length());
    if header.next_header() != ip_number::TCP || wire == 0 {
        return None;
    }
    let addresses = Addresses::V6(header.source(), header.destination());
    Some(Stack { addresses, ttl: header.hop_limit(), header: tcp(rest, wire)?, wire })
}

#[inline(always)]
fn tcp(data: &[u8], wire: usize) -> Option<TcpHeaderSlice<'_>> {
    TcpHeaderSlice::from_slice(data.get(..wire).unwrap_or(data)).ok()
}

impl Stack<'_> {
    /// What a look at it tells.
    #[inline(always)]
    pub(super) fn glimpse(&self) -> Glimpse {
        let (flow, _) = transport::flow(self.addresses, &self.header);
        Glimpse { flow, flags: transport::flags(self.header.slice()).unwrap_or_default() }
    }

    /// The segment.
    #[inline(always)]
    pub(crate) fn segment(&self, at: Timestamp, frame: FrameRef) -> Segment {
        let options = transport::options_of(&self.header);
        let options = options::usual(options).unwrap_or_else(|| options::parse(options));
        transport::segment((at, frame), self.addresses, self.ttl, &self.header, self.wire, options)
    }
}
