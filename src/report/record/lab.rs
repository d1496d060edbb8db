//! The document of `hsanalyze lab`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::{AttemptRecord, SCHEMA, TOOL, sysctl};
use crate::handshake::{Attempt, Cause, Confidence};
use crate::kernel::Counters;
use crate::lab::{
    BothEnds, ComparedRow, Comparison, CpuLoad, Curve, EndView, PathFate, PathSegment, Point,
    ScenarioOutcome, Share, Trace, TreatedSegment,
};
use crate::report::serialize;

/// The document. `agree`: this kernel did what is expected, in all rows.
#[derive(Serialize)]
struct LabRecord<'a> {
    schema: u32,
    tool: &'static str,
    agree: bool,
    scenarios: Vec<ScenarioRecord<'a>>,
}

#[derive(Serialize)]
struct ScenarioRecord<'a> {
    scenario: &'static str,
    what: &'a str,
    agree: bool,
    rows: Vec<RowRecord<'a>>,
    runs: Vec<serde_json::Value>,
    notes: Vec<&'a str>,
    curve: Option<CurveRecord>,
}

/// Record of a statement of docs/DOMAIN.md compared with what this kernel did.
#[derive(Serialize)]
struct RowRecord<'a> {
    section: &'static str,
    subject: &'a str,
    expected: &'a str,
    kernel: &'a str,
    agree: bool,
}

impl<'a> From<&'a ComparedRow> for RowRecord<'a> {
    fn from(row: &'a ComparedRow) -> Self {
        let ComparedRow { section, subject, expected, kernel, agree } = row;
        Self { section, subject, expected, kernel, agree: *agree }
    }
}

/// Record of a run: the kernel's counters, and the attempts as each end's packets and these counters show them.
#[derive(Serialize)]
struct RunRecord<'a> {
    run: &'a str,
    lost: u64,
    treated: Vec<TreatedRecord>,
    slowest: f64,
    counters: BTreeMap<&'static str, u64>,
    client: Vec<JudgedAttemptRecord<'a>>,
    server: Vec<JudgedAttemptRecord<'a>>,
}

/// Record of a segment that the path did not simply carry.
#[derive(Serialize)]
struct TreatedRecord {
    client_port: u16,
    segment: &'static str,
    fate: &'static str,
}

impl From<&TreatedSegment> for TreatedRecord {
    fn from(&TreatedSegment { client_port, segment, fate }: &TreatedSegment) -> Self {
        let segment = match segment {
            PathSegment::Syn => "syn",
            PathSegment::SynAck => "syn-ack",
            PathSegment::Ack => "ack",
        };
        let fate = match fate {
            PathFate::Lost => "lost",
            PathFate::Delayed(_) => "delayed",
            PathFate::Doubled => "doubled",
        };
        Self { client_port, segment, fate }
    }
}

/// An attempt as packets and counters show it, and what the packets alone would have it be.
#[derive(Serialize)]
struct JudgedAttemptRecord<'a> {
    #[serde(flatten)]
    attempt: AttemptRecord<'a>,
    from_packets: InferenceRecord,
}

#[derive(Serialize)]
struct InferenceRecord {
    cause: Option<&'static str>,
    abort_on_overflow: Option<u8>,
    confidence: Option<&'static str>,
}

impl From<&Attempt> for InferenceRecord {
    fn from(attempt: &Attempt) -> Self {
        let inference = &attempt.inference;
        Self {
            cause: inference.cause.map(Cause::name),
            abort_on_overflow: sysctl(inference.abort_on_overflow),
            confidence: inference.confidence.map(Confidence::name),
        }
    }
}

/// The share of successful connects over the window that they had.
#[derive(Serialize)]
struct CurveRecord {
    points: Vec<PointRecord>,
    windows: Vec<ShareRecord>,
}

impl From<&Curve> for CurveRecord {
    fn from(Curve { points, windows }: &Curve) -> Self {
        Self {
            points: points.iter().map(PointRecord::from).collect(),
            windows: windows.iter().map(ShareRecord::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct PointRecord {
    mode: &'static str,
    load: &'static str,
    round_trip: f64,
    window: f64,
    connects: usize,
    succeeded: usize,
}

impl From<&Point> for PointRecord {
    fn from(point: &Point) -> Self {
        let &Point { mode, load, round_trip, window, connects, succeeded } = point;
        Self { mode, load: load_name(load), round_trip, window, connects, succeeded }
    }
}

#[derive(Serialize)]
struct ShareRecord {
    mode: &'static str,
    load: &'static str,
    window: f64,
    connects: usize,
    succeeded: usize,
}

impl From<&Share> for ShareRecord {
    fn from(share: &Share) -> Self {
        let &Share { mode, load, window, connects, succeeded } = share;
        Self { mode, load: load_name(load), window, connects, succeeded }
    }
}

fn load_name(load: CpuLoad) -> &'static str {
    match load {
        CpuLoad::Idle => "idle",
        CpuLoad::Busy => "busy",
    }
}

/// Writes the document of these scenarios.
///
/// # Errors
///
/// The output's; packets that cannot be analysed.
pub(crate) fn write_lab(outcomes: &[ScenarioOutcome], out: &mut impl Write) -> io::Result<()> {
    let scenarios = outcomes.iter().map(scenario).collect::<io::Result<Vec<_>>>()?;
    let agree = outcomes.iter().all(|outcome| outcome.comparison.agree());
    serialize::pretty(&mut *out, &LabRecord { schema: SCHEMA, tool: TOOL, agree, scenarios })?;
    writeln!(out)
}

fn scenario(outcome: &ScenarioOutcome) -> io::Result<ScenarioRecord<'_>> {
    let ScenarioOutcome { comparison, traces, curve } = outcome;
    let Comparison { scenario, what, rows, notes, .. } = comparison;
    Ok(ScenarioRecord {
        scenario,
        what,
        agree: comparison.agree(),
        rows: rows.iter().map(RowRecord::from).collect(),
        runs: traces.iter().map(|(name, trace)| run(name, trace)).collect::<io::Result<_>>()?,
        notes: notes.iter().map(|note| note.trim()).collect(),
        curve: curve.as_ref().map(CurveRecord::from),
    })
}

/// Record of a run as a JSON value: a `RunRecord` borrows attempts of this function.
fn run(name: &str, trace: &Trace) -> io::Result<serde_json::Value> {
    let alone = BothEnds::of(trace)?;
    let with_kernel = alone.clone().with_kernel(trace.delta.as_ref());
    let record = RunRecord {
        run: name,
        lost: trace.lost,
        treated: trace.treated.iter().map(TreatedRecord::from).collect(),
        slowest: trace.slowest.as_secs_f64(),
        counters: present(&trace.counters),
        client: attempts(&with_kernel.client, &alone.client),
        server: attempts(&with_kernel.server, &alone.server),
    };
    Ok(serde_json::to_value(&record)?)
}

/// The counters that this kernel has.
fn present(counters: &Counters) -> BTreeMap<&'static str, u64> {
    counters.iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn attempts<'a>(with_kernel: &'a EndView, alone: &'a EndView) -> Vec<JudgedAttemptRecord<'a>> {
    let (with_kernel, alone) = (with_kernel.packets.attempts(), alone.packets.attempts());
    let judged = with_kernel.into_iter().zip(alone);
    judged
        .map(|(attempt, alone)| JudgedAttemptRecord { attempt: attempt.into(), from_packets: alone.into() })
        .collect()
}
