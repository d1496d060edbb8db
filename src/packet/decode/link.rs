//! Link headers, and the headers between them and IP: VLAN, MPLS, PPPoE, PPP.

use etherparse::{EtherType, Ethernet2HeaderSlice, SingleVlanHeaderSlice};

use super::bytes::Bytes;
use super::{Layer, LinkType, Skip};

/// MPLS unicast (RFC 3032 §5); with upstream-assigned labels or multicast (RFC 5332).
const MPLS: [EtherType; 2] = [EtherType(0x8847), EtherType(0x8848)];
/// PPPoE session stage (RFC 2516 §4).
const PPPOE_SESSION: EtherType = EtherType(0x8864);
/// Transparent Ethernet bridging: an Ethernet frame inside a tunnel (RFC 1701, RFC 8926 §3.4).
const TRANSPARENT_ETHERNET: EtherType = EtherType(0x6558);

/// The first layer of a frame of this link type; removes headers that only the link type has.
pub(super) fn first(link: LinkType, bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    match link {
        LinkType::ETHERNET => Ok(Layer::Ethernet),
        LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 => Ok(Layer::Ip),
        LinkType::IPV4 => Ok(Layer::Ipv4),
        LinkType::IPV6 => Ok(Layer::Ipv6),
        LinkType::NULL => bytes.take().map(|family| {
            // In the byte order of the capturing host, which the file does not give. Address families
            // are below 0x10000, so a larger value has the other byte order.
            let value = u32::from_be_bytes(*family);
            address_family(if value > 0xffff { value.swap_bytes() } else { value })
        }),
        LinkType::LOOP => bytes.take().map(|family| address_family(u32::from_be_bytes(*family))),
        LinkType::LINUX_SLL => {
            let &[_, _, h0, h1, _, _, _, _, _, _, _, _, _, _, p0, p1] = bytes.take::<16>()?;
            Ok(cooked(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1])))
        }
        LinkType::LINUX_SLL2 => {
            let &[p0, p1, _, _, _, _, _, _, h0, h1, ..] = bytes.take::<20>()?;
            Ok(cooked(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1])))
        }
        LinkType::PPP => {
            // Address and control field of HDLC-like framing (RFC 1662 §3.1). No protocol number
            // begins with that address.
            if bytes.data().first() == Some(&0xff) {
                bytes.skip(2)?;
            }
            Ok(Layer::Ppp)
        }
        _ => Err(Skip::UnsupportedLinkType),
    }
}

/// The layer that a BSD loopback header announces.
const fn address_family(family: u32) -> Layer {
    match family {
        2 => Layer::Ipv4,
        // AF_INET6 of Linux; NetBSD, OpenBSD and BSD/OS; FreeBSD and DragonFly; macOS.
        10 | 24 | 28 | 30 => Layer::Ipv6,
        _ => Layer::Foreign,
    }
}

/// The layer that a Linux cooked header announces.
///
/// Not decoded by etherparse: its `LinuxSllHeaderSlice` accepts five hardware types, but not those of
/// loopback, TUN and PPP interfaces, and it does not support v2.
const fn cooked(hardware: u16, protocol: u16) -> Layer {
    // ARPHRD_FRAD, ARPHRD_IEEE80211_RADIOTAP and ARPHRD_NETLINK: the protocol field is no EtherType.
    // (For ARPHRD_IPGRE it is the GRE protocol type, which is one.)
    if matches!(hardware, 770 | 803 | 824) {
        return Layer::Foreign;
    }
    Layer::EtherType(EtherType(protocol))
}

/// Removes an Ethernet header.
pub(super) fn ethernet(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let header = Ethernet2HeaderSlice::from_slice(bytes.data()).map_err(|error| bytes.too_short(&error))?;
    bytes.skip(header.slice().len())?;
    Ok(Layer::EtherType(header.ether_type()))
}

/// The layer that an EtherType announces; removes a tag.
///
/// Values below 0x600 are the length of an 802.3 frame, whose LLC header never announces IP in practice.
pub(super) fn ether_type(ether_type: EtherType, bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    match ether_type {
        EtherType::IPV4 => Ok(Layer::Ipv4),
        EtherType::IPV6 => Ok(Layer::Ipv6),
        EtherType::VLAN_TAGGED_FRAME | EtherType::PROVIDER_BRIDGING | EtherType::VLAN_DOUBLE_TAGGED_FRAME => {
            vlan(bytes)
        }
        TRANSPARENT_ETHERNET => Ok(Layer::Ethernet),
        PPPOE_SESSION => pppoe(bytes),
        mpls_or_other if MPLS.contains(&mpls_or_other) => mpls(bytes),
        _ => Ok(Layer::Foreign),
    }
}

/// Removes an 802.1Q or 802.1ad tag.
fn vlan(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let tag = SingleVlanHeaderSlice::from_slice(bytes.data()).map_err(|error| bytes.too_short(&error))?;
    bytes.skip(tag.slice().len())?;
    Ok(Layer::EtherType(tag.ether_type()))
}

/// Removes a label stack (RFC 3032 §2.1).
///
/// The stack does not announce its payload, so the first nibble decides, as in other decoders (RFC 4928
/// §3 keeps other payloads from looking like IP).
fn mpls(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const BOTTOM_OF_STACK: u8 = 1;
    loop {
        let &[_, _, label_end, _ttl] = bytes.take()?;
        if label_end & BOTTOM_OF_STACK != 0 {
            return Ok(Layer::Ip);
        }
    }
}

/// Removes a PPPoE session header (RFC 2516 §4).
fn pppoe(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const VERSION_1_TYPE_1: u8 = 0x11;
    const SESSION_DATA: u8 = 0;
    let &[version_type, code, _, _, l0, l1] = bytes.take()?;
    if version_type != VERSION_1_TYPE_1 || code != SESSION_DATA {
        return Err(Skip::Malformed);
    }
    bytes.limit(usize::from(u16::from_be_bytes([l0, l1])));
    Ok(Layer::Ppp)
}

/// Removes a PPP protocol field of two bytes, or of one if compressed (RFC 1661 §6.5).
pub(super) fn ppp(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[first] = bytes.take()?;
    // The low bit of the last byte, and only of that, is set (RFC 1661 §2).
    let protocol = if first & 1 == 1 {
        u16::from(first)
    } else {
        let &[second] = bytes.take()?;
        u16::from_be_bytes([first, second])
    };
    match protocol {
        0x0021 => Ok(Layer::Ipv4),
        0x0057 => Ok(Layer::Ipv6),
        0x0281 | 0x0283 => mpls(bytes),
        _ => Ok(Layer::Foreign),
    }
}
