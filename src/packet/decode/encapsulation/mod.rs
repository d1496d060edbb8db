//! Encapsulations: every header between the link layer and the innermost IP header.
//!
//! Each file has one encapsulation, or one family of them. A decoder removes its header from the bytes
//! and returns the layer that follows. The functions below list the decoders by the numbers that announce
//! them; an encapsulation is added with one file here and one line for each of its numbers (and with a
//! sample in `tests/it/encapsulations/`; see `docs/ENCAPSULATIONS.md`).

mod arista;
mod bsd_loopback;
mod capwap;
mod cisco_metadata;
mod cooked;
mod erspan;
mod ether_ip;
mod ethernet;
mod fabric_path;
mod geneve;
mod gre;
mod gtp;
mod hdlc;
mod ieee80211;
mod inner_ip;
mod l2tp;
mod lisp;
mod llc;
mod macsec;
mod mpls;
mod nflog;
mod nsh;
mod pbb;
mod ppi;
mod ppp;
mod pppoe;
mod radiotap;
mod tag;
mod teredo;
mod trill;
mod tzsp;
mod udp;
mod vxlan;
mod wccp;

use super::bytes::Bytes;
use super::{Layer, Skip};
use crate::packet::{LinkType, Protocol};

/// Removes a header and returns the layer after it.
///
/// Returns [`Layer::Unknown`] if the header is not as its specification demands, or announces
/// something that no decoder can handle.
pub(super) type Decoder = fn(&mut Bytes<'_>) -> Result<Layer, Skip>;

/// Link types.
fn link_type(link: LinkType) -> Option<Decoder> {
    Some(match link {
        LinkType::ETHERNET => ethernet::decode,
        LinkType::NULL => bsd_loopback::host_order,
        LinkType::LOOP => bsd_loopback::network_order,
        LinkType::LINUX_SLL => cooked::v1,
        LinkType::LINUX_SLL2 => cooked::v2,
        LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 => inner_ip::by_version,
        LinkType::IPV4 => inner_ip::v4,
        LinkType::IPV6 => inner_ip::v6,
        LinkType::PPP => ppp::decode,
        LinkType::PPP_SERIAL | LinkType::C_HDLC => hdlc::decode,
        LinkType::PPP_ETHER => pppoe::decode,
        LinkType::IEEE802_11 => ieee80211::decode,
        LinkType::IEEE802_11_RADIOTAP => radiotap::decode,
        LinkType::PPI => ppi::decode,
        LinkType::NFLOG => nflog::decode,
        _ => return None,
    })
}

/// EtherTypes, also as protocol types of GRE and Geneve.
fn ether_type(number: u16) -> Option<Decoder> {
    Some(match number {
        0x0800 => inner_ip::v4,
        0x86dd => inner_ip::v6,
        // 802.1Q, 802.1ad, and the number in use before 802.1ad.
        0x8100 | 0x88a8 | 0x9100 => tag::decode::<2>,
        0x8847 | 0x8848 => mpls::decode,
        0x8864 => pppoe::decode,
        // Transparent Ethernet bridging (RFC 1701, RFC 8926 §3.4).
        0x6558 => ethernet::decode,
        // An LLC header in a jumbo frame, whose length does not fit a length field.
        0x8870 => llc::decode,
        0x880b => ppp::decode,
        0x883e => wccp::decode,
        0x88be | 0x22eb => erspan::decode,
        0x22f3 => trill::decode,
        0x88e5 => macsec::decode,
        0x88e7 => pbb::decode,
        0x8903 => fabric_path::decode,
        0x8909 => cisco_metadata::decode,
        // VN-Tag, the E-tag of 802.1BR, the HSR tag of IEC 62439-3.
        0x8926 => tag::decode::<4>,
        0x893f => tag::decode::<6>,
        0x892f => tag::decode::<4>,
        0x894f => nsh::decode,
        0xd28b => arista::decode,
        _ => return None,
    })
}

/// PPP protocol numbers.
fn ppp_protocol(number: u16) -> Option<Decoder> {
    Some(match number {
        0x0021 => inner_ip::v4,
        0x0057 => inner_ip::v6,
        0x0281 | 0x0283 => mpls::decode,
        _ => return None,
    })
}

const UDP: u8 = 17;

/// IP protocol numbers, except for TCP and ICMP.
fn ip_protocol(number: u8) -> Option<Decoder> {
    Some(match number {
        UDP => udp::decode,
        4 => inner_ip::v4,
        41 => inner_ip::v6,
        47 => gre::decode,
        97 => ether_ip::decode,
        115 => l2tp::over_ip,
        137 => mpls::decode,
        _ => return None,
    })
}

/// UDP ports of tunnels.
///
/// Ordinary UDP may use these ports too, as client ports at least, so these decoders return
/// [`Layer::Unknown`] if the header is not plausible.
fn udp_port(number: u16) -> Option<Decoder> {
    Some(match number {
        1701 => l2tp::over_udp,
        2152 => gtp::decode,
        3544 => teredo::decode,
        4341 => lisp::decode,
        // The registered port, and the one that Linux defaults to (`vxlan_port` in vxlan_core.c).
        4789 | 8472 => vxlan::decode,
        4790 => vxlan::gpe,
        5247 => capwap::decode,
        6081 => geneve::decode,
        6635 => mpls::plausible,
        37008 => tzsp::decode,
        _ => return None,
    })
}

/// The decoder of the header that `protocol` announces.
#[inline]
pub(super) fn decoder(protocol: Protocol) -> Option<Decoder> {
    match protocol {
        Protocol::LinkType(link) => link_type(link),
        Protocol::EtherType(number) => ether_type(number),
        Protocol::Ppp(number) => ppp_protocol(number),
        Protocol::Ip(number) => ip_protocol(number),
        Protocol::UdpPort(number) => udp_port(number),
        Protocol::Llc(_) => None,
    }
}

/// The IP protocols of tunnels, other than UDP.
pub(crate) fn tunnel_protocols() -> impl Iterator<Item = u8> {
    (0..=u8::MAX).filter(|&number| number != UDP && ip_protocol(number).is_some())
}

/// The UDP ports of tunnels.
pub(crate) fn tunnel_ports() -> impl Iterator<Item = u16> {
    (0..=u16::MAX).filter(|&number| udp_port(number).is_some())
}
