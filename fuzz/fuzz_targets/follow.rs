//! Arbitrary bytes as a capture file that grows while it is read (`--follow`).
//!
//! Looks for panics, and for frames that differ from those of the file once it is whole.

#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::PathBuf;

use hsanalyze::capture::{CaptureOptions, Captures, Source, SourceStatus};
use hsanalyze::fuzzing::{captures_in_memory, growing_capture};
use hsanalyze::packet::{Frames, LinkType, Timestamp};
use libfuzzer_sys::fuzz_target;

/// Facts about a frame.
type Known = (Timestamp, LinkType, u32, u64, Vec<u8>);

/// Bytes that a file has before it is opened, if it ever has so many: the file header of classic pcap.
const BEGIN: usize = 24;

thread_local! {
    static FILE: RefCell<(File, PathBuf)> = RefCell::new(file());
}

fuzz_target!(|input: ([u8; 4], &[u8])| {
    let (pieces, bytes) = input;
    let begin = BEGIN + usize::from(pieces[0]);
    let (begin, mut rest) = bytes.split_at(begin.min(bytes.len()));
    FILE.with_borrow_mut(|(file, path)| {
        file.set_len(0).and_then(|()| file.rewind()).expect("memory does not fail");
        file.write_all(begin).expect("memory does not fail");
        let Ok((mut growing, None)) = growing_capture(path) else { return };
        let mut frames = read(&mut growing, usize::from(pieces[1]), SourceStatus::Drained);
        for length in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let piece;
            (piece, rest) = rest.split_at((1 + usize::from(*length)).min(rest.len()));
            file.write_all(piece).expect("memory does not fail");
            frames.extend(read(&mut growing, usize::from(pieces[2]), SourceStatus::Drained));
        }
        let (mut whole, error) =
            captures_in_memory(bytes.to_vec(), &CaptureOptions::default()).expect("there is no filter");
        assert!(error.is_none(), "{error:?}");
        let whole_frames = read(&mut whole, usize::MAX, SourceStatus::End);
        assert!(frames == whole_frames, "{} and {} frames", frames.len(), whole_frames.len());
        let [grown, whole] = [growing, whole].map(|captures| captures.captures().swap_remove(0));
        assert_eq!((grown.packets, grown.first, grown.last), (whole.packets, whole.first, whole.last));
        assert_eq!((&grown.link_types, grown.dropped), (&whole.link_types, whole.dropped));
        // A file that ends within a record is not damaged as long as more may come.
        let [grown, whole] = [&grown, &whole]
            .map(|capture| capture.damaged.as_ref().and_then(|damage| damage.strip_prefix(&capture.path)));
        assert!(grown.is_none() || grown == whole, "{grown:?}, {whole:?}");
    });
});

/// A file in memory, and its path.
fn file() -> (File, PathBuf) {
    // SAFETY: the name is a string; the result is checked, and belongs to nobody else.
    let file = unsafe {
        let descriptor = libc::memfd_create(c"followed".as_ptr(), 0);
        assert!(descriptor >= 0, "memory does not fail");
        File::from_raw_fd(descriptor)
    };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    (file, path.into())
}

/// The frames that are there, at most this many at a time, until the source says that all were read.
fn read(captures: &mut Captures, max: usize, last: SourceStatus) -> Vec<Known> {
    let mut known = Vec::new();
    let mut keep =
        |frames: Frames<'_>| {
            known.extend(frames.iter().map(|frame| {
                (frame.at, frame.link, frame.wire_len, frame.frame.number(), frame.data.to_vec())
            }));
        };
    loop {
        let status = captures.read(max.max(1), &mut keep);
        // Damage is an end, too.
        if status == last || status == SourceStatus::End {
            return known;
        }
    }
}
