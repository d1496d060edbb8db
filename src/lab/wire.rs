//! Sender and handshake step of a packet on the path.

use etherparse::{SlicedPacket, TransportSlice};

/// A TCP packet on the path, as far as the path cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathStep {
    /// The client's port: the end that is not the listener.
    pub(super) client_port: u16,
    /// The end that sent it.
    pub(super) sender: PathEnd,
    /// The step.
    pub(super) kind: StepKind,
}

/// The end that sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathEnd {
    /// The connecting end.
    Client,
    /// The listening end.
    Server,
}

/// Steps of a handshake that a path can treat specially.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    /// SYN alone.
    Syn,
    /// SYN with ACK.
    SynAck,
    /// ACK without payload, SYN, FIN or RST.
    BareAck,
    /// Anything else.
    Other,
}

/// Reads a packet that starts with its IP header; `None` where it is not TCP to or from `server_port`.
#[must_use]
pub(super) fn step(packet: &[u8], server_port: u16) -> Option<PathStep> {
    let sliced = SlicedPacket::from_ip(packet).ok()?;
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
        return None;
    };
    let (source, destination) = (tcp.source_port(), tcp.destination_port());
    let (sender, client_port) = if destination == server_port {
        (PathEnd::Client, source)
    } else if source == server_port {
        (PathEnd::Server, destination)
    } else {
        return None;
    };
    let kind = match (tcp.syn(), tcp.ack()) {
        (true, false) => StepKind::Syn,
        (true, true) => StepKind::SynAck,
        (false, true) if !tcp.fin() && !tcp.rst() && tcp.payload().is_empty() => StepKind::BareAck,
        (false, _) => StepKind::Other,
    };
    Some(PathStep { client_port, sender, kind })
}

/// Exchanges source and destination address; `false` where there are none.
///
/// No checksum changes: the IPv4 header checksum and the TCP pseudo-header's are sums of 16-bit words
/// (RFC 1071), in which the order of the two addresses does not count.
#[must_use]
pub(super) fn swap_addresses(packet: &mut [u8]) -> bool {
    let (start, size) = match packet.first().map(|byte| byte >> 4) {
        Some(4) => (12, 4),
        Some(6) => (8, 16),
        _ => return false,
    };
    let Some(addresses) = packet.get_mut(start..start + 2 * size) else {
        return false;
    };
    let (source, destination) = addresses.split_at_mut(size);
    source.swap_with_slice(destination);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{PacketBuilder, TcpHeaderSlice};

    fn syn(v6: bool) -> Vec<u8> {
        let builder = if v6 {
            PacketBuilder::ipv6([1; 16], [2; 16], 64)
        } else {
            PacketBuilder::ipv4([10, 9, 0, 1], [10, 9, 0, 2], 64)
        };
        let mut packet = Vec::new();
        builder.tcp(40000, 7777, 5, 1024).syn().write(&mut packet, b"").unwrap();
        packet
    }

    #[test]
    fn swapping_keeps_every_checksum_right() {
        for v6 in [false, true] {
            let mut packet = syn(v6);
            let before = packet.clone();
            assert!(swap_addresses(&mut packet));
            assert_ne!(packet, before);
            let swapped = packet.clone();
            let sliced = SlicedPacket::from_ip(&swapped).unwrap();
            let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("no TCP in {packet:?}") };
            let header = TcpHeaderSlice::from_slice(tcp.slice()).unwrap();
            let expected = match sliced.net.as_ref().unwrap() {
                etherparse::NetSlice::Ipv4(ip) => {
                    let header = ip.header().to_header();
                    assert_eq!(header.header_checksum, header.calc_header_checksum());
                    tcp.calc_checksum_ipv4(header.source, header.destination).unwrap()
                }
                etherparse::NetSlice::Ipv6(ip) => {
                    let header = ip.header().to_header();
                    tcp.calc_checksum_ipv6(header.source, header.destination).unwrap()
                }
                other => panic!("not IP: {other:?}"),
            };
            assert_eq!(header.checksum(), expected);
            assert!(swap_addresses(&mut packet));
            assert_eq!(packet, before);
        }
    }

    #[test]
    fn steps_and_ends_are_distinguished() {
        let packet = syn(false);
        let client = PathStep { client_port: 40000, sender: PathEnd::Client, kind: StepKind::Syn };
        assert_eq!(step(&packet, 7777), Some(client));
        let server = PathStep { client_port: 7777, sender: PathEnd::Server, kind: StepKind::Syn };
        assert_eq!(step(&packet, 40000), Some(server));
        assert_eq!(step(&packet, 80), None);
        assert_eq!(step(&packet[..30], 7777), None);
        assert!(!swap_addresses(&mut [0x45, 0]));
        assert!(!swap_addresses(&mut []));
    }
}
