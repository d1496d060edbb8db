//! The analysis on one thread, step by step: the caller keeps the reins (live capture needs them).

use std::io;

use super::intake::Intake;
use super::{BATCH, Options, PacketCounts, Sink, Summary};
use crate::capture::{CaptureInfo, Source, Status};
use crate::handshake::{Finding, Found, Tracker};
use crate::listener::Book;
use crate::packet::Timestamp;

/// An analysis in progress.
pub struct Analysis {
    intake: Intake,
    tracker: Tracker,
    book: Book,
    found: Vec<Found>,
    max_attempts: usize,
}

impl Analysis {
    /// An analysis that has seen nothing; [`Options::threads`] does not matter here.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            intake: Intake::default(),
            tracker: Tracker::new(),
            book: Book::new(options.max_listeners),
            found: Vec::new(),
            max_attempts: options.max_attempts,
        }
    }

    /// Takes what the source can give at once, at most one batch, and passes on what it decides.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn step(&mut self, source: &mut dyn Source, sink: &mut dyn Sink) -> io::Result<Status> {
        // Batches end at the same packets however the source delivers: eviction goes by that.
        let wanted = BATCH - (self.intake.total() % BATCH as u64) as usize;
        let (intake, tracker) = (&mut self.intake, &mut self.tracker);
        let status = source.read(wanted, &mut |frame| {
            if let Some(item) = intake.take(frame) {
                tracker.take(&item.packet, item.hash, item.ordinal);
            }
        });
        if status == Status::End || self.intake.total().is_multiple_of(BATCH as u64) {
            self.bound();
        }
        if let Some(now) = self.intake.now().max(source.now()) {
            self.tracker.advance(now);
        }
        // What the last batch and the end decide is ordered together, as on several threads.
        if status != Status::End {
            self.pass_on(sink)?;
        }
        if status == Status::Drained {
            sink.drained()?;
        }
        Ok(status)
    }

    /// Evicts and forgets what exceeds the bounds.
    fn bound(&mut self) {
        let excess = self.tracker.undecided().saturating_sub(self.max_attempts);
        if let Some(last) = self.tracker.oldest(excess).last() {
            self.tracker.evict_up_to(last);
        }
        if self.tracker.remembered() >= Tracker::REMEMBERED {
            self.tracker.forget();
        }
    }

    /// Decides everything that is left.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        let end = self.intake.now().unwrap_or_default();
        self.tracker.finish(end);
        self.pass_on(sink)
    }

    fn pass_on(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        self.tracker.drain(&mut self.found);
        self.found.drain(..).try_for_each(|found| enter(&mut self.book, found.finding, sink))
    }

    /// The book as it stands.
    pub fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    /// Packets by use so far.
    #[must_use]
    pub fn counts(&self) -> PacketCounts {
        let tracked = self.tracker.counts();
        PacketCounts { copies: tracked.copies, midstream: tracked.midstream, ..self.intake.counts() }
    }

    /// Undecided attempts at the moment.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.tracker.undecided()
    }

    /// The latest packet time so far.
    #[must_use]
    pub fn now(&self) -> Option<Timestamp> {
        self.intake.now()
    }

    /// The summary so far.
    #[must_use]
    pub fn summary(&self, captures: Vec<CaptureInfo>) -> Summary {
        summary(captures, self.counts(), &self.book)
    }

    /// The summary, and the book to infer with.
    #[must_use]
    pub fn into_parts(self, captures: Vec<CaptureInfo>) -> (Summary, Book) {
        (self.summary(captures), self.book)
    }
}

/// Enters a finding into the book and passes it on.
pub(super) fn enter(book: &mut Book, mut finding: Finding, sink: &mut dyn Sink) -> io::Result<()> {
    book.enter(&mut finding);
    match finding {
        Finding::Decided(attempt) => sink.attempt(attempt),
        Finding::Provisional(attempt) => sink.provisional(&attempt),
    }
}

pub(super) fn summary(captures: Vec<CaptureInfo>, packets: PacketCounts, book: &Book) -> Summary {
    Summary { captures, packets, verdicts: book.verdicts(), listeners: book.listeners() }
}
