//! Records the packets of attempts while they are undecided, where the input cannot be read twice.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::{AttemptPackets, KeptPacket, PacketLimits, PacketStore, flow_of, flows, last_sighting};
use crate::capture::{CaptureInfo, Source, SourceStatus};
use crate::handshake::Attempt;
use crate::packet::{Flags, FlowKey, Frame, Frames, Packet, Seeded, Segment, Span, Timestamp};

/// The packets of undecided attempts by flow, and those of listed attempts.
///
/// A flow is recorded from its SYN or SYN-ACK on. Past the bound the flow that began first is forgotten; once only
/// listed attempts are left, nothing more is recorded.
#[derive(Debug)]
pub struct Recorder {
    limits: PacketLimits,
    flows: HashMap<FlowKey, AttemptPackets, Seeded>,
    /// Flows in the order in which their recording began. Some of them are recorded no more.
    order: VecDeque<FlowKey>,
    listed: PacketStore,
    /// Bytes kept.
    bytes: usize,
}

impl Recorder {
    pub(super) fn new(limits: PacketLimits) -> Self {
        Self {
            limits,
            flows: HashMap::default(),
            order: VecDeque::new(),
            listed: PacketStore::default(),
            bytes: 0,
        }
    }

    /// Records a frame if it belongs to an attempt.
    pub(super) fn record(&mut self, frame: &Frame<'_>) {
        let Some(flow) = flow_of(frame) else { return };
        let packets = match self.flows.entry(flow) {
            Entry::Occupied(recorded) => recorded.into_mut(),
            Entry::Vacant(_) if !segment(frame).is_some_and(|segment| segment.flags.contains(Flags::SYN)) => {
                return;
            }
            Entry::Vacant(unknown) => {
                self.order.push_back(flow);
                unknown.insert(AttemptPackets::default())
            }
        };
        let grown = packets.push(KeptPacket::new(frame, self.limits.snap), &self.limits);
        self.bytes = self.bytes.saturating_add_signed(grown);
        while self.bytes > self.limits.total {
            let Some(oldest) = self.order.pop_front() else { return };
            self.forget(&oldest);
        }
        // Flows that were settled stay in the queue until it is twice as long as it need be.
        if self.order.len() > 2 * self.flows.len() + 1024 {
            self.order.retain(|flow| self.flows.contains_key(flow));
        }
    }

    /// Ends the recording of an attempt; keeps its packets if it is `listed`.
    pub(super) fn settle(&mut self, attempt: &Attempt, listed: bool) {
        let mut kept = AttemptPackets::default();
        for flow in flows(attempt) {
            let Some(recorded) = self.flows.remove(&flow) else { continue };
            self.bytes = self.bytes.saturating_sub(recorded.cost());
            let next = next_attempt(&recorded, attempt);
            let mut packets = recorded.packets;
            let later = packets.split_off(next);
            if !later.is_empty() {
                let later = AttemptPackets { packets: later, ..AttemptPackets::default() };
                self.bytes += later.cost();
                self.flows.insert(flow, later);
                self.order.push_back(flow);
            }
            let until = last_sighting(attempt);
            packets.retain(|packet| packet.at <= until);
            kept.left_out += recorded.left_out;
            kept.gap_at = kept.gap_at.max(recorded.gap_at);
            kept.packets.extend(packets);
        }
        if !listed || kept.packets.is_empty() {
            return;
        }
        kept.packets.sort_by_key(|packet| packet.at);
        let cost = kept.cost();
        if self.bytes + cost <= self.limits.total {
            self.bytes += cost;
            self.listed.0.insert(attempt.ordinal, kept);
        }
    }

    /// A copy of the packets of an attempt so far, listed or not settled yet.
    pub(super) fn peek(&self, attempt: &Attempt) -> PacketStore {
        let mut store = PacketStore::default();
        let mut kept = self.listed.0.get(&attempt.ordinal).cloned().unwrap_or_default();
        if kept.packets.is_empty() {
            for recorded in flows(attempt).into_iter().filter_map(|flow| self.flows.get(&flow)) {
                kept.left_out += recorded.left_out;
                kept.gap_at = kept.gap_at.max(recorded.gap_at);
                kept.packets.extend(recorded.packets.iter().cloned());
            }
            kept.packets.sort_by_key(|packet| packet.at);
        }
        if !kept.packets.is_empty() {
            store.0.insert(attempt.ordinal, kept);
        }
        store
    }

    /// Forgets the packets of a listed attempt.
    pub(super) fn release(&mut self, ordinal: u64) {
        if let Some(packets) = self.listed.0.remove(&ordinal) {
            self.bytes = self.bytes.saturating_sub(packets.cost());
        }
    }

    /// The packets of the listed attempts, which are recorded no more.
    pub(super) fn take(&mut self) -> PacketStore {
        std::mem::take(&mut self.listed)
    }

    fn forget(&mut self, flow: &FlowKey) {
        if let Some(packets) = self.flows.remove(flow) {
            self.bytes = self.bytes.saturating_sub(packets.cost());
        }
    }

    /// Bytes kept.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A recorder that the source and the sink of one analysis share.
#[derive(Debug, Clone)]
pub struct SharedRecorder(Arc<Mutex<Recorder>>);

impl SharedRecorder {
    /// An empty recorder with these bounds.
    #[must_use]
    pub fn new(limits: PacketLimits) -> Self {
        Self(Arc::new(Mutex::new(Recorder::new(limits))))
    }

    /// A copy of the packets of an attempt so far, if they are still kept.
    #[must_use]
    pub fn peek(&self, attempt: &Attempt) -> PacketStore {
        self.lock().peek(attempt)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Recorder> {
        // A panic elsewhere leaves whole packets behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn segment(frame: &Frame<'_>) -> Option<Segment> {
    match crate::packet::decode(frame) {
        Ok(Packet::Segment(segment)) => Some(segment),
        Ok(Packet::Unreachable(_)) | Err(_) => None,
    }
}

/// The place of the SYN that begins another attempt on the same flow, after `attempt`.
fn next_attempt(recorded: &AttemptPackets, attempt: &Attempt) -> usize {
    let is_next = |packet: &KeptPacket| {
        packet.at > attempt.start
            && segment(&packet.as_frame()).is_some_and(|segment| {
                segment.flags.contains(Flags::SYN)
                    && !segment.flags.contains(Flags::ACK)
                    && segment.seq != attempt.client_isn
            })
    };
    recorded.packets.iter().position(is_next).unwrap_or(recorded.packets.len())
}

/// A source whose frames are recorded on their way to the analysis.
#[derive(Debug)]
pub struct Recorded<S> {
    source: S,
    recorder: Option<SharedRecorder>,
}

impl<S> Recorded<S> {
    /// Passes the frames of `source` on, and records them if there is a recorder.
    pub fn new(source: S, recorder: Option<SharedRecorder>) -> Self {
        Self { source, recorder }
    }

    /// Records frames from now on, or no more.
    pub fn set_recorder(&mut self, recorder: Option<SharedRecorder>) {
        self.recorder = recorder;
    }

    /// The source itself.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// The source itself, to be changed.
    pub const fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }
}

impl<S: Source> Source for Recorded<S> {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
        let Some(recorder) = &self.recorder else { return self.source.read(max, sink) };
        self.source.read(max, &mut |frames| {
            // Not longer: the sink of another thread may wait for it.
            let mut recorder = recorder.lock();
            frames.iter().for_each(|frame| recorder.record(frame));
            drop(recorder);
            sink(frames);
        })
    }

    fn now(&self) -> Option<Timestamp> {
        self.source.now()
    }

    fn duplicates_after(&self) -> Option<Span> {
        self.source.duplicates_after()
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        self.source.captures()
    }
}
