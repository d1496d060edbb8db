//! Points of a capture of all interfaces: each packet of link type `LINUX_SLL2` names its interface by index.

use std::collections::HashMap;

use crate::packet::{CapturePoint, Frame, FrameRef, LinkType, Seeded};

/// Interfaces of one capture that are told apart: a damaged file may name any number of them.
pub(super) const MOST: usize = 256;

/// The points of interfaces by their index.
#[derive(Debug, Default)]
pub(super) struct CookedPoints {
    known: HashMap<u32, CapturePoint, Seeded>,
    latest: Option<(u32, CapturePoint)>,
}

impl CookedPoints {
    /// The position of a frame, with the point of its interface, which `name` names by index.
    pub(super) fn position(&mut self, frame: &Frame<'_>, name: impl FnOnce(u32) -> String) -> FrameRef {
        // The index is the second word of the header (LINKTYPE_LINUX_SLL2).
        let index = frame.data.get(4..8).filter(|_| frame.link == LinkType::LINUX_SLL2);
        let Some(&index) = index.and_then(<[u8]>::first_chunk) else { return frame.frame };
        let index = u32::from_be_bytes(index);
        let point = match self.latest {
            Some((latest, point)) if latest == index => point,
            _ => self.point(index, name),
        };
        frame.frame.at_point(point)
    }

    /// The points so far, by the index of their interface.
    pub(super) fn points(&self) -> Vec<CapturePoint> {
        let mut known: Vec<(u32, CapturePoint)> =
            self.known.iter().map(|(&index, &point)| (index, point)).collect();
        known.sort_unstable_by_key(|&(index, _)| index);
        known.into_iter().map(|(_, point)| point).collect()
    }

    fn point(&mut self, index: u32, name: impl FnOnce(u32) -> String) -> CapturePoint {
        let full = self.known.len() >= MOST;
        let known = self.known.get(&index).copied().or(full.then_some(CapturePoint::OTHERS));
        let point = known.unwrap_or_else(|| CapturePoint::named(&name(index)));
        if !full {
            self.known.insert(index, point);
        }
        self.latest = Some((index, point));
        point
    }
}

/// The name of an interface that a capture file knows by its index alone, or by a name of its own, in a file that is one of
/// several points.
pub(super) fn interface_name(file: CapturePoint, own: Option<&str>, index: u32) -> String {
    let name = own.map_or_else(|| format!("if{index}"), str::to_owned);
    if file.is_known() { format!("{file}:{name}") } else { name }
}
