//! Packets that are not decoded: JSON counts them by protocol, and the text names them where it finds no handshakes.

use serde_json::json;

use super::build::{self, Inner, ethernet, in_ipv4, to_port};
use super::write_capture;
use crate::util::{hsanalyze, report};

const UNKNOWN: u16 = 0x1234;

fn repeated(frame: Vec<u8>, times: usize) -> impl Iterator<Item = Vec<u8>> {
    std::iter::repeat_n(frame, times)
}

fn text(frames: &[Vec<u8>], link: u16) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = write_capture(directory.path(), link, frames);
    let text = hsanalyze([&path]).succeed().text().to_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn json_lists_the_most_frequent_protocols() {
    let mut frames: Vec<_> = repeated(ethernet(UNKNOWN, &[0; 46]), 5).collect();
    frames.extend(repeated(in_ipv4(89, &[0; 40]), 4));
    frames.extend(repeated(to_port(4789, &[0; 40]), 3));
    frames.extend(repeated(to_port(53, &[0; 40]), 2));
    frames.push(build::ieee802_3(&[0x42; 43]));
    let [syn, ..] = Inner::handshake(false, 40_000);
    frames.push(syn.frame());
    let directory = tempfile::tempdir().unwrap();
    let report = report([write_capture(directory.path(), 1, &frames)]);
    let expected = json!([
        {"what": "EtherType 0x1234", "packets": 5},
        {"what": "IP protocol 89", "packets": 4},
        {"what": "UDP port 4789", "packets": 3},
        {"what": "UDP port 53", "packets": 2},
        {"what": "LLC SAP 0x42", "packets": 1},
    ]);
    assert_eq!(report["packets"]["undecoded"], expected);
}

#[test]
fn text_names_what_there_was_instead_of_handshakes() {
    let mut frames: Vec<_> = repeated(ethernet(UNKNOWN, &[0; 46]), 997).collect();
    frames.extend(repeated(ethernet(0x0806, &[0; 46]), 3));
    let expected =
        "No TCP handshakes in 1,000 packets: 997 of them are EtherType 0x1234, which is not decoded.";
    let found = text(&frames, 1);
    assert!(found.contains(expected), "{found}");
    let found = text(&frames[997..], 1);
    assert!(found.contains("in 3 packets: all of them are EtherType 0x0806 (ARP)."), "{found}");
    let found = text(&frames[..1], 1);
    assert!(found.contains("in 1 packet: it is EtherType 0x1234, which is not decoded."), "{found}");
    let found = text(&frames[..2], 147);
    assert!(found.contains("in 2 packets: all of them are link type 147, which is not decoded."), "{found}");
}

/// A few packets of a connection that began before do not hide what the rest is.
#[test]
fn text_names_it_beside_segments_without_a_handshake() {
    let [.., ack] = Inner::handshake(false, 40_000);
    let mut frames: Vec<_> = repeated(ethernet(UNKNOWN, &[0; 46]), 8).collect();
    frames.push(ack.frame());
    let found = text(&frames, 1);
    assert!(found.contains("; 8 packets are EtherType 0x1234, which is not decoded."), "{found}");
}
