//! A capture in memory: frames recorded by this process, played back like any other source.
//!
//! Owns the frames of the lab's capture points and of a race. Does not own where they come from.

use super::source::{CaptureFormat, CaptureInfo, Source, SourceStatus};
use crate::packet::{Frame, FrameRef, Frames, LinkType, Timestamp};

/// Frames of one capture point, in order of capture.
#[derive(Debug, Clone)]
pub struct Recording {
    name: String,
    link: LinkType,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    dropped: Option<u64>,
    closed: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Timestamp,
    end: usize,
    wire_len: u32,
}

impl Recording {
    /// An empty recording of a capture point called `name`.
    #[must_use]
    pub fn new(name: impl Into<String>, link: LinkType) -> Self {
        Self { name: name.into(), link, entries: Vec::new(), bytes: Vec::new(), dropped: None, closed: None }
    }

    /// Adds a frame of `wire_len` bytes, of which `data` was kept.
    pub fn push(&mut self, at: Timestamp, wire_len: u32, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        self.entries.push(Entry { at, end: self.bytes.len(), wire_len });
    }

    /// Sets how many frames were dropped while recording.
    pub const fn set_dropped(&mut self, dropped: u64) {
        self.dropped = Some(dropped);
    }

    /// Sets when recording ended: until then nothing was missed.
    pub const fn close(&mut self, at: Timestamp) {
        self.closed = Some(at);
    }

    /// The time when recording ended, if it was set.
    #[must_use]
    pub const fn closed(&self) -> Option<Timestamp> {
        self.closed
    }

    /// The capture point's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The link type of all its frames.
    #[must_use]
    pub const fn link(&self) -> LinkType {
        self.link
    }

    /// The number of frames.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is no frame.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All frames, numbered from 1, as capture 0.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut start = 0;
        self.entries.iter().zip(1..).map(move |(entry, number)| {
            let data = self.bytes.get(start..entry.end).unwrap_or_default();
            start = entry.end;
            Frame {
                at: entry.at,
                frame: FrameRef::new(0, number),
                link: self.link,
                wire_len: entry.wire_len,
                data,
            }
        })
    }

    /// A source that yields these frames from the first.
    #[must_use]
    pub const fn play(self) -> Playback {
        Playback { recording: self, position: 0, offset: 0 }
    }

    fn info(&self, played: usize) -> CaptureInfo {
        let seen = self.entries.get(..played).unwrap_or_default();
        CaptureInfo {
            path: self.name.clone(),
            format: Some(CaptureFormat::Live),
            link_types: vec![self.link],
            packets: seen.len() as u64,
            untimed: 0,
            bytes: seen.last().map_or(0, |entry| entry.end as u64),
            first: seen.iter().map(|entry| entry.at).min(),
            last: seen.iter().map(|entry| entry.at).max(),
            damaged: None,
            cut: false,
            shift: None,
            clock_doubt: None,
            read_once: false,
            dropped: self.dropped,
            points: Vec::new(),
        }
    }
}

/// A [`Recording`] as a [`Source`].
#[derive(Debug)]
pub struct Playback {
    recording: Recording,
    position: usize,
    offset: usize,
}

impl Source for Playback {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
        for _ in 0..max {
            let Some(entry) = self.recording.entries.get(self.position) else {
                return SourceStatus::End;
            };
            self.position += 1;
            let frame = Frame {
                at: entry.at,
                frame: FrameRef::new(0, self.position as u64),
                link: self.recording.link,
                wire_len: entry.wire_len,
                data: self.recording.bytes.get(self.offset..entry.end).unwrap_or_default(),
            };
            sink(Frames::new(&[frame]));
            self.offset = entry.end;
        }
        SourceStatus::More
    }

    fn now(&self) -> Option<Timestamp> {
        self.recording.closed.filter(|_| self.position == self.recording.entries.len())
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        vec![self.recording.info(self.position)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plays_back_what_was_recorded_in_pieces() {
        let mut recording = Recording::new("client", LinkType::RAW);
        recording.push(Timestamp::from_nanos(5), 3, b"abc");
        recording.push(Timestamp::from_nanos(7), 9, b"de");
        recording.set_dropped(1);
        recording.close(Timestamp::from_nanos(99));
        let frames: Vec<_> = recording.frames().map(|f| (f.frame.number(), f.data.to_vec())).collect();
        assert_eq!(frames, [(1, b"abc".to_vec()), (2, b"de".to_vec())]);

        let mut source = recording.play();
        let mut seen = Vec::new();
        let mut keep =
            |frames: Frames<'_>| seen.extend(frames.iter().map(|f| (f.at, f.wire_len, f.data.to_vec())));
        assert_eq!((source.now(), source.read(1, &mut keep)), (None, SourceStatus::More));
        assert_eq!(source.now(), None, "the clock must not run ahead of the frames");
        assert_eq!(source.read(8, &mut keep), SourceStatus::End);
        assert_eq!(
            seen,
            [(Timestamp::from_nanos(5), 3, b"abc".to_vec()), (Timestamp::from_nanos(7), 9, b"de".to_vec())]
        );
        assert_eq!(source.now(), Some(Timestamp::from_nanos(99)));
        let info = &source.captures()[0];
        assert_eq!((info.packets, info.bytes, info.dropped), (2, 5, Some(1)));
    }
}
