//! Record of a sighting: an attempt as one point saw it.

use serde::{Serialize, Serializer};
use strum::IntoEnumIterator;

use super::{Displayed, Rfc3339};
use crate::handshake::{SegmentKind, Sighting, Vantage};
use crate::packet::Endpoint;

/// Record of a sighting.
#[derive(Serialize)]
pub(super) struct SightingRecord<'a> {
    point: &'static str,
    client: Displayed<Endpoint>,
    server: Displayed<Endpoint>,
    capture: u16,
    frame: u64,
    vantage: Option<&'static str>,
    seen: SeenRecord<'a>,
}

impl<'a> From<&'a Sighting> for SightingRecord<'a> {
    fn from(sighting: &'a Sighting) -> Self {
        Self {
            point: sighting.point.name(),
            client: Displayed(sighting.client),
            server: Displayed(sighting.server),
            capture: sighting.frame.capture(),
            frame: sighting.frame.number(),
            vantage: sighting.vantage.map(Vantage::name),
            seen: SeenRecord(sighting),
        }
    }
}

/// The segments that passed, by kind; null for those that did not.
struct SeenRecord<'a>(&'a Sighting);

#[derive(Serialize)]
struct PassedRecord {
    packets: u16,
    first: Displayed<Rfc3339>,
}

impl Serialize for SeenRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(SegmentKind::iter().map(|kind| {
            let passed = self.0.passed(kind);
            let record = passed
                .times
                .map(|(first, _)| PassedRecord { packets: passed.packets, first: Displayed(Rfc3339(first)) });
            (<&str>::from(kind), record)
        }))
    }
}
