//! Pipes: frames come as they arrive.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use super::build::{Pcap, gzip};
use crate::capture::{CaptureOptions, Captures, Source, SourceStatus};

/// A named pipe in a directory of its own, which is removed with it.
fn fifo() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    (folder, path)
}

#[test]
fn frames_of_a_pipe_arrive_before_its_writer_ends() {
    let (_folder, path) = fifo();
    let (sender, receiver) = std::sync::mpsc::channel();
    let whole = Pcap::micros().record(1, 0, 4, b"abcd").record(2, 0, 4, b"efgh").bytes;
    let writer = {
        let path = path.clone();
        std::thread::spawn(move || {
            let mut pipe = File::options().write(true).open(path).unwrap();
            // The header, one record and a half; the rest once the first was seen.
            pipe.write_all(&whole[..24 + 20 + 7]).unwrap();
            receiver.recv().unwrap();
            pipe.write_all(&whole[24 + 20 + 7..]).unwrap();
        })
    };
    let (mut captures, errors) = Captures::open(&[&path], &CaptureOptions::default()).unwrap();
    assert!(errors.is_empty());
    assert_eq!(captures.progress(), None);
    let mut times = Vec::new();
    while times.is_empty() {
        let status = captures.read(100, &mut |frames| times.extend(frames.iter().map(|f| f.at.as_nanos())));
        assert_eq!(status, SourceStatus::Drained, "the writer waits: nothing may block before this is said");
    }
    sender.send(()).unwrap();
    while captures.read(100, &mut |frames| times.extend(frames.iter().map(|f| f.at.as_nanos())))
        != SourceStatus::End
    {}
    assert_eq!(times, [1_000_000_000, 2_000_000_000]);
    let info = &captures.captures()[0];
    assert_eq!((info.packets, info.bytes, &info.damaged), (2, 64, &None));
    writer.join().unwrap();
}

#[test]
fn a_compressed_pipe_is_recognised() {
    let (_folder, path) = fifo();
    let mut pcap = Pcap::micros();
    for n in 0..20_000 {
        pcap = pcap.record(n, 0, 50, &[n as u8; 50]);
    }
    let compressed = gzip(&pcap.bytes);
    let writer = {
        let path = path.clone();
        std::thread::spawn(move || {
            File::options().write(true).open(path).unwrap().write_all(&compressed).unwrap();
        })
    };
    let (mut captures, _) = Captures::open(&[&path], &CaptureOptions::default()).unwrap();
    let mut count = 0;
    while captures.read(100, &mut |frames| count += frames.len()) != SourceStatus::End {}
    assert_eq!(count, 20_000);
    assert_eq!(captures.captures()[0].damaged, None);
    writer.join().unwrap();
}

#[test]
fn progress_runs_to_the_size_of_the_file() {
    let bytes = Pcap::micros().record(1, 0, 4, b"abcd").record(2, 0, 4, b"efgh").bytes;
    for content in [bytes.clone(), gzip(&bytes)] {
        let file = super::file(&content);
        let (mut captures, _) = Captures::open(&[file.path()], &CaptureOptions::default()).unwrap();
        let (start, total) = captures.progress().unwrap();
        assert!(start <= total);
        while captures.read(1, &mut |_| {}) != SourceStatus::End {}
        assert_eq!(captures.progress(), Some((content.len() as u64, content.len() as u64)));
    }
}
