//! Frames from an interface, by libpcap.
//!
//! Owns how the capture is opened (snap length, ring, time stamps, the kernel's filter), waiting for packets, and
//! the counts of what was lost. Does not own privileges (`sandbox`) nor what is done with the frames.

use std::ffi::{c_int, c_void};
use std::time::{SystemTime, UNIX_EPOCH};

use ::pcap::{Active, Capture, Inactive, Linktype, Precision, TimestampType};

use super::device::{Device, devices};
use super::options::{LiveOptions, TimeSource};
use super::{CaptureInfo, FilterError, Format, Source, Status, trim};
use crate::packet::{Frame, FrameRef, LinkType, Span, Timestamp};

/// Why a live capture cannot begin. Displays as the message, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// There is no such device.
    #[error("there is no interface '{device}'; there are: {}", .there_are.join(", "))]
    UnknownDevice {
        /// The name as given.
        device: String,
        /// The names that exist.
        there_are: Vec<String>,
    },
    /// The right to capture is missing.
    #[error(
        "{device}: capturing is not permitted: run it with sudo, or give the program the right once: \
         sudo setcap cap_net_raw+ep {program}"
    )]
    NotPermitted {
        /// The device.
        device: String,
        /// The path of this program.
        program: String,
    },
    /// The interface is not up.
    #[error("{device}: the interface is down: ip link set {device} up")]
    Down {
        /// The device.
        device: String,
    },
    /// The time source is not supported by the device.
    #[error("{device}: its packets cannot be stamped by time source {}; it has {}", .source_wanted.name(), names(.has))]
    TimeSource {
        /// The device.
        device: String,
        /// The time source as given.
        source_wanted: TimeSource,
        /// Those it has.
        has: Vec<TimeSource>,
    },
    /// libpcap refuses the filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Anything else that libpcap refuses.
    #[error("{device}: {reason}")]
    Other {
        /// The device.
        device: String,
        /// What libpcap says.
        reason: String,
    },
}

fn names(sources: &[TimeSource]) -> String {
    let names: Vec<&str> = sources.iter().map(|source| source.name()).collect();
    names.join(", ")
}

/// libpcap's words, without the crate's prefix.
pub(super) fn words(error: &::pcap::Error) -> String {
    match error {
        ::pcap::Error::PcapError(words) => format!("libpcap says: {words}"),
        other => other.to_string(),
    }
}

// From libpcap itself, which the `pcap` crate links but does not export these of.
unsafe extern "C" {
    fn pcap_list_tstamp_types(capture: *mut c_void, types: *mut *mut c_int) -> c_int;
    fn pcap_free_tstamp_types(types: *mut c_int);
    fn pcap_get_tstamp_precision(capture: *mut c_void) -> c_int;
}

/// How long the kernel may hold a packet back to hand over more at once, in milliseconds. libpcap wakes for each
/// block of the ring, so this bounds how late a verdict is, not how many packets are lost.
const TIMEOUT_MS: u16 = 100;

/// How old a packet may be when it is handed over, where the ring was drained: the time-out, and as much again
/// and a half for a timer that is late.
const LAG: Span = Span::from_millis(250);

/// An open live capture.
pub struct Live {
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
    clock: Clock,
    lost: Lost,
    ended: Option<String>,
}

/// The time up to which all packets were handed over.
#[derive(Debug, Clone, Copy)]
struct Clock {
    /// Time stamps are from this machine's clock.
    of_host: bool,
    /// The wall clock when the ring was last drained.
    drained_at: Option<Timestamp>,
    /// For another clock: its latest time stamp, and the wall clock then.
    latest: Option<(Timestamp, Timestamp)>,
}

impl Clock {
    fn now(&self) -> Option<Timestamp> {
        let drained_at = self.drained_at?;
        let time = if self.of_host {
            drained_at
        } else {
            let (stamp, wall) = self.latest?;
            stamp.plus(drained_at.since(wall))
        };
        Some(time.plus(Span::from_nanos(-LAG.as_nanos())))
    }
}

/// libpcap's counts are 32 bits wide and wrap; a capture of weeks may drop more.
#[derive(Debug, Clone, Copy, Default)]
struct Lost {
    total: u64,
    dropped: u32,
    if_dropped: u32,
}

impl Lost {
    fn update(&mut self, dropped: u32, if_dropped: u32) {
        self.total += u64::from(dropped.wrapping_sub(self.dropped));
        self.total += u64::from(if_dropped.wrapping_sub(self.if_dropped));
        (self.dropped, self.if_dropped) = (dropped, if_dropped);
    }
}

impl Live {
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
        live.set_filter(options)?;
        Ok(live)
    }

    fn new(capture: Capture<Active>, device: String, options: &LiveOptions) -> Self {
        // SAFETY: the handle is open, and lives as long as `capture`.
        let nanoseconds =
            unsafe { pcap_get_tstamp_precision(capture.as_ptr().cast()) } == Precision::Nano as c_int;
        let of_host = match options.time_source {
            None | Some(TimeSource::Host | TimeSource::HostLowPrec | TimeSource::HostHighPrec) => true,
            Some(TimeSource::Adapter | TimeSource::AdapterUnsynced) => false,
        };
        Self {
            link: link_of(&capture),
            capture,
            device,
            nanos_per_unit: if nanoseconds { 1 } else { 1_000 },
            notes: Vec::new(),
            packets: 0,
            bytes: 0,
            first: None,
            last: None,
            drained: false,
            clock: Clock { of_host, drained_at: None, latest: None },
            lost: Lost::default(),
            ended: None,
        }
    }

    /// `any` gives version 1 unless asked; version 2 tells the interface of each packet.
    fn prefer_cooked_v2(&mut self) {
        let v2 = Linktype(i32::from(LinkType::LINUX_SLL2.0));
        if self.link == LinkType::LINUX_SLL && self.capture.set_datalink(v2).is_ok() {
            self.link = link_of(&self.capture);
        }
    }

    fn set_filter(&mut self, options: &LiveOptions) -> Result<(), LiveError> {
        let user = options.filter.as_deref();
        if let Some(expression) = user {
            // Alone first, so that a complaint is about what the user wrote.
            self.capture.compile(expression, true).map_err(|error| FilterError {
                expression: expression.to_owned(),
                link: self.link,
                reason: words(&error),
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
                    words(&error)
                )),
            }
        }
        let Some(expression) = user else { return Ok(()) };
        self.notes.push(format!("kernel filter: {expression}"));
        self.capture.filter(expression, true).map_err(|error| LiveError::Other {
            device: self.device.clone(),
            reason: format!("setting the filter: {}", words(&error)),
        })
    }

    /// What is worth knowing of how it was opened, in words.
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

    /// Asks the kernel how many packets it and the interface dropped since the beginning.
    pub fn count_drops(&mut self) -> u64 {
        if let Ok(stat) = self.capture.stats() {
            self.lost.update(stat.dropped, stat.if_dropped);
        }
        self.lost.total
    }

    /// Waits until the kernel has packets, at most as long as it holds them back; a signal ends the wait.
    #[cfg(target_os = "linux")]
    fn wait(&self) {
        use std::os::fd::AsFd;

        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

        let mut fds = [PollFd::new(self.capture.as_fd(), PollFlags::POLLIN)];
        // Whatever it says, libpcap looks for itself next.
        let _ = poll(&mut fds, PollTimeout::from(TIMEOUT_MS));
    }

    /// Elsewhere libpcap waits by itself.
    #[cfg(not(target_os = "linux"))]
    fn wait(&self) {}

    /// Hands over what the kernel has, and says how much that was.
    fn dispatch(&mut self, max: usize, sink: &mut dyn FnMut(&Frame<'_>)) -> Result<usize, ::pcap::Error> {
        let Self { capture, link, nanos_per_unit, packets, bytes, first, last, .. } = self;
        capture.dispatch(Some(max), |packet| {
            let header = packet.header;
            let at = stamp(header, *nanos_per_unit);
            *packets += 1;
            *bytes += u64::from(header.len);
            *first = Some(first.map_or(at, |first| first.min(at)));
            *last = (*last).max(Some(at));
            sink(&Frame {
                at,
                frame: FrameRef::new(0, *packets),
                link: *link,
                wire_len: header.len,
                data: packet.data,
            });
        })
    }
}

impl Source for Live {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(&Frame<'_>)) -> Status {
        if self.ended.is_some() {
            return Status::End;
        }
        if self.drained {
            self.wait();
        }
        let before = wall_clock();
        match self.dispatch(max, sink) {
            Ok(taken) => {
                if taken > 0 {
                    self.clock.latest = self.last.map(|last| (last, before));
                }
                self.drained = taken < max;
                if !self.drained {
                    return Status::More;
                }
                self.clock.drained_at = Some(before);
                Status::Drained
            }
            Err(error) => {
                self.count_drops();
                self.ended = Some(format!("{}: the capture ended early: {}", self.device, words(&error)));
                Status::End
            }
        }
    }

    fn now(&self) -> Option<Timestamp> {
        self.clock.now()
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        vec![CaptureInfo {
            path: self.device.clone(),
            format: Some(Format::Live),
            link_types: vec![self.link],
            packets: self.packets,
            bytes: self.bytes,
            first: self.first,
            last: self.last,
            damaged: self.ended.clone(),
            dropped: Some(self.lost.total),
        }]
    }
}

/// The time of a packet, whose fraction counts units of so many nanoseconds.
#[allow(clippy::useless_conversion, reason = "both fields have 32 bits on some platforms")]
fn stamp(header: &::pcap::PacketHeader, nanos_per_unit: i64) -> Timestamp {
    let (seconds, units) = (i64::from(header.ts.tv_sec), i64::from(header.ts.tv_usec));
    let nanos = seconds.saturating_mul(1_000_000_000).saturating_add(units.saturating_mul(nanos_per_unit));
    Timestamp::from_nanos(nanos)
}

/// The name of the device that `wanted` names, or counts.
fn choose(wanted: &str, known: &[Device]) -> Result<String, LiveError> {
    if known.iter().any(|device| device.name == wanted) {
        return Ok(wanted.to_owned());
    }
    let number = wanted.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    if let Some(device) = number.and_then(|index| known.get(index)) {
        return Ok(device.name.clone());
    }
    // libpcap may be unable to list what it can open.
    if known.is_empty() {
        return Ok(wanted.to_owned());
    }
    let there_are = known.iter().map(|device| device.name.clone()).collect();
    Err(LiveError::UnknownDevice { device: wanted.to_owned(), there_are })
}

fn prepare(device: &str, options: &LiveOptions) -> Result<Capture<Inactive>, ::pcap::Error> {
    let clamp = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let capture = Capture::from_device(device)?
        .snaplen(clamp(options.snap_length))
        .buffer_size(clamp(options.buffer))
        .timeout(i32::from(TIMEOUT_MS))
        .immediate_mode(false)
        .precision(Precision::Nano)
        // "any" has no promiscuous mode, and libpcap's warning of that would be taken for an error.
        .promisc(options.promiscuous && device != "any");
    Ok(match options.time_source {
        Some(source) => capture.tstamp_type(source.to_pcap()),
        None => capture,
    })
}

/// The time sources of a device; every device has the host's clock.
fn time_sources(capture: &Capture<Inactive>) -> Vec<TimeSource> {
    let mut list: *mut c_int = std::ptr::null_mut();
    // SAFETY: the handle lives as long as `capture`; on success the list has that many entries until it is freed.
    let numbers = unsafe {
        let count = pcap_list_tstamp_types(capture.as_ptr().cast(), &raw mut list);
        match usize::try_from(count) {
            Ok(count) if count > 0 && !list.is_null() => {
                let numbers = std::slice::from_raw_parts(list, count).to_vec();
                pcap_free_tstamp_types(list);
                numbers
            }
            _ => vec![TimestampType::Host as c_int],
        }
    };
    TimeSource::ALL.into_iter().filter(|source| numbers.contains(&(source.to_pcap() as c_int))).collect()
}

/// libpcap itself would wait without end while nothing arrives: Linux wakes it for packets only.
#[cfg(target_os = "linux")]
fn non_blocking(capture: Capture<Active>) -> Result<Capture<Active>, ::pcap::Error> {
    capture.setnonblock()
}

#[cfg(not(target_os = "linux"))]
fn non_blocking(capture: Capture<Active>) -> Result<Capture<Active>, ::pcap::Error> {
    Ok(capture)
}

fn link_of(capture: &Capture<Active>) -> LinkType {
    LinkType(u16::try_from(capture.get_datalink().0).unwrap_or(u16::MAX))
}

/// What libpcap's refusal means, with what to do.
fn explain(device: &str, known: &[Device], error: &::pcap::Error) -> LiveError {
    let device = device.to_owned();
    if !permitted() {
        let program =
            std::env::current_exe().map_or_else(|_| "hsanalyze".into(), |path| path.display().to_string());
        return LiveError::NotPermitted { device, program };
    }
    if known.iter().any(|known| known.name == device && !known.up) {
        return LiveError::Down { device };
    }
    LiveError::Other { device, reason: words(error) }
}

/// Whether the kernel lets this process open a packet socket: libpcap says why not only in prose.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

    let opened = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
    !matches!(opened, Err(nix::errno::Errno::EPERM | nix::errno::Errno::EACCES))
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    true
}

fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> Device {
        Device {
            name: name.to_owned(),
            description: None,
            addresses: Vec::new(),
            flags: Vec::new(),
            up: true,
        }
    }

    #[test]
    fn a_device_is_named_or_numbered() {
        let known = [device("eth0"), device("any"), device("7")];
        assert_eq!(choose("any", &known).unwrap(), "any");
        assert_eq!(choose("1", &known).unwrap(), "eth0");
        assert_eq!(choose("7", &known).unwrap(), "7", "a name comes before a number");
        assert_eq!(choose("eth9", &[]).unwrap(), "eth9", "nothing is known");
        for wrong in ["0", "4", "eth1", "-1"] {
            let message = choose(wrong, &known).unwrap_err().to_string();
            assert_eq!(message, format!("there is no interface '{wrong}'; there are: eth0, any, 7"));
        }
    }

    #[test]
    fn counts_of_drops_go_on_when_libpcaps_wrap() {
        let mut lost = Lost::default();
        lost.update(u32::MAX, 1);
        assert_eq!(lost.total, u64::from(u32::MAX) + 1);
        lost.update(4, 1);
        assert_eq!(lost.total, u64::from(u32::MAX) + 6);
    }

    #[test]
    fn another_clock_is_followed_by_its_latest_stamp() {
        let at = |millis: i64| Timestamp::from_nanos(millis * 1_000_000);
        let host = Clock { of_host: true, drained_at: Some(at(5_000)), latest: None };
        assert_eq!(host.now(), Some(at(4_750)));
        let adapter = Clock { of_host: false, latest: Some((at(100), at(4_000))), ..host };
        assert_eq!(adapter.now(), Some(at(850)));
        assert_eq!(Clock { latest: None, ..adapter }.now(), None);
        assert_eq!(Clock { drained_at: None, ..host }.now(), None, "packets may be waiting");
    }
}
