//! What must hold of any packets.

use hsanalyze::handshake::{Attempt, Retries};
use hsanalyze::packet::{Packet, Span};

use crate::changes::{has_ambiguous_reset, rename, shift_numbers, shift_time};
use crate::outcome::{counts_add_up, difference, outcomes};
use crate::track::track;

/// Other times, names and numbers leave every attempt what it is, and every packet counts once.
///
/// # Panics
///
/// They do not.
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
        ("renamed", rename(packets, masks)),
        ("numbered", shift_numbers(packets, higher)),
    ] {
        assert_eq!(difference(&before, &outcomes(&packets)), None, "{change}");
    }
}

/// The figures of an attempt fit each other.
///
/// # Panics
///
/// They do not.
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
