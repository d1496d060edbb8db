//! A capture, from a file or standard input: its open input, its format and its totals.

use std::ffi::OsStr;

use super::damage::Damage;
use super::input::Input;
use super::open::{FormatReader, OpenError, OpenReason, open, open_growing};
use super::source::CaptureInfo;
use super::stream::Blocking;
use super::walk::{CaptureTotals, Stop, Walk};
use crate::packet::{LinkType, Timestamp};

/// A file or standard input. One that cannot be read is kept too, so that the others keep their indexes.
#[derive(Debug)]
pub(super) struct Capture {
    path: String,
    /// `None` if it could not be opened; kept after the end, for its size.
    open: Option<(Input, FormatReader)>,
    seen: CaptureTotals,
    /// Reading came to the end, or to damage.
    ended: bool,
    damaged: Option<String>,
    /// Reading ended with damage.
    cut: bool,
    /// The damage, if it is that a pipe ended within a record.
    unfinished: Option<String>,
}

impl Capture {
    /// Opens `path` (`-` for standard input) and reads up to its first link type.
    ///
    /// A file that cannot be read keeps its index, so that those of the others follow the user's order.
    pub(super) fn open(path: &OsStr) -> (Self, Option<OpenError>) {
        Self::new(path, open(path))
    }

    /// The same for a file whose bytes are in memory.
    #[cfg(feature = "fuzzing")]
    pub(super) fn open_bytes(path: &OsStr, bytes: Vec<u8>) -> (Self, Option<OpenError>) {
        Self::new(path, super::open::open_bytes(bytes))
    }

    /// The same for a file that another program is writing.
    pub(super) fn open_growing(path: &OsStr) -> (Self, Option<OpenError>) {
        Self::new(path, open_growing(path))
    }

    fn new(path: &OsStr, opened: Result<(Input, FormatReader), OpenReason>) -> (Self, Option<OpenError>) {
        let path_shown = path.display().to_string();
        let mut capture = Self {
            path: path_shown,
            open: None,
            seen: CaptureTotals::new(),
            ended: false,
            damaged: None,
            cut: false,
            unfinished: None,
        };
        match opened {
            Ok((mut input, mut reader)) => {
                match &mut reader {
                    FormatReader::Pcap(pcap) => capture.seen.link_type(pcap.link()),
                    // Damage is reported by the first walk, which finds it again.
                    FormatReader::PcapNg(pcapng) => _ = pcapng.prime(&mut input, &mut capture.seen),
                }
                input.blocking = Blocking::Never;
                capture.open = Some((input, reader));
                (capture, None)
            }
            Err(reason) => {
                let error = capture.refuse(reason);
                (capture, Some(error))
            }
        }
    }

    fn refuse(&mut self, reason: OpenReason) -> OpenError {
        let error = OpenError { path: self.path.clone(), reason };
        self.damaged = Some(error.to_string());
        error
    }

    /// True if there is anything to read.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The first link type, where the capture holds it before its first packet.
    pub(super) fn first_link(&self) -> Option<LinkType> {
        self.seen.link_types.first().copied()
    }

    /// True if packets of this link type were seen.
    pub(super) fn has_link(&self, link: LinkType) -> bool {
        self.seen.link_types.contains(&link)
    }

    /// Allows the next walk to block once.
    pub(super) fn wait(&mut self) {
        if let Some((input, _)) = &mut self.open {
            input.blocking = Blocking::Once;
        }
    }

    /// Hands over frames until the input or the bounds of `walk` end. Damage ends the input.
    pub(super) fn walk(&mut self, walk: &mut Walk<'_>) -> Stop {
        let Some((input, reader)) = &mut self.open else { return Stop::End };
        if self.ended {
            return Stop::End;
        }
        let stop = match reader {
            FormatReader::Pcap(pcap) => pcap.walk(input, &mut self.seen, walk),
            FormatReader::PcapNg(pcapng) => pcapng.walk(input, &mut self.seen, walk),
        };
        let stop = stop.unwrap_or_else(|damage| {
            let what = self.describe(&damage);
            let is_pipe = self.open.as_ref().is_some_and(|(input, _)| input.is_pipe());
            if is_pipe && damage.is_early_end() {
                self.unfinished = Some(what);
            } else {
                self.add_damage(what);
            }
            self.cut = true;
            Stop::End
        });
        self.ended = stop == Stop::End;
        stop
    }

    /// True if this is a pipe that ended within a record.
    pub(super) const fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Takes a pipe that ended within a record for undamaged.
    pub(super) fn accept_unfinished(&mut self) {
        if self.unfinished.take().is_some() {
            self.cut = false;
        }
    }

    /// A message with the place and the kind of damage.
    fn describe(&self, damage: &Damage) -> String {
        let (offset, compression) =
            self.open.as_ref().map_or((0, None), |(input, _)| (input.offset(), input.compression()));
        let after = compression.map(|c| format!(" (after {c} decompression)")).unwrap_or_default();
        // The packet after those that were read is the damaged one.
        format!("{}: packet {} at byte {offset}{after}: {damage}", self.path, self.seen.packets + 1)
    }

    /// Adds a reason why packets of this capture cannot be used, unless it is known.
    pub(super) fn add_damage(&mut self, what: String) {
        match &mut self.damaged {
            None => self.damaged = Some(what),
            Some(known) if known.contains(&what) => {}
            Some(known) => {
                known.push_str("; ");
                known.push_str(&what);
            }
        }
    }

    /// Bytes read of the file, and its size; `None` for a pipe.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        match &self.open {
            Some((input, _)) => input.progress(),
            None => Some((0, 0)),
        }
    }

    /// The time when capturing ended, where the capture holds it and it was read.
    pub(super) const fn ended(&self) -> Option<Timestamp> {
        self.seen.ended
    }

    pub(super) fn info(&self) -> CaptureInfo {
        let any = self.seen.packets > self.seen.untimed;
        let damage: Vec<&str> = self.damaged.iter().chain(&self.unfinished).map(String::as_str).collect();
        CaptureInfo {
            path: self.path.clone(),
            format: self.open.as_ref().map(|(_, reader)| reader.format()),
            link_types: self.seen.link_types.clone(),
            packets: self.seen.packets,
            untimed: self.seen.untimed,
            bytes: self.open.as_ref().map_or(0, |(input, _)| input.offset()),
            first: any.then_some(self.seen.first),
            last: any.then_some(self.seen.last),
            damaged: Some(damage.join("; ")).filter(|damage| !damage.is_empty()),
            cut: self.cut,
            shift: None,
            clock_doubt: None,
            read_once: false,
            dropped: self.seen.dropped,
            points: self.open.as_ref().map_or_else(Vec::new, |(_, reader)| reader.points()),
        }
    }
}
