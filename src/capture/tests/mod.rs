//! Captures built in memory, and the results of reading them.

mod build;
mod damage;
mod formats;
mod live;
mod merge;

use std::ffi::OsStr;
use std::io::Write;

use tempfile::NamedTempFile;

use super::{CaptureInfo, CaptureOptions, Captures, OpenError, Source, SourceStatus};
use crate::packet::LinkType;

/// A frame that outlives the read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    nanos: i64,
    capture: u16,
    number: u64,
    link: LinkType,
    wire_len: u32,
    data: Vec<u8>,
}

/// The results of reading some captures.
#[derive(Debug)]
struct ReadResult {
    frames: Vec<Owned>,
    infos: Vec<CaptureInfo>,
    errors: Vec<OpenError>,
}

impl ReadResult {
    fn damage(&self) -> &str {
        self.infos[0].damaged.as_deref().unwrap_or("")
    }
}

fn file(content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

fn read_paths<P: AsRef<OsStr>>(paths: &[P], options: &CaptureOptions, batch: usize) -> ReadResult {
    let (mut captures, errors) = Captures::open(paths, options).unwrap();
    let mut frames = Vec::new();
    loop {
        let before = frames.len();
        let status = captures.read(batch, &mut |some| {
            frames.extend(some.iter().map(|frame| Owned {
                nanos: frame.at.as_nanos(),
                capture: frame.frame.capture(),
                number: frame.frame.number(),
                link: frame.link,
                wire_len: frame.wire_len,
                data: frame.data.to_vec(),
            }));
        });
        assert!(frames.len() - before <= batch, "a read gives no more than asked for");
        match status {
            SourceStatus::End => break,
            SourceStatus::More => assert!(frames.len() > before || batch == 0),
            SourceStatus::Drained => panic!("files are never drained"),
        }
    }
    ReadResult { frames, infos: captures.captures(), errors }
}

fn read(content: &[u8]) -> ReadResult {
    let file = file(content);
    read_paths(&[file.path()], &CaptureOptions::default(), 4096)
}

#[test]
fn captures_may_move_to_a_reading_thread() {
    fn sendable<T: Send>() {}
    sendable::<Captures>();
}
