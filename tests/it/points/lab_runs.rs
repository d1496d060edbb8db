//! The runs of the lab's scenarios, joined from captures of both ends: what the path did, and the ends alone, are the truth.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::points::limit;
use crate::util::{list, report, string};

/// The server's clock: how many seconds it is ahead, how many nanoseconds it gains in a second, and whether its file comes first.
const CLOCKS: [(i64, i64, bool); 4] =
    [(0, 0, false), (3, 100_000, true), (-86_400, 100_000, false), (86_400, -100_000, true)];

/// A packet: its time in nanoseconds, and its bytes.
type Record<'a> = (i64, &'a [u8]);

/// The packets of the client's end and of the server's, which the lab writes as two interfaces of one pcapng file.
fn ends(pcapng: &[u8]) -> [Vec<Record<'_>>; 2] {
    const ENHANCED_PACKET: u32 = 6;
    let mut ends = [Vec::new(), Vec::new()];
    let mut rest = pcapng;
    while let Some(header) = rest.get(..8) {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let (kind, length) = (u32::from_le_bytes(header[..4].try_into().unwrap()), word(4) as usize);
        if kind == ENHANCED_PACKET {
            let at = i64::from(word(12)) << 32 | i64::from(word(16));
            ends[word(8) as usize].push((at, &rest[28..28 + word(20) as usize]));
        }
        rest = &rest[length..];
    }
    ends
}

/// A pcap file with nanoseconds of these packets.
fn pcap(records: &[Record<'_>], (ahead, drift): (i64, i64)) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 101].map(u32::to_le_bytes).concat();
    let begin = records.first().map_or(0, |&(at, _)| at);
    for &(at, data) in records {
        let gained = i128::from(at - begin) * i128::from(drift) / 1_000_000_000;
        let at = at + ahead * 1_000_000_000 + i64::try_from(gained).unwrap();
        let (second, nanos, length) = (at / 1_000_000_000, at % 1_000_000_000, data.len() as u32);
        bytes.extend([second as u32, nanos as u32, length, length].map(u32::to_le_bytes).concat());
        bytes.extend(data);
    }
    bytes
}

fn sureness(confidence: &Value) -> usize {
    ["possible", "likely", "confirmed"].iter().position(|known| confidence == known).map_or(0, |at| at + 1)
}

/// The cause, and the place, of a segment that the path lost; `None` for an attempt of which it lost nothing.
fn lost<'t>(run: &'t Value, client: &str) -> Option<(&'t str, [&'static str; 2])> {
    let of_client = |treated: &&Value| client.ends_with(&format!(":{}", treated["client_port"]));
    let treated = run["treated"].as_array().into_iter().flatten();
    let segment = treated.filter(of_client).find(|treated| treated["fate"] == "lost")?;
    Some(match string(segment, "segment") {
        "syn" => ("syn-lost", ["client.pcap", "server.pcap"]),
        "ack" => ("ack-lost", ["client.pcap", "server.pcap"]),
        _ => ("synack-lost", ["server.pcap", "client.pcap"]),
    })
}

/// Holds the joined attempts of a run against the path's own record and against what each end alone shows.
pub(crate) fn both_ends_tell_the_truth(run: &Value, packets: &Path) {
    let pcapng = std::fs::read(packets).unwrap();
    let [client, server] = ends(&pcapng);
    let directory = tempfile::tempdir().unwrap();
    let files = ["client.pcap", "server.pcap"].map(|name| directory.path().join(name));
    let write = |clock| {
        std::fs::write(&files[0], pcap(&client, (0, 0))).unwrap();
        std::fs::write(&files[1], pcap(&server, clock)).unwrap();
    };
    write((0, 0));
    let alone = files.each_ref().map(|file| report([file]));
    let alone = alone.each_ref().map(|end| {
        let by_client = list(end, "attempts").iter().map(|attempt| (string(attempt, "client"), attempt));
        by_client.collect::<BTreeMap<&str, &Value>>()
    });
    for (ahead, drift, reversed) in CLOCKS {
        write((ahead, drift));
        let joined = if reversed { report([&files[1], &files[0]]) } else { report(&files) };
        let what = format!("{}, {ahead} s ahead", packets.display());
        assert_eq!(limit(&joined, "clock-unknown"), None, "{what}");
        let attempts = list(&joined, "attempts");
        assert_eq!(attempts.len(), list(run, "client").len(), "{what}: each attempt once");
        // The kernel may give a port to two clients, one after the other: by that they cannot be told apart.
        let is_only = |name: &str| attempts.iter().filter(|one| string(one, "client") == name).count() == 1;
        for attempt in attempts.iter().filter(|attempt| is_only(string(attempt, "client"))) {
            let name = string(attempt, "client");
            let ends: Vec<&Value> = alone.iter().filter_map(|end| end.get(name).copied()).collect();
            match lost(run, name) {
                Some(lost) => lost_there(attempt, lost, &what),
                None if run["treated"].is_array() || run["lost"] == 0 => as_sure_as(attempt, &ends, &what),
                None => {}
            }
            for sighting in list(attempt, "sightings") {
                let end = usize::from(sighting["point"] == "server.pcap");
                assert_eq!(sighting["vantage"], alone[end][name]["vantage"], "{what}: {attempt}");
            }
        }
    }
}

fn lost_there(attempt: &Value, (cause, way): (&str, [&str; 2]), what: &str) {
    assert_eq!(attempt["cause"], cause, "{what}: {attempt}");
    assert!(sureness(&attempt["confidence"]) >= 2, "{what}: {attempt}");
    let located = list(attempt, "evidence").iter().map(|evidence| string(evidence, "text"));
    let is_there = |text: &str| {
        let places = way.map(|point| text.find(point));
        places[0].is_some() && places[0] < places[1] || text.contains("passed the first point")
    };
    assert!(located.into_iter().any(is_there), "{what}: {attempt}");
}

/// The attempt has the verdict of one end, and the cause of the surer one.
fn as_sure_as(attempt: &Value, ends: &[&Value], what: &str) {
    assert!(ends.iter().any(|end| end["verdict"] == attempt["verdict"]), "{what}: {ends:?}: {attempt}");
    let sure = |end: &&&Value| sureness(&end["confidence"]);
    let best = ends.iter().map(|end| sure(&end)).max().unwrap();
    assert!(sureness(&attempt["confidence"]) >= best, "{what}: {ends:?}: {attempt}");
    let surest = ends.iter().filter(|end| sure(end) == best);
    let causes: Vec<&Value> = surest.map(|end| &end["cause"]).collect();
    assert!(causes.contains(&&attempt["cause"]), "{what}: {causes:?}: {attempt}");
}
