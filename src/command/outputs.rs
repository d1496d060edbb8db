//! The outputs of one analysis: the report, and what shows the packets of some attempts beside it.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::config::AnalyseConfig;
use crate::capture::can_be_read_again;
use crate::engine::packets::{PacketAccess, PacketLimits, PacketStore, SharedRecorder};
use crate::engine::{Sink, Summary};
use crate::handshake::Attempt;
use crate::listener::comparison::BaselineComparison;
use crate::listener::{AttemptFilter, CausesWanted, EpisodeReport, Listeners, VerdictSet};
use crate::report::annotated::{self, WrittenAttempts};
use crate::report::ladder::{self, Ladder, Selection};
use crate::report::output::Output;
use crate::report::page::{self, PageReport};
use crate::report::{HeldAttempts, Offer, ReportOptions, Reporter, SpillFile};
#[cfg(feature = "parquet")]
use crate::report::{ReportFormat, tables::TablesReport};

/// The places that the report goes to.
pub(super) struct OutputDestination {
    /// The file, or standard output; unused for tables.
    pub(super) output: Output,
    /// For attempts that do not fit into memory, until the analysis begins: of the report, and of what shows packets.
    spill: Option<SpillFile>,
    spill_shown: Option<SpillFile>,
    /// The tables, if those are asked for, until the analysis begins.
    #[cfg(feature = "parquet")]
    tables: Option<TablesReport>,
}

impl OutputDestination {
    /// Opens what the configuration names.
    pub(super) fn open(config: &AnalyseConfig) -> io::Result<Self> {
        let spill_shown = config.listed.causes.map(|_| SpillFile::create());
        #[cfg(feature = "parquet")]
        if config.format == ReportFormat::Parquet {
            let tables = config.output.as_deref().map(TablesReport::create).transpose()?;
            return Ok(Self { output: Output::stdout(), spill: None, spill_shown, tables });
        }
        let output = config.output.as_deref().map(Output::file).transpose()?;
        Ok(Self {
            output: output.unwrap_or_else(Output::stdout),
            spill: Some(SpillFile::open(config.format, config.listed)),
            spill_shown,
            #[cfg(feature = "parquet")]
            tables: None,
        })
    }

    /// Temporary names of files that are not in their places yet.
    pub(super) fn unfinished(&self) -> Vec<PathBuf> {
        let output = self.output.unfinished().map(Path::to_owned);
        #[cfg(feature = "parquet")]
        let tables = self.tables.iter().flat_map(TablesReport::unfinished);
        #[cfg(not(feature = "parquet"))]
        let tables = None;
        output.into_iter().chain(tables).collect()
    }
}

/// Sink of an analysis that hands attempts to every output.
pub(super) struct Outputs<'a> {
    reporter: Reporter<&'a mut Output>,
    shown: Option<AttemptsWithPackets>,
}

impl<'a> Outputs<'a> {
    /// The outputs that `config` asks for; the report goes to `destination`. The packets of so many of the latest problem
    /// attempts are kept at hand.
    pub(super) fn new(
        config: &AnalyseConfig,
        options: &ReportOptions,
        recent: usize,
        destination: &'a mut OutputDestination,
    ) -> io::Result<Self> {
        let shown = AttemptsWithPackets::new(config, options, recent, destination.spill_shown.take());
        #[cfg(feature = "parquet")]
        if let Some(tables) = destination.tables.take() {
            return Ok(Self { reporter: Reporter::with_tables(options, tables), shown });
        }
        let spill = destination.spill.take();
        let spill = spill.unwrap_or_else(|| SpillFile::open(options.format, options.listed));
        let reporter = Reporter::with_spill(options.clone(), &mut destination.output, spill)?;
        Ok(Self { reporter, shown })
    }

    /// The recorder of packets, where the input cannot be read twice and an output shows packets.
    pub(super) fn recorder(&self) -> Option<SharedRecorder> {
        match &self.shown.as_ref()?.access {
            PacketAccess::Recorder(recorder) => Some(recorder.clone()),
            PacketAccess::Files { .. } => None,
        }
    }

    /// Finishes the report. Returns what is shown with packets, for [`AttemptsWithPackets::write`].
    pub(super) fn finish(
        self,
        summary: &Summary,
        listeners: &Listeners,
        comparison: Option<&BaselineComparison<'_>>,
    ) -> io::Result<Option<AttemptsWithPackets>> {
        self.reporter.finish(summary, listeners, comparison)?;
        Ok(self.shown)
    }
}

impl Sink for Outputs<'_> {
    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        if let Some(shown) = &mut self.shown {
            shown.take(attempt)?;
        }
        self.reporter.attempt(attempt)
    }

    fn uncounted(&mut self, attempt: &Attempt) {
        if let Some(shown) = &mut self.shown {
            shown.access.settle(attempt, false);
        }
    }

    fn provisional(&mut self, attempt: &Attempt) -> io::Result<()> {
        self.reporter.provisional(attempt)
    }

    fn episode(&mut self, report: &EpisodeReport) -> io::Result<()> {
        self.reporter.episode(report)
    }

    fn drained(&mut self) -> io::Result<()> {
        self.reporter.drained()
    }

    fn causes_wanted(&self) -> CausesWanted {
        match &self.shown {
            Some(shown) if shown.chooses_by_cause_at_once() => CausesWanted::AtOnce,
            _ => self.reporter.causes_wanted(),
        }
    }
}

/// The attempts that are shown with their packets, and the way to these.
pub(super) struct AttemptsWithPackets {
    access: PacketAccess,
    /// Attempts to choose from by their final causes, where the list depends on these and the input is read twice.
    held: Option<HeldAttempts>,
    /// Attempts that are drawn.
    drawn: Option<Selection>,
    /// Attempts that are written to a capture file.
    written: Option<WrittenAttempts>,
    /// The page, and the attempts whose ladders it has.
    page: Option<(PageReport, Selection)>,
    /// Attempts whose ladders may be asked for during the run.
    recent: RecentAttempts,
}

/// The latest attempts among those wanted, by their positions in the input.
struct RecentAttempts {
    most: usize,
    wanted: AttemptFilter,
    ordinals: VecDeque<u64>,
}

impl RecentAttempts {
    /// Offers a settled attempt. Returns what became of it, and of an attempt that had to leave.
    fn offer(&mut self, attempt: &Attempt) -> Offer {
        if self.most == 0 || !self.wanted.lists(attempt) {
            return Offer { kept: false, left: None };
        }
        let left = if self.ordinals.len() < self.most { None } else { self.ordinals.pop_front() };
        self.ordinals.push_back(attempt.ordinal);
        Offer { kept: true, left }
    }
}

impl AttemptsWithPackets {
    /// The attempts to choose; `None` where no output shows packets.
    fn new(
        config: &AnalyseConfig,
        options: &ReportOptions,
        recent: usize,
        spill: Option<SpillFile>,
    ) -> Option<Self> {
        let problems = config.listed.or_verdicts(VerdictSet::problems());
        let client = config.ladders.and_then(|ladders| ladders.client);
        let drawn = config.ladders.map(|ladders| Selection::new(ladders.count, problems, client));
        let wanted = if config.all { config.listed } else { problems };
        let written = config.packets.as_ref().map(|_| WrittenAttempts::new(wanted, client));
        let page = config.page.as_ref().map(|_| {
            let selection = Selection::new(page::LADDERS, config.listed, None);
            (PageReport::new(options.clone()), selection)
        });
        let any = drawn.is_some() || written.is_some() || page.is_some() || recent > 0;
        let recent = RecentAttempts { most: recent, wanted: problems, ordinals: VecDeque::new() };
        any.then(|| {
            let access = access(config);
            let held = spill.filter(|_| matches!(access, PacketAccess::Files { .. })).map(HeldAttempts::new);
            Self { access, held, drawn, written, page, recent }
        })
    }

    /// True if attempts are chosen by their causes as they are settled: packets of a pipe are kept or forgotten then.
    fn chooses_by_cause_at_once(&self) -> bool {
        self.held.is_none() && self.recent.wanted.causes.is_some()
    }

    /// Takes a settled attempt.
    fn take(&mut self, attempt: &Attempt) -> io::Result<()> {
        if let Some((page, _)) = &mut self.page {
            page.count(attempt);
        }
        if let Some(held) = &mut self.held {
            return held.push(attempt.clone());
        }
        self.offer(attempt);
        Ok(())
    }

    /// Offers an attempt to all that choose, by the cause that it has now.
    fn offer(&mut self, attempt: &Attempt) {
        let mut kept = self.written.as_mut().is_some_and(|written| written.offer(attempt));
        let page = self.page.as_mut().map(|(page, selection)| {
            page.list(attempt);
            selection
        });
        let recent = self.recent.offer(attempt);
        kept |= recent.kept;
        let mut left: Vec<u64> = recent.left.into_iter().collect();
        for selection in self.drawn.as_mut().into_iter().chain(page) {
            let offer = selection.offer(attempt);
            kept |= offer.kept;
            left.extend(offer.left);
        }
        self.access.settle(attempt, kept);
        left.into_iter()
            .filter(|&ordinal| !self.needs(ordinal))
            .for_each(|ordinal| self.access.release(ordinal));
    }

    /// True if an output shows the attempt at this position of the input.
    fn needs(&self, ordinal: u64) -> bool {
        self.recent.ordinals.contains(&ordinal)
            || self.written.as_ref().is_some_and(|written| written.contains(ordinal))
            || self.selections().any(|selection| selection.has(ordinal))
    }

    fn selections(&self) -> impl Iterator<Item = &Selection> {
        self.drawn.iter().chain(self.page.iter().map(|(_, selection)| selection))
    }

    /// Writes the ladders, the file of packets, and the page.
    pub(super) fn write(
        mut self,
        config: &AnalyseConfig,
        options: &ReportOptions,
        (summary, listeners): (&Summary, &Listeners),
        output: &mut Output,
    ) -> anyhow::Result<()> {
        if let Some(held) = self.held.take() {
            held.read(|mut attempt| {
                attempt.inference = listeners.infer(&attempt).into();
                self.offer(&attempt);
                Ok(())
            })?;
        }
        let of_page: Vec<&Attempt> =
            self.page.iter().flat_map(|(_, selection)| selection.attempts()).collect();
        let drawn = match (&self.drawn, config.ladders) {
            (Some(drawn), Some(asked)) => drawn.worst(asked.count),
            _ => Vec::new(),
        };
        let written = self.written.iter().flat_map(WrittenAttempts::attempts);
        let mut attempts: Vec<&Attempt> =
            drawn.iter().copied().chain(written).chain(of_page.iter().copied()).collect();
        attempts.sort_by_key(|attempt| attempt.ordinal);
        attempts.dedup_by_key(|attempt| attempt.ordinal);
        let store = self.access.collect(&attempts, &limits(config))?;
        if let Some(asked) = config.ladders {
            ladder::write(output, options, &ladders(drawn.iter().copied(), listeners, &store))?;
            if let Some(client) = asked.client.filter(|_| drawn.is_empty()) {
                anyhow::bail!("--attempt {client}: no attempt of this client is in the input");
            }
        }
        if let (Some(path), Some(written)) = (&config.packets, &self.written) {
            write_packets(path, written, summary, listeners, &store)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let of_page = ladders(of_page.into_iter(), listeners, &store);
        if let (Some(path), Some((page, _))) = (&config.page, self.page) {
            write_page(path, page, summary, listeners, &of_page)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Writes the page with these ladders to a file.
fn write_page(
    path: &Path,
    page: PageReport,
    summary: &Summary,
    listeners: &Listeners,
    ladders: &[Ladder],
) -> io::Result<()> {
    let mut file = Output::file(path)?;
    page.write(&mut file, summary, listeners, ladders)?;
    file.commit()
}

/// Writes the packets of these attempts to a pcapng file.
fn write_packets(
    path: &Path,
    written: &WrittenAttempts,
    summary: &Summary,
    listeners: &Listeners,
    store: &PacketStore,
) -> io::Result<()> {
    let infer = |attempt: &Attempt| Attempt { inference: listeners.infer(attempt).into(), ..attempt.clone() };
    let attempts: Vec<Attempt> = written.attempts().map(infer).collect();
    let mut file = Output::file(path)?;
    annotated::write(&mut file, summary, &attempts, written.left_out(), store)?;
    file.commit()
}

/// The ladders of these attempts, with their final causes.
fn ladders<'a>(
    attempts: impl Iterator<Item = &'a Attempt>,
    listeners: &Listeners,
    store: &PacketStore,
) -> Vec<Ladder> {
    let infer = |attempt: &Attempt| Attempt { inference: listeners.infer(attempt).into(), ..attempt.clone() };
    attempts.map(|attempt| Ladder::new(infer(attempt), store)).collect()
}

/// The way to the packets: files are read again, pipes and interfaces are recorded.
fn access(config: &AnalyseConfig) -> PacketAccess {
    let twice = config.files.iter().all(|path| can_be_read_again(path.as_os_str()));
    if !config.files.is_empty() && twice {
        PacketAccess::Files {
            paths: config.files.clone(),
            filter: config.filter.clone(),
            points: config.points.clone(),
        }
    } else {
        PacketAccess::Recorder(SharedRecorder::new(limits(config)))
    }
}

/// Bounds of the packets that are kept.
const fn limits(config: &AnalyseConfig) -> PacketLimits {
    match (config.files.is_empty(), config.packets.is_some()) {
        (true, true) => PacketLimits { total: 64 << 20, ..PacketLimits::WHOLE },
        (false, true) => PacketLimits::WHOLE,
        (true, false) => PacketLimits::LIVE,
        (false, false) => PacketLimits::DIAGRAMS,
    }
}
