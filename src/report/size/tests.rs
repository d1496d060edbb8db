use super::*;
use crate::listener::size::{Model, RETRIES_LINEAR, candidates, size};
use crate::packet::Timestamp;
use crate::report::write_size_json;

/// 130 clients in 0.3 s at a queue of 16, of which 100 are accepted a second.
fn report(what_if: WhatIf) -> SizeReport {
    let arrivals: Vec<Timestamp> = (0..130).map(|n| Timestamp::from_nanos(n * 2_300_000)).collect();
    let service = Service { per_second: 100.0, batch: 1 };
    let load = Load { arrivals, retries: RETRIES_LINEAR.to_vec(), ..Load::default() };
    let load = Model { cookies: false, ..load.model(service, Some(16)) }.observe();
    let load = Load { until: Some(Timestamp::from_nanos(20_000_000_000)), ..load };
    let size = size(&load);
    let service = what_if.service(&size);
    SizeReport {
        server: crate::packet::Endpoint::v4([10, 9, 0, 2], 7777),
        listener: None,
        others: Vec::new(),
        candidates: candidates(&load, &size, &what_if),
        series: service.and_then(|service| Series::of(&load, &load.fullest_traced(service))),
        service,
        what_if,
        size,
        load,
        replays: Vec::new(),
    }
}

fn text(report: &SizeReport) -> String {
    text_of_width(report, 80)
}

fn text_of_width(report: &SizeReport, width: usize) -> String {
    let mut out = Vec::new();
    write_text(report, width, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn text_fits_narrow_terminals() {
    let mut report = report(WhatIf { backlogs: vec![1_000_000], ..WhatIf::default() });
    report.replays = report.candidates.iter().map(replayed).collect();
    for width in [40, 60, 80, 120] {
        let text = text_of_width(&report, width);
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{width}: {line:?}\n{text}");
        }
        for part in ["BACKLOG", "OVERFLOWS", "holds all", "COUNTED"] {
            assert!(text.contains(part), "{width}: no {part} in {text}");
        }
    }
}

fn replayed(candidate: &Candidate) -> Replayed {
    Replayed {
        backlog: candidate.backlog,
        overflows: 0,
        late: 0,
        lost: 0,
        clients: 130,
        behind: Span::from_millis(3),
        predicted: candidate.outcome.clone(),
    }
}

#[test]
fn a_burst_gets_an_answer_a_table_and_a_plot() {
    let mut report = report(WhatIf { backlogs: vec![64], ..WhatIf::default() });
    let plain = text(&report);
    assert!(plain.contains("would have held all clients (it was about 1"), "{plain}");
    for part in [
        "simulated, with these arrivals",
        "its limit",
        "holds all",
        "130 clients",
        "connections that would have waited",
    ] {
        assert!(plain.contains(part), "no {part:?} in {plain}");
    }
    assert!(plain.lines().any(|line| line.trim_start().starts_with("64 ")), "{plain}");
    assert!(!plain.contains("replayed"));
    let answer = report.candidates.iter().find(|candidate| candidate.is_answer).unwrap();
    assert_eq!((answer.outcome.overflows, answer.outcome.late, answer.outcome.lost), (0, 0, 0));
    report.replays = vec![replayed(answer)];
    let text = text(&report);
    let part =
        "  replayed against this machine's kernel: 130 clients, all; none started more than 3.0 ms late";
    assert!(text.contains(&part[..60]), "{text}");
}

#[test]
fn more_workers_need_a_smaller_queue() {
    let backlog = |what_if| report(what_if).candidates.iter().find(|c| c.is_answer).unwrap().backlog;
    let (one, four) = (backlog(WhatIf::default()), backlog(WhatIf { workers: Some(4), ..WhatIf::default() }));
    assert!(four < one / 4, "{four} of {one}");
    let slower = report(WhatIf { accept_rate: Some(10.0), ..WhatIf::default() });
    let text = text(&slower);
    assert!(text.contains("what if     10 accepts a second: a backlog of 12"), "{text}");
}

#[test]
fn every_form_has_the_same_numbers() {
    let report = report(WhatIf::default());
    let mut csv = Vec::new();
    write_csv(&report, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!(csv.lines().count(), report.candidates.len() + 1);
    let mut json = Vec::new();
    write_size_json(&report, &mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["size"]["answer"], "backlog");
    let rows = json["candidates"].as_array().unwrap();
    for (row, line) in rows.iter().zip(csv.lines().skip(1)) {
        assert!(line.starts_with(&format!("{},", row["backlog"])), "{line} {row}");
    }
    let arrivals: u64 =
        json["series"]["bins"].as_array().unwrap().iter().map(|bin| bin["arrivals"].as_u64().unwrap()).sum();
    assert_eq!(arrivals, 130);
}

#[test]
fn the_drawing_has_every_line() {
    let report = report(WhatIf::default());
    let mut svg = String::new();
    plot::plot(report.series.as_ref().unwrap(), Some(16), Some(100), &mut svg).unwrap();
    for name in [
        "arrived",
        "got into the queue",
        "would have waited, none dropped",
        "limit",
        "backlog that holds all",
    ] {
        assert!(svg.contains(name), "no {name} in {svg}");
    }
}
