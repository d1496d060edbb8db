//! Capture points: the places where packets were captured, by name.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

/// A place where packets were captured: an interface, or a file. Two with the same name are one.
///
/// A number that stands for the name, so that it fits beside a frame's. [`CapturePoint::NONE`] where points are not told
/// apart, as in a capture of a single interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CapturePoint(u16);

/// Names of the points, in order of appearance. They are kept to the end of the program: at most [`CapturePoint::MOST`].
static NAMES: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

impl CapturePoint {
    /// Bits of the number.
    pub(super) const BITS: u32 = 10;

    /// Points that are told apart.
    pub const MOST: usize = (1 << Self::BITS) - 2;

    /// No point in particular.
    pub const NONE: Self = Self(0);

    /// All points past [`Self::MOST`] together.
    pub const OTHERS: Self = Self((1 << Self::BITS) - 1);

    /// The point of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let place = |names: &[&'static str]| names.iter().position(|&known| known == name);
        let known = place(&NAMES.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(place) = known {
            return Self(place as u16 + 1);
        }
        let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = place(&names) {
            return Self(place as u16 + 1);
        }
        if names.len() >= Self::MOST {
            return Self::OTHERS;
        }
        names.push(Box::leak(name.into()));
        Self(names.len() as u16)
    }

    pub(super) const fn from_number(number: u16) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u16 {
        self.0
    }

    /// True if points are told apart.
    #[must_use]
    #[inline(always)]
    pub const fn is_known(self) -> bool {
        self.0 != Self::NONE.0
    }

    /// True if this is one point, so that a packet seen there twice was seen twice at one place.
    #[must_use]
    pub const fn is_single(self) -> bool {
        self.is_known() && self.0 != Self::OTHERS.0
    }

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
        let place = usize::from(self.0).checked_sub(1);
        place.and_then(|place| names.get(place)).copied().unwrap_or("others")
    }
}

impl fmt::Display for CapturePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for CapturePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_known() { f.write_str(self.name()) } else { f.write_str("-") }
    }
}

/// The order of points along the path from client to server, as the user gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathOrder {
    points: [Option<CapturePoint>; Self::MOST],
}

impl PathOrder {
    /// Most points of a path.
    pub const MOST: usize = 8;

    /// Points in this order; `None` if there are too many.
    #[must_use]
    pub fn new(path: &[CapturePoint]) -> Option<Self> {
        let mut points = [None; Self::MOST];
        for (place, &point) in path.iter().enumerate() {
            *points.get_mut(place)? = Some(point);
        }
        Some(Self { points })
    }

    /// The points in order.
    pub fn points(&self) -> impl Iterator<Item = CapturePoint> {
        self.points.iter().filter_map(|&point| point)
    }

    /// The place of a point on the path, from 0.
    #[must_use]
    pub fn place(&self, point: CapturePoint) -> Option<usize> {
        self.points.iter().position(|&one| one == Some(point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_known_by_its_name() {
        let [one, other] = ["point-test-0", "point-test-1"].map(CapturePoint::named);
        assert_ne!(one, other);
        assert_eq!(one, CapturePoint::named("point-test-0"));
        assert_eq!(one.to_string(), "point-test-0");
        assert!(one.is_known() && !CapturePoint::NONE.is_known() && !CapturePoint::OTHERS.is_single());
        let path = PathOrder::new(&[other, one]).unwrap();
        assert_eq!(
            [one, other, CapturePoint::OTHERS].map(|point| path.place(point)),
            [Some(1), Some(0), None]
        );
        assert_eq!(PathOrder::new(&[one; 9]), None);
    }
}
