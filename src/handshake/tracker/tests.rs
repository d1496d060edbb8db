//! A tracker's counts and findings, packet by packet.

use super::*;
use crate::handshake::{Batch, Reason, Verdict};
use crate::packet::{
    Checksum, Direction, Endpoint, Flags, FlowKey, Frame, FrameRef, Glimpse, LinkType, Seq, Shared,
    TcpOptions,
};

const HASH: u64 = 1 << 40;

/// A segment of the one flow there is.
fn segment(millis: i64, outward: bool, flags: Flags, (seq, ack): (u32, u32), payload: u32) -> Packet {
    let client = Endpoint::v4([10, 0, 0, 1], 40_000);
    let (flow, from_client) = FlowKey::new(client, Endpoint::v4([10, 0, 0, 2], 80));
    let direction: Direction = if outward { from_client } else { from_client.reverse() };
    let at = Timestamp::default().plus(Span::from_millis(millis));
    let (seq, ack) = (Seq(seq), Seq(ack));
    let (frame, options) = (FrameRef::new(0, 1), TcpOptions::NONE);
    Packet::Segment(Segment {
        at,
        frame,
        flow,
        direction,
        flags,
        ttl: 64,
        seq,
        ack,
        payload,
        window: 1,
        ip_id: 0,
        options,
        checksum: Checksum::Unverified,
    })
}

/// A tracker that has taken packets so many at a time.
fn tracker(packets: &[Packet], together: usize) -> Tracker {
    let mut tracker = Tracker::new();
    for (packets, start) in packets.chunks(together).zip((0..).step_by(together)) {
        let mut batch = Batch::with_capacity(together);
        packets.iter().zip(start..).for_each(|(packet, n)| batch.push_decoded(HASH, *packet, n));
        tracker.take(&batch);
    }
    tracker
}

#[test]
fn what_is_counted_does_not_depend_on_how_many_packets_are_looked_up_together() {
    let syn_ack = |millis| segment(millis, false, Flags::SYN.union(Flags::ACK), (499, 100), 0);
    let speech = |millis, seq| segment(millis, false, Flags::ACK, (seq, 100), 50);
    let packets = [
        segment(0, true, Flags::SYN, (99, 0), 0),
        syn_ack(1),
        segment(2, true, Flags::ACK, (100, 500), 0),
        speech(3, 500),
        speech(4, 550),
        // Decided and settled: this one, too late for a copy, is not looked at, or is not to be seen.
        speech(300, 600),
        // A copy, out of order.
        syn_ack(2),
    ];
    let alone = tracker(&packets, 1).counts();
    assert_eq!(alone.duplicates, 1);
    for together in 2..=packets.len() {
        assert_eq!(tracker(&packets, together).counts(), alone, "{together} together");
    }
}

#[test]
fn what_a_shrinking_file_takes_along_is_counted_and_nothing_is_inferred_from_it() {
    let mut tracker = tracker(&[segment(0, true, Flags::SYN, (99, 0), 0)], 1);
    let (flow, _) = FlowKey::new(Endpoint::v4([10, 0, 0, 1], 7), Endpoint::v4([10, 0, 0, 2], 80));
    let zeros = Shared::new(vec![0; 60]);
    let mut batch = Batch::with_capacity(1);
    batch.expect(Some(&zeros), 1);
    let (at, frame) = (Timestamp::default().plus(Span::from_millis(1)), FrameRef::new(0, 2));
    let data = zeros.bytes();
    let frame = Frame { at, frame, link: LinkType::ETHERNET, wire_len: 60, data };
    batch.push(!HASH, &Glimpse { flow, flags: Flags::SYN }, &frame, 1);
    tracker.take(&batch);
    tracker.advance(Timestamp::default().plus(Span::from_secs(300)));
    assert_eq!(tracker.counts().lost, 1);
    let found = tracker.hand_over(None, Vec::new());
    let settled: Vec<_> = found.iter().map(|found| (found.attempt.verdict, found.attempt.reason)).collect();
    assert_eq!(settled, [(Verdict::Undetermined, Some(Reason::CaptureCut))]);
}

#[test]
fn a_reopened_flow_is_tracked_again_at_once() {
    let open = |start: i64, isn: u32| {
        [
            segment(start, true, Flags::SYN, (isn, 0), 0),
            segment(start + 1, false, Flags::SYN.union(Flags::ACK), (499, isn + 1), 0),
            segment(start + 2, true, Flags::ACK, (isn + 1, 500), 0),
            segment(start + 3, false, Flags::ACK, (500, isn + 1), 50),
            segment(start + 4, false, Flags::ACK, (550, isn + 1), 50),
        ]
    };
    let packets = [open(0, 99), open(5_000, 7_099), open(9_000, 14_099)].concat();
    for together in 1..=packets.len() {
        let found = tracker(&packets, together).hand_over(None, Vec::new());
        let completed = found.iter().filter(|found| found.attempt.packets == 4).count();
        assert_eq!((found.len(), completed), (3, 3), "{together} together");
    }
}

#[test]
fn a_live_capture_tells_a_retry_that_is_not_answered_soon_and_each_further_one() {
    let syn = |millis| segment(millis, true, Flags::SYN, (99, 0), 0);
    let answer = |millis| segment(millis, false, Flags::SYN.union(Flags::ACK), (499, 100), 0);
    let provisional = |packets: &[Packet], until: i64| {
        let mut tracker = Tracker::new().reporting_stuck();
        let mut found = Vec::new();
        for (packet, n) in packets.iter().zip(0..) {
            let mut batch = Batch::with_capacity(1);
            batch.push_decoded(HASH, *packet, n);
            tracker.take(&batch);
        }
        for millis in (0..=until).step_by(50) {
            tracker.advance(Timestamp::default().plus(Span::from_millis(millis)));
            found.extend(tracker.hand_over(None, Vec::new()));
        }
        let unsettled = found.iter().filter(|found| !found.settled);
        let seen = unsettled.map(|found| (found.attempt.verdict, found.attempt.retries.syn));
        seen.collect::<Vec<_>>()
    };
    assert_eq!(provisional(&[syn(0)], 900), []);
    assert_eq!(provisional(&[syn(0), syn(1_000)], 1_200), []);
    assert_eq!(provisional(&[syn(0), syn(1_000)], 1_300), [(Verdict::Unanswered, 1)]);
    assert_eq!(provisional(&[syn(0), syn(1_000), answer(1_100)], 2_000), []);
    // Each further retry is reported by itself: here the first was answered by nothing either, but not looked at.
    assert_eq!(provisional(&[syn(0), syn(1_000), syn(3_000)], 3_300), [(Verdict::Unanswered, 2)]);
    // Overdue: its next retry has not come.
    let both = [(Verdict::Unanswered, 1), (Verdict::Unanswered, 1)];
    assert_eq!(provisional(&[syn(0), syn(1_000)], 5_300), both);
}

/// The clock of deadlines advances once a batch: what is overdue before that is so all the same.
#[test]
fn what_an_overdue_syn_takes_does_not_depend_on_batches() {
    let packets = [
        segment(0, true, Flags::SYN, (99, 0), 0),
        segment(30, true, Flags::SYN, (99, 0), 0),
        segment(7_500, false, Flags::FIN.union(Flags::ACK), (499, 100), 0),
        segment(9_000, false, Flags::RST.union(Flags::ACK), (500, 100), 0),
    ];
    let outcome = |together: usize| {
        let mut tracker = Tracker::new();
        for (packets, start) in packets.chunks(together).zip((0..).step_by(together)) {
            let mut batch = Batch::with_capacity(together);
            packets.iter().zip(start..).for_each(|(packet, n)| batch.push_decoded(HASH, *packet, n));
            tracker.take(&batch);
            let latest = packets.iter().map(|packet| match packet {
                Packet::Segment(segment) => segment.at,
                Packet::Unreachable(error) => error.at,
            });
            tracker.advance(latest.max().unwrap());
        }
        tracker.advance(Timestamp::default().plus(Span::from_secs(400)));
        let counts = tracker.counts();
        let found = tracker.hand_over(None, Vec::new());
        let settled = found.iter().filter(|found| found.settled);
        let history = |found: &Finding| (found.attempt.verdict, found.attempt.history.to_string());
        (counts, settled.map(history).collect::<Vec<_>>())
    };
    let alone = outcome(1);
    assert_eq!(alone.1, [(Verdict::Refused, "SSr".to_owned())]);
    for together in 2..=packets.len() {
        assert_eq!(outcome(together), alone, "{together} together");
    }
}
