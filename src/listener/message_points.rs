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

/// True if the client sent a segment, by the addresses that the attempt had where it was seen. None if it had others there.
pub(super) fn is_clients_at_point(attempt: &Attempt, segment: &Segment) -> Option<bool> {
    let (source, destination) =
        (segment.flow.source(segment.direction), segment.flow.destination(segment.direction));
    let is_clients = |sighting: &Sighting| match (sighting.client, sighting.server) {
        ends if ends == (source, destination) => Some(true),
        ends if ends == (destination, source) => Some(false),
        _ => None,
    };
    let mut here = sightings(attempt).filter(|sighting| sighting.point == segment.frame.point());
    here.find_map(is_clients)
}

/// True if the attempt's SYN was seen with this server's address where the segment was.
pub(super) fn was_asked_at(attempt: &Attempt, segment: &Segment) -> bool {
    let source = segment.flow.source(segment.direction);
    sightings(attempt).any(|sighting| {
        sighting.point == segment.frame.point() && sighting.server == source && sighting.has(SegmentKind::Syn)
    })
}
