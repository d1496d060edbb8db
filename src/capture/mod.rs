//! Where frames come from: capture files, standard input, a live interface, and BPF filters.
//!
//! Owns file formats, decompression, merging in time order, libpcap. Does not own what is inside a
//! frame (`packet`).

mod captures;
mod damage;
mod device;
mod file;
mod filter;
mod input;
mod interface;
mod live;
mod memory;
mod open;
mod options;
mod pcap;
mod pcapng;
mod save;
mod stream;
mod trim;
mod walk;
mod window;

#[cfg(test)]
mod tests;

pub use captures::{CaptureOptions, Captures};
pub use device::{Device, devices};
pub use filter::{Filter, FilterError};
pub use live::{LiveCapture, LiveError};
pub use memory::{Playback, Recording};
pub(crate) use open::stdin;
pub use open::{OpenError, OpenReason};
pub use options::{LiveOptions, TimeSource, UnknownTimeSource};
pub use save::{Rotation, Saver};

use crate::packet::{Frames, LinkType, Timestamp};

/// What a source has to say after it handed over frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceStatus {
    /// More frames can be had at once.
    More,
    /// Everything that has arrived was handed over; the next call may block (a pipe, an interface).
    Drained,
    /// There are no more frames.
    End,
}

/// Anything that yields frames in time order: files, standard input, an interface.
pub trait Source {
    /// Hands up to `max` frames to `sink`, in order and some at a time, and says what comes next.
    ///
    /// Damage does not fail: it ends that capture and is told in [`CaptureInfo::damaged`].
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus;

    /// The source's clock, where it has one beside its packets: a live capture's time goes on when
    /// nothing arrives, and a capture file may tell when it ended.
    fn now(&self) -> Option<Timestamp> {
        None
    }

    /// What is known so far of each capture, in the order given by the user.
    fn captures(&self) -> Vec<CaptureInfo>;
}

/// The format of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureFormat {
    /// Classic pcap.
    Pcap,
    /// pcapng.
    PcapNg,
    /// Captured live.
    Live,
}

/// What is known of one capture: a file, standard input, or a live run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureInfo {
    /// The path as given, `-` for standard input, the interface's name for a live capture.
    pub path: String,
    /// Its format; `None` when it could not be told (an empty or foreign file).
    pub format: Option<CaptureFormat>,
    /// The link types seen, in order of appearance.
    pub link_types: Vec<LinkType>,
    /// Packets read, before any filter.
    pub packets: u64,
    /// Those of them that have no time of their own (pcapng's simple packet blocks), and were given that of the packet
    /// before them.
    pub untimed: u64,
    /// Octets read, after decompression.
    pub bytes: u64,
    /// Earliest packet time.
    pub first: Option<Timestamp>,
    /// Latest packet time.
    pub last: Option<Timestamp>,
    /// What keeps packets of it from being used, in words: file, packet number, byte offset, what was expected.
    pub damaged: Option<String>,
    /// Whether reading ended there, before the end.
    pub cut: bool,
    /// Packets that the kernel or the interface dropped; `None` where nobody counted.
    pub dropped: Option<u64>,
}
