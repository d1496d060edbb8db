//! A live capture whose packets are counted and kept.

use std::num::NonZeroU64;

use crate::capture::{CaptureInfo, LiveCapture, Saver, Source, SourceStatus};
use crate::engine::packets::{Recorded, SharedRecorder};
use crate::packet::{Frames, Timestamp};

/// Passes frames on, up to a number of them, and keeps them on the way.
pub(super) struct RecordedSource {
    live: Recorded<LiveCapture>,
    saver: Option<Saver>,
    left: Option<u64>,
    reported: bool,
}

impl RecordedSource {
    pub(super) fn new(live: LiveCapture, saver: Option<Saver>, count: Option<NonZeroU64>) -> Self {
        Self { live: Recorded::new(live, None), saver, left: count.map(NonZeroU64::get), reported: false }
    }

    /// Records the packets of attempts from now on, for an output that shows them.
    pub(super) fn record(&mut self, recorder: Option<SharedRecorder>) {
        self.live.set_recorder(recorder);
    }

    pub(super) fn device(&self) -> &str {
        self.live.source().device()
    }

    pub(super) fn count_drops(&mut self) -> u64 {
        self.live.source_mut().count_drops()
    }

    /// A message when the interface went down.
    pub(super) fn check_interface(&mut self) -> Option<String> {
        self.live.source_mut().check_interface()
    }

    /// Writes out what was saved; gives an error of saving, the first time only.
    pub(super) fn flush(&mut self) -> Option<&str> {
        let saver = self.saver.as_mut()?;
        saver.flush();
        let error = saver.error().filter(|_| !self.reported)?;
        self.reported = true;
        Some(error)
    }
}

impl Source for RecordedSource {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
        let Self { live, saver, left, .. } = self;
        let allowed = left.map_or(max, |left| usize::try_from(left).unwrap_or(max).min(max));
        if allowed == 0 {
            return SourceStatus::End;
        }
        let mut taken = 0;
        let status = live.read(allowed, &mut |frames| {
            taken += frames.len() as u64;
            if let Some(saver) = saver {
                frames.iter().for_each(|frame| saver.add(frame));
            }
            sink(frames);
        });
        match left {
            Some(left) => {
                *left = left.saturating_sub(taken);
                if *left == 0 { SourceStatus::End } else { status }
            }
            None => status,
        }
    }

    fn now(&self) -> Option<Timestamp> {
        self.live.now()
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        self.live.captures()
    }
}
