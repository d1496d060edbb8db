//! From written packets to a capture file: real Ethernet, IP and TCP bytes with real checksums.
//!
//! Owns every default of the notation. Knows nothing of what the packets mean.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader, TcpOptionElement, TcpOptions};

use super::notation::{
    BadLine, Endpoint, Flags, Line, Nanos, Number, OptionKind, Role, Scenario, Sum, Tcp, Timestamps, Written,
    nanos, script,
};

/// A packet with its time and, for messages, the line that made it.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) at: Nanos,
    pub(super) bytes: Vec<u8>,
    pub(super) text: String,
}

/// All frames of a scenario, in file order.
pub(super) fn frames(scenario: &Scenario) -> Result<Vec<Frame>, BadLine> {
    let mut wire = Wire::new(scenario);
    wire.play(&script(&scenario.packets)?, 0, 0);
    for burst in &scenario.burst {
        let lines = script(&burst.packets)?;
        for index in 0..burst.repeat {
            wire.play(&lines, index, nanos(burst.every) * i64::from(index));
        }
    }
    let mut frames = wire.frames;
    if !scenario.unsorted {
        frames.sort_by_key(|frame| frame.at);
    }
    Ok(frames)
}

/// 2027-01-15: any time will do, as long as it is not 1970.
pub(super) const EPOCH: i64 = 1_800_000_000;

/// A classic nanosecond pcap file of the frames.
pub(super) fn pcap(frames: &[Frame]) -> Vec<u8> {
    const NANOSECOND_MAGIC: u32 = 0xa1b2_3c4d;
    /// Major 2, minor 4, as two 16-bit words.
    const VERSION_2_4: u32 = 0x0004_0002;
    const SNAP_LENGTH: u32 = 262_144;
    const LINK_ETHERNET: u32 = 1;

    let put =
        |file: &mut Vec<u8>, words: &[u32]| file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let mut file = Vec::new();
    put(&mut file, &[NANOSECOND_MAGIC, VERSION_2_4, 0, 0, SNAP_LENGTH, LINK_ETHERNET]);
    for frame in frames {
        let length = frame.bytes.len() as u32;
        let second = (EPOCH + frame.at.div_euclid(1_000_000_000)) as u32;
        let nanosecond = frame.at.rem_euclid(1_000_000_000) as u32;
        put(&mut file, &[second, nanosecond, length, length]);
        file.extend(&frame.bytes);
    }
    file
}

/// One direction of a connection.
#[derive(Debug, Clone, Copy)]
struct Side {
    isn: u32,
    /// TSval of the last SYN: what every SYN-ACK echoes, however late it is repeated.
    syn_tsval: u32,
    /// TSval of the last segment that was in the peer's window: what everything else echoes. A
    /// repeated SYN-ACK is before the window (RFC 7323 §4.3), so ACKs go on echoing the first.
    tsval: u32,
    /// Sequence number of the last SYN-ACK.
    syn_ack: Option<u32>,
}

impl Side {
    fn sent(&mut self, flags: Flags, seq: u32, tsval: u32) {
        let repeated = flags.syn && flags.ack && self.syn_ack == Some(seq);
        if flags.syn && flags.ack {
            self.syn_ack = Some(seq);
        } else if flags.syn {
            self.syn_tsval = tsval;
        }
        if !repeated {
            self.tsval = tsval;
        }
    }
}

/// The wire: what was sent so far, as far as later packets depend on it.
struct Wire<'a> {
    scenario: &'a Scenario,
    frames: Vec<Frame>,
    sides: HashMap<(Endpoint, Endpoint), Side>,
    /// The last IP packet that each host sent, for ICMP to quote.
    sent: HashMap<(Role, u8), Vec<u8>>,
}

impl<'a> Wire<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut wire = Self { scenario, frames: Vec::new(), sides: HashMap::new(), sent: HashMap::new() };
        if let Some(end) = scenario.end {
            wire.strangers_packet(nanos(end));
        }
        wire
    }

    /// A segment in the middle of a connection that nothing else belongs to.
    fn strangers_packet(&mut self, at: Nanos) {
        let from = Endpoint { role: Role::Stranger, host: 1, port: 5000 };
        let to = Endpoint { role: Role::Stranger, host: 2, port: 5001 };
        let tcp = Tcp { flags: Flags { ack: true, ..Flags::default() }, ..Tcp::default() };
        let bytes = self.segment(from, to, &tcp, at, 0);
        self.frames.push(Frame { at, bytes, text: "(end of the capture)".to_owned() });
    }

    /// Sends a script's packets from client ports moved by `port`, `later` than written.
    fn play(&mut self, lines: &[Line], port: u16, later: Nanos) {
        let moved = |mut endpoint: Endpoint| {
            if endpoint.role == Role::Client {
                endpoint.port = endpoint.port.wrapping_add(port);
            }
            endpoint
        };
        let mut previous: Option<Vec<u8>> = None;
        for line in lines {
            let at = line.at + later;
            let bytes = match &line.packet {
                Written::Tcp { from, to, tcp } => self.segment(moved(*from), moved(*to), tcp, at, later),
                Written::Icmp { from, to, kind, code, quoted } => {
                    self.icmp(moved(*from), moved(*to), *kind, *code, *quoted)
                }
                Written::Udp { from, to } => self.udp(moved(*from), moved(*to)),
                Written::Copy { ttl } => {
                    let original = previous.as_deref().expect("copy follows a packet");
                    with_ttl(original, *ttl)
                }
            };
            self.frames.push(Frame { at, bytes: bytes.clone(), text: line.text.clone() });
            if let Some(twice) = self.scenario.twice {
                let bytes = with_ttl(&bytes, twice.ttl);
                let text = format!("{} (captured twice)", line.text);
                self.frames.push(Frame { at: at + nanos(twice.after), bytes, text });
            }
            previous = Some(bytes);
        }
    }

    fn segment(&mut self, from: Endpoint, to: Endpoint, tcp: &Tcp, at: Nanos, later: Nanos) -> Vec<u8> {
        let mut ours = self.side(from, to);
        let theirs = self.side(to, from);
        ours.isn = tcp.isn.unwrap_or(ours.isn);
        let flags = tcp.flags;
        let usual_window = match (flags.rst, flags.syn, flags.ack) {
            (true, ..) => 0,
            (false, true, false) => 64_240,
            (false, true, true) => 65_160,
            (false, false, _) => 502,
        };
        let seq = absolute(tcp.seq.unwrap_or(Number::Relative(u32::from(!flags.syn))), ours.isn);
        let timestamps = self.timestamps(from, to, tcp, at, later);
        if let Some((tsval, _)) = timestamps {
            ours.sent(flags, seq, tsval);
        }
        self.sides.insert((from, to), ours);

        let mut header = TcpHeader::new(from.port, to.port, seq, tcp.win.unwrap_or(usual_window));
        header.syn = flags.syn;
        header.ack = flags.ack;
        header.fin = flags.fin;
        header.rst = flags.rst;
        header.psh = flags.psh;
        if flags.ack {
            header.acknowledgment_number = absolute(tcp.ack.unwrap_or(Number::Relative(1)), theirs.isn);
        }
        header.options = options(tcp, timestamps, theirs.isn);

        let (source, destination) = self.sockets(from, to);
        let ip = ip_with(source, destination, tcp.ttl.unwrap_or(64), tcp.ip_id.unwrap_or(0));
        let mut bytes = Vec::new();
        let at_sum = ETHERNET + if source.is_ipv4() { 20 } else { 40 } + 16;
        ip.tcp_header(header).write(&mut bytes, &vec![b'x'; tcp.len]).expect("a packet that fits IP");
        match tcp.checksum {
            Sum::Right => {}
            Sum::Wrong => bytes[at_sum] ^= 0x55,
            Sum::Offloaded => bytes[at_sum..at_sum + 2].fill(0x12),
        }
        self.sent.insert((from.role, from.host), bytes.split_off(ETHERNET));
        bytes.extend(&self.sent[&(from.role, from.host)]);
        bytes
    }

    /// The TSval and TSecr to send: a millisecond clock per host, and what the peer sent.
    fn timestamps(
        &self,
        from: Endpoint,
        to: Endpoint,
        tcp: &Tcp,
        at: Nanos,
        later: Nanos,
    ) -> Option<(u32, u32)> {
        let peer = self.side(to, from);
        let echo = match (tcp.flags.syn, tcp.flags.ack) {
            (true, false) => 0,
            (true, true) => peer.syn_tsval,
            (false, _) => peer.tsval,
        };
        match tcp.timestamps {
            Timestamps::Usual if !self.scenario.timestamps || tcp.flags.rst => None,
            Timestamps::Usual | Timestamps::Clock { echo: None } => Some((clock(from, at), echo)),
            Timestamps::Clock { echo: Some(sent) } => Some((clock(from, at), clock(to, sent + later))),
            Timestamps::None => None,
            Timestamps::Given(value, echo) => Some((value, echo)),
        }
    }

    fn icmp(&self, from: Endpoint, to: Endpoint, kind: u8, code: u8, quoted: Option<usize>) -> Vec<u8> {
        let original = self.sent.get(&(to.role, to.host)).expect("ICMP answers a packet sent before");
        let (source, destination) = self.sockets(from, to);
        let ip_header = if source.is_ipv4() { 20 } else { 40 };
        let end = quoted.map_or(original.len(), |bytes| original.len().min(ip_header + bytes));
        let ip = ip(source, destination, 64);
        let mut bytes = Vec::new();
        let payload = &original[..end];
        let written = if source.is_ipv4() {
            ip.icmpv4_raw(kind, code, [0; 4]).write(&mut bytes, payload)
        } else {
            ip.icmpv6_raw(kind, code, [0; 4]).write(&mut bytes, payload)
        };
        written.expect("a packet that fits IP");
        bytes
    }

    fn udp(&self, from: Endpoint, to: Endpoint) -> Vec<u8> {
        let (source, destination) = self.sockets(from, to);
        let mut bytes = Vec::new();
        let datagram = ip(source, destination, 64).udp(from.port, to.port);
        datagram.write(&mut bytes, b"x").expect("a packet that fits IP");
        bytes
    }

    fn side(&self, from: Endpoint, to: Endpoint) -> Side {
        let usual = match from.role {
            Role::Server => self.scenario.isn.server,
            Role::Client | Role::Router | Role::Stranger => self.scenario.isn.client,
        };
        self.sides.get(&(from, to)).copied().unwrap_or(Side {
            isn: usual,
            syn_tsval: 0,
            tsval: 0,
            syn_ack: None,
        })
    }

    fn sockets(&self, from: Endpoint, to: Endpoint) -> (SocketAddr, SocketAddr) {
        (from.socket(self.scenario.v6), to.socket(self.scenario.v6))
    }
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// A host's TSval at a time: milliseconds since some moment of its own.
fn clock(host: Endpoint, at: Nanos) -> u32 {
    let base: u32 = match host.role {
        Role::Client => 100_000,
        Role::Server => 700_000_000,
        Role::Router | Role::Stranger => 0,
    };
    base.wrapping_add((at / 1_000_000) as u32)
}

fn absolute(number: Number, isn: u32) -> u32 {
    match number {
        Number::Relative(offset) => isn.wrapping_add(offset),
        Number::Absolute(value) => value,
    }
}

/// Options in Linux's order and padding: MSS, SACK, timestamps, window scale on SYN; timestamps alone
/// on the rest.
fn options(tcp: &Tcp, timestamps: Option<(u32, u32)>, peer_isn: u32) -> TcpOptions {
    use TcpOptionElement::{
        MaximumSegmentSize, Noop, SelectiveAcknowledgement, SelectiveAcknowledgementPermitted, Timestamp,
        WindowScale,
    };
    if let Some(kinds) = &tcp.options {
        return written_options(kinds, timestamps);
    }
    let timestamp = timestamps.map(|(value, echo)| Timestamp(value, echo));
    let mut elements = match (tcp.flags.syn, timestamp) {
        (true, Some(timestamp)) => {
            vec![MaximumSegmentSize(1460), SelectiveAcknowledgementPermitted, timestamp, Noop, WindowScale(7)]
        }
        (true, None) => {
            let sack = SelectiveAcknowledgementPermitted;
            vec![MaximumSegmentSize(1460), Noop, Noop, sack, Noop, WindowScale(7)]
        }
        (false, Some(timestamp)) => vec![Noop, Noop, timestamp],
        (false, None) => Vec::new(),
    };
    if let Some((from, to)) = tcp.sack {
        let block = (peer_isn.wrapping_add(from), peer_isn.wrapping_add(to));
        elements.extend([Noop, Noop, SelectiveAcknowledgement(block, [None; 3])]);
    }
    let usual = TcpOptions::try_from_elements(&elements).expect("fewer than 40 bytes");
    if !tcp.fast_open {
        return usual;
    }
    // Kind 34 with an 8-byte cookie (RFC 7413 §4.1.1), padded to a multiple of four.
    let cookie = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
    TcpOptions::try_from_slice(&[usual.as_slice(), &cookie].concat()).expect("at most 40 bytes")
}

/// Options as they are written down, padded with zeros.
fn written_options(kinds: &[OptionKind], timestamps: Option<(u32, u32)>) -> TcpOptions {
    let (value, echo) = timestamps.unwrap_or_default();
    let bytes = kinds.iter().flat_map(|kind| match kind {
        OptionKind::Mss(size) => [&[2, 4], size.to_be_bytes().as_slice()].concat(),
        OptionKind::SackPermitted => vec![4, 2],
        OptionKind::Timestamps => [&[8, 10], value.to_be_bytes().as_slice(), &echo.to_be_bytes()].concat(),
        OptionKind::Noop => vec![1],
        OptionKind::WindowScale => vec![3, 3, 7],
        OptionKind::End => vec![0],
    });
    let mut bytes: Vec<u8> = bytes.collect();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    TcpOptions::try_from_slice(&bytes).expect("at most 40 bytes")
}

fn ip(from: SocketAddr, to: SocketAddr, ttl: u8) -> PacketBuilderStep<etherparse::IpHeaders> {
    ip_with(from, to, ttl, 0)
}

fn ip_with(from: SocketAddr, to: SocketAddr, ttl: u8, id: u16) -> PacketBuilderStep<etherparse::IpHeaders> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header =
                etherparse::Ipv4Header::new(0, ttl, etherparse::IpNumber::TCP, from.octets(), to.octets())
                    .expect("no payload is too long yet");
            header.identification = id;
            ethernet.ip(etherparse::IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default()))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), ttl),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            unreachable!("a scenario has one IP version")
        }
    }
}

/// The same packet one or more routers on. The IPv4 header checksum follows the TTL (RFC 1624).
fn with_ttl(bytes: &[u8], ttl: Option<u8>) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    let Some(ttl) = ttl else { return copy };
    let v4 = copy[ETHERNET] >> 4 == 4;
    let (ttl_at, sum_at) = if v4 { (ETHERNET + 8, ETHERNET + 10) } else { (ETHERNET + 7, 0) };
    if v4 {
        let old = u32::from(u16::from_be_bytes([copy[ttl_at], copy[ttl_at + 1]]));
        let new = u32::from(u16::from_be_bytes([ttl, copy[ttl_at + 1]]));
        let sum = u32::from(u16::from_be_bytes([copy[sum_at], copy[sum_at + 1]]));
        let mut total = (!sum & 0xffff) + (!old & 0xffff) + new;
        total = (total & 0xffff) + (total >> 16);
        total = (total & 0xffff) + (total >> 16);
        copy[sum_at..sum_at + 2].copy_from_slice(&(!(total as u16)).to_be_bytes());
    }
    copy[ttl_at] = ttl;
    copy
}
