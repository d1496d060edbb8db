//! ICMP and ICMPv6 errors that quote a SYN, and those that say that a segment is too big.

use etherparse::{Icmpv4Slice, Icmpv6Slice, icmpv4, icmpv6, ip_number};

use super::bytes::Bytes;
use super::network::{self, Addresses};
use super::transport;
use super::{Frame, Skip};
use crate::packet::{Flags, IcmpError, Seq, Unreachable};

/// Decodes an ICMP message (RFC 792).
///
/// Uses the errors that end an attempt (destination unreachable, time exceeded, parameter problem), and
/// "fragmentation needed", which quotes data. Not source quench nor redirect: they neither end an attempt nor
/// explain a stall.
pub(super) fn v4(frame: &Frame<'_>, from: Addresses, bytes: &Bytes<'_>) -> Result<Unreachable, Skip> {
    let message = Icmpv4Slice::from_slice(bytes.data()).map_err(|_| Skip::NotTcp)?;
    let icmp = IcmpError { v6: false, kind: message.type_u8(), code: message.code_u8() };
    match (icmp.kind, icmp.code) {
        (icmpv4::TYPE_DEST_UNREACH | icmpv4::TYPE_TIME_EXCEEDED | icmpv4::TYPE_PARAMETER_PROBLEM, _) => {
            quoted_v4(frame, from, icmp, *bytes)
        }
        _ => Err(Skip::NotTcp),
    }
}

/// Decodes an ICMPv6 message (RFC 4443) as [`v4`] does.
pub(super) fn v6(frame: &Frame<'_>, from: Addresses, bytes: &Bytes<'_>) -> Result<Unreachable, Skip> {
    let message = Icmpv6Slice::from_slice(bytes.data()).map_err(|_| Skip::NotTcp)?;
    let icmp = IcmpError { v6: true, kind: message.type_u8(), code: message.code_u8() };
    match icmp.kind {
        icmpv6::TYPE_DST_UNREACH
        | icmpv6::TYPE_PACKET_TOO_BIG
        | icmpv6::TYPE_TIME_EXCEEDED
        | icmpv6::TYPE_PARAMETER_PROBLEM => quoted_v6(frame, from, icmp, *bytes),
        _ => Err(Skip::NotTcp),
    }
}

/// Length of the ICMP header before the quote in bytes, in both versions.
const HEADER_LEN: usize = 8;

/// Decodes the IPv4 packet quoted in the ICMP message `bytes`.
///
/// Ignores the quoted total length: the quote is usually shorter, and some systems wrote the length in
/// host byte order.
fn quoted_v4(
    frame: &Frame<'_>,
    from: Addresses,
    icmp: IcmpError,
    mut bytes: Bytes<'_>,
) -> Result<Unreachable, Skip> {
    bytes.skip(HEADER_LEN)?;
    let header = network::ipv4_header(&bytes)?;
    bytes.skip(header.slice().len())?;
    if header.protocol() != ip_number::TCP || header.fragments_offset().value() != 0 {
        return Err(Skip::NotTcp);
    }
    quoted_tcp(frame, from, icmp, Addresses::V4(header.source(), header.destination()), &bytes)
}

/// Decodes the IPv6 packet quoted in the ICMPv6 message `bytes`.
fn quoted_v6(
    frame: &Frame<'_>,
    from: Addresses,
    icmp: IcmpError,
    mut bytes: Bytes<'_>,
) -> Result<Unreachable, Skip> {
    bytes.skip(HEADER_LEN)?;
    let header = network::ipv6_header(&bytes)?;
    bytes.skip(header.slice().len())?;
    match network::extensions(header.next_header(), &mut bytes) {
        Ok((ip_number::TCP, _)) => {
            quoted_tcp(frame, from, icmp, Addresses::V6(header.source(), header.destination()), &bytes)
        }
        Ok(_) | Err(Skip::Fragment) => Err(Skip::NotTcp),
        Err(other) => Err(other),
    }
}

/// Decodes the beginning of the quoted segment.
fn quoted_tcp(
    frame: &Frame<'_>,
    from: Addresses,
    icmp: IcmpError,
    addresses: Addresses,
    bytes: &Bytes<'_>,
) -> Result<Unreachable, Skip> {
    let &[s0, s1, d0, d1, n0, n1, n2, n3] = bytes.peek()?;
    // Other errors about anything but a SYN do not concern the handshake.
    if !icmp.is_too_big()
        && let Some(flags) = transport::flags(bytes.data())
        && (!flags.contains(Flags::SYN) || flags.contains(Flags::ACK))
    {
        return Err(Skip::NotTcp);
    }
    let (flow, direction) = addresses.flow(u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    let seq = Seq(u32::from_be_bytes([n0, n1, n2, n3]));
    Ok(Unreachable { at: frame.at, frame: frame.frame, from: from.source(), flow, direction, seq, icmp })
}
