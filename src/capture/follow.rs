//! Frames from a capture file while another program is writing it.
//!
//! Owns waiting for more, the clock that goes on meanwhile, and the end: a file that was replaced or cut. Does not own
//! formats (`captures`).

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::captures::{CaptureOptions, Captures};
use super::filter::FilterError;
use super::open::OpenError;
use super::source::{CaptureInfo, Source, SourceStatus};
use crate::packet::{Span, Timestamp};

/// Interval at which the end of the file is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Fewest bytes that are opened: the file header of classic pcap, which is shorter than any beginning of pcapng.
const MIN_SIZE: u64 = 24;

/// Age that packets may have when they are written: a writer's buffer holds them back (tcpdump's, without `-U`).
const LAG: Span = Span::from_secs(5);

/// Reasons why a file cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The file cannot be opened, or is no capture.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The filter cannot be compiled.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// A capture file that is read from its beginning, and on as it grows.
#[derive(Debug)]
pub struct FollowedFile {
    captures: Captures,
    path: PathBuf,
    /// Device and number of the file that was opened.
    identity: Option<(u64, u64)>,
    /// Everything that was written was read.
    drained: bool,
    /// The latest packet, and when it was read.
    latest: Option<(Timestamp, Instant)>,
    /// Reason why it ended.
    ended: Option<String>,
}

impl FollowedFile {
    /// Opens a file, and waits for its file header as long as `waits` says.
    ///
    /// # Errors
    ///
    /// See [`FollowError`].
    pub fn open(path: &Path, filter: Option<String>, waits: impl Fn() -> bool) -> Result<Self, FollowError> {
        let is_short = || fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() < MIN_SIZE);
        while is_short() && waits() {
            thread::sleep(POLL);
        }
        let (captures, error) =
            Captures::follow(OsStr::new(path), &CaptureOptions { filter, points: Vec::new() })?;
        if let Some(error) = error {
            return Err(error.into());
        }
        let identity = fs::metadata(path).ok().as_ref().map(identity);
        Ok(Self { captures, path: path.to_owned(), identity, drained: false, latest: None, ended: None })
    }

    /// The path as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The reason why nothing more can come of it, if there is one.
    fn end(&self) -> Option<String> {
        // Without the right to look, it goes on.
        let meta = fs::metadata(&self.path).ok()?;
        let read = self.captures.captures().first().map_or(0, |capture| capture.bytes);
        let what = if self.identity.is_some_and(|opened| opened != identity(&meta)) {
            "another file took its place"
        } else if meta.len() < read {
            "it was cut"
        } else {
            return None;
        };
        Some(format!("{}: {what} while it was followed", self.path.display()))
    }
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

impl Source for FollowedFile {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(crate::packet::Frames<'_>)) -> SourceStatus {
        if self.ended.is_some() {
            return SourceStatus::End;
        }
        if self.drained {
            thread::sleep(POLL);
        }
        let mut latest = None;
        let status = self.captures.read(max, &mut |frames| {
            latest = frames.iter().map(|frame| frame.at).max().max(latest);
            sink(frames);
        });
        if let Some(at) = latest {
            self.latest = Some((self.latest.map_or(at, |(before, _)| before.max(at)), Instant::now()));
        }
        self.drained = status == SourceStatus::Drained;
        if self.drained && latest.is_none() {
            self.ended = self.end();
        }
        if self.ended.is_some() { SourceStatus::End } else { status }
    }

    /// The time of the latest packet, and on from there while nothing is written.
    fn now(&self) -> Option<Timestamp> {
        let (at, read) = self.latest.filter(|_| self.drained)?;
        let since = i64::try_from(read.elapsed().as_nanos()).unwrap_or(i64::MAX);
        Some(at.plus(Span::from_nanos(since)).minus(LAG).max(at))
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        let mut captures = self.captures.captures();
        if let Some((capture, ended)) = captures.first_mut().zip(self.ended.clone()) {
            capture.damaged = Some(ended);
            capture.cut = true;
        }
        captures
    }
}
