//! Link types, as libpcap numbers and names them.

use std::fmt;

/// A link type (`LINKTYPE_*` of the capture file formats).
///
/// An open number space: a file may contain any 16-bit value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// PPP in HDLC-like framing, or Cisco HDLC.
    pub const PPP_SERIAL: Self = Self(50);
    /// PPPoE session frames without their Ethernet header.
    pub const PPP_ETHER: Self = Self(51);
    /// Cisco HDLC.
    pub const C_HDLC: Self = Self(104);
    /// 802.11.
    pub const IEEE802_11: Self = Self(105);
    /// Linux cooked capture v1.
    pub const LINUX_SLL: Self = Self(113);
    /// 802.11 with a radiotap header.
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    /// Per-packet information, before a frame of another link type.
    pub const PPI: Self = Self(192);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux netfilter's log.
    pub const NFLOG: Self = Self(239);
    /// Linux cooked capture v2.
    pub const LINUX_SLL2: Self = Self(276);

    /// libpcap's name (`EN10MB`, `LINUX_SLL2` …), if listed here.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(number, _)| *number == self.0).map(|&(_, name)| name)
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "LINKTYPE_{}", self.0),
        }
    }
}

/// Names of common link types, with or without a decoder (<https://www.tcpdump.org/linktypes.html>).
const NAMES: &[(u16, &str)] = &[
    (0, "NULL"),
    (1, "EN10MB"),
    (6, "IEEE802"),
    (9, "PPP"),
    (10, "FDDI"),
    (12, "RAW"),
    (14, "RAW"),
    (50, "PPP_SERIAL"),
    (51, "PPP_ETHER"),
    (101, "RAW"),
    (104, "C_HDLC"),
    (105, "IEEE802_11"),
    (107, "FRELAY"),
    (108, "LOOP"),
    (113, "LINUX_SLL"),
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
    (228, "IPV4"),
    (229, "IPV6"),
    (239, "NFLOG"),
    (242, "IPOIB"),
    (247, "INFINIBAND"),
    (249, "USBPCAP"),
    (252, "WIRESHARK_UPPER_PDU"),
    (253, "NETLINK"),
    (258, "PKTAP"),
    (271, "VSOCK"),
    (276, "LINUX_SLL2"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_name() {
        assert_eq!(LinkType::ETHERNET.to_string(), "EN10MB");
        assert_eq!(LinkType(163).to_string(), "IEEE802_11_RADIO_AVS");
        assert_eq!(LinkType(147).to_string(), "LINKTYPE_147");
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let decoded = (0..=u16::MAX).map(LinkType).filter(|link| link.is_decoded());
        assert!(decoded.clone().all(|link| link.name().is_some()));
        assert_eq!(decoded.count(), 18);
    }
}
