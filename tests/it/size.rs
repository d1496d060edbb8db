//! `hsanalyze size`: its answers on bundled captures, its outputs and its arguments.

mod bursts;
mod troubles;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use hsanalyze::packet::{Flags, Packet, decode};
use serde_json::Value;

use crate::bundled::packets;
use crate::properties::files::file;

use crate::schema::Schema;
use crate::undisturbed::undisturbed;
use crate::util::hsanalyze;

const MIXED: &str = "fixtures/captures/overflow_mixed-server.pcap";
const BURST: &str = "fixtures/size/burst.pcapng";

#[test]
fn a_stopped_server_gets_one_line() {
    let ran = hsanalyze(["size", MIXED]).succeed();
    let headline = ran.text().lines().next().unwrap();
    let answer = "nothing was accepted in these 40 s: no backlog helps";
    assert_eq!(headline, format!("10.9.0.2:7777  {answer}"));
    let report = hsanalyze([MIXED]).succeed();
    assert!(report.text().contains(&format!("  size     {answer}\n")), "{report}");
    let document = hsanalyze([MIXED, "--format=json"]).succeed().json();
    assert_eq!(document["listeners"][0]["size"]["answer"], "nothing-accepted");
}

/// Seed 9 of the table in docs/SIZE.md: 126 clients in 0.28 s, 69 accepts a second, a backlog of 14; 106 is the
/// smallest that replays clean.
#[test]
fn a_burst_gets_the_backlog_that_the_kernel_needed() {
    let document = hsanalyze(["size", BURST, "--format=json"]).succeed().json();
    Schema::default().assert_valid("size_document", &document);
    let size = &document["size"];
    assert_eq!((&size["answer"], &size["limit"]["value"]), (&"backlog".into(), &14.into()));
    let backlog = size["backlog"].as_u64().unwrap();
    assert!((106..=112).contains(&backlog), "{backlog}");
    let rate = size["accepts"]["per_second"].as_f64().unwrap();
    assert!((64.0..74.0).contains(&rate), "{rate}");
    // Some silent clients got a repeat and others that were silent for as long did not: the listener does not defer, so
    // the report is sure of the overflow, and gives the size.
    let report = hsanalyze([BURST, "--format=json"]).succeed().json();
    let listener = &report["listeners"][0];
    assert_eq!(listener["confidence"], "likely");
    assert_eq!(listener["size"]["backlog"], size["backlog"]);
}

/// Many services wait half a second for a connect, no longer: such a client sends one SYN. Its arrival counts all the same.
#[test]
fn clients_that_give_up_before_their_first_retry_need_room_too() {
    let (mut begun, mut given_up) = (HashMap::new(), HashSet::new());
    let mut packets = packets(Path::new(BURST));
    packets.retain(|packet| {
        let Ok(Packet::Segment(segment)) = decode(&packet.frame(1)) else { return true };
        let is_syn = segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK);
        if is_syn && begun.insert(segment.flow, segment.seq) == Some(segment.seq) {
            given_up.insert(segment.flow);
        }
        !given_up.contains(&segment.flow)
    });
    assert!(given_up.len() > 80, "{}", given_up.len());
    let capture = tempfile::NamedTempFile::new().unwrap();
    fs::write(capture.path(), file(&packets)).unwrap();
    let size = |path: &Path| {
        let document = hsanalyze([Path::new("size"), path, Path::new("--format=json")]).succeed().json();
        (document["size"]["arrivals"]["clients"].clone(), document["size"]["backlog"].clone())
    };
    assert_eq!(size(capture.path()), size(Path::new(BURST)));
}

#[test]
fn every_form_is_valid() {
    let mut schema = Schema::default();
    for arguments in [&["size", MIXED][..], &["size", MIXED, "--accept-rate=50", "--backlog=64,128"]] {
        let json = hsanalyze(arguments.iter().chain(&["--format=json"])).succeed();
        let document: Value = serde_json::from_str(json.text()).unwrap();
        schema.assert_valid("size_document", &document);
    }
    let csv = hsanalyze(["size", MIXED, "--accept-rate=50", "--backlog=64", "--format=csv"]).succeed();
    assert!(csv.text().starts_with("backlog,is_limit,is_answer,overflows,"));
    assert_eq!(csv.text().lines().count(), 3, "{}", csv.text());
}

#[test]
fn a_drawing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("load.svg");
    hsanalyze(["size", MIXED, "--accept-rate=50", "-o", path.to_str().unwrap()]).succeed();
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("<svg"));
}

#[test]
fn a_server_that_is_not_there_is_named_with_those_that_are() {
    let ran = hsanalyze(["size", MIXED, "--server=10.9.0.2:80"]).exit(2);
    assert!(ran.stderr.contains("the servers in them: 10.9.0.2:7777"), "{ran}");
}

#[test]
fn a_replay_stands_beside_the_prediction() {
    undisturbed("a_replay_stands_beside_the_prediction", || {
        let arguments = ["size", MIXED, "--limit=8", "--accept-rate=40", "--replay", "--format=json"];
        let document = hsanalyze(arguments).succeed().json();
        Schema::default().assert_valid("size_document", &document);
        let rows = document["candidates"].as_array().unwrap();
        let replayed = |role: &str| {
            let row = rows.iter().find(|row| row[role] == true).unwrap();
            (row["overflows"].as_u64().unwrap(), row["replay"]["overflows"].as_u64().unwrap())
        };
        let ((before, real), (after, held)) = (replayed("is_limit"), replayed("is_answer"));
        assert!(before > 20 && real > 20, "{before} predicted, {real} counted");
        assert!(after == 0 && held < real / 4, "{held} of {real}");
    });
}

/// Workers and sockets accept in the replay as they do in the prediction.
#[test]
fn a_replay_has_the_workers_and_sockets_asked_for() {
    undisturbed("a_replay_has_the_workers_and_sockets_asked_for", || {
        for (given, more) in [("--workers=4", "--accept-rate=15"), ("--sockets=3", "--accept-rate=60")] {
            let arguments = ["size", BURST, "--limit=14", given, more, "--replay", "--format=json"];
            let document = hsanalyze(arguments).succeed().json();
            let rows = document["candidates"].as_array().unwrap();
            let replays: Vec<&Value> =
                rows.iter().map(|row| &row["replay"]).filter(|row| !row.is_null()).collect();
            assert_eq!(replays.len(), 2, "the limit and the answer: {document:#}");
            let overflows = |replay: &Value| {
                let [predicted, counted] = [&replay["predicted"], replay].map(|counts| &counts["overflows"]);
                (predicted.as_u64().unwrap(), counted.as_u64().unwrap())
            };
            let (predicted, counted) = overflows(replays[0]);
            assert!(
                predicted > 40 && counted > predicted / 2 && counted < predicted * 2,
                "{given}: {document:#}"
            );
            let (predicted, counted) = overflows(replays[1]);
            assert!(predicted == 0 && counted < 12, "{given}: {counted}");
        }
    });
}

#[test]
fn an_answer_that_rests_on_a_possible_overflow_has_a_note() {
    let ran = hsanalyze(["size", "fixtures/field/late-burst.pcap"]).succeed();
    let headline = "10.9.0.1:8080  if its accept queue was full, which is only possible: a backlog of 64";
    assert!(ran.text().replace("\n  ", " ").starts_with(headline), "{ran}");
    // Nothing in the packets of a filter shows a queue.
    let filtered = hsanalyze(["size", "fixtures/captures/filtered-server.pcap"]).succeed();
    let flat = filtered.text().replace("\n  ", " ");
    assert!(flat.contains("if its accept queue was full, which these packets do not show"), "{filtered}");
}

#[test]
fn a_size_that_cannot_be_computed_has_its_reason() {
    let answers = [
        ("overflow_mixed-client", "one-client-side", "the capture was taken near the clients"),
        ("overflow_reset-server", "too-short", "too short a time"),
        (
            "ack_firewalled_reset-server",
            "other-cause",
            "the packets show a firewall's RST, and not a full accept queue",
        ),
        ("completed_echo-server", "no-drops", "no client met a full queue"),
        ("refused-client", "no-arrivals", "no client reached a listening socket"),
    ];
    for (capture, reason, sentence) in answers {
        let file = format!("fixtures/captures/{capture}.pcap");
        let document = hsanalyze(["size", &file, "--format=json"]).succeed().json();
        Schema::default().assert_valid("size_document", &document);
        let size = &document["size"];
        assert_eq!((&size["answer"], &size["reason"]), (&"unknown".into(), &reason.into()), "{capture}");
        let flat = hsanalyze(["size", &file]).succeed().text().replace("\n  ", " ");
        assert!(flat.contains(sentence), "{capture}: {flat}");
    }
}

#[test]
fn sockets_and_cookies_are_taken_as_given() {
    let size = |more: &[&str]| {
        let arguments = ["size", BURST, "--format=json", "--limit=14"];
        let document = hsanalyze(arguments.iter().chain(more)).succeed().json();
        Schema::default().assert_valid("size_document", &document);
        document["size"].clone()
    };
    let (one, four) = (size(&[]), size(&["--sockets=4"]));
    assert_eq!((&one["sockets"], &four["sockets"]), (&Value::Null, &4.into()));
    let backlog = |size: &Value| size["backlog"].as_u64().unwrap();
    assert!(backlog(&four) > backlog(&one) / 4 && backlog(&four) < backlog(&one) / 2, "{four}");
    assert!(
        four["text"].as_str().unwrap().contains(" at each of the 4 sockets would have held all clients"),
        "{four}"
    );
    let cookies = |size: &Value| (size["syncookies"]["on"].clone(), size["syncookies"]["known"].clone());
    assert_eq!(cookies(&one), (true.into(), false.into()));
    assert_eq!(cookies(&size(&["--syncookies=off"])), (false.into(), true.into()));
}

#[test]
fn wrong_arguments_are_refused_with_the_reason() {
    let wrong: [(&[&str], &str); 9] = [
        (&["--accept-rate=0"], "0 is not within 0.001 to 10000000 a second"),
        (&["--accept-rate=nan"], "not within"),
        (&["--accept-rate=fast"], "'fast' is not a number"),
        (&["--workers=0"], "from 1 to 10000 is needed"),
        (&["--sockets=0"], "from 1 to 1000 is needed"),
        (&["--backlog=4294967296"], "from 0 to 2147483647 is needed"),
        (&["--backlog="], "invalid value '' for '--backlog"),
        (&["--server=there"], "expected an address and a port"),
        (&["--syncookies=maybe"], "possible values: on, off"),
    ];
    for (arguments, reason) in wrong {
        let ran = hsanalyze(["size", BURST].iter().chain(arguments)).exit(2);
        assert!(ran.stderr.contains(reason), "{arguments:?}: {ran}");
        assert!(ran.stdout.is_empty(), "{arguments:?}: {ran}");
    }
}

#[test]
fn the_smallest_and_the_largest_values_are_taken() {
    for arguments in [
        &["--backlog=0,2147483647", "--limit=0"][..],
        &["--limit=2147483647", "--workers=10000", "--accept-rate=10000000"],
        &["--accept-rate=0.001", "--sockets=1000"],
    ] {
        let ran = hsanalyze(["size", BURST, "--format=json"].iter().chain(arguments)).succeed();
        Schema::default().assert_valid("size_document", &ran.json());
    }
}

#[test]
fn captures_without_attempts_have_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let whole = std::fs::read(MIXED).unwrap();
    let (empty, cut) = (directory.path().join("empty.pcap"), directory.path().join("cut.pcap"));
    std::fs::write(&empty, &whole[..24]).unwrap();
    std::fs::write(&cut, &whole[..whole.len() - 7]).unwrap();
    let ran = hsanalyze(["size", empty.to_str().unwrap()]).exit(2);
    assert!(ran.stderr.contains("no attempt to connect is in these packets"), "{ran}");
    // A damaged capture is answered as far as it goes.
    let ran = hsanalyze(["size", cut.to_str().unwrap()]).exit(2);
    assert!(ran.text().contains("nothing was accepted"), "{ran}");
    // Without drops there is nothing to draw or to replay.
    let healthy = "fixtures/captures/completed_echo-server.pcap";
    let drawing = directory.path().join("load.svg");
    let ran = hsanalyze(["size", healthy, "-o", drawing.to_str().unwrap()]).exit(2);
    assert!(ran.stderr.contains("nothing was dropped: there is nothing to draw"), "{ran}");
    assert!(!drawing.exists());
}
