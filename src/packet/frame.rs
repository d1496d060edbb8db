//! Captured frames, still bytes, as a source hands them to the decoder.

use std::ops::Deref;

use super::{FrameRef, LinkType, Shared, Timestamp};

/// A captured frame, still bytes.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Time of capture.
    pub at: Timestamp,
    /// Position of the frame in the input.
    pub frame: FrameRef,
    /// The header type at the start of `data`.
    pub link: LinkType,
    /// Length on the wire in bytes; `data` may be shorter (snap length).
    pub wire_len: u32,
    /// The captured bytes.
    pub data: &'a [u8],
}

/// Consecutive frames of one capture, contiguous in memory.
#[derive(Debug, Clone, Copy)]
pub struct Frames<'a> {
    frames: &'a [Frame<'a>],
    shared: Option<&'a Shared>,
}

impl<'a> Frames<'a> {
    /// Frames whose data must be copied to outlive them.
    #[must_use]
    pub const fn new(frames: &'a [Frame<'a>]) -> Self {
        Self { frames, shared: None }
    }

    /// Frames whose data is part of `shared`. If that of any is not, all are taken as [`Self::new`] does.
    #[must_use]
    pub fn within(shared: &'a Shared, frames: &'a [Frame<'a>]) -> Self {
        let all = frames.iter().all(|frame| shared.contains(frame.data));
        Self { frames, shared: all.then_some(shared) }
    }

    /// Frames whose data is part of `shared`, if given, which the caller guarantees: a check costs 1 % of an analysis.
    pub(crate) fn known_within(shared: Option<&'a Shared>, frames: &'a [Frame<'a>]) -> Self {
        debug_assert!(shared.is_none_or(|shared| frames.iter().all(|frame| shared.contains(frame.data))));
        Self { frames, shared }
    }

    /// The shared bytes that contain their data, if any.
    #[must_use]
    pub const fn shared(&self) -> Option<&'a Shared> {
        self.shared
    }
}

impl<'a> Deref for Frames<'a> {
    type Target = [Frame<'a>];

    fn deref(&self) -> &Self::Target {
        self.frames
    }
}
