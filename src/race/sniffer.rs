//! A capture of one server's packets into memory, while something else runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::capture::{LiveCapture, LiveError, LiveOptions, Recording, Source, SourceStatus};
use crate::clock::now;

/// Enough for Ethernet, IPv6 and a TCP header with all its options.
const SNAP_LENGTH: u32 = 128;
/// Packets that are taken at once.
const AT_ONCE: usize = 1024;
/// Longest time from sending a packet to its capture.
const SETTLE: Duration = Duration::from_millis(100);

/// The capture failed.
#[derive(Debug, thiserror::Error)]
pub enum SnifferError {
    /// It cannot begin.
    #[error(transparent)]
    Open(#[from] LiveError),
    /// The capturing thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The capture ended early: the interface went away or down.
    #[error("{0}")]
    Ended(String),
    /// The capturing thread is gone.
    #[error("the capturing thread is gone")]
    Gone,
}

/// A running capture.
#[derive(Debug)]
pub struct Sniffer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Recording, SnifferError>>,
}

impl Sniffer {
    /// Starts capturing what goes to and from `server` over `interface`.
    ///
    /// # Errors
    ///
    /// [`SnifferError`] names the missing permission.
    pub fn start(interface: &str, server: SocketAddr) -> Result<Self, SnifferError> {
        // A router's error comes from itself.
        let errors = if server.is_ipv4() { "icmp" } else { "icmp6" };
        let connects = format!("tcp and host {} and port {}", server.ip(), server.port());
        let live = LiveCapture::open(&LiveOptions {
            snap_length: SNAP_LENGTH,
            filter: Some(format!("({connects}) or {errors}")),
            promiscuous: false,
            trim: false,
            ..LiveOptions::new(interface)
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || record(live, &stopped))
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
        self.thread.join().map_err(|_| SnifferError::Gone)?
    }
}

fn record(mut live: LiveCapture, stop: &AtomicBool) -> Result<Recording, SnifferError> {
    let mut recording = Recording::new(live.device(), live.link());
    loop {
        // Looked at before reading: what had been captured when the stop came is still read.
        let last = stop.load(Ordering::Relaxed);
        let status = live.read(AT_ONCE, &mut |frames| {
            frames.iter().for_each(|frame| recording.push(frame.at, frame.wire_len, frame.data));
        });
        match status {
            SourceStatus::Drained if last => {
                recording.set_dropped(live.count_drops().total());
                recording.close(now());
                return Ok(recording);
            }
            SourceStatus::More | SourceStatus::Drained => {}
            SourceStatus::End => {
                let why = live.captures().into_iter().find_map(|capture| capture.damaged);
                return Err(SnifferError::Ended(why.unwrap_or_default()));
            }
        }
    }
}
