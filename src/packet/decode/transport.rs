//! TCP.

use etherparse::{TcpHeader, TcpHeaderSlice, err};

use super::bytes::Bytes;
use super::network::{Addresses, Datagram, IpFields};
use super::{Frame, Skip, checksum, options};
use crate::packet::{Checksum, Direction, Flags, FlowKey, FrameRef, Segment, Seq, TcpOptions, Timestamp};

/// Decodes the TCP segment at the start of `bytes`.
pub(super) fn tcp(frame: &Frame<'_>, datagram: &Datagram, bytes: &Bytes<'_>) -> Result<Segment, Skip> {
    // A first fragment may be too small for the TCP header (RFC 1858 §3).
    if datagram.first_fragment && bytes.wire() < TcpHeader::MIN_LEN {
        return Err(Skip::Fragment);
    }
    let header = match TcpHeaderSlice::from_slice(bytes.data()) {
        Ok(header) => header,
        Err(err::tcp::HeaderSliceError::Content(_)) => return Err(Skip::Malformed),
        Err(err::tcp::HeaderSliceError::Len(error)) => {
            return cut(frame, datagram, bytes, error.required_len);
        }
    };
    let options = options::parse(options_of(&header), Seq(header.acknowledgment_number()));
    Ok(of_header(frame, datagram, &header, bytes, options))
}

/// Decodes a segment whose header was not captured completely.
#[cold]
fn cut(
    frame: &Frame<'_>,
    datagram: &Datagram,
    bytes: &Bytes<'_>,
    header_len: usize,
) -> Result<Segment, Skip> {
    let Some((fixed, options)) = bytes.data().split_first_chunk::<{ TcpHeader::MIN_LEN }>() else {
        return Err(bytes.lacking(TcpHeader::MIN_LEN));
    };
    // Options may continue in the next fragment, but a complete datagram must hold the whole header.
    if header_len > bytes.wire() && !datagram.first_fragment {
        return Err(Skip::Malformed);
    }
    // etherparse accepts complete headers only, so the data offset is set to that of a fixed header.
    let mut fixed = *fixed;
    fixed[12] = 5 << 4;
    let header = TcpHeaderSlice::from_slice(&fixed).map_err(|_| Skip::Malformed)?;
    // The data offset shows that there were options, even if the snap length cut off all of them.
    let options = if options.is_empty() {
        TcpOptions::OTHERS
    } else {
        options::parse(options, Seq(header.acknowledgment_number()))
    };
    let segment = of_header(frame, datagram, &header, bytes, options);
    let payload = length_u32(bytes.wire().saturating_sub(header_len));
    Ok(Segment { payload, checksum: Checksum::Unverified, ..segment })
}

/// The flow of a segment, and its direction.
#[inline(always)]
pub(super) fn flow(addresses: Addresses, header: &TcpHeaderSlice<'_>) -> (FlowKey, Direction) {
    addresses.flow(header.source_port(), header.destination_port())
}

fn of_header(
    frame: &Frame<'_>,
    datagram: &Datagram,
    header: &TcpHeaderSlice<'_>,
    bytes: &Bytes<'_>,
    options: TcpOptions,
) -> Segment {
    let flags = flags(header.slice()).unwrap_or_default();
    let (captured, wire) = ((frame.at, frame.frame), bytes.wire());
    let checksum = checksum(datagram.addresses, flags, header, wire);
    let segment = segment(captured, datagram.addresses, datagram.ip, flags, header, wire, options);
    Segment { checksum, ..segment }
}

/// The segment with this header; `wire` is the length of header and payload in bytes.
#[inline(always)]
pub(super) fn segment(
    (at, frame): (Timestamp, FrameRef),
    addresses: Addresses,
    ip: IpFields,
    flags: Flags,
    header: &TcpHeaderSlice<'_>,
    wire: usize,
    options: TcpOptions,
) -> Segment {
    let (flow, direction) = flow(addresses, header);
    Segment {
        at,
        frame,
        flow,
        direction,
        flags,
        ttl: ip.ttl,
        seq: Seq(header.sequence_number()),
        ack: Seq(header.acknowledgment_number()),
        payload: length_u32(wire.saturating_sub(header.slice().len())),
        window: header.window_size(),
        ip_id: ip.id,
        options,
        checksum: Checksum::Unverified,
    }
}

/// Verifies the checksum of a segment of a handshake that has no payload; `wire` is the length of header and payload.
#[inline(always)]
pub(super) fn checksum(
    addresses: Addresses,
    flags: Flags,
    header: &TcpHeaderSlice<'_>,
    wire: usize,
) -> Checksum {
    match is_of_handshake(flags) && wire == header.slice().len() {
        true => checksum::verify(addresses, header.slice()),
        false => Checksum::Unverified,
    }
}

/// True for a SYN, SYN-ACK or bare ACK: their checksums are verified.
#[inline(always)]
const fn is_of_handshake(flags: Flags) -> bool {
    flags.contains(Flags::SYN) || flags.0 == Flags::ACK.0
}

/// The options of a header.
#[inline(always)]
pub(super) fn options_of<'a>(header: &TcpHeaderSlice<'a>) -> &'a [u8] {
    header.slice().get(TcpHeader::MIN_LEN..).unwrap_or_default()
}

/// The control bits of a header that may be incomplete, as in the quote of an ICMP error.
#[inline]
pub(super) fn flags(header: &[u8]) -> Option<Flags> {
    header.get(13).copied().map(Flags)
}

/// A length in 32 bits. Capture files store the wire length in 32 bits, so no value is lost.
#[inline]
fn length_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
