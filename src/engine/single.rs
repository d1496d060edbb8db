//! The analysis on one thread, step by step: the caller keeps the reins (live capture needs them).

use std::io;

use super::bounds::{Bounds, Stillness};
use super::intake::{Destination, Intake};
use super::packet_clock::PacketClock;
use super::{AnalysisOptions, BATCH, PacketCounts, Sink, Summary};
use crate::capture::{CaptureInfo, Source, SourceStatus};
use crate::handshake::{Batch, Finding, Tracker};
use crate::listener::Listeners;
use crate::packet::{Frame, Frames, Glimpse, Packet, Span, Timestamp};

/// Packets that are handed to the tracker together: as many as a shard's part of a batch has, and few enough that they
/// stay in the first-level cache.
const GROUP: usize = 512;

/// Packets decoded and not yet tracked.
struct Group<'a> {
    tracker: &'a mut Tracker,
    batch: &'a mut Batch,
}

impl Group<'_> {
    fn hand_over(&mut self) {
        self.tracker.take(self.batch);
        self.batch.clear();
    }
}

impl Destination for Group<'_> {
    fn expect(&mut self, frames: &Frames<'_>, ordinal: u64) {
        if self.batch.len() + frames.len() > GROUP {
            self.hand_over();
        }
        self.batch.expect(frames.shared(), ordinal);
    }

    fn lag(&mut self, ordinal: u64, lag: Span) {
        self.batch.lag(ordinal, lag);
    }

    #[inline(always)]
    fn take(&mut self, hash: u64, glimpse: &Glimpse, frame: &Frame<'_>, ordinal: u64) {
        self.batch.push(hash, glimpse, frame, ordinal);
    }

    fn take_decoded(&mut self, hash: u64, packet: Packet, ordinal: u64) {
        self.batch.push_decoded(hash, packet, ordinal);
    }
}

/// An analysis in progress.
pub struct Analysis {
    intake: Intake,
    tracker: Tracker,
    group: Batch,
    listeners: Listeners,
    bounds: Bounds,
    stillness: Stillness,
    /// The latest steady time that packets or the source's own clock told.
    clock: Option<Timestamp>,
}

impl Analysis {
    /// An analysis that has seen nothing; [`AnalysisOptions::threads`] does not matter here.
    #[must_use]
    pub fn new(options: &AnalysisOptions) -> Self {
        Self {
            intake: Intake::default(),
            tracker: Tracker::new(),
            group: Batch::with_capacity(GROUP),
            listeners: Listeners::new(options.max_listeners),
            bounds: Bounds::new(options.max_attempts),
            stillness: Stillness::default(),
            clock: None,
        }
    }

    /// Takes what the source can give at once, at most one batch, and passes on what it decides.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn step(&mut self, source: &mut dyn Source, sink: &mut dyn Sink) -> io::Result<SourceStatus> {
        // Batches end at the same packets however the source delivers: eviction goes by that.
        let wanted = BATCH - (self.intake.total() % BATCH as u64) as usize;
        let mut group = Group { tracker: &mut self.tracker, batch: &mut self.group };
        let intake = &mut self.intake;
        let status = source.read(wanted, &mut |frames| intake.take(frames, &mut group));
        group.hand_over();
        let then = self.clock;
        self.clock = self.clock.max(told(self.intake.clock(), source, status));
        for time in self.bounds.steps(then, self.clock) {
            self.tracker.advance(time);
            self.pass_on(Some(time), sink)?;
        }
        if let Some(now) = self.clock {
            self.tracker.advance(now);
        }
        // What is due has not to be evicted.
        if self.intake.total().is_multiple_of(BATCH as u64) {
            self.bound();
        }
        // What the last batch decides is told when the bounds were kept.
        if status != SourceStatus::End {
            self.pass_on(None, sink)?;
        }
        if status == SourceStatus::Drained {
            sink.drained()?;
        }
        Ok(status)
    }

    /// Evicts and forgets what exceeds the bounds.
    fn bound(&mut self) {
        let total = self.intake.total();
        if total > self.bounds.safe() {
            let eviction = self.bounds.evictions(total, std::iter::once(&self.tracker));
            eviction.apply(&mut self.tracker);
        }
        self.stillness.end(&mut self.tracker, total, self.clock);
    }

    /// Decides everything that is left. The capture ends with its last packet, or when its source's own clock says: a
    /// live capture that goes on in silence has seen that nothing came.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        // A source with a clock listened on after its last packet: silence until then is not a cut.
        let end = self.clock.unwrap_or_default();
        // Some sources tell the end with the last packet, others later: bounds are kept in the same state.
        self.tracker.advance(end);
        self.bound();
        self.pass_on(None, sink)?;
        while self.tracker.finish(BATCH) {
            self.pass_on(None, sink)?;
        }
        self.pass_on(None, sink)
    }

    /// Passes on what was found, all of it or what was before some time.
    fn pass_on(&mut self, before: Option<Timestamp>, sink: &mut dyn Sink) -> io::Result<()> {
        let listeners = &mut self.listeners;
        self.tracker.drain(before, |found| enter(listeners, found, sink))
    }

    /// The listeners as it stands.
    pub fn listeners(&mut self) -> &mut Listeners {
        &mut self.listeners
    }

    /// Packets by use so far.
    #[must_use]
    pub fn counts(&self) -> PacketCounts {
        self.intake.counts().with(self.tracker.counts())
    }

    /// Undecided attempts at the moment.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.tracker.undecided()
    }

    /// The summary so far.
    #[must_use]
    pub fn summary(&self, captures: Vec<CaptureInfo>) -> Summary {
        summary(captures, self.counts(), &self.listeners)
    }

    /// The summary, and the listeners to infer with.
    #[must_use]
    pub fn into_parts(self, captures: Vec<CaptureInfo>) -> (Summary, Listeners) {
        (self.summary(captures), self.listeners)
    }
}

/// What packets and the source's own clock tell of the time, in steady time.
pub(super) fn told(
    clock: PacketClock,
    source: &(impl Source + ?Sized),
    status: SourceStatus,
) -> Option<Timestamp> {
    let packets = if status == SourceStatus::End { clock.end() } else { clock.now() };
    packets.max(source.now().map(|now| clock.steady(now)))
}

/// Enters a finding into the listeners and passes it on.
pub(super) fn enter(listeners: &mut Listeners, found: &mut Finding, sink: &mut dyn Sink) -> io::Result<()> {
    listeners.record(found);
    if found.decided { sink.attempt(&found.attempt) } else { sink.provisional(&found.attempt) }
}

pub(super) fn summary(captures: Vec<CaptureInfo>, packets: PacketCounts, listeners: &Listeners) -> Summary {
    Summary { captures, packets, verdicts: listeners.verdicts(), listeners: listeners.listeners() }
}
