//! Captures, one or several, read as one in time order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ffi::OsStr;

use super::clock_shift::ClockShift;
use super::cooked::{CookedPoints, interface_name};
use super::file::Capture;
use super::filter::{Filter, FilterError};
use super::open::{OpenError, OpenReason};
use super::points::{self, FirstLook};
use super::series::NamedPoint;
use super::source::{CaptureInfo, Source, SourceStatus};
use super::walk::{FrameGroup, Stop, Walk};
use crate::packet::{CapturePoint, Frame, Frames, LinkType, Span, Timestamp};

/// Options for reading captures.
#[derive(Debug, Clone, Default)]
pub struct CaptureOptions {
    /// A BPF expression. Frames that it does not match are read and counted, but not handed over.
    pub filter: Option<String>,
    /// Names of points, each with a file that was captured there.
    pub points: Vec<NamedPoint>,
}

/// Capture files and standard input, merged into one source by packet time.
///
/// The order within a file is kept whatever its time stamps; of packets with the same time, that of the file that began
/// first comes first. A single file costs no merge.
#[derive(Debug)]
pub struct Captures {
    captures: Vec<Capture>,
    /// Captures whose next frame's time is known, the earliest first.
    heads: BinaryHeap<Reverse<(Timestamp, MergeRank)>>,
    /// The first time of each capture that had to wait for another.
    begun: BTreeMap<u16, Timestamp>,
    /// Captures whose next frame's time is not known, the last one first.
    unknown: Vec<u16>,
    /// The capture whose next bytes had not arrived at the last call.
    starved: Option<u16>,
    filter: Option<Filter>,
    /// Time of the latest packet that it left out: capturing went on at least until then.
    left_out: Option<Timestamp>,
    first_look: FirstLook,
    /// Interfaces by their index, of each capture that has any.
    cooked: BTreeMap<u16, CookedPoints>,
}

/// The order of captures at the same time: by their first time, then as given.
type MergeRank = (Timestamp, u16);

impl Captures {
    /// Opens `paths`; `-` is standard input. Blocks until a pipe has delivered its file header.
    ///
    /// Files that cannot be opened, are empty or are no captures are returned in the list, and reported in their
    /// [`CaptureInfo::damaged`]; the others are read.
    ///
    /// # Errors
    ///
    /// The filter cannot be compiled for the first link type of one of the captures.
    pub fn open<P: AsRef<OsStr>>(
        paths: &[P],
        options: &CaptureOptions,
    ) -> Result<(Self, Vec<OpenError>), FilterError> {
        let filter = filter(options);
        let mut captures = Vec::with_capacity(paths.len());
        let mut errors = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            if at < usize::from(u16::MAX) {
                let (capture, error) = Capture::open(path.as_ref());
                captures.push(capture);
                errors.extend(error);
            } else {
                let path = path.as_ref().display().to_string();
                errors.push(OpenError { path, reason: OpenReason::TooMany });
            }
        }
        Ok((Self::new(captures, filter, points::look(paths, &options.points))?, errors))
    }

    /// The same for one file whose bytes are in memory.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn in_memory(
        path: &OsStr,
        bytes: Vec<u8>,
        options: &CaptureOptions,
    ) -> Result<(Self, Option<OpenError>), FilterError> {
        let (capture, error) = Capture::open_bytes(path, bytes);
        Ok((Self::new(vec![capture], filter(options), FirstLook::default())?, error))
    }

    /// Opens a file to which another program is still writing. At its end, more may come: it never ends by itself.
    pub(crate) fn follow(
        path: &OsStr,
        options: &CaptureOptions,
    ) -> Result<(Self, Option<OpenError>), FilterError> {
        let filter = filter(options);
        let (capture, error) = Capture::open_growing(path);
        let alone = FirstLook::default();
        Ok((Self::new(vec![capture], filter, alone)?, error))
    }

    fn new(
        captures: Vec<Capture>,
        filter: Option<Filter>,
        first_look: FirstLook,
    ) -> Result<Self, FilterError> {
        let mut this = Self {
            captures,
            heads: BinaryHeap::new(),
            begun: BTreeMap::new(),
            unknown: Vec::new(),
            starved: None,
            filter,
            left_out: None,
            first_look,
            cooked: BTreeMap::new(),
        };
        if let Some(filter) = &mut this.filter {
            for link in this.captures.iter().filter_map(Capture::first_link) {
                filter.prepare(link)?;
            }
        }
        let open = this.captures.iter().zip(0..).filter(|(capture, _)| capture.is_open());
        this.unknown = open.map(|(_, index)| index).collect();
        this.unknown.reverse();
        Ok(this)
    }

    /// Bytes read of all files, and their size, for a progress bar; `None` when one of them is a pipe. Compressed files
    /// count by their compressed size. Costs one `fstat` per file.
    #[must_use]
    pub fn progress(&self) -> Option<(u64, u64)> {
        self.captures.iter().try_fold((0u64, 0u64), |(done, total), capture| {
            let (d, t) = capture.progress()?;
            Some((done.saturating_add(d), total.saturating_add(t)))
        })
    }

    /// True if a pipe has ended within a record.
    #[must_use]
    pub fn has_unfinished_pipe(&self) -> bool {
        self.captures.iter().any(Capture::is_unfinished)
    }

    /// Takes pipes that ended within a record for undamaged: their writer was interrupted along with this program.
    pub fn accept_unfinished_pipes(&mut self) {
        self.captures.iter_mut().for_each(Capture::accept_unfinished);
    }

    /// Hands over up to `max` frames of all captures in order of time.
    fn merge(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
        if let Some(capture) = self.starved.take().and_then(|i| self.captures.get_mut(usize::from(i))) {
            capture.wait();
        }
        let mut left = max;
        loop {
            // A capture whose next time is not known stops before its first frame, so that it is.
            let (index, limit) = match (self.unknown.pop(), self.heads.pop()) {
                (Some(index), head) => {
                    self.heads.extend(head);
                    (index, self.limit_for_unknown(index))
                }
                (None, Some(Reverse((_, (_, index))))) => (index, self.limit(index)),
                (None, None) => return SourceStatus::End,
            };
            let Some(capture) = self.captures.get_mut(usize::from(index)) else { continue };
            let (point, prefix) = (self.first_look.point(index), self.first_look.prefix(index));
            let shift = self.first_look.shift(index);
            let cooked = capture.has_link(LinkType::LINUX_SLL2);
            let cooked = cooked.then(|| self.cooked.entry(index).or_default());
            let at = MergePosition { capture: index, point, prefix, left, limit };
            let stop;
            (stop, left) = match cooked {
                None if shift.is_none() => walk(capture, at, sink),
                cooked => walk_changed(capture, at, (shift, cooked), sink),
            };
            match stop {
                Stop::End => {}
                Stop::Limit(at) => {
                    let shift = self.first_look.shift(index);
                    let corrected = |at| shift.map_or(at, |shift| shift.corrected(at));
                    let begun = *self
                        .begun
                        .entry(index)
                        .or_insert_with(|| capture.info().first.map_or(at, corrected));
                    self.heads.push(Reverse((at, (begun, index))));
                }
                Stop::Full => {
                    self.unknown.push(index);
                    return SourceStatus::More;
                }
                Stop::Starved => {
                    self.unknown.push(index);
                    self.starved = Some(index);
                    return SourceStatus::Drained;
                }
            }
        }
    }

    fn info(&self, capture: &Capture, shift: Option<ClockShift>, index: u16) -> CaptureInfo {
        let clock_doubt = self.first_look.doubt(index);
        let read_once = self.first_look.is_read_once(index);
        let mut info = CaptureInfo { shift, clock_doubt, read_once, ..capture.info() };
        info.points.extend(self.cooked.get(&index).into_iter().flat_map(CookedPoints::points));
        let whole = self.first_look.point(index);
        if info.points.is_empty() && whole.is_known() {
            info.points.push(whole);
        }
        info
    }

    /// The time up to which `index` may be read before another capture comes first.
    fn limit(&self, index: u16) -> Timestamp {
        match self.heads.peek() {
            None => Timestamp::from_nanos(i64::MAX),
            // Rotated captures may be given in any order: at the same time, the rank decides.
            Some(Reverse((at, other)))
                if self.begun.get(&index).is_some_and(|&begun| (begun, index) < *other) =>
            {
                *at
            }
            Some(Reverse((at, _))) => Timestamp::from_nanos(at.as_nanos().saturating_sub(1)),
        }
    }

    /// The same for a capture whose next time is not known: no frame at all while there are other such captures.
    fn limit_for_unknown(&self, index: u16) -> Timestamp {
        if self.unknown.is_empty() { self.limit(index) } else { Timestamp::from_nanos(i64::MIN) }
    }
}

/// The filter, compiled before the captures are opened: that needs descriptors, too.
fn filter(options: &CaptureOptions) -> Option<Filter> {
    let mut filter = options.filter.as_deref().map(Filter::new);
    let _ = filter.as_mut().map(|filter| filter.prepare(LinkType::ETHERNET));
    filter
}

/// The bounds of a walk, and the place of its frames in the input.
#[derive(Clone, Copy)]
struct MergePosition {
    capture: u16,
    point: CapturePoint,
    prefix: CapturePoint,
    left: usize,
    limit: Timestamp,
}

/// Hands over frames of a capture; gives why it stopped, and how many may still be handed over.
fn walk(capture: &mut Capture, at: MergePosition, sink: &mut dyn FnMut(Frames<'_>)) -> (Stop, usize) {
    let MergePosition { capture: index, point, prefix, left, limit } = at;
    let mut walk = Walk { capture: index, point, prefix, left, limit, sink };
    let stop = capture.walk(&mut walk);
    (stop, walk.left)
}

/// The same with another clock's times, and with the points of interfaces.
fn walk_changed(
    capture: &mut Capture,
    position: MergePosition,
    (shift, mut cooked): (Option<ClockShift>, Option<&mut CookedPoints>),
    sink: &mut dyn FnMut(Frames<'_>),
) -> (Stop, usize) {
    let MergePosition { prefix, limit, .. } = position;
    let corrected = |at| shift.map_or(at, |shift| shift.corrected(at));
    let mut changed = |frames: Frames<'_>| {
        let mut group = FrameGroup::new(frames.shared());
        for frame in &*frames {
            let name = |index| interface_name(prefix, None, index);
            let place = cooked.as_mut().map_or(frame.frame, |cooked| cooked.position(frame, name));
            group.push(Frame { at: corrected(frame.at), frame: place, ..*frame }, sink);
        }
        group.hand_over(sink);
    };
    // The ends of time are no times to be corrected.
    let ends = [i64::MIN, i64::MAX].contains(&limit.as_nanos());
    let limit = shift.filter(|_| !ends).map_or(limit, |shift| shift.own(limit));
    match walk(capture, MergePosition { limit, ..position }, &mut changed) {
        (Stop::Limit(at), left) => (Stop::Limit(corrected(at)), left),
        other => other,
    }
}

impl Source for Captures {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
        let Some(mut filter) = self.filter.take() else { return self.merge(max, sink) };
        let mut refused: Option<(u16, FilterError)> = None;
        let mut left_out = self.left_out;
        let status = self.merge(max, &mut |frames| {
            let mut passed = FrameGroup::new(frames.shared());
            for frame in &*frames {
                match filter.matches(frame) {
                    Ok(true) => passed.push(*frame, sink),
                    Ok(false) => left_out = Some(frame.at),
                    Err(error) if refused.is_none() => refused = Some((frame.frame.capture(), error.clone())),
                    Err(_) => {}
                }
            }
            passed.hand_over(sink);
        });
        (self.filter, self.left_out) = (Some(filter), left_out);
        if let Some((index, error)) = refused
            && let Some(capture) = self.captures.get_mut(usize::from(index))
        {
            capture.add_damage(format!("{error}; none of its packets were looked at"));
        }
        status
    }

    /// The time when capturing ended, where a pcapng capture holds it or packets that were filtered out show it; known at the end of
    /// all captures.
    fn now(&self) -> Option<Timestamp> {
        let at_end = self.heads.is_empty() && self.unknown.is_empty();
        let ended = |(capture, index): (&Capture, u16)| {
            let shift = self.first_look.shift(index);
            capture.ended().map(|ended| shift.map_or(ended, |shift| shift.corrected(ended)))
        };
        self.captures.iter().zip(0..).filter_map(ended).chain(self.left_out).filter(|_| at_end).max()
    }

    fn duplicates_after(&self) -> Option<Span> {
        self.first_look.duplicates_after
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        let indexed = self.captures.iter().zip(0..);
        indexed.map(|(capture, index)| self.info(capture, self.first_look.shift(index), index)).collect()
    }
}
