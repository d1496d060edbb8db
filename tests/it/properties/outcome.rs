//! What attempts are, to be compared before and after a change, and whether their packets add up.

use std::collections::BTreeMap;

use hsanalyze::handshake::{Attempt, Cause, Confidence, Connect, Reason, Retries, Timing, Unproven, Verdict};
use hsanalyze::packet::Packet;

use super::track::{Tracked, track};

/// What an attempt is, whatever its hosts are called, whenever it was and however its bytes are numbered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    verdict: Verdict,
    reason: Option<Reason>,
    unproven: Option<Unproven>,
    established: Option<bool>,
    retries: Retries,
    timing: Timing,
    connect: Connect,
    history: String,
    packets: u32,
    cause: Option<Cause>,
    confidence: Option<Confidence>,
}

impl Outcome {
    pub(super) fn of(attempt: &Attempt) -> Self {
        Self {
            verdict: attempt.verdict,
            reason: attempt.reason,
            unproven: attempt.unproven,
            established: attempt.established,
            retries: attempt.retries,
            timing: attempt.timing,
            connect: attempt.connect,
            history: attempt.history.to_string(),
            packets: attempt.packets,
            cause: attempt.inference.cause,
            confidence: attempt.inference.confidence,
        }
    }
}

/// The outcomes by the position of the attempt's first packet.
pub(super) fn outcomes(packets: &[Packet]) -> BTreeMap<u64, Outcome> {
    track(packets).attempts.iter().map(|attempt| (attempt.ordinal, Outcome::of(attempt))).collect()
}

/// The first difference between the outcomes before and after a change.
pub(super) fn difference<T: std::fmt::Debug + PartialEq>(
    before: &BTreeMap<u64, T>,
    after: &BTreeMap<u64, T>,
) -> Option<String> {
    let places = before.keys().chain(after.keys());
    let differs = |place: &&u64| before.get(place) != after.get(place);
    let place = places.into_iter().find(differs)?;
    Some(format!("packet {place}: {:?} became {:?}", before.get(place), after.get(place)))
}

/// Packets by use: those of attempts, and those that belong to none. ICMP errors that answer nothing may stand in
/// neither sum. Each attempt counts at one listener.
pub(super) fn counts_add_up(packets: &[Packet], tracked: &Tracked) -> Option<String> {
    let Tracked { attempts, counts, listeners } = tracked;
    let of_attempts: u64 = attempts.iter().map(|attempt| u64::from(attempt.packets)).sum();
    let all = packets.len() as u64;
    let used = of_attempts + counts.midstream + counts.unmatched_errors;
    if used > all || counts.duplicates > all {
        return Some(format!("{used} of {all} packets are counted: {counts:?}"));
    }
    let at_listeners = listeners.verdicts().total();
    (at_listeners != attempts.len() as u64)
        .then(|| format!("{at_listeners} attempts at listeners, {} in all", attempts.len()))
}
