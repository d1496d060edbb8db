//! The numbers by which headers announce what they carry.

use std::fmt;

use super::LinkType;

/// A number by which a file or a header announces the next header.
///
/// Names the protocol of packets that are not decoded; open number spaces, so any value occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// The link type of the capture.
    LinkType(LinkType),
    /// An EtherType, also in a tunnel.
    EtherType(u16),
    /// The destination service access point of an LLC header (IEEE 802.2).
    Llc(u8),
    /// A PPP protocol number (RFC 1661 §2).
    Ppp(u16),
    /// An IP protocol number.
    Ip(u8),
    /// A UDP port: of a tunnel, or the lower one of the two.
    UdpPort(u16),
}

impl Protocol {
    /// The usual name of a common protocol, for people.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let name = match self {
            Self::LinkType(link) => return link.name(),
            Self::EtherType(0x0806) => "ARP",
            Self::EtherType(0x88cc) => "LLDP",
            Self::EtherType(0x8863) => "PPPoE discovery",
            Self::EtherType(0x888e) => "802.1X",
            Self::EtherType(0x88e5) => "MACsec, encrypted",
            Self::Llc(0x42) => "spanning tree",
            Self::Ip(1) => "ICMP",
            Self::Ip(2) => "IGMP",
            Self::Ip(50) => "ESP, encrypted",
            Self::Ip(58) => "ICMPv6",
            Self::Ip(89) => "OSPF",
            Self::Ip(112) => "VRRP",
            Self::Ip(132) => "SCTP",
            Self::UdpPort(53) => "DNS",
            Self::UdpPort(67 | 68) => "DHCP",
            Self::UdpPort(123) => "NTP",
            Self::UdpPort(161) => "SNMP",
            Self::UdpPort(443) => "QUIC",
            Self::UdpPort(500 | 4500) => "IPsec",
            Self::UdpPort(514) => "syslog",
            Self::UdpPort(5353) => "mDNS",
            Self::UdpPort(51820) => "WireGuard, encrypted",
            _ => return None,
        };
        Some(name)
    }

    /// True if packets of it may carry TCP that is not decoded: an unknown protocol, or a tunnel that is encrypted.
    #[must_use]
    pub fn may_carry_tcp(self) -> bool {
        let encrypted = matches!(self, Self::EtherType(0x88e5) | Self::Ip(50) | Self::UdpPort(4500 | 51820));
        encrypted || self.name().is_none()
    }
}

impl fmt::Display for Protocol {
    /// `EtherType 0x8909`, `IP protocol 89`, `UDP port 4789`, `link type 147`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkType(link) => write!(f, "link type {}", link.0),
            Self::EtherType(number) => write!(f, "EtherType 0x{number:04x}"),
            Self::Llc(number) => write!(f, "LLC SAP 0x{number:02x}"),
            Self::Ppp(number) => write!(f, "PPP protocol 0x{number:04x}"),
            Self::Ip(number) => write!(f, "IP protocol {number}"),
            Self::UdpPort(number) => write!(f, "UDP port {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_their_usual_base() {
        let shown = [
            (Protocol::LinkType(LinkType(147)), "link type 147"),
            (Protocol::EtherType(0x806), "EtherType 0x0806"),
            (Protocol::Llc(0x42), "LLC SAP 0x42"),
            (Protocol::Ppp(0xc021), "PPP protocol 0xc021"),
            (Protocol::Ip(89), "IP protocol 89"),
            (Protocol::UdpPort(4789), "UDP port 4789"),
        ];
        for (protocol, text) in shown {
            assert_eq!(protocol.to_string(), text);
        }
    }

    #[test]
    fn encrypted_tunnels_and_unknown_protocols_may_carry_tcp() {
        let all = [Protocol::Ip(50), Protocol::UdpPort(51820), Protocol::UdpPort(1), Protocol::UdpPort(53)];
        assert_eq!(all.map(Protocol::may_carry_tcp), [true, true, true, false]);
    }
}
