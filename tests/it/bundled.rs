//! The captures that are bundled, and their packets.

use std::fs;
use std::path::{Path, PathBuf};

use hsanalyze::capture::{CaptureOptions, Captures, Source, SourceStatus};
use hsanalyze::packet::{Frame, FrameRef, Frames, LinkType, Timestamp};

/// A packet, as it was captured.
pub(crate) struct RawPacket {
    pub(crate) at: Timestamp,
    pub(crate) link: LinkType,
    pub(crate) wire_len: u32,
    pub(crate) data: Vec<u8>,
}

impl RawPacket {
    /// The packet as the one with this number in its capture, from 1.
    pub(crate) fn frame(&self, number: u64) -> Frame<'_> {
        let Self { at, link, wire_len, ref data } = *self;
        Frame { at, frame: FrameRef::new(0, number), link, wire_len, data }
    }
}

/// All packets of a capture.
pub(crate) fn packets(path: &Path) -> Vec<RawPacket> {
    let (mut source, failed) = Captures::open(&[path], &CaptureOptions::default()).unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    let mut packets = Vec::new();
    let mut keep = |frames: Frames<'_>| {
        packets.extend(frames.iter().map(|frame| RawPacket {
            at: frame.at,
            link: frame.link,
            wire_len: frame.wire_len,
            data: frame.data.to_vec(),
        }));
    };
    while source.read(usize::MAX, &mut keep) != SourceStatus::End {}
    packets
}

/// The captures in these folders of `fixtures/`, in order of name.
pub(crate) fn bundled(folders: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = folders.iter().map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let paths = entries.flatten().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no captures in {folders:?}");
    paths
}
