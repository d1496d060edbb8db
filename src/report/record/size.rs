//! The size of an accept queue: `size` of a listener, and the document of `hsanalyze size`.

use std::io::{self, Write};

use serde::Serialize;

use super::{Displayed, Rfc3339, SCHEMA, Seconds, TOOL};
use crate::handshake::{Cause, Confidence};
use crate::listener::size::{
    AcceptRate, Answer, ArrivalRates, Bin, Candidate, Pace, QueueLimit, Series, Size, Unknown,
};
use crate::packet::Endpoint;
use crate::report::serialize;
use crate::report::size::{Replayed, SizeReport};
use crate::report::wording;

/// Record of the estimated size of a queue. Which of the fields up to `reason` are null depends on `answer`.
#[derive(Serialize)]
pub(super) struct SizeRecord {
    answer: &'static str,
    text: String,
    backlog: Option<u32>,
    more_than_limit: Option<u32>,
    longest_wait: Option<Seconds>,
    needed_accepts: Option<f64>,
    reason: Option<&'static str>,
    limit: Option<LimitRecord>,
    sockets: Option<u32>,
    syncookies: CookiesRecord,
    accepts: Option<AcceptsRecord>,
    arrivals: ArrivalsRecord,
    turned_away: u64,
    drops: u64,
}

#[derive(Serialize)]
struct LimitRecord {
    value: u32,
    known: bool,
}

#[derive(Serialize)]
struct CookiesRecord {
    on: bool,
    known: bool,
}

#[derive(Serialize)]
struct AcceptsRecord {
    per_second: f64,
    low: f64,
    high: f64,
    over: Seconds,
    accepted: u64,
    pace: &'static str,
    pause: Option<Seconds>,
    first: Option<f64>,
    second: Option<f64>,
}

#[derive(Serialize)]
struct ArrivalsRecord {
    clients: u64,
    mean: f64,
    peak_0_1s: f64,
    peak_1s: f64,
    peak_10s: f64,
}

impl SizeRecord {
    pub(super) fn of(size: &Size) -> Self {
        let mut record = Self {
            answer: "",
            text: wording::size(size),
            backlog: None,
            more_than_limit: None,
            longest_wait: None,
            needed_accepts: None,
            reason: None,
            limit: size.limit.map(|QueueLimit { value, known }| LimitRecord { value, known }),
            sockets: size.sockets,
            syncookies: CookiesRecord { on: size.cookies.on, known: size.cookies.known },
            accepts: size.accepts.as_ref().map(AcceptsRecord::from),
            arrivals: size.arrivals.into(),
            turned_away: size.turned_away,
            drops: size.drops,
        };
        record.answer = match size.answer {
            Answer::Backlog { backlog, longest_wait } => {
                record.backlog = Some(backlog);
                record.longest_wait = longest_wait.map(Seconds::from);
                "backlog"
            }
            Answer::MoreThanLimit { more } => {
                record.more_than_limit = Some(more);
                "more-than-limit"
            }
            Answer::NothingAccepted { .. } => "nothing-accepted",
            Answer::Outrun { needed, held_by, .. } => {
                record.needed_accepts = Some(needed);
                record.backlog = Some(held_by);
                "outrun"
            }
            Answer::Unknown(reason) => {
                record.reason = Some(reason_code(reason));
                "unknown"
            }
        };
        record
    }
}

fn reason_code(reason: Unknown) -> &'static str {
    match reason {
        Unknown::NoArrivals => "no-arrivals",
        Unknown::NoDrops => "no-drops",
        Unknown::OneClientSide => "one-client-side",
        Unknown::OtherCause(_) => "other-cause",
        Unknown::TooShort { .. } => "too-short",
        Unknown::OneOfSeveralSockets => "one-of-several-sockets",
        Unknown::StillFull => "still-full",
        Unknown::TooFewDrops { .. } => "too-few-drops",
    }
}

impl From<&AcceptRate> for AcceptsRecord {
    fn from(accepts: &AcceptRate) -> Self {
        let AcceptRate { per_second, low, high, over, accepted, pace } = *accepts;
        let (pace, pause, first, second) = match pace {
            Pace::Even => ("even", None, None, None),
            Pace::InBursts { pause } => ("in-bursts", Some(pause.into()), None, None),
            Pace::Changing { first, second } => ("changing", None, Some(first), Some(second)),
        };
        Self { per_second, low, high, over: over.into(), accepted, pace, pause, first, second }
    }
}

impl From<ArrivalRates> for ArrivalsRecord {
    fn from(arrivals: ArrivalRates) -> Self {
        let ArrivalRates { clients, mean, peak_tenth, peak_second, peak_ten } = arrivals;
        Self { clients, mean, peak_0_1s: peak_tenth, peak_1s: peak_second, peak_10s: peak_ten }
    }
}

/// The document of `hsanalyze size`.
#[derive(Serialize)]
struct SizeDocument<'a> {
    schema: u32,
    tool: &'static str,
    server: Displayed<Endpoint>,
    cause: Option<&'static str>,
    confidence: Option<&'static str>,
    size: SizeRecord,
    accept_rate: Option<f64>,
    candidates: Vec<CandidateRecord>,
    series: Option<SeriesRecord<'a>>,
}

#[derive(Serialize)]
struct CandidateRecord {
    backlog: u32,
    is_limit: bool,
    is_answer: bool,
    overflows: u64,
    turned_away: u64,
    late: u64,
    lost: u64,
    longest_queue: u32,
    longest_wait: Seconds,
    replay: Option<ReplayRecord>,
}

#[derive(Serialize)]
struct ReplayRecord {
    overflows: u64,
    late: u64,
    lost: u64,
    clients: u64,
    behind: Seconds,
    predicted: PredictedRecord,
}

/// Record of the prediction for the replayed clients.
#[derive(Serialize)]
struct PredictedRecord {
    overflows: u64,
    late: u64,
    lost: u64,
}

#[derive(Serialize)]
struct SeriesRecord<'a> {
    from: Displayed<Rfc3339>,
    width: Seconds,
    bins: Vec<BinRecord<'a>>,
}

/// Record of a bin: the load in one interval of the series.
#[derive(Serialize)]
struct BinRecord<'a> {
    arrivals: &'a u32,
    admissions: &'a u32,
    drops: &'a u32,
    wanted_queue: &'a u32,
}

/// Writes the document.
///
/// # Errors
///
/// Those of `out`.
pub fn write_size_json(report: &SizeReport, out: &mut impl Write) -> io::Result<()> {
    let document = SizeDocument {
        schema: SCHEMA,
        tool: TOOL,
        server: Displayed(report.server),
        cause: report.listener.as_ref().and_then(|listener| listener.cause).map(Cause::name),
        confidence: report.listener.as_ref().and_then(|listener| listener.confidence).map(Confidence::name),
        size: SizeRecord::of(&report.size),
        accept_rate: report.service.map(|service| service.per_second),
        candidates: report.candidates.iter().map(|candidate| record(candidate, &report.replays)).collect(),
        series: report.series.as_ref().map(SeriesRecord::from),
    };
    serialize::pretty(&mut *out, &document)?;
    writeln!(out)
}

fn record(candidate: &Candidate, replays: &[Replayed]) -> CandidateRecord {
    let Candidate { backlog, is_limit, is_answer, outcome } = candidate;
    let replay = replays.iter().find(|replay| replay.backlog == *backlog);
    CandidateRecord {
        backlog: *backlog,
        is_limit: *is_limit,
        is_answer: *is_answer,
        overflows: outcome.overflows,
        turned_away: outcome.turned_away,
        late: outcome.late,
        lost: outcome.lost,
        longest_queue: outcome.longest,
        longest_wait: outcome.longest_wait.into(),
        replay: replay.map(ReplayRecord::from),
    }
}

impl From<&Replayed> for ReplayRecord {
    fn from(replayed: &Replayed) -> Self {
        let Replayed { overflows, late, lost, clients, behind, ref predicted, .. } = *replayed;
        let predicted =
            PredictedRecord { overflows: predicted.overflows, late: predicted.late, lost: predicted.lost };
        Self { overflows, late, lost, clients, behind: behind.into(), predicted }
    }
}

impl<'a> From<&'a Series> for SeriesRecord<'a> {
    fn from(Series { from, width, bins }: &'a Series) -> Self {
        let bin = |Bin { arrivals, admissions, drops, wanted }: &'a Bin| BinRecord {
            arrivals,
            admissions,
            drops,
            wanted_queue: wanted,
        };
        Self { from: Displayed(Rfc3339(*from)), width: (*width).into(), bins: bins.iter().map(bin).collect() }
    }
}
