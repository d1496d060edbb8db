//! The interface of everything that frames come from.

use super::clock_shift::{ClockDoubt, ClockShift};
use crate::packet::{CapturePoint, Frames, LinkType, Span, Timestamp};

/// Yields frames in time order: files, standard input, an interface.
pub trait Source {
    /// Hands up to `max` frames to `sink`, in order and some at a time, and returns what can be read next.
    ///
    /// Damage is no error: it ends that capture and is reported in [`CaptureInfo::damaged`].
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus;

    /// The source's clock, where it has one besides its packets: in a live capture time passes while nothing arrives,
    /// and a capture file may hold the time when it ended.
    fn now(&self) -> Option<Timestamp> {
        None
    }

    /// Time after which the source holds its packets again, captured at a second point, where that is known beforehand.
    fn duplicates_after(&self) -> Option<Span> {
        None
    }

    /// Path, format and totals of each capture as far as it is read, in the order given by the user.
    fn captures(&self) -> Vec<CaptureInfo>;
}

/// State of a source after a read: whether there are more frames, and whether getting them may block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceStatus {
    /// More frames can be had at once.
    More,
    /// Everything that has arrived was handed over; the next call may block (a pipe, an interface).
    Drained,
    /// There are no more frames.
    End,
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

/// Description of a capture (a file, standard input or a live run): its format, its totals and its damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureInfo {
    /// The path as given, `-` for standard input, the interface's name for a live capture.
    pub path: String,
    /// The format; `None` for an empty or foreign file.
    pub format: Option<CaptureFormat>,
    /// The link types seen, in order of appearance.
    pub link_types: Vec<LinkType>,
    /// Packets read, before any filter.
    pub packets: u64,
    /// Packets among them without a time of their own (pcapng's simple packet blocks), which were given that of the
    /// packet before them.
    pub untimed: u64,
    /// Bytes read, after decompression.
    pub bytes: u64,
    /// Earliest packet time.
    pub first: Option<Timestamp>,
    /// Latest packet time.
    pub last: Option<Timestamp>,
    /// Reason why some packets of the capture could not be used, as a message: file, packet number, byte offset, what
    /// was expected.
    pub damaged: Option<String>,
    /// True if reading ended at the damage, before the end of the capture.
    pub cut: bool,
    /// Correction of its times, if it was captured by another clock than a capture before it.
    pub shift: Option<ClockShift>,
    /// Reason why nothing is known of its clock, if it is a point of a path.
    pub clock_doubt: Option<ClockDoubt>,
    /// True if it was read once, beside others: whether it is a point of their path, and by which clock, was not looked at.
    pub read_once: bool,
    /// Packets that the kernel or the interface dropped; `None` where nobody counted.
    pub dropped: Option<u64>,
    /// The points where its packets were captured, as far as they are told apart.
    pub points: Vec<CapturePoint>,
}
