//! From a segment to the bytes of a classic pcap record.

use std::io::{self, Write};

use etherparse::{
    EtherType, Ethernet2Header, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber, Ipv4Header,
    Ipv6Header, TcpHeader, TcpOptionElement, icmpv4, icmpv6,
};

use super::Records;

/// Time of the first packet: 2026-11-23 02:00:00 UTC, in microseconds.
pub(super) const EPOCH_US: u64 = 1_795_399_200_000_000;

/// Snap length of a capture of headers only: enough for a SYN with all its options.
const THIN_V4: usize = 14 + 20 + 40;
const THIN_V6: usize = 14 + 40 + 40;

/// Bytes of an ICMP error that are kept: an ICMPv6 error is the longest whose quote still names the ports.
const ERROR: usize = 14 + 40 + 8 + 40 + 8;
const EVERYTHING: usize = 262_144;

/// The longest payload a segment here has.
static ZEROS: [u8; 1500] = [0; 1500];

/// An address of either family.
#[derive(Debug, Clone, Copy)]
pub(super) enum Address {
    V4(u32),
    V6(u128),
}

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    pub(super) address: Address,
    pub(super) port: u16,
}

/// A segment to be written. TCP checksums are 0, as on hosts whose network card fills them in.
#[derive(Debug)]
pub(super) struct MadeSegment {
    from: Address,
    to: Address,
    pub(super) tcp: TcpHeader,
    /// Bytes of payload, all zero.
    pub(super) payload: u16,
}

impl MadeSegment {
    pub(super) fn new(from: Side, to: Side) -> Self {
        let tcp = TcpHeader::new(from.port, to.port, 0, 64240);
        Self { from: from.address, to: to.address, tcp, payload: 0 }
    }

    /// The options of Linux's SYN and SYN-ACK.
    pub(super) fn syn_options(&mut self, tsval: u32, tsecr: u32) {
        use TcpOptionElement::{
            MaximumSegmentSize, Noop, SelectiveAcknowledgementPermitted, Timestamp, WindowScale,
        };
        self.options(&[
            MaximumSegmentSize(1460),
            SelectiveAcknowledgementPermitted,
            Timestamp(tsval, tsecr),
            Noop,
            WindowScale(7),
        ]);
    }

    /// The options of every later segment.
    pub(super) fn timestamps(&mut self, tsval: u32, tsecr: u32) {
        use TcpOptionElement::{Noop, Timestamp};
        self.options(&[Noop, Noop, Timestamp(tsval, tsecr)]);
    }

    fn options(&mut self, options: &[TcpOptionElement]) {
        self.tcp.set_options(options).expect("they take 20 of 40 bytes");
    }
}

/// A capture being written: Ethernet, microseconds, little-endian.
pub(super) struct CaptureWriter<W> {
    out: W,
    snap: usize,
    frame: Vec<u8>,
    packets: u64,
    bytes: u64,
}

impl<W: Write> CaptureWriter<W> {
    pub(super) fn new(mut out: W, records: Records, ipv6: bool) -> io::Result<Self> {
        let snap = match (records, ipv6) {
            (Records::Thin, false) => THIN_V4,
            (Records::Thin, true) => THIN_V6,
            (Records::Full, _) => EVERYTHING,
        };
        // Magic, version 2.4, no zone, no accuracy, snap length, Ethernet.
        let header = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, snap.max(ERROR) as u32, 1_u32];
        let header = header.map(u32::to_le_bytes);
        out.write_all(header.as_flattened())?;
        Ok(Self { out, snap, frame: Vec::with_capacity(2048), packets: 0, bytes: 24 })
    }

    /// Packets and bytes so far.
    pub(super) fn written(&self) -> (u64, u64) {
        (self.packets, self.bytes)
    }

    /// Writes a segment.
    pub(super) fn segment(&mut self, at: u64, segment: &MadeSegment) -> io::Result<()> {
        self.frame.clear();
        let tcp = segment.tcp.to_bytes();
        let length = tcp.len() + usize::from(segment.payload);
        ethernet(&mut self.frame, segment.to);
        internet(&mut self.frame, segment.from, segment.to, IpNumber::TCP, length);
        self.frame.extend_from_slice(&tcp);
        self.frame.extend_from_slice(&ZEROS[..usize::from(segment.payload)]);
        self.record(at, self.snap)
    }

    /// Writes the error of a router that quotes a segment: host unreachable, address unreachable.
    pub(super) fn unreachable(&mut self, at: u64, quoted: &MadeSegment) -> io::Result<()> {
        let mut quote = Vec::with_capacity(80);
        let tcp = quoted.tcp.to_bytes();
        internet(&mut quote, quoted.from, quoted.to, IpNumber::TCP, tcp.len());
        quote.extend_from_slice(&tcp);
        let (protocol, header) = match (quoted.to, quoted.from) {
            (Address::V6(from), Address::V6(to)) => {
                let kind = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Address);
                let header = Icmpv6Header::with_checksum(kind, from.to_be_bytes(), to.to_be_bytes(), &quote);
                (IpNumber::IPV6_ICMP, header.expect("a quote is short").to_bytes())
            }
            _ => {
                let kind = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Host);
                let bytes = Icmpv4Header::with_checksum(kind, &quote).to_bytes();
                (IpNumber::ICMP, bytes.iter().copied().collect())
            }
        };
        self.frame.clear();
        ethernet(&mut self.frame, quoted.from);
        internet(&mut self.frame, quoted.to, quoted.from, protocol, header.len() + quote.len());
        self.frame.extend_from_slice(&header);
        self.frame.extend_from_slice(&quote);
        self.record(at, self.snap.max(ERROR))
    }

    fn record(&mut self, at: u64, snap: usize) -> io::Result<()> {
        let kept = self.frame.len().min(snap);
        let header = [(at / 1_000_000) as u32, (at % 1_000_000) as u32, kept as u32, self.frame.len() as u32];
        self.out.write_all(header.map(u32::to_le_bytes).as_flattened())?;
        self.out.write_all(&self.frame[..kept])?;
        self.packets += 1;
        self.bytes += 16 + kept as u64;
        Ok(())
    }
}

fn ethernet(frame: &mut Vec<u8>, to: Address) {
    let ether_type = match to {
        Address::V4(_) => EtherType::IPV4,
        Address::V6(_) => EtherType::IPV6,
    };
    let [source, destination] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
    frame.extend_from_slice(&Ethernet2Header { source, destination, ether_type }.to_bytes());
}

fn internet(frame: &mut Vec<u8>, from: Address, to: Address, protocol: IpNumber, length: usize) {
    let length = u16::try_from(length).expect("a frame of at most 1514 bytes");
    match (from, to) {
        (Address::V4(from), Address::V4(to)) => {
            let header = Ipv4Header::new(length, 64, protocol, from.to_be_bytes(), to.to_be_bytes());
            let mut header = header.expect("far from 65535 bytes");
            header.header_checksum = header.calc_header_checksum();
            frame.extend_from_slice(&header.to_bytes());
        }
        (Address::V6(from), Address::V6(to)) => {
            let header = Ipv6Header {
                payload_length: length,
                next_header: protocol,
                hop_limit: 64,
                source: from.to_be_bytes(),
                destination: to.to_be_bytes(),
                ..Ipv6Header::default()
            };
            frame.extend_from_slice(&header.to_bytes());
        }
        (Address::V4(_), Address::V6(_)) | (Address::V6(_), Address::V4(_)) => {
            unreachable!("both ends are made of one family")
        }
    }
}
