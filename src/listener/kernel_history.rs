//! The kernel's figures of one listener over time: when its queue overflowed, and how many events there were.
//!
//! Times are those of the snapshots, by the clock that stamps packets of a live capture.

use std::collections::VecDeque;

use super::dropped_segments::{DroppedByKernel, DroppedSegments, KernelDrop};
use super::observed::dropped_syns;
use super::size::{KnownQueue, QueueSample};
use crate::handshake::{Attempt, Cause};
use crate::kernel::{Counter, Counters, EventBounds, KernelStats, ListenerInterval};
use crate::packet::{Endpoint, Span, Timestamp};

/// Most intervals that are kept per listener, of those with trouble; a further one joins the two oldest.
const MAX_INTERVALS: usize = 256;

/// Most queue samples kept per listener, the latest: at one a second, several minutes in which any connection waited.
const MAX_SAMPLES: usize = 512;

/// The kernel's figures of a listener over time, bounded in size.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct KernelHistory {
    stats: Option<KernelStats>,
    /// From the first snapshot to the last.
    watched: Option<(Timestamp, Timestamp)>,
    /// Intervals in which anything was dropped or may have been, in order of time.
    troubled: Vec<ListenerInterval>,
    /// True if the queue overflowed in the latest interval, or has been full since it did.
    overflowing: bool,
    /// Samples of its queue, in order of time; of several in a row that found it empty, the latest.
    samples: VecDeque<QueueSample>,
    /// Handshakes that the packets show to have completed.
    completed: u64,
    segments: DroppedSegments,
}

/// The kernel's evidence on a listener at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KernelEvidence {
    /// True if its accept queue overflowed then.
    pub(super) overflowed: bool,
    /// A segment of this very attempt met the full queue.
    pub(super) by_segment: bool,
    /// `net.ipv4.tcp_abort_on_overflow`, where it could be read.
    pub(super) abort_on_overflow: Option<bool>,
}

/// Events at a listener in some stretch of time, by the kernel's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KernelEvents {
    /// Events that met its full accept queue. `None` where the kernel does not count.
    pub(super) overflows: Option<EventBounds>,
    /// Packets that its sockets dropped, for any reason: an ignored ACK counts twice.
    pub(super) drops: Option<u64>,
    /// Growth of the namespace's counters, which other listeners share.
    pub(super) counters: Counters,
    /// True if the whole stretch was watched, and no other kernel answers.
    pub(super) whole: bool,
}

impl KernelHistory {
    /// Adds the figures of an interval; see `Listeners::record_kernel`. Returns the part of it in which the queue
    /// overflowed, or was still full after that.
    pub(super) fn record(
        &mut self,
        stats: KernelStats,
        interval: ListenerInterval,
    ) -> Option<(Timestamp, Timestamp)> {
        // Nothing was recorded before there was an attempt to this server, but its figures go back to the first snapshot.
        let first = self.watched.is_none();
        let interval = if first { since_the_start(&stats, interval) } else { interval };
        let begin = self.watched.map_or(interval.from, |(begin, _)| begin);
        let last = self.watched.map(|(_, end)| end);
        self.watched = Some((begin, interval.until));
        let within = stats.overflowed_within.filter(|_| first);
        let overflowed = within.map_or(interval.from, |(from, _)| from);
        let until = within.filter(|_| !stats.listening).map_or(interval.until, |(_, until)| until);
        self.stats = Some(stats);
        let overflows = interval.overflowed == Some(true) || self.overflowing && interval.full;
        self.overflowing = overflows;
        let span = overflows.then_some((overflowed, until));
        self.sample(&interval, last);
        if !interval.is_troubled() {
            return span;
        }
        if self.troubled.len() >= MAX_INTERVALS {
            let oldest = self.troubled.remove(0);
            if let Some(second) = self.troubled.first_mut() {
                *second = oldest.joined(second);
            }
        }
        self.troubled.push(interval);
        span
    }

    /// Replaces the figures by later ones.
    pub(super) fn update(&mut self, stats: KernelStats) {
        self.stats = Some(stats);
    }

    /// Keeps the sample at the end of `interval`; `last` is the time of the one before.
    fn sample(&mut self, interval: &ListenerInterval, last: Option<Timestamp>) {
        let opened = interval.counter(Counter::PassiveOpens).filter(|_| last == Some(interval.from));
        let sample = QueueSample { at: interval.until, waiting: interval.waiting, opened };
        match self.samples.back_mut() {
            Some(last) if last.waiting == 0 && sample.waiting == 0 => *last = sample,
            _ => self.samples.push_back(sample),
        }
        if self.samples.len() > MAX_SAMPLES {
            self.samples.pop_front();
        }
    }

    /// Facts that the kernel has about the listener's queue.
    pub(super) fn queue(&self) -> KnownQueue {
        let Some(stats) = &self.stats else { return KnownQueue::default() };
        KnownQueue {
            limit: stats.send_q,
            sockets: u32::try_from(stats.sockets).ok().filter(|&sockets| sockets > 0),
            cookies: stats.syncookies,
            samples: self.samples.iter().copied().collect(),
        }
    }

    /// Adds a segment of `client`, or to it, that the kernel dropped.
    pub(super) fn record_dropped(&mut self, client: Endpoint, segment: KernelDrop) {
        self.segments.insert(client, segment);
    }

    /// Meaning of the attempt's segments that the kernel dropped. Those that met a full queue count only where
    /// ListenOverflows rose: the kernel has that reason, too, for connections that it could not make.
    pub(super) fn dropped(&self, attempt: &Attempt) -> Option<DroppedByKernel> {
        let dropped = self.segments.meaning(attempt)?;
        let counted = || {
            let mut touching = self.touching(attempt.start, attempt.end);
            touching.any(|interval| interval.counter(Counter::ListenOverflows) != Some(0))
        };
        (dropped.cause != Cause::AcceptQueueOverflow || counted()).then_some(dropped)
    }

    /// The kernel's evidence for one attempt: an event of one of its segments at the full queue proves more than any
    /// count.
    pub(super) fn evidence_of(&self, attempt: &Attempt, retransmitted: u64) -> Option<KernelEvidence> {
        if self.dropped(attempt).is_some_and(|dropped| dropped.cause == Cause::AcceptQueueOverflow) {
            let abort_on_overflow = self.stats.as_ref().and_then(|stats| stats.abort_on_overflow);
            return Some(KernelEvidence { overflowed: true, by_segment: true, abort_on_overflow });
        }
        let evidence = self.evidence(attempt.start, attempt.end, retransmitted)?;
        let other = evidence.overflowed && self.dropped_in_calm(attempt) && !self.is_elsewhere(retransmitted);
        Some(KernelEvidence { overflowed: evidence.overflowed && !other, ..evidence })
    }

    /// True if one of the attempt's SYNs went unanswered while the queue had room for certain: something else drops them
    /// (DOMAIN §8).
    fn dropped_in_calm(&self, attempt: &Attempt) -> bool {
        /// Slack on both sides: packets are stamped and counted at different moments.
        const COUNT_SLACK: Span = Span::from_millis(500);
        let Some((begin, end)) = self.watched else { return false };
        dropped_syns(attempt).any(|at| {
            let (from, to) = (at.minus(COUNT_SLACK), at.plus(COUNT_SLACK));
            let watched = begin <= from && to <= end;
            watched && self.touching(from, to).all(|one| one.overflowed == Some(false) && !one.full)
        })
    }

    /// Counts a handshake that the packets show to have completed.
    pub(super) const fn count_completed(&mut self) {
        self.completed += 1;
    }

    /// True if nothing of the kernel was recorded.
    pub(super) fn is_empty(&self) -> bool {
        self.stats.is_none() && self.segments.is_empty()
    }

    /// The latest figures.
    pub(super) const fn stats(&self) -> Option<&KernelStats> {
        self.stats.as_ref()
    }

    /// True if another kernel may answer for the listener: this one counted no overflow, and fewer of the handshakes
    /// (PassiveOpens) or of the SYN-ACKs sent again after an ACK (TCPSynRetrans) than the packets show, although it
    /// counts those of all its listeners.
    ///
    /// A published port, a proxy or a balancer has the listener's address without being it. Half of the handshakes are
    /// enough: those of the last second may not be counted yet.
    pub(super) fn is_elsewhere(&self, retransmitted: u64) -> bool {
        self.stats.as_ref().is_some_and(|stats| {
            let fewer = |counter, shown| stats.namespace.get(counter).is_some_and(|counted| counted < shown);
            stats.overflowed() == Some(false)
                && (fewer(Counter::TcpSynRetrans, retransmitted)
                    || fewer(Counter::PassiveOpens, self.completed / 2))
        })
    }

    /// Events from `from` to `to`, of all intervals that touch that time; `None` where none was watched.
    /// `retransmitted` as for [`Self::evidence`].
    pub(super) fn events(&self, from: Timestamp, to: Timestamp, retransmitted: u64) -> Option<KernelEvents> {
        let (begin, end) = self.watched?;
        if to < begin || end < from {
            return None;
        }
        let mut touching = self.touching(from, to);
        let whole = begin <= from && to <= end && !self.is_elsewhere(retransmitted);
        let Some(first) = touching.next() else {
            let none = Some(EventBounds::default());
            return Some(KernelEvents { overflows: none, drops: Some(0), counters: Counters::ZERO, whole });
        };
        let all = touching.fold(*first, |all, interval| all.joined(interval));
        Some(KernelEvents { overflows: all.overflows(), drops: all.drops, counters: all.counters, whole })
    }

    /// The kernel's evidence for the time from `from` to `to`.
    ///
    /// The queue overflowed, where an interval with overflow touches that time; it did not, where all of it was watched,
    /// no interval in it is inconclusive and no other kernel answers. `retransmitted` is how often the listener's SYN-ACKs were sent again
    /// after an ACK.
    pub(super) fn evidence(
        &self,
        from: Timestamp,
        to: Timestamp,
        retransmitted: u64,
    ) -> Option<KernelEvidence> {
        let (begin, end) = self.watched?;
        let abort_on_overflow = self.stats.as_ref().and_then(|stats| stats.abort_on_overflow);
        let open = self.touching(from, to).any(|interval| interval.overflowed.is_none());
        if self.touching(from, to).any(|interval| interval.overflowed == Some(true)) {
            return Some(KernelEvidence { overflowed: true, by_segment: false, abort_on_overflow });
        }
        let knows = begin <= from && to <= end && !open && !self.is_elsewhere(retransmitted);
        knows.then_some(KernelEvidence { overflowed: false, by_segment: false, abort_on_overflow })
    }

    fn touching(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &ListenerInterval> {
        self.troubled.iter().filter(move |interval| interval.from <= to && from <= interval.until)
    }
}

/// The figures since the first snapshot as one interval.
fn since_the_start(stats: &KernelStats, latest: ListenerInterval) -> ListenerInterval {
    let start = latest.until.minus(stats.span);
    if latest.from <= start {
        return latest;
    }
    ListenerInterval {
        from: start,
        drops: stats.drops,
        // Not kept over all the time.
        others_drops: None,
        full: stats.full_seen,
        overflowed: stats.overflowed(),
        counters: stats.namespace,
        ..latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Verdict;
    use crate::kernel::{DropNetns, DropReason, ListenSocket, Snapshot, Sysctls, Watch};
    use crate::packet::{Flags, Seq};

    const SERVER: &str = "10.0.0.1:80";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(0).plus(Span::from_secs(seconds))
    }

    /// A watch whose listener has counted these events and connections up to each second.
    struct WatchedCounts {
        watch: Watch,
        kernel: KernelHistory,
    }

    impl WatchedCounts {
        fn new(second: i64) -> Self {
            Self { watch: Watch::new(snapshot(second, 0, 0)), kernel: KernelHistory::default() }
        }

        /// Totals at this second.
        fn at(&mut self, second: i64, overflows: u32, opens: u64) {
            self.watch.push(snapshot(second, overflows, opens));
            let server = SERVER.parse().unwrap();
            self.kernel
                .record(self.watch.stats(server).unwrap(), self.watch.listener_interval(server).unwrap());
        }

        fn overflowed(&self, from: i64, to: i64) -> Option<bool> {
            self.kernel.evidence(at(from), at(to), 0).map(|evidence| evidence.overflowed)
        }
    }

    fn snapshot(second: i64, overflows: u32, opens: u64) -> Snapshot {
        let socket = ListenSocket { drops: Some(overflows), ..ListenSocket::sample(SERVER.parse().unwrap()) };
        let netstat = format!("TcpExt: ListenOverflows ListenDrops\nTcpExt: {overflows} {overflows}\n");
        Snapshot {
            at: at(second),
            sockets: vec![socket],
            counters: Counters::parse(&netstat, &format!("Tcp: PassiveOpens\nTcp: {opens}\n")),
            sysctls: Sysctls { tcp_abort_on_overflow: Some(1), ..Sysctls::default() },
        }
    }

    fn bounds(events: &KernelEvents) -> Option<(u64, u64)> {
        events.overflows.map(|bounds| (bounds.least, bounds.most))
    }

    #[test]
    fn only_a_time_that_was_watched_is_judged() {
        let mut counted = WatchedCounts::new(10);
        assert_eq!(counted.overflowed(10, 11), None);
        for (second, overflows) in [(11, 0), (12, 3), (13, 3), (14, 3)] {
            counted.at(second, overflows, 0);
        }
        assert_eq!(counted.overflowed(10, 10), Some(false));
        assert_eq!(counted.overflowed(9, 10), None, "it began before the first snapshot");
        assert_eq!(counted.overflowed(9, 11), Some(true));
        assert_eq!(counted.overflowed(12, 30), Some(true), "it touches the overflow");
        assert_eq!(counted.overflowed(13, 14), Some(false), "room again");
        assert_eq!(counted.overflowed(13, 15), None, "it went on after the last snapshot");
        assert_eq!(counted.kernel.evidence(at(11), at(11), 0).unwrap().abort_on_overflow, Some(true));
    }

    #[test]
    fn events_are_those_of_the_intervals_that_touch() {
        let mut counted = WatchedCounts::new(0);
        for (second, overflows) in [(1, 2), (2, 2), (3, 7), (4, 7)] {
            counted.at(second, overflows, 0);
        }
        let events = |from, to| counted.kernel.events(at(from), at(to), 0).unwrap();
        assert_eq!(bounds(&events(0, 0)), Some((2, 2)));
        assert_eq!(bounds(&events(2, 2)), Some((5, 5)), "the interval from 2 to 3 touches");
        assert_eq!((bounds(&events(0, 4)), events(0, 4).drops), (Some((7, 7)), Some(7)));
        assert_eq!((bounds(&events(4, 9)), events(4, 9).whole), (Some((0, 0)), false));
        assert_eq!(counted.kernel.events(at(5), at(9), 0), None);
    }

    #[test]
    fn the_first_figures_cover_all_the_time_since_the_first_snapshot() {
        let mut counted = WatchedCounts::new(100);
        for second in 101..200 {
            counted.watch.push(snapshot(second, 0, 0));
        }
        counted.at(200, 0, 0);
        assert_eq!(counted.overflowed(100, 200), Some(false));
        assert_eq!(counted.overflowed(99, 200), None);
    }

    #[test]
    fn handshakes_that_this_kernel_did_not_count_are_anothers() {
        let mut counted = WatchedCounts::new(0);
        counted.at(1, 0, 0);
        assert_eq!(counted.overflowed(0, 1), Some(false));
        for _ in 0..8 {
            counted.kernel.count_completed();
        }
        assert_eq!(counted.overflowed(0, 1), None, "a listener of this address that saw none of them");
        counted.at(2, 0, 5);
        assert_eq!(counted.overflowed(0, 2), Some(false), "most are counted, the last are on their way");
        counted.at(3, 1, 5);
        assert_eq!(counted.overflowed(0, 3), Some(true));
    }

    #[test]
    fn a_segment_that_met_the_full_queue_is_evidence_for_its_attempt_if_overflows_were_counted() {
        let samples = crate::report::samples::overflow_mixed().1;
        let attempt = samples.iter().find(|attempt| attempt.verdict == Verdict::SynackRetransmitted).unwrap();
        let mut attempt = attempt.clone();
        (attempt.start, attempt.end) = (at(1), at(2));
        let met = KernelDrop {
            at: at(1),
            reason: DropReason::ListenOverflow,
            netns: DropNetns::Listener,
            from_server: false,
            is_overflow: true,
            flags: Flags::ACK,
            seq: Seq(attempt.client_isn.0.wrapping_add(1)),
            ack: Seq(0),
        };
        let by_segment = |overflows| {
            let mut counted = WatchedCounts::new(0);
            counted.at(1, overflows, 0);
            counted.at(2, overflows, 0);
            counted.kernel.record_dropped(attempt.client, met);
            counted.kernel.evidence_of(&attempt, 0).is_some_and(|evidence| evidence.by_segment)
        };
        assert!(by_segment(1));
        assert!(!by_segment(0), "a connection that could not be made");
    }

    #[test]
    fn a_client_whose_syns_go_unanswered_while_there_is_room_is_no_victim_of_the_queue() {
        let samples = crate::report::samples::overflow_mixed().1;
        let attempt = samples.iter().find(|attempt| attempt.verdict == Verdict::Unanswered).unwrap();
        let mut attempt = attempt.clone();
        let mut counted = WatchedCounts::new(0);
        for (second, overflows) in [(1, 0), (2, 5), (3, 5), (4, 5), (5, 5), (6, 5)] {
            counted.at(second, overflows, 0);
        }
        let mut overflowed = |seconds: &[i64]| {
            (attempt.start, attempt.end) = (at(1), at(6));
            attempt.syn_retry_at = seconds.iter().map(|&second| Span::from_secs(second)).collect();
            counted.kernel.evidence_of(&attempt, 0).unwrap().overflowed
        };
        assert!(overflowed(&[1]), "both while it overflowed");
        assert!(!overflowed(&[1, 3]), "the third at 4 s");
    }

    #[test]
    fn intervals_are_bounded_and_the_oldest_are_never_surer_than_their_parts() {
        let mut counted = WatchedCounts::new(0);
        counted.at(1, 0, 0);
        for n in 1..1000 {
            counted.at(2 * n, u32::try_from(n).unwrap(), 0);
            counted.at(2 * n + 1, u32::try_from(n).unwrap(), 0);
        }
        assert_eq!(counted.kernel.troubled.len(), MAX_INTERVALS);
        assert_eq!(bounds(&counted.kernel.events(at(0), at(2000), 0).unwrap()), Some((999, 999)));
        assert_eq!(bounds(&counted.kernel.events(at(1998), at(1998), 0).unwrap()), Some((1, 1)));
    }
}
