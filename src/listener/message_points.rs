//! The points that the messages of an attempt pass: the columns of its message diagram (DOMAIN §7).
//!
//! Owns which points these are, and which packet is a sighting of an earlier one, by the same rule as the attempt's record
//! (`handshake`), so that a diagram never contradicts it.

use crate::handshake::{Attempt, Evidence, SegmentKind, Sighting};
use crate::packet::{CapturePoint, Segment};

/// The points of an attempt, in order of the way from client to server: those that its packets passed, and those that they are
/// known to have missed. Empty where fewer than two are known.
#[must_use]
pub fn points_on_way(attempt: &Attempt) -> Vec<CapturePoint> {
    let mut points: Vec<CapturePoint> = Vec::new();
    for sighting in sightings(attempt) {
        if !points.contains(&sighting.point) {
            points.push(sighting.point);
        }
    }
    for evidence in &attempt.inference.evidence {
        let (Evidence::LostBetween(loss) | Evidence::MadeBetween(loss)) = evidence else { continue };
        // The segments of the server's come from the far point.
        let (near, far) =
            if loss.kind.is_from_client() { (loss.from, loss.to) } else { (loss.to, loss.from) };
        let place = |point| points.iter().position(|&known| known == point);
        match (place(near), place(far)) {
            (Some(near), None) if far.is_single() => points.insert(near + 1, far),
            (None, Some(far)) if near.is_single() => points.insert(far, near),
            _ => {}
        }
    }
    if points.len() < 2 {
        points.clear();
    }
    points
}

fn sightings(attempt: &Attempt) -> impl Iterator<Item = &Sighting> {
    attempt.passage.iter().flat_map(|passage| &passage.sightings)
}

/// The point of a segment, by the addresses that the attempt had at each.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentOrigin {
    /// The client sent it.
    pub(super) is_clients: bool,
    /// The attempt's SYN was seen there with this server.
    pub(super) was_asked: bool,
    /// True if the segment belongs to a connection that something between made.
    pub(super) is_behind_proxy: bool,
}

impl SegmentOrigin {
    /// None if the attempt had other addresses there.
    pub(super) fn of(attempt: &Attempt, segment: &Segment) -> Option<Self> {
        let (source, destination) =
            (segment.flow.source(segment.direction), segment.flow.destination(segment.direction));
        let origin = |sighting: &Sighting| {
            let ends = (sighting.client, sighting.server);
            let is_clients = ends == (source, destination);
            let is_behind_proxy = sighting.is_behind_proxy;
            let known = is_clients || ends == (destination, source);
            known.then(|| Self { is_clients, was_asked: sighting.has(SegmentKind::Syn), is_behind_proxy })
        };
        sightings(attempt).filter(|sighting| sighting.point == segment.frame.point()).find_map(origin)
    }
}
