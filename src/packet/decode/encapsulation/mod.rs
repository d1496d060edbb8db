//! Encapsulations: every header between the link layer and the innermost IP header.
//!
//! Each file has one encapsulation, or one family of them. A decoder removes its header from the bytes
//! and returns the layer that follows. The tables below list the decoders by the numbers that announce
//! them; an encapsulation is added with one file here and one line for each of its numbers (and with a
//! capture in `tests/it/encapsulations/`; see `docs/ENCAPSULATIONS.md`).

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

/// Link types, except for those without a link header.
const LINK_TYPES: &[(LinkType, Decoder)] = &[
    (LinkType::ETHERNET, ethernet::decode),
    (LinkType::NULL, bsd_loopback::host_order),
    (LinkType::LOOP, bsd_loopback::network_order),
    (LinkType::LINUX_SLL, cooked::v1),
    (LinkType::LINUX_SLL2, cooked::v2),
    (LinkType::RAW, inner_ip::by_version),
    (LinkType::RAW_12, inner_ip::by_version),
    (LinkType::RAW_14, inner_ip::by_version),
    (LinkType::IPV4, |_| Ok(Layer::Ipv4)),
    (LinkType::IPV6, |_| Ok(Layer::Ipv6)),
    (LinkType::PPP, ppp::decode),
    (LinkType::PPP_SERIAL, hdlc::decode),
    (LinkType::PPP_ETHER, pppoe::decode),
    (LinkType::C_HDLC, hdlc::decode),
    (LinkType::IEEE802_11, ieee80211::decode),
    (LinkType::IEEE802_11_RADIOTAP, radiotap::decode),
    (LinkType::PPI, ppi::decode),
    (LinkType::NFLOG, nflog::decode),
];

/// EtherTypes, also as protocol types of GRE and Geneve.
const ETHER_TYPES: &[(u16, Decoder)] = &[
    (0x0800, |_| Ok(Layer::Ipv4)),
    (0x86dd, |_| Ok(Layer::Ipv6)),
    // 802.1Q, 802.1ad, and the number in use before 802.1ad.
    (0x8100, tag::decode::<2>),
    (0x88a8, tag::decode::<2>),
    (0x9100, tag::decode::<2>),
    (0x8847, mpls::decode),
    (0x8848, mpls::decode),
    (0x8864, pppoe::decode),
    // Transparent Ethernet bridging (RFC 1701, RFC 8926 §3.4).
    (0x6558, ethernet::decode),
    // An LLC header in a jumbo frame, whose length does not fit a length field.
    (0x8870, llc::decode),
    (0x880b, ppp::decode),
    (0x883e, wccp::decode),
    (0x88be, erspan::decode),
    (0x22eb, erspan::decode),
    (0x22f3, trill::decode),
    (0x88e5, macsec::decode),
    (0x88e7, pbb::decode),
    (0x8903, fabric_path::decode),
    (0x8909, cisco_metadata::decode),
    // VN-Tag, the E-tag of 802.1BR, the HSR tag of IEC 62439-3.
    (0x8926, tag::decode::<4>),
    (0x893f, tag::decode::<6>),
    (0x892f, tag::decode::<4>),
    (0x894f, nsh::decode),
    (0xd28b, arista::decode),
];

/// PPP protocol numbers.
const PPP_PROTOCOLS: &[(u16, Decoder)] = &[
    (0x0021, |_| Ok(Layer::Ipv4)),
    (0x0057, |_| Ok(Layer::Ipv6)),
    (0x0281, mpls::decode),
    (0x0283, mpls::decode),
];

/// IP protocol numbers, except for TCP and ICMP.
const IP_PROTOCOLS: &[(u8, Decoder)] = &[
    (17, udp::decode),
    (4, |_| Ok(Layer::Ipv4)),
    (41, |_| Ok(Layer::Ipv6)),
    (47, gre::decode),
    (97, ether_ip::decode),
    (115, l2tp::over_ip),
    (137, mpls::decode),
];

/// UDP ports of tunnels.
///
/// Ordinary UDP may use these ports too, as client ports at least, so these decoders return
/// [`Layer::Unknown`] if the header is not plausible.
const UDP_PORTS: &[(u16, Decoder)] = &[
    (1701, l2tp::over_udp),
    (2152, gtp::decode),
    (3544, teredo::decode),
    (4341, lisp::decode),
    // The registered port, and the one that Linux defaults to (`vxlan_port` in vxlan_core.c).
    (4789, vxlan::decode),
    (8472, vxlan::decode),
    (4790, vxlan::gpe),
    (5247, capwap::decode),
    (6081, geneve::decode),
    (6635, mpls::plausible),
    (37008, tzsp::decode),
];

/// The IP protocols of tunnels, other than UDP.
pub(crate) fn tunnel_protocols() -> impl Iterator<Item = u8> {
    const UDP: u8 = 17;
    IP_PROTOCOLS.iter().map(|&(protocol, _)| protocol).filter(|&protocol| protocol != UDP)
}

/// The UDP ports of tunnels.
pub(crate) fn tunnel_ports() -> impl Iterator<Item = u16> {
    UDP_PORTS.iter().map(|&(port, _)| port)
}

/// The decoder of the header that `protocol` announces.
pub(super) fn decoder(protocol: Protocol) -> Option<Decoder> {
    match protocol {
        Protocol::LinkType(link) => find(LINK_TYPES, link),
        Protocol::EtherType(number) => find(ETHER_TYPES, number),
        Protocol::Ppp(number) => find(PPP_PROTOCOLS, number),
        Protocol::Ip(number) => find(IP_PROTOCOLS, number),
        Protocol::UdpPort(number) => find(UDP_PORTS, number),
        Protocol::Llc(_) => None,
    }
}

fn find<N: Copy + PartialEq>(table: &[(N, Decoder)], number: N) -> Option<Decoder> {
    table.iter().find(|(listed, _)| *listed == number).map(|&(_, decoder)| decoder)
}
