//! Feeds the tracker with segments of one's own, without any capture: a client whose ACK a full accept queue ignores.
//!
//!     cargo run --example segments

use std::convert::Infallible;
use std::io::{self, Write};

use hsanalyze::handshake::{Attempt, Batch, Tracker};
use hsanalyze::listener::Listeners;
use hsanalyze::packet::{Endpoint, Flags, FlowHasher, Packet, Segment, Seq, Span, Timestamp};

/// A handshake after which the server sends its SYN-ACK again, 1, 3 and 7 s after the first one.
fn segments() -> Vec<Segment> {
    let (client, server) = (Endpoint::v4([10, 0, 0, 1], 40_000), Endpoint::v4([10, 0, 1, 1], 443));
    let (client_isn, server_isn) = (Seq(1_000), Seq(9_000));
    let syn_ack = Flags::SYN.union(Flags::ACK);
    let at = |millis| Timestamp::from_nanos(0).plus(Span::from_millis(millis));

    let mut segments = vec![
        Segment::new(at(0), client, server, Flags::SYN, client_isn, Seq(0)),
        Segment::new(at(0), server, client, syn_ack, server_isn, client_isn.plus(1)),
        Segment::new(at(20), client, server, Flags::ACK, client_isn.plus(1), server_isn.plus(1)),
    ];
    for millis in [1_000, 3_000, 7_000] {
        segments.push(Segment::new(at(millis), server, client, syn_ack, server_isn, client_isn.plus(1)));
        // The client's kernel acknowledges each of them.
        let ack =
            Segment::new(at(millis + 20), client, server, Flags::ACK, client_isn.plus(1), server_isn.plus(1));
        segments.push(ack);
    }
    segments
}

/// Tracks the segments, and gives each attempt with its verdict and cause.
fn track(segments: &[Segment]) -> Vec<Attempt> {
    let mut tracker = Tracker::new();
    let mut listeners = Listeners::new(Listeners::DEFAULT_LIMIT);
    let mut attempts = Vec::new();
    // Flows are found by hash. Who shards them over several trackers needs the hash before.
    let hasher = FlowHasher::default();

    // The tracker takes packets in batches; the last number is the packet's position in the whole input.
    let mut batch = Batch::with_capacity(segments.len());
    for (ordinal, segment) in (0..).zip(segments) {
        batch.push_decoded(hasher.hash(&segment.flow), Packet::Segment(*segment), ordinal);
    }
    tracker.take(&batch);

    // Time is data: time-outs expire when the tracker is advanced. Here the capture ends a minute later.
    if let Some(last) = segments.last() {
        tracker.advance(last.at.plus(Span::from_secs(60)));
    }
    tracker.finish(usize::MAX);

    // Findings come in order of time. The listeners infer causes, from this attempt and from others to its server.
    let Ok(()) = tracker.drain(None, |finding, _| {
        listeners.record(finding);
        if finding.settled {
            attempts.push(finding.attempt.clone());
        }
        Ok::<_, Infallible>(())
    });
    attempts
}

/// Prints what became of the client.
pub(crate) fn report(out: &mut impl Write) -> io::Result<()> {
    for attempt in track(&segments()) {
        let cause = attempt.inference.cause.map_or("no cause found", |cause| cause.name());
        let ignored = attempt.retries.after_ack;
        writeln!(out, "{}: {}, {ignored} ACKs ignored, {cause}", attempt.client, attempt.verdict)?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    report(&mut io::stdout())
}
