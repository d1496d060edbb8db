//! A wire that frames are put on by hand, as fast as the kernel takes them.

use pcap::{Active, Capture};

use super::frames;
use crate::namespace::run;

/// A pair of interfaces: what is sent into the far one arrives at `name`.
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

    /// Sends attempt number `n`, which gets this verdict.
    pub(super) fn attempt(&mut self, n: u32, verdict: &str) {
        for frame in frames::attempt(n, verdict) {
            self.sender.sendpacket(frame).unwrap();
        }
    }
}
