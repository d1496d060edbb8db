//! Frames from an interface, by libpcap.
//!
//! Owns how the capture is opened (snap length, ring, time stamps, the kernel's filter), reading packets as they come,
//! and the counts of dropped ones. Does not own privileges (`sandbox`) nor what is done with the frames.

mod clock;
mod error;
mod open;
mod queue;
mod reader;

use std::time::Duration;

use ::pcap::{Active, Capture};
use nix::net::if_::if_indextoname;

pub use self::clock::CaptureDrops;
use self::clock::{DropCounter, LiveClock};
pub use self::error::LiveError;
use self::error::explain;
use self::open::{choose, link_of, non_blocking, prefer_cooked_v2, prepare, set_filter, time_sources};
use self::queue::{Next, OpenBlock};
use self::reader::{RingReader, drops_of};
use super::cooked::{CookedPoints, interface_name};
use super::device::{devices, is_up};
use super::options::{LiveOptions, TimeSource};
use super::source::{CaptureFormat, CaptureInfo, Source, SourceStatus};
use crate::packet::{CapturePoint, Frames, LinkType, Timestamp};

/// Time for which packets gather in memory before they are handed over.
const GATHER: Duration = Duration::from_millis(100);

/// An open live capture. The kernel captures from now on; a thread reads its ring from the first [`Source::read`] on.
pub struct LiveCapture {
    /// `None` once the thread has it.
    capture: Option<Capture<Active>>,
    reader: Option<RingReader>,
    /// The packets that are being handed over.
    block: Option<OpenBlock>,
    /// Blocks handed over before, as long as their headers are needed.
    spent: Vec<OpenBlock>,
    snap_length: u32,
    device: String,
    link: LinkType,
    notes: Vec<String>,
    packets: u64,
    bytes: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    drained: bool,
    clock: LiveClock,
    dropped: DropCounter,
    ended: Option<String>,
    /// The points of a capture of all interfaces.
    interfaces: CookedPoints,
    /// The interface is down.
    down: bool,
    /// The interface was down at some time.
    was_down: bool,
}

impl LiveCapture {
    /// Opens the device and starts capturing.
    ///
    /// # Errors
    ///
    /// See [`LiveError`].
    pub fn open(options: &LiveOptions) -> Result<Self, LiveError> {
        let known = devices().unwrap_or_default();
        let device = choose(&options.device, &known)?;
        let refused = |error: &::pcap::Error| explain(&device, &known, error);
        let capture = prepare(&device, options).map_err(|error| refused(&error))?;
        if let Some(wanted) = options.time_source {
            let has = time_sources(&capture);
            if !has.contains(&wanted) {
                return Err(LiveError::TimeSource { device, source_wanted: wanted, has });
            }
        }
        let capture = capture.open().map_err(|error| refused(&error))?;
        let mut capture = non_blocking(capture).map_err(|error| refused(&error))?;
        prefer_cooked_v2(&mut capture);
        let link = link_of(&capture);
        // libpcap captures from Bluetooth and D-Bus, too; its non-blocking reads of nflog fail when no packet waits.
        if !link.is_decoded() || link == LinkType::NFLOG {
            return Err(LiveError::Link { device, link });
        }
        let notes = set_filter(&mut capture, &device, options)?;
        let of_host = match options.time_source {
            None | Some(TimeSource::Host | TimeSource::HostLowPrec | TimeSource::HostHighPrec) => true,
            Some(TimeSource::Adapter | TimeSource::AdapterUnsynced) => false,
        };
        Ok(Self {
            capture: Some(capture),
            reader: None,
            block: None,
            spent: Vec::new(),
            snap_length: options.snap_length,
            device,
            link,
            notes,
            packets: 0,
            bytes: 0,
            first: None,
            last: None,
            drained: false,
            clock: LiveClock { of_host, drained_at: None, latest: None },
            dropped: DropCounter::default(),
            ended: None,
            interfaces: CookedPoints::default(),
            down: false,
            was_down: false,
        })
    }

    /// Messages about how it was opened, for verbose output.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The device's name.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The link type of its frames.
    #[must_use]
    pub fn link(&self) -> LinkType {
        self.link
    }

    /// Reads how many packets the kernel and the interface dropped since the beginning.
    pub fn count_drops(&mut self) -> CaptureDrops {
        let drops = match (&self.reader, &mut self.capture) {
            (Some(reader), _) => reader.drops(),
            (None, Some(capture)) => drops_of(capture),
            (None, None) => None,
        };
        if let Some((dropped, if_dropped)) = drops {
            self.dropped.update(dropped, if_dropped);
        }
        self.dropped.total
    }

    /// Checks whether the interface is still up. Returns a message when it went down: libpcap delivers nothing then, and
    /// no error.
    pub fn check_interface(&mut self) -> Option<String> {
        let before = std::mem::replace(&mut self.down, is_up(&self.device) == Some(false));
        self.was_down |= self.down;
        (self.down && !before)
            .then(|| format!("{}: the interface is down, and no packets arrive", self.device))
    }

    /// The reason why packets are missing, if any are.
    fn damage(&self) -> Option<String> {
        let down =
            || format!("{}: the interface was down for a time, and its packets are missing", self.device);
        self.ended.clone().or_else(|| self.was_down.then(down))
    }

    /// Starts the thread that reads the ring. It gets the privileges of this one, which may have given them up since the
    /// capture was opened.
    fn start(&mut self) -> std::io::Result<()> {
        let Some(capture) = self.capture.take() else { return Ok(()) };
        self.reader = Some(RingReader::start(capture, &self.device, self.snap_length)?);
        Ok(())
    }

    /// Hands over up to `max` packets, and returns what can be read next.
    fn hand_over(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
        let mut left = max;
        while left > 0 {
            let Some(mut block) = self.block.take().or_else(|| self.next_block()) else {
                return if self.ended.is_some() { SourceStatus::End } else { SourceStatus::Drained };
            };
            left -= self.hand_over_block(&mut block, left, sink);
            if block.is_spent() {
                self.spent.push(block);
            } else {
                self.block = Some(block);
            }
        }
        SourceStatus::More
    }

    fn hand_over_block(
        &mut self,
        block: &mut OpenBlock,
        max: usize,
        sink: &mut dyn FnMut(Frames<'_>),
    ) -> usize {
        let Self { link, packets, bytes, first, last, interfaces, .. } = self;
        let place = (*packets + 1, *link);
        let handed = block.hand_over(
            max,
            place,
            |frame| {
                *bytes += u64::from(frame.wire_len);
                *first = Some(first.map_or(frame.at, |first| first.min(frame.at)));
                *last = (*last).max(Some(frame.at));
                if frame.link == LinkType::LINUX_SLL2 {
                    frame.frame = interfaces.position(frame, live_name);
                }
            },
            sink,
        );
        self.packets += handed as u64;
        self.clock.latest = self.last.map(|last| (last, block.read_at));
        handed
    }

    /// The next block of packets; none where all were taken, or no more will come.
    fn next_block(&mut self) -> Option<OpenBlock> {
        match self.reader.as_ref()?.queue().next() {
            Next::Block(block) => Some(block),
            Next::Nothing(drained_at) => {
                self.clock.drained_at = drained_at;
                None
            }
            Next::End(reason) => {
                self.ended = Some(reason);
                None
            }
        }
    }

    /// Gives back the blocks that nobody needs any more.
    fn reclaim(&mut self) {
        let Some(reader) = &self.reader else { return };
        for block in self.spent.drain(..) {
            if let Some(block) = block.reclaim() {
                reader.queue().give_back(block);
            }
        }
    }
}

/// The name of one of this host's interfaces.
fn live_name(index: u32) -> String {
    let name = if_indextoname(index).ok().and_then(|name| name.into_string().ok());
    interface_name(CapturePoint::NONE, name.as_deref(), index)
}

impl Source for LiveCapture {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
        if self.ended.is_some() {
            return SourceStatus::End;
        }
        if let Err(error) = self.start() {
            self.ended =
                Some(format!("{}: the capture ended early: no thread to read it: {error}", self.device));
            return SourceStatus::End;
        }
        self.reclaim();
        if self.drained
            && let Some(reader) = &self.reader
        {
            reader.queue().gather(GATHER);
        }
        let status = self.hand_over(max, sink);
        self.drained = status == SourceStatus::Drained;
        if status == SourceStatus::End {
            self.count_drops();
        }
        status
    }

    fn now(&self) -> Option<Timestamp> {
        self.clock.now()
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        vec![CaptureInfo {
            path: self.device.clone(),
            format: Some(CaptureFormat::Live),
            link_types: vec![self.link],
            packets: self.packets,
            untimed: 0,
            bytes: self.bytes,
            first: self.first,
            last: self.last,
            damaged: self.damage(),
            cut: self.ended.is_some(),
            shift: None,
            clock_doubt: None,
            read_once: false,
            dropped: Some(self.dropped.total.total()),
            points: self.interfaces.points(),
        }]
    }
}
