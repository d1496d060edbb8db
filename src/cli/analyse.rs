//! The main form: `hsanalyze FILE...`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};

use super::number::whole;
use super::words::{CauseWord, ConditionParser, chosen, verdict_names};
use crate::capture::NamedPoint;
use crate::command::analyse::AnalyseConfig;
use crate::command::{Condition, GivenTime};
use crate::packet::{CapturePoint, Endpoint, PathOrder};
use crate::report::ladder::LadderOptions;
use crate::report::{ColourChoice, ReportFormat, Verbosity};

/// More threads than any machine could use for one capture; a typing error.
const MAX_THREADS: u64 = 1_024;

/// Arguments as clap reads them.
#[derive(Args)]
pub(super) struct AnalyseArgs {
    /// Captures to analyse: pcap or pcapng, also gzip or zstd; - is standard input. With -i or -r, a filter
    ///
    /// Both byte orders, microseconds and nanoseconds are read; the name does not matter. Several files are
    /// analysed as one capture, in time order, so rotated captures can be given in any order. A file whose
    /// name is that of a command is given as ./NAME.
    #[arg(value_name = "FILE", help_heading = "Input")]
    files: Vec<PathBuf>,

    /// Analyse FILE; words after the options are then a filter, as with tcpdump
    #[arg(short = 'r', long = "read", value_name = "FILE", help_heading = "Input")]
    read: Vec<PathBuf>,

    /// Analyse only packets that match a BPF filter, as with tcpdump
    ///
    /// The language is that of tcpdump (see pcap-filter(7)), such as "port 443 and net 10.0.0.0/8". Select
    /// by address and port: a filter that takes only some packets of a connection hides what the analysis
    /// needs. Errors that answer a SYN are seen with "or icmp or icmp6" only.
    #[arg(short, long, value_name = "EXPR", help_heading = "Input")]
    filter: Option<String>,

    /// Count only attempts whose first packet comes at TIME or later
    ///
    /// Such as 2026-11-29T10:00:00Z, "2026-11-29 10:00:00" in local time, or 1795946400.5, seconds since 1970. Packets before
    /// are read, too: they show what belongs to earlier attempts.
    #[arg(long, value_name = "TIME", help_heading = "Input")]
    begin: Option<GivenTime>,

    /// Count only attempts whose first packet comes before TIME
    ///
    /// Packets after it are read, too: retries come up to 127 s after the first packet. So parts of a long capture can be
    /// analysed apart: with --begin and --end each attempt counts in one of them, if each part is given the packets of
    /// 130 s before and after.
    #[arg(long, value_name = "TIME", help_heading = "Input")]
    end: Option<GivenTime>,

    /// Name the point where a file was captured: --point client=c.pcap
    ///
    /// Files that hold the same SYNs are recognised as captured at points of one path, and named by their files;
    /// interfaces by themselves. Files with the same name are a series of one point. Where no FILE is given, those named
    /// here are read.
    #[arg(long, value_name = "NAME=FILE", help_heading = "Input")]
    point: Vec<String>,

    /// The points that packets pass on their way from client to server, in order: --path eth0,docker0,veth3
    ///
    /// Without it times and TTLs show the order.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = "Input")]
    path: Vec<String>,

    /// Format of the results
    ///
    /// Text is for people. json is one document with all attempts in order of first packet; ndjson is one
    /// object per line, attempts as soon as they are settled; csv is the attempts, flat, as soon as they
    /// are settled; markdown is a summary for the page of a CI job or an issue. parquet, in packages and builds with that
    /// feature, is tables for DuckDB or Spark: attempts, listeners and episodes, in the directory that -o names. Only json
    /// holds all attempts to the end: 65,536 in memory, and more in a temporary file (TMPDIR).
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT", help_heading = "Output")]
    format: ReportFormatArg,

    /// Write the results to FILE instead of standard output
    ///
    /// A file that exists is replaced when the analysis has ended, and stays as it is when the analysis
    /// fails; the same holds for the tables of parquet, whose directory this is. Devices, pipes and symbolic links are
    /// written to directly.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    /// List all attempts, not only the worst problems
    ///
    /// The text report lists the ten worst problem attempts, and at most ten servers with problems; with
    /// this option all of them, completed attempts too, up to 100,000 (problems first). The other formats list all
    /// attempts anyway.
    #[arg(long, help_heading = "Output")]
    all: bool,

    /// List only attempts with these verdicts
    ///
    /// Separated by commas; see Verdicts below. Counts are not restricted. With --cause an attempt has to fit both.
    #[arg(long, value_name = "V,...", value_delimiter = ',', value_parser = verdict_names(),
          hide_possible_values = true, help_heading = "Output")]
    verdict: Vec<String>,

    /// List only attempts with these causes
    ///
    /// Separated by commas; see Causes below. Counts are not restricted. A word may carry the least confidence that
    /// counts, as in accept-queue-overflow:likely. Without --verdict attempts of every verdict are listed. What is written
    /// before the end goes by what is known then: ndjson, csv, parquet, what a live capture lists, and the packets of a pipe.
    /// All else goes by the cause that is known at the end, when later attempts may have shown more.
    #[arg(long, value_name = "CAUSE,...", value_delimiter = ',', value_parser = ConditionParser::CAUSE,
          hide_possible_values = true, help_heading = "Output")]
    cause: Vec<CauseWord>,

    /// Also show the worst N problem attempts as message diagrams [default: 3]
    ///
    /// Each message with its time, the gap before it, flags, sequence and acknowledgment numbers from the initial ones,
    /// and what it means. Of each verdict the worst attempt comes first. Files are read a second time for it; of a pipe
    /// or an interface the packets of undecided attempts are kept, in bounded memory.
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "3",
          value_parser = whole::<u16>(1..=u16::MAX.into()), help_heading = "Output")]
    ladder: Option<u16>,

    /// Show the message diagrams of this client's attempts, such as 10.9.0.1:35374
    ///
    /// Whatever their verdict; an IPv6 address is written in brackets. At most 20 are shown unless --ladder says more.
    #[arg(long, value_name = "CLIENT:PORT", value_parser = client, help_heading = "Output")]
    attempt: Option<SocketAddr>,

    /// Also write the report as an HTML page, to look at and to send
    ///
    /// One file that loads nothing from any network: diagnosis, a timeline, times, and a table of attempts in which
    /// each opens its messages. It lists at most 100,000 attempts, problems first, and says what it leaves out.
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    report: Option<PathBuf>,

    /// Write the packets of the problem attempts to FILE (pcapng), each with a comment
    ///
    /// The comment says what the packet is, as the message diagrams do; that of the file has the verdicts. With --all the
    /// packets of all attempts, with --verdict, --cause or --attempt those of the chosen ones. Files are read a second time for it;
    /// of a pipe or an interface the packets of undecided attempts are kept, in bounded memory.
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(super::live::no_standard_output),
          help_heading = "Output")]
    write: Option<PathBuf>,

    /// Exit with status 1 if an attempt has one of these verdicts or causes
    ///
    /// Separated by commas; see Verdicts and Causes below. A word may carry the least confidence that counts, as in
    /// accept-queue-overflow:likely or problem:confirmed. "worse" is met if a server is worse than in --baseline. The
    /// status is 2 if there is no attempt to judge, or the capture lacks what would show it.
    #[arg(long, value_name = "WORD,...", value_delimiter = ',', value_parser = ConditionParser::FAIL_ON,
          hide_possible_values = true, help_heading = "Output")]
    fail_on: Vec<Condition>,

    /// Compare with an earlier report (json or ndjson): what became worse or better, server by server
    ///
    /// The shares of attempts that failed, came late, or have a cause; a difference that may be chance is none. Servers are
    /// compared by address and port; those in one report only are called new or gone. csv shows no comparison.
    #[arg(long, value_name = "REPORT", help_heading = "Output")]
    baseline: Option<PathBuf>,

    /// Colour text
    ///
    /// "auto" colours on a terminal, and follows NO_COLOR, CLICOLOR and CLICOLOR_FORCE.
    #[arg(
        long,
        alias = "colour",
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        help_heading = "Output"
    )]
    color: ColourArg,

    /// Say nothing but what is wrong: no output when all is well
    ///
    /// Text is then a headline and a sentence per server with a problem; no format shows a progress bar.
    #[arg(short, long, overrides_with = "verbose", help_heading = "Output")]
    quiet: bool,

    /// Also show evidence and timing of each attempt, and how packets were used
    #[arg(short, long, action = ArgAction::SetTrue, help_heading = "Output")]
    verbose: bool,

    /// Accepted for tcpdump's sake: addresses are never resolved
    #[arg(short = 'n', action = ArgAction::Count, hide = true)]
    numeric: u8,

    /// Threads to use [default: as many as there are free processors]
    ///
    /// The results are the same for every number.
    #[arg(long, value_name = "N", value_parser = whole::<NonZeroUsize>(1..=MAX_THREADS), help_heading = "Resources")]
    threads: Option<NonZeroUsize>,

    /// Undecided attempts to hold at most
    ///
    /// Beyond that the oldest is given up, counted and reported as undetermined, so that a SYN flood cannot
    /// exhaust memory.
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = whole::<NonZeroUsize>(1..=u64::MAX),
          help_heading = "Resources")]
    max_attempts: NonZeroUsize,
}

/// The value of `--attempt`.
fn client(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "a client is written as 10.9.0.1:35374 or [fd09::1]:35374")
}

#[derive(Clone, Copy, ValueEnum)]
enum ReportFormatArg {
    Text,
    Json,
    Ndjson,
    Csv,
    Markdown,
    // Not in the list, which is the same for every build: the help has it.
    #[cfg(feature = "parquet")]
    #[value(hide = true)]
    Parquet,
}

#[derive(Clone, Copy, ValueEnum)]
enum ColourArg {
    Auto,
    Always,
    Never,
}

/// Turns raw arguments into a configuration; the error names the wrong value and what is allowed.
pub(super) fn validate(mut arguments: AnalyseArgs) -> Result<AnalyseConfig, String> {
    let read = std::mem::take(&mut arguments.read);
    if read.is_empty() {
        let files = std::mem::take(&mut arguments.files);
        let config = common(arguments)?;
        return Ok(AnalyseConfig { files: validate_files(files, &config.points)?, ..config });
    }
    let words = trailing_filter(&mut arguments)?;
    arguments.filter = words.or(arguments.filter);
    Ok(AnalyseConfig { files: validate_files(read, &[])?, ..common(arguments)? })
}

/// The filter in the words after the options, if there are any.
fn trailing_filter(arguments: &mut AnalyseArgs) -> Result<Option<String>, String> {
    let words = std::mem::take(&mut arguments.files);
    let [first, ..] = words.as_slice() else { return Ok(None) };
    if arguments.filter.is_some() {
        return Err(format!(
            "the filter is given twice: by -f, and by the words that begin with '{}'",
            first.display()
        ));
    }
    let words: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    Ok(Some(words.ok_or("the filter is not UTF-8")?.join(" ")))
}

/// A period that has a begin before its end. Without the local zone two times are compared only if they are given alike.
fn validate_period(arguments: &AnalyseArgs) -> Result<(), String> {
    match (arguments.begin, arguments.end) {
        (Some(begin), Some(end)) if begin.is_surely_after(end) => {
            Err("--begin is not before --end: no attempt could begin between them".to_owned())
        }
        _ => Ok(()),
    }
}

/// The same without files, for a live capture: its trailing words are a filter, as with tcpdump.
pub(super) fn validate_live(mut arguments: AnalyseArgs) -> Result<AnalyseConfig, String> {
    if let [file, ..] = arguments.read.as_slice() {
        return Err(format!(
            "-r {} and -i exclude each other: analyse a file or an interface",
            file.display()
        ));
    }
    if arguments.begin.is_some() || arguments.end.is_some() {
        return Err("--begin and --end are for files: a live capture ends by --duration".to_owned());
    }
    let words = trailing_filter(&mut arguments)?;
    arguments.filter = words.or(arguments.filter);
    common(arguments)
}

fn common(arguments: AnalyseArgs) -> Result<AnalyseConfig, String> {
    let ladders = validate_ladders(&arguments)?;
    validate_baseline(&arguments)?;
    validate_period(&arguments)?;
    #[cfg(feature = "parquet")]
    validate_tables(&arguments)?;
    let (points, path) = (validate_points(&arguments.point)?, validate_path(&arguments.path)?);
    let AnalyseArgs { filter, format, output, all, verdict, report, fail_on, baseline, .. } = arguments;
    Ok(AnalyseConfig {
        files: Vec::new(),
        similar_command: None,
        filter: filter.map(validate_filter).transpose()?,
        begin: arguments.begin,
        end: arguments.end,
        points,
        path,
        format: match format {
            ReportFormatArg::Text => ReportFormat::Text,
            ReportFormatArg::Json => ReportFormat::Json,
            ReportFormatArg::Ndjson => ReportFormat::NdJson,
            ReportFormatArg::Csv => ReportFormat::Csv,
            ReportFormatArg::Markdown => ReportFormat::Markdown,
            #[cfg(feature = "parquet")]
            ReportFormatArg::Parquet => ReportFormat::Parquet,
        },
        page: validate_page(report)?,
        output: validate_output(output)?,
        all,
        listed: chosen(&verdict, &arguments.cause),
        fail_on,
        baseline,
        ladders,
        packets: arguments.write,
        colour: match arguments.color {
            ColourArg::Auto => ColourChoice::Auto,
            ColourArg::Always => ColourChoice::Always,
            ColourArg::Never => ColourChoice::Never,
        },
        verbosity: match (arguments.quiet, arguments.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        },
        threads: arguments.threads,
        max_attempts: arguments.max_attempts,
    })
}

/// The files of points are read where no other is named.
fn validate_files(mut files: Vec<PathBuf>, points: &[NamedPoint]) -> Result<Vec<PathBuf>, String> {
    if files.is_empty() {
        for point in points {
            let file = PathBuf::from(&point.file);
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    if files.is_empty() {
        return Err("no capture given: name a FILE, or - for standard input".to_owned());
    }
    if files.iter().filter(|file| file.as_path() == Path::new("-")).count() > 1 {
        return Err("standard input (-) is given more than once: it can be read only once".to_owned());
    }
    Ok(files)
}

fn validate_points(points: &[String]) -> Result<Vec<NamedPoint>, String> {
    let named = |point: &String| match point.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok(NamedPoint { name: name.to_owned(), file: file.into() })
        }
        _ => Err(format!("invalid value '{point}' for '--point': it is NAME=FILE")),
    };
    points.iter().map(named).collect()
}

/// The points of a path, which are named in order, so that they are known by these names.
fn validate_path(names: &[String]) -> Result<PathOrder, String> {
    let points: Vec<CapturePoint> = names.iter().map(|name| CapturePoint::named(name)).collect();
    PathOrder::new(&points).ok_or_else(|| {
        format!(
            "invalid value for '--path': {} points, at most {} are compared",
            names.len(),
            PathOrder::MOST
        )
    })
}

fn validate_ladders(arguments: &AnalyseArgs) -> Result<Option<LadderOptions>, String> {
    let (option, default) = match (arguments.ladder, arguments.attempt) {
        (None, None) => return Ok(None),
        (_, Some(_)) => ("--attempt", LadderOptions::OF_CLIENT),
        (Some(_), None) => ("--ladder", LadderOptions::COUNT),
    };
    if !matches!(arguments.format, ReportFormatArg::Text) {
        return Err(format!("{option} draws in text: it needs --format text"));
    }
    let count = arguments.ladder.map_or(default, usize::from);
    Ok(Some(LadderOptions { count, client: arguments.attempt.map(Endpoint::from) }))
}

/// A comparison needs a baseline, and something that shows or judges it.
fn validate_baseline(arguments: &AnalyseArgs) -> Result<(), String> {
    let judged = arguments.fail_on.iter().any(|condition| condition.needs_baseline());
    match &arguments.baseline {
        None if judged => Err("--fail-on worse needs a report to compare with: --baseline FILE".to_owned()),
        Some(_) if matches!(arguments.format, ReportFormatArg::Csv) && !judged => {
            Err("--format csv shows no comparison: --baseline needs another format, or --fail-on worse"
                .to_owned())
        }
        _ => Ok(()),
    }
}

fn validate_filter(filter: String) -> Result<String, String> {
    // libpcap takes the expression as a C string.
    if filter.contains('\0') {
        return Err("invalid value for '--filter': a NUL character is in it".to_owned());
    }
    Ok(filter)
}

/// `-` is standard output, as for most tools.
fn validate_output(output: Option<PathBuf>) -> Result<Option<PathBuf>, String> {
    match output {
        Some(path) if path.as_os_str().is_empty() => {
            Err("invalid value '' for '--output': the name of a file is needed".to_owned())
        }
        Some(path) if path == Path::new("-") => Ok(None),
        other => Ok(other),
    }
}

/// Tables are several files.
#[cfg(feature = "parquet")]
fn validate_tables(arguments: &AnalyseArgs) -> Result<(), String> {
    let to_stdout = arguments.output.as_deref().is_none_or(|path| path == Path::new("-"));
    if matches!(arguments.format, ReportFormatArg::Parquet) && to_stdout {
        return Err("--format parquet writes three tables: name a directory for them by -o DIR/".to_owned());
    }
    Ok(())
}

/// The page is a file of its own.
fn validate_page(page: Option<PathBuf>) -> Result<Option<PathBuf>, String> {
    let Some(path) = page else { return Ok(None) };
    if path.as_os_str().is_empty() || path == Path::new("-") {
        return Err(format!(
            "invalid value '{}' for '--report': the name of a file is needed",
            path.display()
        ));
    }
    Ok(Some(path))
}
