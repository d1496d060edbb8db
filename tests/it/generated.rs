//! Generated captures with known verdicts: every kind, both address families, both sizes of record.

#[path = "../../examples/generate/traffic/mod.rs"]
pub(crate) mod traffic;

use hsanalyze::handshake::Verdict;
use serde_json::Value;
use strum::IntoEnumIterator;

use crate::util::{count, hsanalyze};
use traffic::{Made, Mix, Plan, Records};

const EVERY_KIND: &str = "completed=8,synack-retransmitted=2,reset-after-ack=2,ack-ignored=1,refused=2,\
                          unreachable=1,unanswered=2,half-open=1,client-reset=1";

/// A small capture of every kind.
pub(crate) fn plan() -> Plan {
    Plan {
        attempts: 2_000,
        packets: None,
        mix: EVERY_KIND.parse().unwrap(),
        records: Records::Thin,
        ipv6_percent: 25,
        flood: 0,
        listeners: 8,
        host: 1,
        pace: 20_000,
        seed: 7,
    }
}

/// Generates a capture; returns its known results and its bytes.
pub(crate) fn capture(plan: &Plan) -> (Made, Vec<u8>) {
    let mut bytes = Vec::new();
    let made = traffic::write(plan, &mut bytes).unwrap();
    assert_eq!(made.bytes, bytes.len() as u64);
    (made, bytes)
}

fn report(bytes: Vec<u8>) -> Value {
    hsanalyze(["--format", "json", "-"]).stdin(bytes).succeed().json()
}

#[track_caller]
fn same(made: &Made, report: &Value) {
    assert_eq!(count(report, "/packets/total"), made.packets);
    assert_eq!(count(report, "/packets/midstream"), 1, "the last packet belongs to no attempt");
    for verdict in Verdict::iter() {
        assert_eq!(count(report, &format!("/verdicts/{verdict}")), made.attempts_of(verdict), "{verdict}");
    }
}

#[test]
fn every_kind_is_found_in_thin_records() {
    let (made, bytes) = capture(&plan());
    same(&made, &report(bytes));
}

#[test]
fn every_kind_is_found_in_full_records() {
    let plan = Plan { packets: Some(60_000), records: Records::Full, ..plan() };
    let (made, bytes) = capture(&plan);
    assert_eq!(made.packets, 60_001, "the packets asked for, and the last one");
    same(&made, &report(bytes));
}

#[test]
fn every_syn_of_a_flood_counts() {
    let mix: Mix = Mix::FIVE_KINDS.parse().unwrap();
    let (made, bytes) = capture(&Plan { flood: 30_000, mix, ..plan() });
    assert_eq!(made.attempts(), 32_000);
    same(&made, &report(bytes));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let small = Plan { attempts: 50, ..plan() };
    assert_eq!(capture(&small).1, capture(&small).1);
    assert_ne!(capture(&small).1, capture(&Plan { seed: 8, ..small.clone() }).1);
}

#[test]
fn too_few_packets_are_refused() {
    let error = traffic::write(&Plan { packets: Some(2_000), ..plan() }, Vec::new()).unwrap_err();
    assert!(error.to_string().starts_with("2000 packets do not do"), "{error}");
}
