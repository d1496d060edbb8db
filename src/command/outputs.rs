//! The outputs of one analysis: the report, and what shows the packets of some attempts beside it.

use std::io;
use std::path::{Path, PathBuf};

use super::analyse::AnalyseConfig;
use crate::engine::packets::{PacketAccess, PacketLimits, PacketStore, SharedRecorder};
use crate::engine::{Sink, Summary};
use crate::handshake::Attempt;
use crate::listener::Listeners;
use crate::report::ladder::{self, Ladder, Selection};
use crate::report::output::Output;
use crate::report::{Offer, ReportOptions, Reporter, VerdictSet};

/// Sink of an analysis that hands attempts to every output.
pub(super) struct Outputs<'a> {
    reporter: Reporter<&'a mut Output>,
    /// Attempts whose packets are shown, and the way to them.
    shown: Option<(Selection, PacketAccess)>,
}

impl<'a> Outputs<'a> {
    /// The outputs that `config` asks for; the report goes to `output`.
    pub(super) fn new(
        config: &AnalyseConfig,
        options: &ReportOptions,
        output: &'a mut Output,
    ) -> io::Result<Self> {
        let selection = config.ladders.map(|ladders| {
            let wanted = config.verdicts.unwrap_or_else(VerdictSet::problems);
            Selection::new(ladders.count, wanted, ladders.client)
        });
        let shown = selection.map(|selection| (selection, access(config)));
        Ok(Self { reporter: Reporter::new(options.clone(), output)?, shown })
    }

    /// The recorder of packets, where the input cannot be read twice and an output shows packets.
    pub(super) fn recorder(&self) -> Option<SharedRecorder> {
        match &self.shown {
            Some((_, PacketAccess::Recorder(recorder))) => Some(recorder.clone()),
            Some((_, PacketAccess::Files { .. })) | None => None,
        }
    }

    /// Finishes the report. Returns what is shown with packets, for [`Shown::write`].
    pub(super) fn finish(self, summary: &Summary, listeners: &Listeners) -> io::Result<Option<Shown>> {
        self.reporter.finish(summary, listeners)?;
        Ok(self.shown.map(|(selection, access)| Shown { selection, access }))
    }
}

impl Sink for Outputs<'_> {
    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        if let Some((selection, access)) = &mut self.shown {
            let Offer { kept, left } = selection.offer(attempt);
            access.settle(attempt, kept);
            left.into_iter().for_each(|ordinal| access.release(ordinal));
        }
        self.reporter.attempt(attempt)
    }

    fn provisional(&mut self, attempt: &Attempt) -> io::Result<()> {
        self.reporter.provisional(attempt)
    }

    fn drained(&mut self) -> io::Result<()> {
        self.reporter.drained()
    }
}

/// The attempts that are shown with their packets.
pub(super) struct Shown {
    selection: Selection,
    access: PacketAccess,
}

impl Shown {
    /// Writes the ladders.
    pub(super) fn write(
        &self,
        config: &AnalyseConfig,
        options: &ReportOptions,
        listeners: &Listeners,
        output: &mut Output,
    ) -> anyhow::Result<()> {
        let Some(asked) = config.ladders else { return Ok(()) };
        let attempts = self.selection.worst(asked.count);
        let store = self.access.collect(&attempts, &PacketLimits::DIAGRAMS)?;
        ladder::write(output, options, &ladders(&attempts, listeners, &store))?;
        if let Some(client) = asked.client.filter(|_| attempts.is_empty()) {
            anyhow::bail!("--attempt {client}: no attempt of this client is in the input");
        }
        Ok(())
    }
}

fn ladders(attempts: &[&Attempt], listeners: &Listeners, store: &PacketStore) -> Vec<Ladder> {
    let infer = |attempt: &Attempt| Attempt { inference: listeners.infer(attempt), ..attempt.clone() };
    attempts.iter().map(|attempt| Ladder::new(infer(attempt), store)).collect()
}

/// The way to the packets: files are read again, pipes and interfaces are recorded.
fn access(config: &AnalyseConfig) -> PacketAccess {
    let is_file = |path: &PathBuf| path != Path::new("-") && path.is_file();
    if config.files.is_empty() {
        PacketAccess::Recorder(SharedRecorder::new(PacketLimits::LIVE))
    } else if config.files.iter().all(is_file) {
        PacketAccess::Files { paths: config.files.clone(), filter: config.filter.clone() }
    } else {
        PacketAccess::Recorder(SharedRecorder::new(PacketLimits::DIAGRAMS))
    }
}
