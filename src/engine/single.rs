//! The analysis on one thread, step by step: the caller decides when the next step is taken (live capture needs that).

use std::io;

use super::batch::{BATCH, BatchEnd, read_batch};
use super::bounds::Bounds;
use super::intake::{Intake, PacketReceiver};
use super::limits::known_limits;
use super::options::AnalysisOptions;
use super::packet_counts::PacketCounts;
use super::shard::{EndStep, Shard};
use super::sink::{Sink, deliver, deliver_held, deliver_waiting};
use super::summary::Summary;
use crate::capture::{CaptureInfo, Source, SourceStatus};
use crate::handshake::{Batch, OwnFlow};
use crate::listener::Listeners;
use crate::packet::{CaptureSet, Frame, Frames, Glimpse, Packet, Span, Timestamp};

/// Packets that are handed to the tracker together: as many as a shard gets of a batch, and few enough that they
/// stay in the first-level cache.
const GROUP: usize = 512;

/// Hands packets to the shard in groups.
struct GroupedPackets<'a> {
    shard: &'a mut Shard,
    group: &'a mut Batch,
}

impl GroupedPackets<'_> {
    fn hand_over(&mut self) {
        self.shard.take(self.group);
        self.group.clear();
    }
}

impl PacketReceiver for GroupedPackets<'_> {
    fn expect(&mut self, frames: &Frames<'_>, ordinal: u64) {
        if self.group.len() + frames.len() > GROUP {
            self.hand_over();
        }
        self.group.expect(frames.shared(), ordinal);
    }

    fn set_lag(&mut self, ordinal: u64, lag: Span) {
        self.group.lag(ordinal, lag);
    }

    fn doubt(&mut self, ordinal: u64) {
        self.group.doubt(ordinal);
    }

    #[inline(always)]
    fn push(&mut self, hash: u64, glimpse: &Glimpse, frame: &Frame<'_>, ordinal: u64) {
        self.group.push(hash, glimpse, frame, ordinal);
    }

    fn push_decoded(&mut self, hash: u64, packet: Packet, ordinal: u64) {
        self.group.push_decoded(hash, packet, ordinal);
    }

    fn push_joined(&mut self, hash: u64, packet: Packet, own: OwnFlow, ordinal: u64) {
        self.group.push_joined(hash, packet, own, ordinal);
    }
}

/// An analysis in progress.
pub struct Analysis {
    intake: Intake,
    is_live: bool,
    shard: Shard,
    group: Batch,
    listeners: Listeners,
    bounds: Bounds,
}

impl Analysis {
    /// An analysis that has seen nothing; [`AnalysisOptions::threads`] does not matter here.
    #[must_use]
    pub fn new(options: &AnalysisOptions) -> Self {
        let mut listeners = Listeners::new(options.max_listeners);
        listeners.set_counted(options.counted);
        if options.reports_stuck {
            // A live capture counts its drops.
            listeners.set_uncounted(CaptureSet::NONE);
        }
        Self {
            intake: Intake::default(),
            is_live: options.reports_stuck,
            shard: Shard::new(options),
            group: Batch::with_capacity(GROUP),
            listeners,
            bounds: Bounds::new(options.max_attempts),
        }
    }

    /// Takes the packets that the source has ready, at most one batch, and delivers the attempts that they settle.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn step(&mut self, source: &mut dyn Source, sink: &mut dyn Sink) -> io::Result<SourceStatus> {
        let mut packets = GroupedPackets { shard: &mut self.shard, group: &mut self.group };
        let end = read_batch(source, &mut self.intake, &mut packets);
        packets.hand_over();
        self.end_batch(end, sink)?;
        if end.status == SourceStatus::Drained {
            if self.is_live {
                // Nothing may come for long.
                deliver_waiting(&mut self.listeners, sink)?;
            }
            sink.drained()?;
        }
        Ok(end.status)
    }

    /// Takes all steps of the end of a batch.
    fn end_batch(&mut self, end: BatchEnd, sink: &mut dyn Sink) -> io::Result<()> {
        self.shard.end_batch(end, &self.bounds);
        while let Some(step) = self.shard.step(&self.bounds) {
            match step {
                EndStep::Until(time) => self.deliver(Some(time), sink)?,
                EndStep::NeedsEviction(total) => {
                    let trackers = std::iter::once(self.shard.tracker());
                    let eviction = self.bounds.evictions(total, trackers);
                    self.shard.evict(eviction);
                }
                EndStep::Ended => self.deliver(None, sink)?,
            }
        }
        if end.is_bounded() {
            self.listeners.set_limits(known_limits(&end.survey, &self.listeners.coverage()));
        }
        Ok(())
    }

    /// Decides everything that is left. The capture ends with its last packet, or at the time of its source's own
    /// clock: in a live capture that goes on in silence, time passes without packets.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        // The caller may end the analysis before the source does; after the source's end this changes nothing.
        let (now, total) = (self.shard.now(), self.intake.total());
        let end = BatchEnd { now, total, status: SourceStatus::End, survey: self.intake.survey() };
        self.end_batch(end, sink)?;
        self.listeners.set_limits(known_limits(&self.counts().survey, &self.listeners.coverage()));
        self.listeners.sightings().end();
        loop {
            let more = self.shard.tracker_mut().finish(BATCH);
            self.deliver(None, sink)?;
            if !more {
                return deliver_held(&mut self.listeners, sink);
            }
        }
    }

    /// Delivers findings: all of them, or those before some time.
    fn deliver(&mut self, before: Option<Timestamp>, sink: &mut dyn Sink) -> io::Result<()> {
        let listeners = &mut self.listeners;
        self.shard.tracker_mut().drain(before, |finding, soon| deliver(finding, soon, listeners, sink))
    }

    /// The listeners so far.
    pub fn listeners(&mut self) -> &mut Listeners {
        &mut self.listeners
    }

    /// Packets by use so far.
    #[must_use]
    pub fn counts(&self) -> PacketCounts {
        self.intake.counts().with(self.shard.tracker().counts())
    }

    /// Undecided attempts at the moment.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.shard.tracker().undecided()
    }

    /// The summary so far.
    #[must_use]
    pub fn summary(&self, captures: Vec<CaptureInfo>) -> Summary {
        let now = self.shard.now().filter(|_| self.is_live);
        Summary::new(captures, self.counts(), &self.listeners, now)
    }

    /// The summary, and the listeners to infer with.
    #[must_use]
    pub fn into_parts(mut self, captures: Vec<CaptureInfo>) -> (Summary, Listeners) {
        let now = self.shard.now().filter(|_| self.is_live);
        let counts = self.counts();
        (Summary::of_end(captures, counts, &mut self.listeners, now), self.listeners)
    }
}
