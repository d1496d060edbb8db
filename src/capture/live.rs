//! Frames from an interface, by libpcap.
//!
//! Owns how the capture is opened (snap length, ring, time stamps, the kernel's filter), waiting for packets, and
//! the counts of dropped ones. Does not own privileges (`sandbox`) nor what is done with the frames.

mod clock;
mod error;
mod open;

use ::pcap::{Active, Capture, Linktype};
use nix::net::if_::if_indextoname;

pub use self::clock::CaptureDrops;
use self::clock::{DropCounter, LiveClock, stamp};
pub use self::error::LiveError;
use self::error::explain;
use self::open::{TIMEOUT_MS, choose, link_of, non_blocking, prepare, time_sources};
use super::cooked::{CookedPoints, interface_name};
use super::device::{devices, is_up};
use super::filter::FilterError;
use super::options::{LiveOptions, TimeSource};
use super::source::{CaptureFormat, CaptureInfo, Source, SourceStatus};
use super::{libpcap, trim};
use crate::clock::now;
use crate::packet::{CapturePoint, Frame, FrameRef, Frames, LinkType, Timestamp};

/// An open live capture.
pub struct LiveCapture {
    capture: Capture<Active>,
    device: String,
    link: LinkType,
    nanos_per_unit: i64,
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
        let capture = non_blocking(capture).map_err(|error| refused(&error))?;
        let mut live = Self::new(capture, device, options);
        live.prefer_cooked_v2();
        // libpcap captures from Bluetooth and D-Bus, too; its non-blocking reads of nflog fail when no packet waits.
        if !live.link.is_decoded() || live.link == LinkType::NFLOG {
            return Err(LiveError::Link { device: live.device, link: live.link });
        }
        live.set_filter(options)?;
        Ok(live)
    }

    fn new(capture: Capture<Active>, device: String, options: &LiveOptions) -> Self {
        let of_host = match options.time_source {
            None | Some(TimeSource::Host | TimeSource::HostLowPrec | TimeSource::HostHighPrec) => true,
            Some(TimeSource::Adapter | TimeSource::AdapterUnsynced) => false,
        };
        Self {
            link: link_of(&capture),
            nanos_per_unit: libpcap::nanos_per_unit(&capture),
            capture,
            device,
            notes: Vec::new(),
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
        }
    }

    /// Switches to version 2 of the cooked link type, which holds the interface of each packet; `any` gives version 1
    /// unless asked.
    fn prefer_cooked_v2(&mut self) {
        let v2 = Linktype(i32::from(LinkType::LINUX_SLL2.0));
        if self.link == LinkType::LINUX_SLL && self.capture.set_datalink(v2).is_ok() {
            self.link = link_of(&self.capture);
        }
    }

    fn set_filter(&mut self, options: &LiveOptions) -> Result<(), LiveError> {
        let user = options.filter.as_deref();
        if let Some(expression) = user {
            // Alone first, so that an error is about the user's expression.
            self.capture.compile(expression, true).map_err(|error| FilterError {
                expression: expression.to_owned(),
                link: self.link,
                reason: libpcap::message(&error),
            })?;
        }
        if options.trim {
            let trimmed = trim::expression(user, trim::mtu(&self.device));
            match self.capture.filter(&trimmed, true) {
                Ok(()) => {
                    self.notes.push(format!("kernel filter: {trimmed}"));
                    return Ok(());
                }
                Err(error) => self.notes.push(format!(
                    "bulk data is not kept out by the kernel: no such filter for link type {} ({})",
                    self.link,
                    libpcap::message(&error)
                )),
            }
        }
        let Some(expression) = user else { return Ok(()) };
        self.notes.push(format!("kernel filter: {expression}"));
        self.capture.filter(expression, true).map_err(|error| LiveError::Other {
            device: self.device.clone(),
            reason: format!("setting the filter: {}", libpcap::message(&error)),
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
        if let Ok(stat) = self.capture.stats() {
            self.dropped.update(stat.dropped, stat.if_dropped);
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

    /// Waits until the kernel has packets, at most as long as it holds them back; a signal ends the wait.
    #[cfg(target_os = "linux")]
    fn wait(&self) {
        use std::os::fd::AsFd;

        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

        let mut fds = [PollFd::new(self.capture.as_fd(), PollFlags::POLLIN)];
        // The result does not matter: libpcap looks for packets next.
        let _ = poll(&mut fds, PollTimeout::from(TIMEOUT_MS));
    }

    /// Does nothing: elsewhere libpcap waits while it reads.
    #[cfg(not(target_os = "linux"))]
    fn wait(&self) {}

    /// The reason why packets are missing, if any are.
    fn damage(&self) -> Option<String> {
        let down =
            || format!("{}: the interface was down for a time, and its packets are missing", self.device);
        self.ended.clone().or_else(|| self.was_down.then(down))
    }

    /// Hands over up to `max` packets that the kernel has, and returns their number.
    fn dispatch(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> Result<usize, ::pcap::Error> {
        let Self { capture, link, nanos_per_unit, packets, bytes, first, last, interfaces, .. } = self;
        capture.dispatch(Some(max), |packet| {
            let header = packet.header;
            let at = stamp(header, *nanos_per_unit);
            *packets += 1;
            *bytes += u64::from(header.len);
            *first = Some(first.map_or(at, |first| first.min(at)));
            *last = (*last).max(Some(at));
            let (frame, link) = (FrameRef::new(0, *packets), *link);
            let mut frame = Frame { at, frame, link, wire_len: header.len, data: packet.data };
            if link == LinkType::LINUX_SLL2 {
                frame.frame = interfaces.position(&frame, live_name);
            }
            sink(Frames::new(&[frame]));
        })
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
        if self.drained {
            self.wait();
        }
        let before = now();
        match self.dispatch(max, sink) {
            Ok(taken) => {
                if taken > 0 {
                    self.clock.latest = self.last.map(|last| (last, before));
                }
                self.drained = taken < max;
                if !self.drained {
                    return SourceStatus::More;
                }
                self.clock.drained_at = Some(before);
                SourceStatus::Drained
            }
            Err(error) => {
                self.count_drops();
                self.ended =
                    Some(format!("{}: the capture ended early: {}", self.device, libpcap::message(&error)));
                SourceStatus::End
            }
        }
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
            dropped: Some(self.dropped.total.total()),
            points: self.interfaces.points(),
        }]
    }
}
