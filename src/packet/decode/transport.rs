//! TCP.

use etherparse::{TcpHeader, TcpHeaderSlice, err};

use super::bytes::Bytes;
use super::network::{Addresses, Datagram};
use super::{Frame, Skip, options};
use crate::packet::{Direction, Flags, FlowKey, FrameRef, Options, Segment, Seq, Timestamp};

/// Decodes the TCP segment that `bytes` begin with.
pub(super) fn tcp(frame: &Frame<'_>, datagram: &Datagram, bytes: &Bytes<'_>) -> Result<Segment, Skip> {
    // A first fragment may be too small for the header (RFC 1858 §3); what it holds is of no use.
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
    let options = options::parse(options_of(&header));
    Ok(of_header(frame, datagram, &header, bytes, options))
}

/// Decodes a segment whose header is not there in full.
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
    // In a first fragment the options may go on in the next one; elsewhere they cannot.
    if header_len > bytes.wire() && !datagram.first_fragment {
        return Err(Skip::Malformed);
    }
    // etherparse takes whole headers only, so the fixed part poses as one.
    let mut fixed = *fixed;
    fixed[12] = 5 << 4;
    let header = TcpHeaderSlice::from_slice(&fixed).map_err(|_| Skip::Malformed)?;
    // What the snap length cut off was there.
    let options = if options.is_empty() { Options::OTHERS } else { options::parse(options) };
    let segment = of_header(frame, datagram, &header, bytes, options);
    Ok(Segment { payload: octets(bytes.wire().saturating_sub(header_len)), ..segment })
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
    options: Options,
) -> Segment {
    let flags = flags(header.slice()).unwrap_or_default();
    let (captured, wire) = ((frame.at, frame.frame), bytes.wire());
    segment(captured, datagram.addresses, datagram.ttl, flags, header, wire, options)
}

/// The segment with this header; `wire` counts the octets of header and payload.
#[inline(always)]
pub(super) fn segment(
    (at, frame): (Timestamp, FrameRef),
    addresses: Addresses,
    ttl: u8,
    flags: Flags,
    header: &TcpHeaderSlice<'_>,
    wire: usize,
    options: Options,
) -> Segment {
    let (flow, direction) = flow(addresses, header);
    Segment {
        at,
        frame,
        flow,
        direction,
        flags,
        ttl,
        seq: Seq(header.sequence_number()),
        ack: Seq(header.acknowledgment_number()),
        payload: octets(wire.saturating_sub(header.slice().len())),
        window: header.window_size(),
        options,
    }
}

/// The octets of the options of a header.
#[inline(always)]
pub(super) fn options_of<'a>(header: &TcpHeaderSlice<'a>) -> &'a [u8] {
    header.slice().get(TcpHeader::MIN_LEN..).unwrap_or_default()
}

/// The control bits of a header, or of as much of one as an ICMP error quotes.
#[inline]
pub(super) fn flags(header: &[u8]) -> Option<Flags> {
    header.get(13).copied().map(Flags)
}

/// A length as segments carry it. Captures count wire octets in 32 bits, so nothing is lost.
#[inline]
fn octets(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
