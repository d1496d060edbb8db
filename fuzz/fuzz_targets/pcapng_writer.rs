//! Arbitrary packets, names and comments through the pcapng writer, and back through the reader.
//!
//! Looks for panics, and for a packet that is not read as it was written.

#![no_main]

use hsanalyze::capture::{CaptureOptions, PcapngWriter, Source, SourceStatus};
use hsanalyze::packet::{Frame, FrameRef, Frames, LinkType, Timestamp};
use libfuzzer_sys::fuzz_target;

/// A packet: its interface, time, length on the wire, bytes, and a comment.
type Written<'a> = (u8, i64, u32, &'a [u8], Option<&'a str>);

fuzz_target!(|input: (Option<&str>, Vec<(&str, u16)>, Vec<Written<'_>>)| {
    let (comment, interfaces, packets) = input;
    let mut file = Vec::new();
    let mut writer = PcapngWriter::new(&mut file, comment).expect("memory does not fail");
    for (name, link) in interfaces.iter().take(8) {
        writer.interface(name, LinkType(*link)).expect("memory does not fail");
    }
    let links: Vec<LinkType> = interfaces.iter().take(8).map(|(_, link)| LinkType(*link)).collect();
    if links.is_empty() {
        return;
    }
    let mut written = Vec::new();
    for (interface, at, wire_len, data, comment) in packets {
        let interface = usize::from(interface) % links.len();
        // Times before the epoch have no form in a file.
        let at = Timestamp::from_nanos(at & i64::MAX);
        // No packet is longer than what was captured of it: readers take the longer figure.
        let wire_len = wire_len.max(data.len() as u32);
        let frame = Frame { at, frame: FrameRef::new(0, 1), link: links[interface], wire_len, data };
        writer.packet(interface as u32, &frame, comment).expect("memory does not fail");
        written.push((at, frame.link, wire_len, data.to_vec()));
    }
    let options = CaptureOptions::default();
    let (mut captures, error) = hsanalyze::fuzzing::captures_in_memory(file, &options).expect("no filter");
    assert!(error.is_none(), "{error:?}");
    let mut read = Vec::new();
    let mut keep = |frames: Frames<'_>| {
        read.extend(frames.iter().map(|frame| (frame.at, frame.link, frame.wire_len, frame.data.to_vec())));
    };
    while captures.read(usize::MAX, &mut keep) != SourceStatus::End {}
    let info = captures.captures().swap_remove(0);
    assert_eq!(info.damaged, None);
    assert_eq!(read, written);
});
