//! Link types, as libpcap numbers and names them.

use std::fmt;

/// A link type (`LINKTYPE_*` of the capture file formats).
///
/// An open number space: a file may contain any 16-bit value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback, address family in the byte order of the capturing host.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP, with or without HDLC framing.
    pub const PPP: Self = Self(9);
    /// Raw IP as DLT number 12 (most systems).
    pub const RAW_12: Self = Self(12);
    /// Raw IP as DLT number 14 (OpenBSD).
    pub const RAW_14: Self = Self(14);
    /// Raw IP, the registered number.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback, address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture v1.
    pub const LINUX_SLL: Self = Self(113);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture v2.
    pub const LINUX_SLL2: Self = Self(276);

    /// libpcap's name (`EN10MB`, `LINUX_SLL2` …), or `None` for a link type without a decoder.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::NULL => Some("NULL"),
            Self::ETHERNET => Some("EN10MB"),
            Self::PPP => Some("PPP"),
            Self::RAW_12 | Self::RAW_14 | Self::RAW => Some("RAW"),
            Self::LOOP => Some("LOOP"),
            Self::LINUX_SLL => Some("LINUX_SLL"),
            Self::IPV4 => Some("IPV4"),
            Self::IPV6 => Some("IPV6"),
            Self::LINUX_SLL2 => Some("LINUX_SLL2"),
            _ => None,
        }
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => match UNDECODED.iter().find(|(number, _)| *number == self.0) {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "LINKTYPE_{}", self.0),
            },
        }
    }
}

/// Names of link types without a decoder, from libpcap (<https://www.tcpdump.org/linktypes.html>).
const UNDECODED: &[(u16, &str)] = &[
    (6, "IEEE802"),
    (10, "FDDI"),
    (50, "PPP_SERIAL"),
    (51, "PPP_ETHER"),
    (104, "C_HDLC"),
    (105, "IEEE802_11"),
    (107, "FRELAY"),
    (117, "PFLOG"),
    (119, "PRISM_HEADER"),
    (127, "IEEE802_11_RADIO"),
    (143, "DOCSIS"),
    (163, "IEEE802_11_RADIO_AVS"),
    (166, "PPP_WITH_DIR"),
    (187, "BLUETOOTH_HCI_H4"),
    (189, "USB_LINUX"),
    (192, "PPI"),
    (195, "IEEE802_15_4_WITHFCS"),
    (201, "BLUETOOTH_HCI_H4_WITH_PHDR"),
    (220, "USB_LINUX_MMAPPED"),
    (226, "IPNET"),
    (227, "CAN_SOCKETCAN"),
    (239, "NFLOG"),
    (242, "IPOIB"),
    (247, "INFINIBAND"),
    (249, "USBPCAP"),
    (252, "WIRESHARK_UPPER_PDU"),
    (253, "NETLINK"),
    (258, "PKTAP"),
    (271, "VSOCK"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_name() {
        assert_eq!(LinkType::ETHERNET.to_string(), "EN10MB");
        assert_eq!(LinkType(127).to_string(), "IEEE802_11_RADIO");
        assert_eq!(LinkType(147).to_string(), "LINKTYPE_147");
        let numbers = UNDECODED.iter().map(|&(number, _)| LinkType(number));
        assert!(numbers.clone().all(|link| link.name().is_none()), "those have a decoder");
        assert!(numbers.clone().zip(numbers.skip(1)).all(|(one, next)| one.0 < next.0));
    }
}
