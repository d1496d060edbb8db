//! A capture of one server's packets into memory, while something else runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use pcap::{Active, Capture, Precision};

use super::clock::now;
use crate::capture::Recording;
use crate::packet::{LinkType, Timestamp};

/// Enough for Ethernet, IPv6 and a TCP header with all its options; larger ones lose packets in bursts.
const SNAP_LENGTH: i32 = 128;
/// Room for the burst of 1,000 connects many times over.
const BUFFER: i32 = 16 << 20;
/// How long libpcap collects packets before it hands them over.
const TIMEOUT_MS: i32 = 20;
/// How long packets that have been sent may take to be captured.
const SETTLE: Duration = Duration::from_millis(100);

/// Why there is no capture.
#[derive(Debug, thiserror::Error)]
pub enum SnifferError {
    /// libpcap refused.
    #[error("{interface}: {source} (capturing needs root or CAP_NET_RAW)")]
    Open {
        /// The interface.
        interface: String,
        /// libpcap's words.
        source: pcap::Error,
    },
    /// The capturing thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The capture ended early: the interface went away or down.
    #[error("{0}")]
    Ended(pcap::Error),
    /// The capturing thread is gone.
    #[error("the capturing thread is gone")]
    Gone,
}

/// A running capture.
#[derive(Debug)]
pub struct Sniffer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Recording, pcap::Error>>,
}

impl Sniffer {
    /// Starts capturing what goes to and from `server` over `interface`.
    ///
    /// # Errors
    ///
    /// [`SnifferError`] says which permission is missing.
    pub fn start(interface: &str, server: SocketAddr) -> Result<Self, SnifferError> {
        let failed = |source| SnifferError::Open { interface: interface.to_owned(), source };
        let capture = open(interface, server).map_err(failed)?;
        let link = LinkType(u16::try_from(capture.get_datalink().0).unwrap_or(u16::MAX));
        let recording = Recording::new(interface, link);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || record(capture, recording, &stopped))
            .map_err(SnifferError::Thread)?;
        Ok(Self { stop, thread })
    }

    /// Lets the last packets arrive, stops, and gives what was captured.
    ///
    /// # Errors
    ///
    /// The interface went away meanwhile.
    pub fn finish(self) -> Result<Recording, SnifferError> {
        std::thread::sleep(SETTLE);
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| SnifferError::Gone)?.map_err(SnifferError::Ended)
    }
}

fn open(interface: &str, server: SocketAddr) -> Result<Capture<Active>, pcap::Error> {
    let mut capture = Capture::from_device(interface)?
        .snaplen(SNAP_LENGTH)
        .buffer_size(BUFFER)
        .timeout(TIMEOUT_MS)
        .precision(Precision::Nano)
        .open()?;
    // A router's error comes from itself.
    let errors = if server.is_ipv4() { "icmp" } else { "icmp6" };
    let connects = format!("tcp and host {} and port {}", server.ip(), server.port());
    capture.filter(&format!("({connects}) or {errors}"), true)?;
    // So that the thread sees the stop flag when no packet arrives: a timeout need not end a blocked read.
    capture.setnonblock()
}

fn record(
    mut capture: Capture<Active>,
    mut recording: Recording,
    stop: &AtomicBool,
) -> Result<Recording, pcap::Error> {
    loop {
        // Looked at before reading: what had been captured when the stop came is still read.
        let last = stop.load(Ordering::Relaxed);
        loop {
            match capture.next_packet() {
                Ok(packet) => {
                    let seconds = packet.header.ts.tv_sec.saturating_mul(1_000_000_000);
                    // Nanoseconds, whatever the field is called: the precision was asked for.
                    #[allow(clippy::useless_conversion, reason = "32 bits on macOS")]
                    let nanos = i64::from(packet.header.ts.tv_usec);
                    let at = Timestamp::from_nanos(seconds.saturating_add(nanos));
                    recording.push(at, packet.header.len, packet.data);
                }
                Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => break,
                Err(error) => return Err(error),
            }
        }
        if last {
            recording.set_dropped(capture.stats().map_or(0, |stats| u64::from(stats.dropped)));
            recording.close(now());
            return Ok(recording);
        }
        std::thread::sleep(Duration::from_millis(TIMEOUT_MS.unsigned_abs().into()));
    }
}
