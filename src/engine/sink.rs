//! The interface of outputs that take attempts, and the delivery of findings to them.

use std::io;

use crate::handshake::{Attempt, ExpectedEnds, Finding};
use crate::listener::{CausesWanted, EpisodeReport, Listeners};

/// Takes attempts as they are settled.
pub trait Sink {
    /// Takes one settled attempt. They come in the order in which they are settled, with the cause as known by then if
    /// [`Self::causes_wanted`] is set.
    ///
    /// # Errors
    ///
    /// An output error; it ends the analysis.
    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()>;

    /// Everything that has arrived was analysed, and more may take long
    /// ([`SourceStatus::Drained`](crate::capture::SourceStatus::Drained)): flushes what was buffered.
    ///
    /// # Errors
    ///
    /// An output error; it ends the analysis.
    fn drained(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Takes an episode of a live capture, as it begins, goes on or ends.
    ///
    /// # Errors
    ///
    /// An output error; it ends the analysis.
    fn episode(&mut self, report: &EpisodeReport) -> io::Result<()> {
        let _ = report;
        Ok(())
    }

    /// Takes an attempt that is not settled yet, and shows an overflow or looks stuck.
    ///
    /// # Errors
    ///
    /// An output error; it ends the analysis.
    fn provisional(&mut self, attempt: &Attempt) -> io::Result<()> {
        let _ = attempt;
        Ok(())
    }

    /// Takes an attempt that is settled and does not count
    /// ([`AnalysisOptions::counted`](super::AnalysisOptions::counted)): what was kept of it is needed no more.
    fn uncounted(&mut self, attempt: &Attempt) {
        let _ = attempt;
    }

    /// The moment at which the sink uses causes. Causes that are used at the end alone need not be inferred before.
    fn causes_wanted(&self) -> CausesWanted {
        CausesWanted::AtOnce
    }
}

/// Keeps every attempt.
impl Sink for Vec<Attempt> {
    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        self.push(attempt.clone());
        Ok(())
    }
}

/// Records a finding with its listener, which infers the cause, and hands its attempt to the sink; unless it is held
/// back as a sighting of another attempt, or is one. `soon` are the ends of one that follows.
pub(super) fn deliver(
    finding: &mut Finding,
    soon: Option<ExpectedEnds>,
    listeners: &mut Listeners,
    sink: &mut dyn Sink,
) -> io::Result<()> {
    listeners.expect(soon);
    if !listeners.sightings().concerns(finding) {
        return record(finding, listeners, sink);
    }
    if finding.attempt.is_oversized_alone() {
        listeners.record_oversized(&finding.attempt);
        return Ok(());
    }
    listeners.deliver_by(|sightings, listeners| {
        sightings.take(finding, |finding| record(finding, listeners, sink))
    })
}

/// Delivers the findings that are held back, once all others were.
pub(super) fn deliver_held(listeners: &mut Listeners, sink: &mut dyn Sink) -> io::Result<()> {
    listeners.deliver_by(|sightings, listeners| sightings.flush(|finding| record(finding, listeners, sink)))
}

/// Delivers the attempts that are held back although more packets may come: these may take long.
pub(super) fn deliver_waiting(listeners: &mut Listeners, sink: &mut dyn Sink) -> io::Result<()> {
    listeners.deliver_by(|sightings, listeners| sightings.drain(|finding| record(finding, listeners, sink)))
}

fn record(finding: &mut Finding, listeners: &mut Listeners, sink: &mut dyn Sink) -> io::Result<()> {
    if !listeners.counts(&finding.attempt) {
        if finding.settled {
            listeners.observe(&mut finding.attempt);
            sink.uncounted(&finding.attempt);
        }
        return Ok(());
    }
    listeners.record_for(finding, sink.causes_wanted());
    if finding.settled { sink.attempt(&finding.attempt) } else { sink.provisional(&finding.attempt) }
}
