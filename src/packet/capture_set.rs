//! A set of captures.

use super::FrameRef;

/// A set of captures, by index. Those from the eighth on count as one: nobody gives that many captures that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaptureSet(u8);

impl CaptureSet {
    /// Captures that are distinguished.
    pub const PLACES: usize = 8;

    /// No capture.
    pub const NONE: Self = Self(0);

    /// Every capture.
    pub const ALL: Self = Self(u8::MAX);

    /// The place of a frame's capture among those that are distinguished.
    #[must_use]
    #[inline(always)]
    pub const fn place(frame: FrameRef) -> usize {
        let capture = frame.capture() as usize;
        if capture < Self::PLACES { capture } else { Self::PLACES - 1 }
    }

    /// True if the frame's capture is in the set.
    #[must_use]
    #[inline(always)]
    pub const fn has(self, frame: FrameRef) -> bool {
        self.0 & 1 << Self::place(frame) != 0
    }

    /// True if the captures at this place are in the set.
    #[must_use]
    pub const fn has_place(self, place: usize) -> bool {
        self.0 & 1 << if place < Self::PLACES { place } else { Self::PLACES - 1 } != 0
    }

    /// Adds the captures at this place.
    pub const fn add(&mut self, place: usize) {
        self.0 |= 1 << if place < Self::PLACES { place } else { Self::PLACES - 1 };
    }

    /// The places whose captures `test` finds.
    pub fn of(mut test: impl FnMut(usize) -> bool) -> Self {
        let mut set = Self::NONE;
        (0..Self::PLACES).filter(|&place| test(place)).for_each(|place| set.add(place));
        set
    }

    /// The captures of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The places in the set.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..Self::PLACES).filter(move |&place| self.has_place(place))
    }
}
