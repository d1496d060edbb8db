//! The kernel's filter of a live capture: drops packets that no verdict needs, before they are copied.
//!
//! The filter selects what is **not** wanted of plain IP, and passes everything else: tags, labels and tunnels shift
//! the offsets that BPF looks at, and `vlan` or `mpls` in an expression shifts them for the rest of it.

use crate::packet::{tunnel_ports, tunnel_protocols};

/// Protocols over IPv4 whose packets may matter, besides tunnels: ICMP, TCP.
const KEPT_V4: [u8; 2] = [1, 6];
/// The same over IPv6, and the extension headers, which BPF cannot skip: hop-by-hop options, routing, fragment, AH,
/// destination options.
const KEPT_V6: [u8; 7] = [0, 6, 43, 44, 51, 58, 60];

/// Bytes of an IPv6 header, which its payload length does not count.
const V6_HEADER: u32 = 40;

/// An expression for the packets that `user` selects, without those that no verdict needs.
///
/// `mtu` is the largest IP packet that the device sends as one. A longer one was merged by offload (GRO, LRO) or is not
/// yet divided (TSO). Of these only those without SYN, FIN, RST and PSH are dropped: the middle of a bulk transfer.
/// Verdicts count retransmissions, but these are never longer than the MTU; and the end of every request and response
/// has PSH, and proves the connection as well as its middle.
pub(super) fn expression(user: Option<&str>, mtu: u32) -> String {
    let list = |protocols: &[u8], word: &str| {
        let kept = protocols.iter().copied().chain(tunnel_protocols());
        let each: Vec<String> = kept.map(|number| format!("{word} proto {number}")).collect();
        each.join(" or ")
    };
    // Of some tunnels only the client's packets have the known port as destination.
    let ports: Vec<String> = tunnel_ports().map(|port| format!("udp port {port}")).collect();
    let ports = ports.join(" or ");
    let (v4, v6) = (list(&KEPT_V4, "ip"), list(&KEPT_V6, "ip6"));
    let payload = mtu.saturating_sub(V6_HEADER);
    let mut clauses =
        vec![format!("not (ip and not ({v4} or {ports}))"), format!("not (ip6 and not ({v6} or {ports}))")];
    // A length field has 16 bits: with a larger MTU, no packet is too long.
    if mtu < u32::from(u16::MAX) {
        clauses.push(format!("not (ip and tcp and ip[2:2] > {mtu} and tcp[13] & 0x0f = 0)"));
        clauses.push(format!("not (ip6 and ip6[6] = 6 and ip6[4:2] > {payload} and ip6[53] & 0x0f = 0)"));
    }
    // The user's expression comes last: a `vlan` in it shifts the offsets of the rest.
    clauses.extend(user.map(|user| format!("({user})")));
    clauses.join(" and ")
}

/// The MTU of `device`; for `any`, the largest of all devices.
#[cfg(target_os = "linux")]
pub(super) fn mtu(device: &str) -> u32 {
    let read = |name: &std::ffi::OsStr| -> Option<u32> {
        let path = std::path::Path::new("/sys/class/net").join(name).join("mtu");
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    if device != "any" {
        return read(device.as_ref()).unwrap_or(u32::MAX);
    }
    let Ok(devices) = std::fs::read_dir("/sys/class/net") else { return u32::MAX };
    devices.flatten().map(|device| read(&device.file_name()).unwrap_or(u32::MAX)).max().unwrap_or(u32::MAX)
}

/// Unknown: nothing is too long.
#[cfg(not(target_os = "linux"))]
pub(super) fn mtu(_device: &str) -> u32 {
    u32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Filter;
    use crate::packet::{Frame, FrameRef, LinkType, Timestamp};

    /// An Ethernet frame with these bytes of an IP packet.
    fn ethernet(ether_type: u16, ip: &[u8]) -> Vec<u8> {
        [&[2; 12], ether_type.to_be_bytes().as_slice(), ip].concat()
    }

    /// IPv4 of this total length, protocol and TCP flags; captured up to the TCP header's end.
    fn v4(length: u16, protocol: u8, flags: u8) -> Vec<u8> {
        let mut ip = vec![0; 40];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&length.to_be_bytes());
        ip[9] = protocol;
        (ip[32], ip[33]) = (0x50, flags);
        ethernet(0x0800, &ip)
    }

    fn v6(length: u16, next: u8, flags: u8) -> Vec<u8> {
        let mut ip = vec![0; 60];
        ip[0] = 0x60;
        ip[4..6].copy_from_slice(&length.to_be_bytes());
        ip[6] = next;
        (ip[52], ip[53]) = (0x50, flags);
        ethernet(0x86dd, &ip)
    }

    fn udp(mut frame: Vec<u8>, ip_header: usize, port: u16) -> Vec<u8> {
        let at = 14 + ip_header + 2;
        frame[at..at + 2].copy_from_slice(&port.to_be_bytes());
        frame
    }

    fn passes(filter: &mut Filter, data: &[u8]) -> bool {
        let frame = Frame {
            at: Timestamp::default(),
            frame: FrameRef::new(0, 1),
            link: LinkType::ETHERNET,
            wire_len: u32::try_from(data.len()).unwrap(),
            data,
        };
        filter.matches(&frame).unwrap()
    }

    #[test]
    fn only_packets_that_no_verdict_needs_are_dropped() {
        const ACK: u8 = 0x10;
        const PSH: u8 = 0x08;
        let mut filter = Filter::new(&expression(None, 1500));
        let vlan = [&[2; 12], [0x81, 0, 0, 5].as_slice(), &v4(9000, 17, 0)[12..]].concat();
        for (what, frame, wanted) in [
            ("a full segment, which may be a retransmission", v4(1500, 6, ACK), true),
            ("the middle of a transfer", v4(1501, 6, ACK), false),
            ("its end", v4(9000, 6, ACK | PSH), true),
            ("a long SYN with data", v4(9000, 6, 0x02), true),
            ("ICMP", v4(100, 1, 0), true),
            ("UDP", udp(v4(1200, 17, 0), 20, 443), false),
            ("VXLAN", udp(v4(1200, 17, 0), 20, 4789), true),
            ("GRE", v4(1200, 47, 0), true),
            ("EtherIP", v4(1200, 97, 0), true),
            ("L2TP, to the client", udp(v4(1200, 17, 0), 18, 1701), true),
            ("ESP", v4(1200, 50, 0), false),
            ("a full segment over IPv6", v6(1460, 6, ACK), true),
            ("the middle of a transfer over IPv6", v6(1461, 6, ACK), false),
            ("its end over IPv6", v6(9000, 6, ACK | PSH), true),
            ("UDP over IPv6", udp(v6(1200, 17, 0), 40, 443), false),
            ("Geneve over IPv6", udp(v6(1200, 17, 0), 40, 6081), true),
            ("ICMPv6", v6(100, 58, 0), true),
            ("behind extension headers", v6(9000, 0, ACK), true),
            ("behind a VLAN tag, where BPF does not look", vlan, true),
            ("not IP", ethernet(0x8847, &[0; 40]), true),
        ] {
            assert_eq!(passes(&mut filter, &frame), wanted, "{what}");
        }
    }

    #[test]
    fn a_large_mtu_adds_no_test_of_lengths_and_the_user_s_expression_counts() {
        let mut filter = Filter::new(&expression(Some("tcp[tcpflags] & tcp-syn != 0 or icmp"), 65_536));
        assert!(!passes(&mut filter, &v4(9000, 6, 0x10)), "not selected");
        assert!(passes(&mut filter, &v4(9000, 6, 0x12)));
        assert!(passes(&mut filter, &v4(9000, 1, 0)));
        assert!(passes(&mut Filter::new(&expression(None, 65_536)), &v4(65_535, 6, 0x10)));
    }
}
