//! Properties of any packets.

use std::collections::BTreeMap;

use hsanalyze::handshake::{Attempt, Retries, Verdict};
use hsanalyze::packet::{Packet, Span};

use crate::changes::{has_ambiguous_reset, rename, shift_numbers, shift_time};
use crate::outcome::{counts_add_up, difference, outcomes};
use crate::track::track;

/// Other times and numbers leave every attempt what it is, and other names its verdict; every packet counts once.
///
/// # Panics
///
/// Where that does not hold.
pub fn check_invariance(packets: &[Packet], seconds: i64, masks: (u32, u16), higher: u32) {
    let tracked = track(packets);
    assert_eq!(counts_add_up(packets, &tracked), None);
    tracked.attempts.iter().for_each(check_attempt);
    if has_ambiguous_reset(packets) || has_ambiguous_reset(&shift_numbers(packets, higher)) {
        return;
    }
    let before = outcomes(packets);
    for (change, packets) in [
        ("later", shift_time(packets, Span::from_secs(seconds))),
        ("numbered", shift_numbers(packets, higher)),
    ] {
        assert_eq!(difference(&before, &outcomes(&packets)), None, "{change}");
    }
    // Not the causes: how many listeners lost a client's SYNs is counted by bits of their hashes, which two may share.
    let renamed = rename(packets, masks);
    assert_eq!(difference(&verdicts(packets), &verdicts(&renamed)), None, "renamed");
}

/// Verdicts, retries and histories by the position of the attempt's first packet.
fn verdicts(packets: &[Packet]) -> BTreeMap<u64, (Verdict, Retries, String)> {
    let attempts = track(packets).attempts.into_iter();
    attempts.map(|one| (one.ordinal, (one.verdict, one.retries, one.history.to_string()))).collect()
}

/// The figures of an attempt fit each other.
///
/// # Panics
///
/// Where that does not hold.
pub fn check_attempt(attempt: &Attempt) {
    let Retries { syn, syn_ack, after_ack } = attempt.retries;
    assert!(after_ack <= syn_ack, "{attempt:?}");
    for (times, count) in [(&attempt.retry_at, syn_ack), (&attempt.syn_retry_at, syn)] {
        assert_eq!(times.len(), Retries::TIMES_KEPT.min(count as usize), "{attempt:?}");
    }
    assert!(attempt.start <= attempt.end);
    let timing = &attempt.timing;
    let spans = [timing.syn_to_synack, timing.synack_to_ack, timing.ack_to_rst, attempt.connect.window];
    assert!(spans.iter().flatten().all(|&span| span >= Span::ZERO), "{attempt:?}");
    assert_eq!(attempt.inference.cause.is_none(), attempt.inference.confidence.is_none());
}
