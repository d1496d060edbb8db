//! From packets to settled attempts, by the library's own parts: a tracker and the listeners.

use std::collections::BTreeMap;
use std::convert::Infallible;

use hsanalyze::handshake::{Attempt, Batch, Cause, Confidence, Finding, Tracker, TrackerCounts};
use hsanalyze::listener::Listeners;
use hsanalyze::packet::{Direction, Endpoint, FlowKey, Packet, Span, Timestamp};

/// Packets that are taken together, as many as the engine takes.
const GROUP: usize = 512;

/// Time after the last packet at which the capture ends: longer than any attempt is undecided, so that no verdict
/// depends on when the last packet comes.
const SILENCE: Span = Span::from_secs(400);

/// The time at which a packet was captured.
pub(super) fn time(packet: &Packet) -> Timestamp {
    match packet {
        Packet::Segment(segment) => segment.at,
        Packet::Unreachable(error) => error.at,
    }
}

/// Hashes of flows that are spread evenly: the memory of settled attempts' SYNs is bounded, and finds them by the upper
/// bits of the hash, which two flows have in common by chance now and then.
#[derive(Default)]
struct Flows(BTreeMap<(Endpoint, Endpoint), u64>);

impl Flows {
    fn hash(&mut self, flow: &FlowKey) -> u64 {
        // An odd constant with evenly spread bits (2^64 / golden ratio).
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let (one, other) = (flow.source(Direction::LowToHigh), flow.destination(Direction::LowToHigh));
        let next = self.0.len() as u64 + 1;
        self.0.entry((one, other)).or_insert(next).wrapping_mul(SPREAD)
    }
}

/// Outcome for the packets.
pub(super) struct Tracked {
    /// The settled attempts, in order of first packet, with the causes that all of them together show.
    pub(super) attempts: Vec<Attempt>,
    /// Packets that belong to none of them.
    pub(super) counts: TrackerCounts,
    /// Facts of the listeners.
    pub(super) listeners: Listeners,
}

/// Tracks packets to the end of a capture that goes on in silence after the last of them.
pub(super) fn track(packets: &[Packet]) -> Tracked {
    let mut tracker = Tracker::new();
    let mut listeners = Listeners::new(Listeners::DEFAULT_LIMIT);
    let mut attempts = Vec::new();
    let mut flows = Flows::default();
    let mut now = Timestamp::from_nanos(i64::MIN);
    let mut ordinal = 0;
    let mut drain = |tracker: &mut Tracker| {
        let Ok(()) = tracker.drain(None, |finding: &mut Finding, _| {
            listeners.record(finding);
            if finding.settled && !finding.attempt.is_refusal_alone() {
                attempts.push(finding.attempt.clone());
            }
            Ok::<_, Infallible>(())
        });
    };
    for group in packets.chunks(GROUP) {
        let mut batch = Batch::with_capacity(group.len());
        for packet in group {
            let flow = match packet {
                Packet::Segment(segment) => segment.flow,
                Packet::Unreachable(error) => error.flow,
            };
            batch.push_decoded(flows.hash(&flow), *packet, ordinal);
            ordinal += 1;
            now = now.max(time(packet));
        }
        tracker.take(&batch);
        tracker.advance(now);
        drain(&mut tracker);
    }
    tracker.advance(now.plus(SILENCE));
    tracker.finish(usize::MAX);
    drain(&mut tracker);
    let counts = tracker.counts();
    attempts.sort_by_key(|attempt| attempt.ordinal);
    for attempt in &mut attempts {
        attempt.inference = listeners.infer(attempt).into();
    }
    Tracked { attempts, counts, listeners }
}

/// True if an overflow of the accept queue is said to be likely, or more than that.
pub(super) fn claims_overflow(attempt: &Attempt) -> bool {
    let inference = &attempt.inference;
    inference.cause == Some(Cause::AcceptQueueOverflow) && inference.confidence > Some(Confidence::Possible)
}
