//! From bytes to [`Packet`].
//!
//! Owns every header between the first captured byte and the TCP options: link types, tags,
//! tunnels, IP, TCP and the ICMP errors that quote TCP. Does not own reassembly (each fragment and
//! segment is decoded alone) nor what a wrong checksum means: with offload, captures on the sending host
//! contain checksums that are not filled in yet.
//!
//! Two paths give the same result. `fast` decodes the header stacks of nearly every packet and returns
//! `None` for anything else; `general` decodes any stack, one [`Layer`] at a time. `tests/agreement.rs`
//! checks that they agree.

#[cfg(any(test, feature = "fuzzing"))]
mod agreement;
mod bytes;
mod checksum;
mod encapsulation;
mod fast;
mod icmp;
mod network;
mod options;
mod transport;

use etherparse::ip_number;

use super::{Flags, FlowKey, Frame, LinkType, Packet, Protocol, Skip};
#[cfg(feature = "fuzzing")]
pub(crate) use agreement::agree;
use bytes::Bytes;
pub(crate) use encapsulation::{tunnel_ports, tunnel_protocols};
pub(crate) use fast::Stack;

/// The header that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// An IPv4 header.
    Ipv4,
    /// An IPv6 header.
    Ipv6,
    /// The header that this number announces.
    Announced(Protocol),
    /// Something that the decoder of the header before does not recognise.
    Unknown,
    /// Something without a decoder, known by this number.
    Undecoded(Protocol),
}

/// A packet that the analysis does not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unused {
    /// The reason.
    pub(crate) reason: Skip,
    /// The protocol that stopped the decoder, if the packet is not TCP.
    pub(crate) protocol: Option<Protocol>,
}

impl From<Skip> for Unused {
    fn from(reason: Skip) -> Self {
        Self { reason, protocol: None }
    }
}

/// Most layers of a packet; one with more is malformed.
///
/// The deepest stacks in use (QinQ and MPLS around PPPoE around a tunnel around a tagged frame)
/// have about fifteen. Each layer removes bytes, so the loop ends anyway; the bound keeps the
/// cost of a crafted packet, such as 64 KiB of IP-in-IP headers, near that of a real one.
const MAX_LAYERS: usize = 32;

/// Decodes one frame.
///
/// The result is the innermost connection: what a tunnel carries, not the tunnel.
///
/// # Errors
///
/// The reason for not using the frame.
#[inline]
pub fn decode(frame: &Frame<'_>) -> Result<Packet, Skip> {
    let ethernet = Some(frame.data).filter(|_| frame.link == LinkType::ETHERNET);
    match ethernet.and_then(|data| usual_ipv4(data).or_else(|| usual_ipv6(data))) {
        Some(stack) => Ok(Packet::Segment(stack.segment(frame.at, frame.frame, true))),
        None => general(frame).map_err(|unused| unused.reason),
    }
}

/// Flow and flags of a segment: enough to decide whether to decode the rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glimpse {
    pub(crate) flow: FlowKey,
    pub(crate) flags: Flags,
}

/// Most bytes that the headers of the usual stacks take: Ethernet, IPv6, TCP with options.
pub(crate) const HEADERS: usize = 14 + 40 + 60;

/// Flow and flags of a segment in the usual IPv4 stack.
#[inline(always)]
pub(crate) fn glimpse_ipv4(frame: &Frame<'_>) -> Option<Glimpse> {
    let stack = (frame.link == LinkType::ETHERNET).then(|| usual_ipv4(frame.data))??;
    Some(stack.glimpse())
}

/// As [`glimpse_ipv4`], for the usual IPv6 stack.
#[inline(always)]
pub(crate) fn glimpse_ipv6(frame: &Frame<'_>) -> Option<Glimpse> {
    let stack = (frame.link == LinkType::ETHERNET).then(|| usual_ipv6(frame.data))??;
    Some(stack.glimpse())
}

/// The headers of an Ethernet frame for which [`glimpse_ipv4`] gave a result; its first [`HEADERS`] bytes
/// are enough.
///
/// `None` if the bytes have changed since then, as in a mapped file that another process truncates.
#[inline(always)]
pub(crate) fn usual_ipv4(headers: &[u8]) -> Option<Stack<'_>> {
    fast::ipv4(headers)
}

/// As [`usual_ipv4`], for [`glimpse_ipv6`].
#[inline(always)]
pub(crate) fn usual_ipv6(headers: &[u8]) -> Option<Stack<'_>> {
    fast::ipv6(headers)
}

impl LinkType {
    /// True if frames of this link type can be decoded.
    #[must_use]
    pub fn is_decoded(self) -> bool {
        encapsulation::decoder(Protocol::LinkType(self)).is_some()
    }
}

/// Decodes any stack of headers that has a decoder.
///
/// # Errors
///
/// The reason for not using the frame, and the protocol that stopped the decoder.
#[inline(never)]
pub(crate) fn general(frame: &Frame<'_>) -> Result<Packet, Unused> {
    let mut bytes = Bytes::of(frame);
    let mut announced = Protocol::LinkType(frame.link);
    let Some(decode) = encapsulation::decoder(announced) else {
        return Err(unused(Skip::UnsupportedLinkType, announced));
    };
    let mut layer = decode(&mut bytes)?;
    let mut inside_ip = false;
    for _ in 0..MAX_LAYERS {
        let datagram = match layer {
            Layer::Ipv4 => network::ipv4(&mut bytes)?,
            Layer::Ipv6 => network::ipv6(&mut bytes)?,
            Layer::Announced(protocol) => {
                announced = protocol;
                layer = match encapsulation::decoder(protocol) {
                    Some(decode) => decode(&mut bytes)?,
                    None => Layer::Undecoded(protocol),
                };
                continue;
            }
            Layer::Unknown => {
                layer = Layer::Undecoded(announced);
                continue;
            }
            // A tunnel that carries another protocol still counts as IP.
            Layer::Undecoded(protocol) => {
                return Err(unused(if inside_ip { Skip::NotTcp } else { Skip::NotIp }, protocol));
            }
        };
        inside_ip = true;
        let result = match datagram.protocol {
            ip_number::TCP => transport::tcp(frame, &datagram, &bytes).map(Packet::Segment),
            ip_number::ICMP => icmp::v4(frame, datagram.addresses, &bytes).map(Packet::Unreachable),
            ip_number::IPV6_ICMP => icmp::v6(frame, datagram.addresses, &bytes).map(Packet::Unreachable),
            tunnel_or_other => {
                if datagram.first_fragment {
                    bytes.continue_in_other_fragments();
                }
                layer = Layer::Announced(Protocol::Ip(tunnel_or_other.0));
                continue;
            }
        };
        return result.map_err(|reason| match reason {
            Skip::NotTcp => unused(reason, Protocol::Ip(datagram.protocol.0)),
            _ => reason.into(),
        });
    }
    Err(Skip::Malformed.into())
}

const fn unused(reason: Skip, protocol: Protocol) -> Unused {
    Unused { reason, protocol: Some(protocol) }
}

#[cfg(test)]
mod tests;
