//! The script of one attempt: its packets and the times between them.
//!
//! The capture is taken at the server: SYN-ACK follows SYN within microseconds, the client's answer comes a
//! round trip later.

use std::io::{self, Write};

use etherparse::TcpHeader;
use fastrand::Rng;
use hsanalyze::handshake::Verdict;

use super::Records;
use super::frame::{Address, CaptureWriter, MadeSegment, Side};

/// Default number of packets of a completed attempt.
pub(super) const NATURAL_PACKETS: u64 = 17;
/// Three to open, one of data with its answer, three to close.
pub(super) const FEWEST_PACKETS: u64 = 8;

/// Bytes of TCP payload in a frame of 1514 bytes, less options.
const FULL_V4: u16 = 1448;
const FULL_V6: u16 = 1428;
const SECOND: u64 = 1_000_000;
/// From one packet to the server's direct answer, in microseconds.
const SERVER_DELAY: u64 = 30;

/// Number of packets of a failing attempt; `ordinal` counts attempts with the same verdict. A completed attempt has as many
/// as it is given.
pub(super) fn packets_of(verdict: Verdict, ordinal: u64) -> u64 {
    match verdict {
        Verdict::Completed => NATURAL_PACKETS,
        // The handshake, then two to five retransmissions, each with the client's ACK again: Linux sends fewer of them
        // under pressure.
        Verdict::SynackRetransmitted => 3 + 2 * (2 + ordinal % 4),
        // A SYN, its retry after a second, and the handshake.
        Verdict::ResetAfterAck | Verdict::CompletedLate => 4,
        // The handshake, data, and three retransmissions of it.
        Verdict::AckIgnored => 7,
        Verdict::Refused | Verdict::Unreachable => 2,
        Verdict::Unanswered | Verdict::HalfOpen | Verdict::ClientReset => 3,
        Verdict::Undetermined => 0,
    }
}

/// Both ends of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peers {
    pub(super) client: Side,
    pub(super) server: Side,
}

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Flow {
    verdict: Verdict,
    peers: Peers,
    records: Records,
    /// The number of the next packet, from 0, and how many there are.
    step: u64,
    packets: u64,
    /// The next sequence number of either side.
    client_seq: u32,
    server_seq: u32,
    /// Offsets of the client's and the server's time stamp clock, and the TSval that each sent last.
    clocks: [u32; 2],
    sent: [u32; 2],
    /// The round trip between the capture point and the client, in microseconds.
    rtt: u64,
}

/// The stages of a connection, by the number of its packet.
enum FlowStep {
    Syn,
    SynAck,
    Ack,
    /// The n-th packet between opening and closing.
    Middle(u64),
    ClientFin,
    ServerFin,
    LastAck,
}

impl Flow {
    pub(super) fn new(verdict: Verdict, packets: u64, peers: Peers, records: Records, rng: &mut Rng) -> Self {
        Self {
            verdict,
            peers,
            records,
            step: 0,
            packets,
            client_seq: rng.u32(..),
            server_seq: rng.u32(..),
            clocks: [rng.u32(..), rng.u32(..)],
            sent: [0, 0],
            rtt: rng.u64(5_000..60_000),
        }
    }

    /// One SYN of a flood.
    pub(super) fn lone_syn(peers: Peers, records: Records, rng: &mut Rng) -> Self {
        Self::new(Verdict::Unanswered, 1, peers, records, rng)
    }

    /// A connection begun before the capture: its one packet here is an ACK.
    pub(super) fn old_connection() -> Self {
        let side = |host, port| Side { address: Address::V4(host), port };
        let peers = Peers { client: side(0x0a01_ffff, 1024), server: side(0x0ac8_0001, 8000) };
        let verdict = Verdict::Completed;
        Self { step: 2, ..Self::new(verdict, NATURAL_PACKETS, peers, Records::Thin, &mut Rng::with_seed(0)) }
    }

    fn step(&self) -> FlowStep {
        match self.step {
            0 => FlowStep::Syn,
            1 => FlowStep::SynAck,
            2 => FlowStep::Ack,
            n if n + 3 == self.packets => FlowStep::ClientFin,
            n if n + 2 == self.packets => FlowStep::ServerFin,
            n if n + 1 == self.packets => FlowStep::LastAck,
            n => FlowStep::Middle(n - 3),
        }
    }

    /// Writes the packet that is due.
    pub(super) fn emit(&mut self, at: u64, capture: &mut CaptureWriter<impl Write>) -> io::Result<()> {
        if self.verdict == Verdict::Unreachable && self.step == 1 {
            return capture.unreachable(at, &self.syn(at));
        }
        let segment = self.segment(at);
        let side = usize::from(segment.tcp.source_port == self.peers.server.port);
        self.sent[side] = self.tsval(side, at);
        capture.segment(at, &segment)
    }

    /// Advances to the next packet. Returns the microseconds until then, or `None` after the last.
    pub(super) fn advance(&mut self, rng: &mut Rng) -> Option<u64> {
        if self.verdict == Verdict::Completed {
            self.count_sequence();
        }
        let delay = self.delay(rng);
        self.step += 1;
        (self.step < self.packets).then_some(delay)
    }

    fn segment(&self, at: u64) -> MadeSegment {
        match (self.verdict, self.step) {
            (_, 0) => self.syn(at),
            (Verdict::Completed, _) => self.completed(at),
            (Verdict::Refused, _) => self.refusal(),
            (Verdict::Unanswered, _) | (Verdict::CompletedLate, 1) => self.syn(at),
            (Verdict::HalfOpen, _) | (Verdict::CompletedLate, 2) | (_, 1) => self.syn_ack(at),
            (Verdict::ClientReset, _) => self.client_reset(),
            (Verdict::AckIgnored, 3..) => self.with_data(self.ack(at), 362),
            (Verdict::ResetAfterAck, 3) => self.bare_reset(),
            // The client answers every SYN-ACK sent again, at the odd steps, with its ACK.
            (Verdict::SynackRetransmitted, n) if n % 2 == 1 => self.syn_ack(at),
            (_, _) => self.ack(at),
        }
    }

    fn delay(&self, rng: &mut Rng) -> u64 {
        match (self.verdict, self.step) {
            (Verdict::Unanswered, n) => SECOND << n,
            (Verdict::CompletedLate, 0) => SECOND,
            (Verdict::CompletedLate, 1) => SERVER_DELAY,
            (Verdict::CompletedLate, 2) => self.rtt,
            (Verdict::HalfOpen, n @ 1..) => SECOND << (n - 1),
            (Verdict::AckIgnored, n @ 3..) => (SECOND / 5) << (n - 3),
            // Each follows the one before by 1, 2, 4 … seconds, of which the ACK took a round trip.
            (Verdict::SynackRetransmitted, n) if n >= 2 && n % 2 == 0 => (SECOND << (n / 2 - 1)) - self.rtt,
            (Verdict::Completed, 3..) => self.pause(rng),
            (_, 0) | (Verdict::ResetAfterAck, 2) => SERVER_DELAY,
            (_, 1) => self.rtt,
            (Verdict::SynackRetransmitted, _) => self.rtt,
            (_, _) => rng.u64(200..2_000),
        }
    }

    /// Time between two packets of an established connection: none for bulk data, round trips and time to answer for a
    /// dialogue.
    fn pause(&self, rng: &mut Rng) -> u64 {
        match (self.records, self.step % 2) {
            (Records::Full, _) => rng.u64(12..200),
            (Records::Thin, 0) => self.rtt,
            (Records::Thin, _) => rng.u64(20..4_000),
        }
    }

    /// The payload that fills a frame.
    fn full(&self) -> u16 {
        match self.peers.client.address {
            Address::V4(_) => FULL_V4,
            Address::V6(_) => FULL_V6,
        }
    }

    fn completed(&self, at: u64) -> MadeSegment {
        match self.step() {
            FlowStep::Syn => self.syn(at),
            FlowStep::SynAck => self.syn_ack(at),
            FlowStep::Ack | FlowStep::LastAck => self.ack(at),
            FlowStep::Middle(n) => self.middle(n, at),
            FlowStep::ClientFin => self.fin(self.ack(at)),
            FlowStep::ServerFin => self.fin(self.server_ack(at)),
        }
    }

    fn middle(&self, n: u64, at: u64) -> MadeSegment {
        match middle(n, self.records, self.full()) {
            Middle::ClientData(payload) => self.with_data(self.ack(at), payload),
            Middle::ServerData(payload) => self.with_data(self.server_ack(at), payload),
            Middle::ClientAck => self.ack(at),
            Middle::ServerAck => self.server_ack(at),
        }
    }

    /// Advances the sequence number of the side that sent the last packet.
    fn count_sequence(&mut self) {
        let (client, server) = match self.step() {
            FlowStep::Syn | FlowStep::ClientFin => (1, 0),
            FlowStep::SynAck | FlowStep::ServerFin => (0, 1),
            FlowStep::Ack | FlowStep::LastAck => (0, 0),
            FlowStep::Middle(n) => match middle(n, self.records, self.full()) {
                Middle::ClientData(payload) => (u32::from(payload), 0),
                Middle::ServerData(payload) => (0, u32::from(payload)),
                Middle::ClientAck | Middle::ServerAck => (0, 0),
            },
        };
        self.client_seq = self.client_seq.wrapping_add(client);
        self.server_seq = self.server_seq.wrapping_add(server);
    }

    /// Failing attempts keep their initial numbers; a completed one advances them.
    fn after_syn(&self) -> (u32, u32) {
        let opened = u32::from(self.verdict != Verdict::Completed);
        (self.client_seq.wrapping_add(opened), self.server_seq.wrapping_add(opened))
    }

    fn tsval(&self, side: usize, at: u64) -> u32 {
        // Milliseconds, as Linux counts.
        self.clocks[side].wrapping_add((at / 1000) as u32)
    }

    fn client_sends(&self) -> MadeSegment {
        MadeSegment::new(self.peers.client, self.peers.server)
    }

    fn server_sends(&self) -> MadeSegment {
        MadeSegment::new(self.peers.server, self.peers.client)
    }

    fn syn(&self, at: u64) -> MadeSegment {
        let mut segment = self.client_sends();
        segment.tcp.syn = true;
        segment.tcp.sequence_number = self.client_seq;
        segment.syn_options(self.tsval(0, at), 0);
        segment
    }

    fn syn_ack(&self, at: u64) -> MadeSegment {
        let mut segment = self.server_sends();
        let opened = u32::from(self.verdict != Verdict::Completed);
        segment.tcp.syn = true;
        segment.tcp.sequence_number = self.server_seq;
        acknowledge(&mut segment.tcp, self.client_seq.wrapping_add(opened));
        segment.syn_options(self.tsval(1, at), self.sent[0]);
        segment
    }

    fn ack(&self, at: u64) -> MadeSegment {
        let (client, server) = self.after_syn();
        let mut segment = self.client_sends();
        segment.tcp.sequence_number = client;
        acknowledge(&mut segment.tcp, server);
        segment.timestamps(self.tsval(0, at), self.sent[1]);
        segment
    }

    fn server_ack(&self, at: u64) -> MadeSegment {
        let (client, server) = self.after_syn();
        let mut segment = self.server_sends();
        segment.tcp.sequence_number = server;
        acknowledge(&mut segment.tcp, client);
        segment.timestamps(self.tsval(1, at), self.sent[0]);
        segment
    }

    fn with_data(&self, mut segment: MadeSegment, payload: u16) -> MadeSegment {
        segment.tcp.psh = true;
        segment.payload = payload;
        segment
    }

    fn fin(&self, mut segment: MadeSegment) -> MadeSegment {
        segment.tcp.fin = true;
        segment
    }

    /// The RST of a closed port: it acknowledges the SYN and has window 0.
    fn refusal(&self) -> MadeSegment {
        let mut segment = self.server_sends();
        segment.tcp.rst = true;
        segment.tcp.window_size = 0;
        acknowledge(&mut segment.tcp, self.client_seq.wrapping_add(1));
        segment
    }

    /// The RST that `tcp_abort_on_overflow` sends: no ACK flag, no options, window 0, with the number that the ACK acknowledges.
    fn bare_reset(&self) -> MadeSegment {
        let mut segment = self.server_sends();
        segment.tcp.rst = true;
        segment.tcp.window_size = 0;
        segment.tcp.sequence_number = self.after_syn().1;
        segment
    }

    fn client_reset(&self) -> MadeSegment {
        let mut segment = self.client_sends();
        segment.tcp.rst = true;
        segment.tcp.window_size = 0;
        segment.tcp.sequence_number = self.after_syn().0;
        segment
    }
}

fn acknowledge(tcp: &mut TcpHeader, number: u32) {
    tcp.ack = true;
    tcp.acknowledgment_number = number;
}

/// A packet between opening and closing; data with its payload in bytes.
enum Middle {
    ClientData(u16),
    ServerAck,
    ServerData(u16),
    ClientAck,
}

/// `full` is the payload of a full frame. Thin: question, ACK, answer, ACK, and again. Full: one question, then bulk data with an ACK now and then.
fn middle(n: u64, records: Records, full: u16) -> Middle {
    match (records, n) {
        (Records::Full, 0) => Middle::ClientData(full),
        (Records::Full, n) if n % 32 == 31 => Middle::ClientAck,
        (Records::Full, _) => Middle::ServerData(full),
        (Records::Thin, n) => match n % 4 {
            0 => Middle::ClientData(120),
            1 => Middle::ServerAck,
            2 => Middle::ServerData(full),
            _ => Middle::ClientAck,
        },
    }
}
