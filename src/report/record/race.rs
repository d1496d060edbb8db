//! The document and the rows of `hsanalyze race`.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::{Displayed, Rfc3339, SCHEMA, Seconds, TOOL, sysctl};
use crate::handshake::{Cause, Confidence};
use crate::race::{ConnectResult, JoinedCall, Race};
use crate::report::serialize;

/// The document. `results` counts the connects by their result.
#[derive(Serialize)]
struct RaceRecord<'a> {
    schema: u32,
    tool: &'static str,
    what: &'a str,
    missing: Option<&'a str>,
    dropped: Option<u64>,
    results: ResultCounts<'a>,
    connects: Vec<CallRecord>,
}

/// Record of a connect, flat to fit a CSV row. Errors are named as in `errno.h`.
#[derive(Serialize)]
struct CallRecord {
    client_port: u16,
    mode: &'static str,
    start: Displayed<Rfc3339>,
    latency: Seconds,
    errno: Option<String>,
    next_errno: Option<String>,
    result: &'static str,
    verdict: Option<&'static str>,
    wake_up: Option<Seconds>,
    margin: Option<Seconds>,
    cause: Option<&'static str>,
    abort_on_overflow: Option<u8>,
    confidence: Option<&'static str>,
}

impl From<JoinedCall<'_>> for CallRecord {
    fn from(joined: JoinedCall<'_>) -> Self {
        let JoinedCall { call, attempt } = joined;
        let name = |errno: nix::errno::Errno| format!("{errno:?}");
        let inference = attempt.map(|attempt| &attempt.inference);
        Self {
            client_port: call.port,
            mode: call.mode.name(),
            start: Displayed(Rfc3339(call.started)),
            latency: joined.latency().into(),
            errno: call.result.err().map(name),
            next_errno: call.death().map(name),
            result: joined.result().name(),
            verdict: attempt.map(|attempt| attempt.verdict.name()),
            wake_up: joined.wake_up().map(Seconds::from),
            margin: joined.margin().map(Seconds::from),
            cause: inference.and_then(|inference| inference.cause).map(Cause::name),
            abort_on_overflow: sysctl(inference.and_then(|inference| inference.abort_on_overflow)),
            confidence: inference.and_then(|inference| inference.confidence).map(Confidence::name),
        }
    }
}

struct ResultCounts<'a>(&'a Race);

impl Serialize for ResultCounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(ConnectResult::ALL.map(|result| (result.name(), self.0.count(result))))
    }
}

/// Writes a race as one JSON document; `what` names what was done, `missing` what could not be.
///
/// # Errors
///
/// The output's.
pub fn write_race_json(
    race: &Race,
    what: &str,
    missing: Option<&str>,
    out: &mut impl Write,
) -> io::Result<()> {
    let document = RaceRecord {
        schema: SCHEMA,
        tool: TOOL,
        what,
        missing,
        dropped: race.dropped(),
        results: ResultCounts(race),
        connects: race.joined_calls().map(CallRecord::from).collect(),
    };
    serialize::pretty(&mut *out, &document)?;
    writeln!(out)
}

/// Writes a race as CSV: one row per connect.
///
/// # Errors
///
/// The output's.
pub fn write_race_csv(race: &Race, out: &mut impl Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    race.joined_calls().try_for_each(|joined| csv.serialize(CallRecord::from(joined)))?;
    csv.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Timestamp;
    use crate::race::{AfterConnect, Call, WaitMode};
    use nix::errno::Errno;

    #[test]
    fn connects_without_packets_have_what_the_client_saw() {
        let call = |port, result: Result<(), Errno>, error| Call {
            port,
            mode: WaitMode::Blocking,
            started: Timestamp::from_nanos(1_000),
            returned: Timestamp::from_nanos(301_000),
            result,
            next: result.is_ok().then_some(AfterConnect { sent: None, woken: None, received: None, error }),
        };
        let calls = vec![call(2, Ok(()), Some(Errno::ECONNRESET)), call(3, Err(Errno::ECONNREFUSED), None)];
        let race = Race::new(calls, None);
        let mut csv = Vec::new();
        write_race_csv(&race, &mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        let dead = "2,blocking,1970-01-01T00:00:00.000001000Z,0.0003,,ECONNRESET,dead-reset,,,,,,";
        assert_eq!(csv.lines().nth(1), Some(dead));
        let mut json = Vec::new();
        write_race_json(&race, "2 connects", None, &mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["results"]["dead-reset"], 1);
        assert_eq!(json["connects"][1]["errno"], "ECONNREFUSED");
    }
}
