//! Record of a comparison with a baseline.

use std::net::IpAddr;

use serde::Serialize;

use super::Displayed;
use super::listener::PercentilesRecord;
use crate::handshake::{Cause, Confidence};
use crate::listener::comparison::{
    BaselineComparison, Change, ComparedCause, ComparedFigures, ComparedShare, FALSE_ALARM, ListenerChange,
    Portion, Shift,
};
use crate::packet::Endpoint;
use crate::report::wording;

/// Record of a comparison with a baseline.
#[derive(Serialize)]
pub(in crate::report) struct ComparisonRecord<'a> {
    baseline: &'a str,
    baseline_tool: &'a str,
    baseline_limits: &'a [String],
    result: Option<&'static str>,
    text: String,
    false_alarm: f64,
    counts: ChangeCounts,
    listeners: Vec<ListenerChangeRecord>,
}

impl<'a> From<&'a BaselineComparison<'_>> for ComparisonRecord<'a> {
    fn from(comparison: &'a BaselineComparison<'_>) -> Self {
        Self {
            baseline: &comparison.baseline.name,
            baseline_tool: &comparison.baseline.tool,
            baseline_limits: &comparison.baseline.limits,
            result: comparison.result().map(Change::name),
            text: wording::compared(comparison),
            false_alarm: FALSE_ALARM,
            counts: ChangeCounts {
                worse: comparison.count(Change::Worse),
                better: comparison.count(Change::Better),
                unchanged: comparison.count(Change::Unchanged),
                new: comparison.count(Change::New),
                gone: comparison.count(Change::Gone),
            },
            listeners: comparison.listeners.iter().map(ListenerChangeRecord::from).collect(),
        }
    }
}

/// Listeners by what became of them.
#[derive(Serialize)]
struct ChangeCounts {
    worse: u64,
    better: u64,
    unchanged: u64,
    new: u64,
    gone: u64,
}

#[derive(Serialize)]
struct ListenerChangeRecord {
    server: Displayed<Endpoint>,
    server_ip: IpAddr,
    server_port: u16,
    change: &'static str,
    shifts: Vec<ShiftRecord>,
    before: Option<FiguresRecord>,
    after: Option<FiguresRecord>,
}

impl From<&ListenerChange> for ListenerChangeRecord {
    fn from(listener: &ListenerChange) -> Self {
        Self {
            server: Displayed(listener.server),
            server_ip: listener.server.ip(),
            server_port: listener.server.port(),
            change: listener.change.name(),
            shifts: listener.shifts.iter().map(ShiftRecord::from).collect(),
            before: listener.before.as_ref().map(FiguresRecord::from),
            after: listener.after.as_ref().map(FiguresRecord::from),
        }
    }
}

#[derive(Serialize)]
struct ShiftRecord {
    share: &'static str,
    cause: Option<&'static str>,
    rose: bool,
    before: PortionRecord,
    after: PortionRecord,
    text: String,
}

impl From<&Shift> for ShiftRecord {
    fn from(shift: &Shift) -> Self {
        let (share, cause) = match shift.share {
            ComparedShare::Failed => ("failed", None),
            ComparedShare::Late => ("late", None),
            ComparedShare::Cause(cause) => ("cause", Some(Cause::name(cause))),
        };
        Self {
            share,
            cause,
            rose: shift.is_rise(),
            before: shift.before.into(),
            after: shift.after.into(),
            text: wording::shift(shift),
        }
    }
}

#[derive(Serialize)]
struct PortionRecord {
    attempts: u64,
    of: u64,
}

impl From<Portion> for PortionRecord {
    fn from(portion: Portion) -> Self {
        Self { attempts: portion.part, of: portion.whole }
    }
}

#[derive(Serialize)]
struct FiguresRecord {
    attempts: u64,
    judged: u64,
    failed: u64,
    late: u64,
    causes: Vec<ComparedCauseRecord>,
    connect_time: Option<PercentilesRecord>,
}

impl From<&ComparedFigures> for FiguresRecord {
    fn from(figures: &ComparedFigures) -> Self {
        Self {
            attempts: figures.attempts,
            judged: figures.judged,
            failed: figures.failed,
            late: figures.late,
            causes: figures.causes.iter().copied().map(ComparedCauseRecord::from).collect(),
            connect_time: figures.connect_time.map(PercentilesRecord::from),
        }
    }
}

#[derive(Serialize)]
struct ComparedCauseRecord {
    cause: &'static str,
    confidence: &'static str,
    attempts: u64,
}

impl From<ComparedCause> for ComparedCauseRecord {
    fn from(known: ComparedCause) -> Self {
        Self {
            cause: known.cause.name(),
            confidence: Confidence::name(known.confidence),
            attempts: known.attempts,
        }
    }
}
