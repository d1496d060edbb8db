//! Captures of both ends of healthy connections by the thousand: nothing is lost, and it costs little more than one end.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bounds::peak_anonymous;
use crate::generated::traffic::Plan;
use crate::generated::{capture, plan};
use crate::util::{list, report};

/// The same packets as the other end captured them, 5 ms away, by a clock that is 3 s ahead.
fn other_end(capture: &[u8]) -> Vec<u8> {
    const WAY: i64 = 5_000_000;
    const AHEAD: i64 = 3_000_000_000;
    let nanos = capture[..4] == 0xa1b2_3c4d_u32.to_le_bytes();
    let unit = if nanos { 1 } else { 1_000 };
    let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
    let mut records: Vec<(i64, &[u8])> = Vec::new();
    let mut at = 24;
    while at < capture.len() {
        let time = i64::from(word(at)) * 1_000_000_000 + i64::from(word(at + 4)) * unit;
        let record = &capture[at + 8..at + 16 + word(at + 8) as usize];
        let port = u16::from_be_bytes(record[8 + 14 + 20..][..2].try_into().unwrap());
        // The generator's listeners.
        let way = if (8_000..8_100).contains(&port) { -WAY } else { WAY };
        records.push((time + way + AHEAD, record));
        at += 8 + record.len();
    }
    records.sort_by_key(|&(time, _)| time);
    let mut bytes = capture[..24].to_vec();
    for (time, record) in records {
        let fraction = time % 1_000_000_000 / unit;
        bytes.extend([(time / 1_000_000_000) as u32, fraction as u32].map(u32::to_le_bytes).concat());
        bytes.extend(record);
    }
    bytes
}

/// Writes both ends of so many connections.
fn write(directory: &Path, attempts: u64) -> [std::path::PathBuf; 2] {
    let healthy = Plan { attempts, mix: "completed=1".parse().unwrap(), ipv6_percent: 0, ..plan() };
    let (_, client) = capture(&healthy);
    let files = ["client.pcap", "server.pcap"].map(|name| directory.join(name));
    std::fs::write(&files[1], other_end(&client)).unwrap();
    std::fs::write(&files[0], client).unwrap();
    files
}

fn nothing_is_lost(report: &Value, attempts: usize) {
    assert_eq!(list(report, "attempts").len(), attempts);
    for attempt in list(report, "attempts") {
        assert_eq!(attempt["verdict"], "completed", "{attempt}");
        assert_eq!((&attempt["cause"], list(attempt, "evidence").len()), (&Value::Null, 0), "{attempt}");
        assert_eq!(list(attempt, "sightings").len(), 2, "{attempt}");
    }
}

#[test]
fn nothing_is_lost_of_healthy_connections() {
    let directory = tempfile::tempdir().unwrap();
    let files = write(directory.path(), 5_000);
    nothing_is_lost(&report(&files), 5_000);
}

/// Prints time and memory of both ends beside one alone. `cargo test --release --test it healthy -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of a minute"]
fn healthy_connections_by_the_hundred_thousand() {
    let directory = tempfile::tempdir().unwrap();
    let files = write(directory.path(), 100_000);
    nothing_is_lost(&report(&files), 100_000);
    for paths in [&[files[0].as_path()][..], &[files[0].as_path(), files[1].as_path()]] {
        let measured = (0..3).filter_map(|_| {
            let begun = Instant::now();
            let peak = peak_anonymous("text", paths)?;
            Some((begun.elapsed(), peak))
        });
        let all: Vec<(Duration, u64)> = measured.collect();
        let time = all.iter().map(|(time, _)| *time).min().unwrap_or_default();
        let peak = all.iter().map(|(_, peak)| *peak).max().unwrap_or_default();
        println!("{} files: {:.2} s, {:.1} MiB", paths.len(), time.as_secs_f64(), peak as f64 / 1024.0);
    }
}
