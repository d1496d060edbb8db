//! Parts that several fuzz targets share: segments from bytes, and the properties that the tests try, too.

#[allow(dead_code, reason = "the tests make more changes")]
#[path = "../../tests/it/properties/changes.rs"]
mod changes;
mod invariance;
#[path = "../../tests/it/properties/outcome.rs"]
mod outcome;
pub mod output;
mod segments;
#[allow(dead_code, reason = "the tests ask more of it")]
#[path = "../../tests/it/properties/track.rs"]
mod track;

pub use invariance::{check_attempt, check_invariance};
pub use segments::packets;

use hsanalyze::handshake::Attempt;
use hsanalyze::listener::Listeners;
use hsanalyze::packet::Packet;

/// The settled attempts of these packets, with their final causes, and the listeners.
#[must_use]
pub fn attempts(packets: &[Packet]) -> (Vec<Attempt>, Listeners) {
    let tracked = track::track(packets);
    (tracked.attempts, tracked.listeners)
}
