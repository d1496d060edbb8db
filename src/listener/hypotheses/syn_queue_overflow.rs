//! The listener's SYN queue was full, and SYN cookies are off (DOMAIN §5).

use super::{Case, Counted, Hypothesis, VerdictSet, Weight};
use crate::handshake::{Cause, Confidence, Evidence, Verdict};
use crate::kernel::Counter;
use crate::listener::observed::FloodSecond;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynQueueOverflow,
    explains: VerdictSet::of(&[Verdict::Unanswered, Verdict::CompletedLate]),
    shown_by: "SYNs go unanswered while many handshakes with the listener are outstanding",
    looks_like: "a limit on SYNs, a full accept queue",
    excluded_by: "an accept queue that is seen to be full at that time; TCPReqQFullDoCookies: a full SYN queue is answered by cookies",
    surest: Confidence::Possible,
    confirmed_by: "TCPReqQFullDrop while ListenOverflows stands still",
    example: "syn-queue-overflow.pcap",
    weigh,
    counted,
};

/// Unfinished handshakes in a second from which on they may fill a SYN queue: half of the smallest default limit.
const OUTSTANDING: u32 = 64;

fn weigh(case: &Case<'_>) -> Weight {
    if case.stretch().is_none() || case.has_odd_answer() {
        return Weight::NotApplicable;
    }
    // A flood fills the SYN queue, whatever its length: its SYNs go unanswered, too.
    let flood = case.own.floods.at(case.attempt.start);
    let outstanding = case.own.floods.half_open_at(case.attempt.start);
    if outstanding < OUTSTANDING && flood.is_none() {
        return Weight::NotApplicable;
    }
    if case.others_overflowed() == Some(true) {
        return Weight::Excluded(Evidence::OthersOverflowed);
    }
    let rate = flood.map(FloodSecond::rate);
    Weight::supported(rate.or(Some(Evidence::ManyHalfOpen(outstanding))))
}

/// Judges by the SYNs that the kernel dropped for a full SYN queue.
fn counted(case: &Case<'_>) -> Counted {
    let Some(events) = case.watched().filter(|_| case.has_dropped_syn()) else { return Counted::Nothing };
    if let (Some(0), Some(1..)) =
        (events.counter(Counter::TcpReqQFullDrop), events.counter(Counter::TcpReqQFullDoCookies))
    {
        return Counted::Excludes(Evidence::KernelSentCookies);
    }
    let (Some(full), Some(overflows)) =
        (events.counter(Counter::TcpReqQFullDrop), events.counter(Counter::ListenOverflows))
    else {
        return Counted::Nothing;
    };
    // Other drops of SYNs, for want of memory too, count as ListenDrops beyond ListenOverflows.
    let others = events.counter(Counter::ListenDrops).is_none_or(|drops| drops > overflows);
    if full == 0 {
        return if others { Counted::Nothing } else { Counted::Excludes(Evidence::KernelSynQueueHadRoom) };
    }
    match overflows == 0 && events.drops != Some(0) {
        true if !case.shows_more_than(|events| events.counter(Counter::TcpReqQFullDrop)) => {
            Counted::ConfirmsUnexplained(Evidence::KernelSynQueueFull)
        }
        _ => Counted::Supports(Evidence::KernelSynQueueFull),
    }
}
