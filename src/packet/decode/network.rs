//! IPv4 and IPv6 with their extension headers.

use std::net::IpAddr;

use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, err, ip_number,
};

use super::Skip;
use super::bytes::Bytes;
use crate::packet::{Direction, Endpoint, FlowKey};

/// The fields of the IP headers that decoding the transport layer needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagram {
    /// Source and destination.
    pub(super) addresses: Addresses,
    /// The other fields of the header that go into a segment.
    pub(super) ip: IpFields,
    /// The protocol after the headers.
    pub(super) protocol: IpNumber,
    /// True for the first of several fragments: its payload may end inside the TCP header. (Later
    /// fragments are skipped.)
    pub(super) first_fragment: bool,
}

/// Fields of an IP header by which duplicates and senders are distinguished.
#[derive(Debug, Clone, Copy)]
pub(super) struct IpFields {
    /// TTL or hop limit.
    pub(super) ttl: u8,
    /// IPv4 identification; 0 with IPv6.
    pub(super) id: u16,
}

/// Source and destination address of a datagram.
#[derive(Debug, Clone, Copy)]
pub(super) enum Addresses {
    /// IPv4.
    V4([u8; 4], [u8; 4]),
    /// IPv6.
    V6([u8; 16], [u8; 16]),
}

impl Addresses {
    /// The source.
    pub(super) fn source(self) -> IpAddr {
        match self {
            Self::V4(from, _) => from.into(),
            Self::V6(from, _) => from.into(),
        }
    }

    /// The flow of a segment between these ports, and its direction.
    #[inline(always)]
    pub(super) fn flow(self, source: u16, destination: u16) -> (FlowKey, Direction) {
        match self {
            Self::V4(from, to) => FlowKey::v4((from, source), (to, destination)),
            Self::V6(from, to) => FlowKey::new(Endpoint::v6(from, source), Endpoint::v6(to, destination)),
        }
    }
}

/// Removes an IPv4 header and an authentication header after it, and ends `bytes` with the datagram.
pub(super) fn ipv4(bytes: &mut Bytes<'_>) -> Result<Datagram, Skip> {
    let header = ipv4_header(bytes)?;
    let header_len = header.slice().len();
    match usize::from(header.total_len()) {
        // Segmentation offload: the interface fills in the total length later. The wire length is
        // right, since such a datagram is too long for Ethernet padding.
        0 => {}
        total => bytes.limit(if total < header_len { return Err(Skip::Malformed) } else { total }),
    }
    bytes.skip(header_len)?;
    if header.fragments_offset().value() != 0 {
        return Err(Skip::Fragment);
    }
    let mut protocol = header.protocol();
    if protocol == ip_number::AUTH {
        protocol = authentication(bytes)?;
    }
    Ok(Datagram {
        addresses: Addresses::V4(header.source(), header.destination()),
        ip: IpFields { ttl: header.ttl(), id: header.identification() },
        protocol,
        first_fragment: header.more_fragments(),
    })
}

/// The IPv4 header, with its options, at the start of `bytes`.
pub(super) fn ipv4_header<'a>(bytes: &Bytes<'a>) -> Result<Ipv4HeaderSlice<'a>, Skip> {
    Ipv4HeaderSlice::from_slice(bytes.data()).map_err(|error| match error {
        err::ipv4::HeaderSliceError::Len(error) => bytes.too_short(&error),
        err::ipv4::HeaderSliceError::Content(_) => Skip::Malformed,
    })
}

/// Removes an IPv6 header and its extension headers, and ends `bytes` with the datagram.
pub(super) fn ipv6(bytes: &mut Bytes<'_>) -> Result<Datagram, Skip> {
    let header = ipv6_header(bytes)?;
    bytes.skip(header.slice().len())?;
    match usize::from(header.payload_length()) {
        // A jumbogram (RFC 2675 §3) or segmentation offload: the wire length is right for both.
        0 => {}
        length => bytes.limit(length),
    }
    let (protocol, first_fragment) = extensions(header.next_header(), bytes)?;
    Ok(Datagram {
        addresses: Addresses::V6(header.source(), header.destination()),
        ip: IpFields { ttl: header.hop_limit(), id: 0 },
        protocol,
        first_fragment,
    })
}

/// The fixed IPv6 header at the start of `bytes`.
pub(super) fn ipv6_header<'a>(bytes: &Bytes<'a>) -> Result<Ipv6HeaderSlice<'a>, Skip> {
    Ipv6HeaderSlice::from_slice(bytes.data()).map_err(|error| match error {
        err::ipv6::HeaderSliceError::Len(error) => bytes.too_short(&error),
        err::ipv6::HeaderSliceError::Content(_) => Skip::Malformed,
    })
}

/// Removes IPv6 extension headers; returns the protocol after them, and true for a first fragment.
///
/// Accepts any order, as RFC 8200 §4.1 demands of receivers. Each header has at least eight bytes, so
/// the loop is bounded by the packet's length.
pub(super) fn extensions(first: IpNumber, bytes: &mut Bytes<'_>) -> Result<(IpNumber, bool), Skip> {
    let mut next = first;
    let mut first_fragment = false;
    loop {
        next = match next {
            ip_number::IPV6_HOP_BY_HOP | ip_number::IPV6_ROUTE | ip_number::IPV6_DEST_OPTIONS => {
                let header = Ipv6RawExtHeaderSlice::from_slice(bytes.data())
                    .map_err(|error| bytes.too_short(&error))?;
                bytes.skip(header.slice().len())?;
                header.next_header()
            }
            ip_number::IPV6_FRAG => {
                let header = Ipv6FragmentHeaderSlice::from_slice(bytes.data())
                    .map_err(|error| bytes.too_short(&error))?;
                bytes.skip(header.slice().len())?;
                if header.fragment_offset().value() != 0 {
                    return Err(Skip::Fragment);
                }
                first_fragment |= header.more_fragments();
                header.next_header()
            }
            ip_number::AUTH => authentication(bytes)?,
            other => return Ok((other, first_fragment)),
        };
    }
}

/// Removes an authentication header (RFC 4302 §2); returns the protocol after it.
fn authentication(bytes: &mut Bytes<'_>) -> Result<IpNumber, Skip> {
    let header = IpAuthHeaderSlice::from_slice(bytes.data()).map_err(|error| match error {
        err::ip_auth::HeaderSliceError::Len(error) => bytes.too_short(&error),
        err::ip_auth::HeaderSliceError::Content(_) => Skip::Malformed,
    })?;
    bytes.skip(header.slice().len())?;
    Ok(header.next_header())
}
