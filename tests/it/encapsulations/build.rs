//! Headers, each put before what it carries.

pub(super) const CLIENT: [u8; 4] = [10, 9, 0, 1];
pub(super) const SERVER: [u8; 4] = [10, 9, 0, 2];
pub(super) const CLIENT6: [u8; 16] = [0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(super) const SERVER6: [u8; 16] = [0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
pub(super) const SERVER_PORT: u16 = 7777;

/// Bytes of the TCP header without options.
pub(super) const TCP_FIXED: usize = 20;
/// MSS 1460, SACK permitted, timestamps, NOP, window scale 7.
pub(super) const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0, 1, 3, 3, 7];

pub(super) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A packet to be encapsulated, which begins with its IP header.
pub(super) struct Inner {
    pub(super) ip: Vec<u8>,
    pub(super) v6: bool,
    /// Sent by the client rather than by the server.
    pub(super) from_client: bool,
}

impl Inner {
    /// The three packets of a handshake from this client port.
    pub(super) fn handshake(v6: bool, port: u16) -> [Self; 3] {
        const SYN: u8 = 0x02;
        const ACK: u8 = 0x10;
        [
            Self::new(v6, port, true, (SYN, 1000, 0), &SYN_OPTIONS),
            Self::new(v6, port, false, (SYN | ACK, 2000, 1001), &SYN_OPTIONS),
            Self::new(v6, port, true, (ACK, 1001, 2001), &[]),
        ]
    }

    fn new(v6: bool, port: u16, from_client: bool, segment: (u8, u32, u32), options: &[u8]) -> Self {
        let (flags, seq, ack) = segment;
        let ports = if from_client { [port, SERVER_PORT] } else { [SERVER_PORT, port] };
        let offset = u8::try_from((TCP_FIXED + options.len()) / 4).unwrap() << 4;
        let numbers = [seq, ack].map(u32::to_be_bytes);
        let rest = [offset, flags, 0xfa, 0xf0, 0, 0, 0, 0];
        let ports = ports.map(u16::to_be_bytes);
        let tcp = join(&[ports.as_flattened(), numbers.as_flattened(), &rest, options]);
        let ip = match v6 {
            true if from_client => ipv6(CLIENT6, SERVER6, 6, &tcp),
            true => ipv6(SERVER6, CLIENT6, 6, &tcp),
            false if from_client => ipv4(CLIENT, SERVER, 6, &tcp),
            false => ipv4(SERVER, CLIENT, 6, &tcp),
        };
        Self { ip, v6, from_client }
    }

    /// Behind a number of two bytes: one for IPv4, one for IPv6.
    fn announced(&self, [v4, v6]: [u16; 2]) -> Vec<u8> {
        let number = if self.v6 { v6 } else { v4 };
        join(&[&number.to_be_bytes(), &self.ip])
    }

    /// Behind its EtherType.
    pub(super) fn typed(&self) -> Vec<u8> {
        self.announced([0x0800, 0x86dd])
    }

    /// Behind its PPP protocol number.
    pub(super) fn ppp(&self) -> Vec<u8> {
        self.announced([0x0021, 0x0057])
    }

    /// In an Ethernet frame.
    pub(super) fn frame(&self) -> Vec<u8> {
        join(&[&MACS, &self.typed()])
    }

    /// Behind an LLC and a SNAP header.
    pub(super) fn snap(&self) -> Vec<u8> {
        join(&[&[0xaa, 0xaa, 3, 0, 0, 0], &self.typed()])
    }

    /// The next-protocol number of NSH.
    pub(super) fn next_protocol(&self) -> u8 {
        if self.v6 { 2 } else { 1 }
    }
}

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

fn ipv4(from: [u8; 4], to: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [l0, l1] = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    join(&[&[0x45, 0, l0, l1, 0, 0, 0x40, 0, 63, protocol, 0, 0], &from, &to, payload])
}

fn ipv6(from: [u8; 16], to: [u8; 16], next: u8, payload: &[u8]) -> Vec<u8> {
    let [l0, l1] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    join(&[&[0x60, 0, 0, 0, l0, l1, next, 62], &from, &to, payload])
}

/// An Ethernet frame of this EtherType.
pub(super) fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&MACS, &ether_type.to_be_bytes(), payload])
}

/// An 802.3 frame with this LLC header and payload.
pub(super) fn ieee802_3(payload: &[u8]) -> Vec<u8> {
    ethernet(u16::try_from(payload.len()).unwrap(), payload)
}

/// An Ethernet frame with an outer IPv4 datagram of this protocol.
pub(super) fn in_ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4([192, 0, 2, 1], [192, 0, 2, 2], protocol, payload))
}

/// As [`in_ipv4`], with IPv6.
pub(super) fn in_ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (from, to) = ([0x20; 16], [0x21; 16]);
    ethernet(0x86dd, &ipv6(from, to, protocol, payload))
}

fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let numbers = [source, destination, length, 0].map(u16::to_be_bytes);
    join(&[numbers.as_flattened(), payload])
}

/// An Ethernet frame with an outer UDP datagram to this port.
pub(super) fn to_port(port: u16, payload: &[u8]) -> Vec<u8> {
    in_ipv4(17, &udp(49_152, port, payload))
}

/// As [`to_port`], over IPv6.
pub(super) fn to_port_v6(port: u16, payload: &[u8]) -> Vec<u8> {
    in_ipv6(17, &udp(49_152, port, payload))
}

/// As [`to_port`], and from that port where the packet is the server's.
pub(super) fn with_port(port: u16, inner: &Inner, payload: &[u8]) -> Vec<u8> {
    if inner.from_client { to_port(port, payload) } else { in_ipv4(17, &udp(port, 49_152, payload)) }
}

/// An Ethernet frame with a GRE header of these flags and version, with fields of zeros as announced.
pub(super) fn gre(flags: u16, protocol: u16, payload: &[u8]) -> Vec<u8> {
    let fields = vec![0; 4 * (flags & 0xb000).count_ones() as usize];
    in_ipv4(47, &join(&[&flags.to_be_bytes(), &protocol.to_be_bytes(), &fields, payload]))
}

/// An Ethernet frame with an 802.1Q tag put behind its addresses.
pub(super) fn with_vlan(frame: &[u8]) -> Vec<u8> {
    let (macs, rest) = frame.split_at(12);
    join(&[macs, &[0x81, 0, 0, 100], rest])
}

/// A classic pcap file, nanoseconds, of frames a millisecond apart.
pub(super) fn pcap(link: u16, frames: &[Vec<u8>]) -> Vec<u8> {
    let header = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, u32::from(link)];
    let mut file = header.map(u32::to_le_bytes).as_flattened().to_vec();
    for (frame, at) in frames.iter().zip(0_u32..) {
        let length = u32::try_from(frame.len()).unwrap();
        let record = [1_700_000_000 + at / 1000, at % 1000 * 1_000_000, length, length];
        file.extend(record.map(u32::to_le_bytes).as_flattened());
        file.extend(frame);
    }
    file
}
