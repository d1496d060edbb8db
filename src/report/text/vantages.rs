//! Place of the capture, or of each of its points, as most attempts show it.

use strum::{EnumCount, IntoEnumIterator};

use crate::handshake::{Attempt, Vantage};
use crate::packet::CapturePoint;
use crate::report::wording;

/// Most points that the first lines name.
const NAMED: usize = 4;

/// Counts of attempts by vantage: of all, and of each point's sightings.
#[derive(Clone, Debug, Default)]
pub(super) struct VantageCounts {
    all: Votes,
    /// The points in order of the way, as the first attempts show it; at most one more than are named.
    points: Vec<(CapturePoint, Votes)>,
}

/// Attempts by vantage.
#[derive(Clone, Debug, Default)]
struct Votes([u64; Vantage::COUNT]);

impl VantageCounts {
    pub(super) fn add(&mut self, attempt: &Attempt) {
        self.all.add(attempt.vantage);
        for sighting in attempt.passage.iter().flat_map(|passage| &passage.sightings) {
            let known = self.points.iter().position(|&(point, _)| point == sighting.point);
            let place = known.unwrap_or(self.points.len());
            if known.is_none() && place <= NAMED {
                self.points.push((sighting.point, Votes::default()));
            }
            if let Some((_, votes)) = self.points.get_mut(place) {
                votes.add(sighting.vantage);
            }
        }
    }

    /// `captured near the server`; where two to four points are told apart, and most of them show their place, each by its
    /// name.
    pub(super) fn words(&self) -> Option<String> {
        let places: Vec<String> = self
            .points
            .iter()
            .filter_map(|(point, votes)| {
                Some(format!("{} ({})", wording::point(*point), place(votes.agreed()?)))
            })
            .collect();
        if places.len() >= 2 && self.points.len() <= NAMED {
            return Some(format!("captured at {}", places.join(", ")));
        }
        self.all.agreed().map(|vantage| format!("captured {}", place(vantage)))
    }
}

impl Votes {
    fn add(&mut self, vantage: Option<Vantage>) {
        if let Some(vantage) = vantage {
            self.0[vantage as usize] += 1;
        }
    }

    /// The vantage of three in four attempts: with hosts at different distances, no single place is right.
    fn agreed(&self) -> Option<Vantage> {
        let total: u64 = self.0.iter().sum();
        let of = |vantage: &Vantage| self.0[*vantage as usize];
        Vantage::iter().find(|vantage| of(vantage) > 0 && of(vantage) >= total - total / 4)
    }
}

const fn place(vantage: Vantage) -> &'static str {
    match vantage {
        Vantage::Server => "near the server",
        Vantage::Client => "near the client",
        Vantage::Local => "on the host of both ends",
        Vantage::Middle => "between client and server",
    }
}
