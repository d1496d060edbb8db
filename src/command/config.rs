//! Configuration of an analysis and of its report.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::fail_on::Condition;
use super::given_time::GivenTime;
use crate::capture::NamedPoint;
use crate::listener::AttemptFilter;
use crate::packet::PathOrder;
use crate::report::ladder::LadderOptions;
use crate::report::{ColourChoice, ReportFormat, Verbosity};

/// Configuration of an analysis and of its report.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyseConfig {
    /// Never empty, except in a live capture; `-` is standard input, at most once.
    pub files: Vec<PathBuf>,
    /// The command that the only file may be a typing error for.
    pub similar_command: Option<&'static str>,
    /// A BPF filter expression, not compiled yet.
    pub filter: Option<String>,
    /// Bounds of the time in which attempts that count begin.
    pub begin: Option<GivenTime>,
    /// The same for the end.
    pub end: Option<GivenTime>,
    /// Names of capture points, each with a file.
    pub points: Vec<NamedPoint>,
    /// The order of points from client to server, if it is given.
    pub path: PathOrder,
    /// The output format.
    pub format: ReportFormat,
    /// Destination of the results; standard output when `None`.
    pub output: Option<PathBuf>,
    /// Text: list all attempts.
    pub all: bool,
    /// The attempts to list.
    pub listed: AttemptFilter,
    /// Exit with status 1 when one of these is met.
    pub fail_on: Vec<Condition>,
    /// The report of an earlier analysis to compare with.
    pub baseline: Option<PathBuf>,
    /// Text: the attempts to show as message diagrams.
    pub ladders: Option<LadderOptions>,
    /// File for the HTML page.
    pub page: Option<PathBuf>,
    /// File for the packets of the problem attempts, or of all with `all`.
    pub packets: Option<PathBuf>,
    /// Use of colour.
    pub colour: ColourChoice,
    /// Length of the text.
    pub verbosity: Verbosity,
    /// Threads; as many as there are free processors when `None`.
    pub threads: Option<NonZeroUsize>,
    /// Undecided attempts to hold at most.
    pub max_attempts: NonZeroUsize,
}
