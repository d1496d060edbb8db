//! The source of a live run, whose packets are counted and kept.

use std::num::NonZeroU64;

use crate::capture::{CaptureDrops, CaptureInfo, FollowedFile, LiveCapture, Saver, Source, SourceStatus};
use crate::clock;
use crate::engine::packets::{Recorded, SharedRecorder};
use crate::packet::{Frames, Timestamp};

/// The opened source of packets.
pub(super) enum OpenInput {
    Interface(Box<LiveCapture>),
    File(Box<FollowedFile>),
}

impl OpenInput {
    /// The interface or the file, by name.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Interface(live) => live.device().to_owned(),
            Self::File(file) => file.path().display().to_string(),
        }
    }

    /// The source itself.
    fn source(&self) -> &dyn Source {
        match self {
            Self::Interface(live) => &**live,
            Self::File(file) => &**file,
        }
    }
}

impl Source for OpenInput {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
        match self {
            Self::Interface(live) => live.read(max, sink),
            Self::File(file) => file.read(max, sink),
        }
    }

    fn now(&self) -> Option<Timestamp> {
        self.source().now()
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        self.source().captures()
    }
}

/// Passes frames on, up to a number of them, and keeps them on the way.
pub(super) struct RecordedSource {
    input: Recorded<OpenInput>,
    saver: Option<Saver>,
    left: Option<u64>,
    reported: bool,
}

impl RecordedSource {
    pub(super) fn new(input: OpenInput, saver: Option<Saver>, count: Option<NonZeroU64>) -> Self {
        Self { input: Recorded::new(input, None), saver, left: count.map(NonZeroU64::get), reported: false }
    }

    /// Records the packets of attempts from now on, for an output that shows them.
    pub(super) fn record(&mut self, recorder: Option<SharedRecorder>) {
        self.input.set_recorder(recorder);
    }

    /// The interface or the file, by name.
    pub(super) fn name(&self) -> String {
        self.input.source().name()
    }

    /// The time that events of this moment have: the host's; of a file that of its latest packets, which may be old.
    pub(super) fn wall(&self) -> Timestamp {
        let of_file = match self.input.source() {
            OpenInput::Interface(_) => None,
            OpenInput::File(file) => file.now().or_else(|| file.captures().first()?.last),
        };
        of_file.unwrap_or_else(clock::now)
    }

    /// Packets that the capture lost; none of a file.
    pub(super) fn count_drops(&mut self) -> CaptureDrops {
        match self.input.source_mut() {
            OpenInput::Interface(live) => live.count_drops(),
            OpenInput::File(_) => CaptureDrops::default(),
        }
    }

    /// A message when the interface went down.
    pub(super) fn check_interface(&mut self) -> Option<String> {
        match self.input.source_mut() {
            OpenInput::Interface(live) => live.check_interface(),
            OpenInput::File(_) => None,
        }
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
        let Self { input, saver, left, .. } = self;
        let allowed = left.map_or(max, |left| usize::try_from(left).unwrap_or(max).min(max));
        if allowed == 0 {
            return SourceStatus::End;
        }
        let mut taken = 0;
        let status = input.read(allowed, &mut |frames| {
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
        self.input.now()
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        self.input.captures()
    }
}
