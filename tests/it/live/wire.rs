//! Frames put on a wire by hand: whole handshakes, as fast as the kernel takes them.

use pcap::{Active, Capture};

use crate::namespace::run;

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// A pair of interfaces: what is sent into `sender` arrives at `name`.
pub(super) struct Wire {
    sender: Capture<Active>,
    pub(super) name: &'static str,
}

impl Wire {
    pub(super) fn new() -> Self {
        run("ip", &["link", "add", "near", "type", "veth", "peer", "name", "far"]);
        for end in ["near", "far"] {
            // No address of any kind: the kernel itself keeps silent.
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1").unwrap();
            run("ip", &["link", "set", end, "up"]);
        }
        let sender = Capture::from_device("far").unwrap().snaplen(1).open().unwrap();
        Self { sender, name: "near" }
    }

    fn send(&mut self, frame: &[u8]) {
        self.sender.sendpacket(frame).unwrap();
    }

    /// Attempt number `n` of `handshakes`, with this verdict.
    pub(super) fn attempt(&mut self, n: u32, verdict: &str) {
        let (client, server) = (n.wrapping_mul(2_654_435_761), n.wrapping_mul(40_503) ^ 0x5555_0000);
        let to = |flags, seq, ack, payload| segment(n, false, flags, seq, ack, payload);
        let from = |flags, seq, ack, payload| segment(n, true, flags, seq, ack, payload);
        let (c1, s1) = (client.wrapping_add(1), server.wrapping_add(1));
        self.send(&to(SYN, client, 0, 0));
        match verdict {
            "unanswered" => return,
            "refused" => return self.send(&from(RST | ACK, 0, c1, 0)),
            _ => self.send(&from(SYN | ACK, server, c1, 0)),
        }
        if verdict == "half-open" {
            return;
        }
        self.send(&to(ACK, c1, s1, 0));
        if verdict == "reset-after-ack" {
            return self.send(&from(RST, s1, 0, 0));
        }
        self.send(&to(PSH | ACK, c1, s1, 10));
        self.send(&from(PSH | ACK, s1, c1.wrapping_add(10), 20));
    }
}

/// A segment of attempt `n` in an Ethernet frame. Checksums stay unset, as offload leaves them.
fn segment(n: u32, from_server: bool, flags: u8, seq: u32, ack: u32, payload: u16) -> Vec<u8> {
    let [_, _, high, low] = (n / 50).to_be_bytes();
    let client = ([10, 1, high, low], 10_000 + u16::try_from(n % 50).unwrap());
    let server = ([10, 2, 0, 1], 443);
    let (source, destination) = if from_server { (server, client) } else { (client, server) };
    let mut frame = vec![2; 12];
    frame.extend([0x08, 0]);
    frame.extend([0x45, 0]);
    frame.extend((40 + payload).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(source.0);
    frame.extend(destination.0);
    frame.extend(source.1.to_be_bytes());
    frame.extend(destination.1.to_be_bytes());
    frame.extend(seq.to_be_bytes());
    frame.extend(ack.to_be_bytes());
    // Linux' resets of requests have window 0 and no options.
    let window: u16 = if flags == RST { 0 } else { 64_240 };
    frame.extend([0x50, flags]);
    frame.extend(window.to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(frame.len() + usize::from(payload), b'x');
    frame
}
