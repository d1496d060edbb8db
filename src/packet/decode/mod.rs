//! From bytes to [`Packet`].
//!
//! Owns every header between the first captured octet and the TCP options: link types, tags,
//! tunnels, IP, TCP and the ICMP errors that quote TCP. Does not own reassembly (a fragment or a
//! segment stands for itself) nor checksums: offload leaves them unset in most captures taken on
//! the sending host, so they say nothing.
//!
//! Two paths lead to the same result. `fast` knows the stacks that nearly every packet has and gives
//! up on anything else; `general` walks any stack, one [`Layer`] at a time. A test holds them to
//! agree on every input.

mod bytes;
mod fast;
mod icmp;
mod link;
mod network;
mod options;
mod transport;
mod tunnel;

use std::ops::Deref;

use etherparse::{EtherType, ip_number};

use super::{Flags, FlowKey, FrameRef, LinkType, Packet, Shared, Skip, Timestamp};
use bytes::Bytes;
pub(crate) use fast::Stack;

/// A captured frame, still bytes.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// When it was captured.
    pub at: Timestamp,
    /// Which packet of which capture it is.
    pub frame: FrameRef,
    /// How `data` begins.
    pub link: LinkType,
    /// Octets on the wire; `data` may be shorter (snap length).
    pub wire_len: u32,
    /// The captured octets.
    pub data: &'a [u8],
}

/// Frames that follow one another in one capture, and lie in memory together.
#[derive(Debug, Clone, Copy)]
pub struct Frames<'a> {
    frames: &'a [Frame<'a>],
    shared: Option<&'a Shared>,
}

impl<'a> Frames<'a> {
    /// Frames whose data does not outlive them.
    #[must_use]
    pub const fn new(frames: &'a [Frame<'a>]) -> Self {
        Self { frames, shared: None }
    }

    /// Frames whose data is part of `shared`, if that can be kept.
    #[must_use]
    pub const fn within(shared: Option<&'a Shared>, frames: &'a [Frame<'a>]) -> Self {
        Self { frames, shared }
    }

    /// What their data is part of, where that can be kept.
    #[must_use]
    pub const fn shared(&self) -> Option<&'a Shared> {
        self.shared
    }
}

impl<'a> Deref for Frames<'a> {
    type Target = [Frame<'a>];

    fn deref(&self) -> &Self::Target {
        self.frames
    }
}

/// The header that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// An Ethernet II or 802.3 header.
    Ethernet,
    /// What this EtherType announces.
    EtherType(EtherType),
    /// A PPP protocol field.
    Ppp,
    /// IP of the version that the first nibble says, where nothing announced it.
    Ip,
    /// An IPv4 header.
    Ipv4,
    /// An IPv6 header.
    Ipv6,
    /// Something that is neither IP nor known to hold it.
    Foreign,
}

/// How many layers a packet may have before it is called malformed.
///
/// The deepest stacks in use (QinQ and MPLS around PPPoE around a tunnel around a tagged frame)
/// have about fifteen. Each layer consumes octets, so the walk ends anyway; the bound keeps the
/// cost of a crafted packet, 64 KiB of nothing but IP-in-IP headers, near that of a real one.
const MAX_LAYERS: usize = 32;

/// Decodes one frame.
///
/// The innermost connection is the one that counts: what a tunnel carries, not the tunnel.
///
/// # Errors
///
/// The reason why the analysis cannot use the frame.
#[inline]
pub fn decode(frame: &Frame<'_>) -> Result<Packet, Skip> {
    let ethernet = Some(frame.data).filter(|_| frame.link == LinkType::ETHERNET);
    match ethernet.and_then(|data| usual_ipv4(data).or_else(|| usual_ipv6(data))) {
        Some(stack) => Ok(Packet::Segment(stack.segment(frame.at, frame.frame))),
        None => general(frame),
    }
}

/// What a look at a segment tells: enough to know whether more of it is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glimpse {
    pub(crate) flow: FlowKey,
    pub(crate) flags: Flags,
}

/// So many octets of a frame hold all headers of the usual stacks: Ethernet, IPv6 or IPv4, TCP with options.
pub(crate) const HEADERS: usize = 14 + 40 + 60;

/// Looks at a segment in the IPv4 stack that nearly every segment has.
#[inline(always)]
pub(crate) fn glimpse_ipv4(frame: &Frame<'_>) -> Option<Glimpse> {
    let stack = (frame.link == LinkType::ETHERNET).then(|| usual_ipv4(frame.data))??;
    Some(stack.glimpse())
}

/// As [`glimpse_ipv4`], in the IPv6 stack.
#[inline(always)]
pub(crate) fn glimpse_ipv6(frame: &Frame<'_>) -> Option<Glimpse> {
    let stack = (frame.link == LinkType::ETHERNET).then(|| usual_ipv6(frame.data))??;
    Some(stack.glimpse())
}

/// The headers of an Ethernet frame of which there was a [`glimpse_ipv4`], to be decoded; [`HEADERS`] octets of it are
/// enough.
///
/// `None` where the octets are no longer what they were then: a file that shrinks under its map.
#[inline(always)]
pub(crate) fn usual_ipv4(headers: &[u8]) -> Option<Stack<'_>> {
    fast::ipv4(headers)
}

/// As [`usual_ipv4`], of a [`glimpse_ipv6`].
#[inline(always)]
pub(crate) fn usual_ipv6(headers: &[u8]) -> Option<Stack<'_>> {
    fast::ipv6(headers)
}

/// Decodes any stack of headers that has a decoder.
///
/// # Errors
///
/// The reason why the analysis cannot use the frame.
#[inline(never)]
pub(crate) fn general(frame: &Frame<'_>) -> Result<Packet, Skip> {
    let mut bytes = Bytes::of(frame);
    let mut layer = link::first(frame.link, &mut bytes)?;
    let mut inside_ip = false;
    for _ in 0..MAX_LAYERS {
        let datagram = match layer {
            Layer::Ethernet => {
                layer = link::ethernet(&mut bytes)?;
                continue;
            }
            Layer::EtherType(ether_type) => {
                layer = link::ether_type(ether_type, &mut bytes)?;
                continue;
            }
            Layer::Ppp => {
                layer = link::ppp(&mut bytes)?;
                continue;
            }
            Layer::Ip => {
                layer = network::version(&bytes)?;
                continue;
            }
            // A tunnel that carries something else is still IP.
            Layer::Foreign => return Err(if inside_ip { Skip::NotTcp } else { Skip::NotIp }),
            Layer::Ipv4 => network::ipv4(&mut bytes)?,
            Layer::Ipv6 => network::ipv6(&mut bytes)?,
        };
        inside_ip = true;
        layer = match datagram.protocol {
            ip_number::TCP => return transport::tcp(frame, &datagram, &bytes).map(Packet::Segment),
            ip_number::ICMP => return icmp::v4(frame, &bytes).map(Packet::Unreachable),
            ip_number::IPV6_ICMP => return icmp::v6(frame, &bytes).map(Packet::Unreachable),
            ip_number::UDP => tunnel::udp(&mut bytes)?,
            ip_number::GRE => tunnel::gre(&mut bytes)?,
            ip_number::IPV4 => Layer::Ipv4,
            ip_number::IPV6 => Layer::Ipv6,
            _ => Layer::Foreign,
        };
    }
    Err(Skip::Malformed)
}

#[cfg(test)]
mod tests;
