//! Arbitrary segments in any order: what the analysis promises whatever the packets are.

use std::collections::HashSet;

use hsanalyze::capture::{CaptureInfo, Source, SourceStatus};
use hsanalyze::engine::{self, AnalysisOptions, Summary};
use hsanalyze::handshake::{Attempt, Retries};
use hsanalyze::packet::{Frame, FrameRef, Frames, LinkType, Span, Timestamp};
use proptest::prelude::*;

/// A segment between one of few clients and the server, with numbers near the ISNs.
#[derive(Debug, Clone)]
struct Arbitrary {
    /// Since the one before, in microseconds; negative where the capture is out of order.
    pause: i64,
    client: u16,
    from_server: bool,
    flags: u8,
    seq: u32,
    ack: u32,
    payload: u16,
    timestamp: Option<u32>,
}

fn segment() -> impl Strategy<Value = Arbitrary> {
    let pause = prop_oneof![
        4 => 0..20_000_i64,
        3 => 20_000..4_000_000_i64,
        1 => -60_000..0_i64,
        1 => 30_000_000..200_000_000_i64,
    ];
    // SYN, SYN-ACK, ACK, data, FIN, RST and RST with ACK far more often than anything else.
    let flags = prop_oneof![
        8 => prop::sample::select(vec![0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14]),
        1 => any::<u8>(),
    ];
    // Both ISNs are just before the wrap.
    let number = prop_oneof![
        8 => (0..4_u32).prop_map(|past| 0xffff_fffe_u32.wrapping_add(past)),
        1 => any::<u32>(),
    ];
    let payload = prop_oneof![3 => Just(0), 1 => 1..4_u16];
    (pause, 0..3_u16, any::<bool>(), flags, number.clone(), number, payload, prop::option::of(0..3_u32))
        .prop_map(|(pause, client, from_server, flags, seq, ack, payload, timestamp)| Arbitrary {
            pause,
            client,
            from_server,
            flags,
            seq,
            ack,
            payload,
            timestamp,
        })
}

/// The segment as a raw IPv4 packet.
fn packet(segment: &Arbitrary) -> Vec<u8> {
    let options: Vec<u8> = segment
        .timestamp
        .map_or_else(Vec::new, |tsval| [&[1, 1, 8, 10], tsval.to_be_bytes().as_slice(), &[0; 4]].concat());
    let header = 20 + options.len();
    let total = 20 + header as u16 + segment.payload;
    let (client, server) = (([10, 0, 0, 1], 40_000 + segment.client), ([10, 0, 0, 2], 80));
    let (from, to) = if segment.from_server { (server, client) } else { (client, server) };
    let mut bytes = vec![0x45, 0];
    bytes.extend(total.to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend(from.0);
    bytes.extend(to.0);
    bytes.extend(from.1.to_be_bytes());
    bytes.extend(to.1.to_be_bytes());
    bytes.extend(segment.seq.to_be_bytes());
    bytes.extend(segment.ack.to_be_bytes());
    bytes.extend([(header as u8 / 4) << 4, segment.flags, 1, 0, 0, 0, 0, 0]);
    bytes.extend(options);
    bytes.resize(usize::from(total), 0);
    bytes
}

struct Packets<'a> {
    packets: &'a [(Timestamp, Vec<u8>)],
    next: usize,
}

impl Source for Packets<'_> {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
        for (at, data) in self.packets.iter().skip(self.next).take(max) {
            self.next += 1;
            let frame = Frame {
                at: *at,
                frame: FrameRef::new(0, self.next as u64),
                link: LinkType::RAW,
                wire_len: data.len() as u32,
                data,
            };
            sink(Frames::new(&[frame]));
        }
        if self.next == self.packets.len() { SourceStatus::End } else { SourceStatus::More }
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        Vec::new()
    }
}

fn analyse(packets: &[(Timestamp, Vec<u8>)], threads: usize, max_attempts: usize) -> (Vec<Attempt>, Summary) {
    let mut kept = Vec::new();
    let options = AnalysisOptions { max_attempts, ..AnalysisOptions::default() }.with_threads(threads);
    let (summary, _) = engine::analyse(&mut Packets { packets, next: 0 }, &options, &mut kept).unwrap();
    (kept, summary)
}

fn in_time(segments: &[Arbitrary]) -> Vec<(Timestamp, Vec<u8>)> {
    let mut at = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let mut packets = Vec::new();
    for segment in segments {
        at = at.plus(Span::from_micros(segment.pause));
        packets.push((at, packet(segment)));
    }
    packets
}

fn check(attempt: &Attempt) -> Result<(), TestCaseError> {
    let Retries { syn, syn_ack, after_ack } = attempt.retries;
    prop_assert!(after_ack <= syn_ack, "{attempt:?}");
    for (times, count) in [(&attempt.retry_at, syn_ack), (&attempt.syn_retry_at, syn)] {
        prop_assert_eq!(times.len(), Retries::TIMES_KEPT.min(count as usize), "{:?}", attempt);
    }
    prop_assert!(attempt.start <= attempt.end);
    let timing = &attempt.timing;
    let spans = [timing.syn_to_synack, timing.synack_to_ack, timing.ack_to_rst, attempt.connect.window];
    prop_assert!(spans.iter().flatten().all(|&span| span >= Span::ZERO), "{attempt:?}");
    prop_assert!(attempt.retry_at.iter().all(|&span| span >= Span::ZERO), "{attempt:?}");
    prop_assert_eq!(attempt.inference.cause.is_none(), attempt.inference.confidence.is_none());
    Ok(())
}

proptest! {
    #[test]
    fn whatever_the_segments_are(
        segments in prop::collection::vec(segment(), 1..120),
        max_attempts in 1..5_usize,
    ) {
        let packets = in_time(&segments);
        let (attempts, summary) = analyse(&packets, 1, max_attempts);
        attempts.iter().try_for_each(check)?;

        let opened: HashSet<u64> = attempts.iter().map(|attempt| attempt.ordinal).collect();
        prop_assert_eq!(opened.len(), attempts.len(), "one packet opened two attempts");
        prop_assert_eq!(summary.verdicts.total(), attempts.len() as u64);
        let listed: u64 = summary.listeners.iter().map(|listener| listener.verdicts.total()).sum();
        prop_assert_eq!(listed, attempts.len() as u64);
        let counted: u64 = attempts.iter().map(|attempt| u64::from(attempt.packets)).sum();
        prop_assert!(counted <= summary.packets.tcp);

        for threads in [2, 3, 5] {
            let (same, again) = analyse(&packets, threads, max_attempts);
            prop_assert_eq!(&same, &attempts, "with {} threads", threads);
            prop_assert_eq!(&again, &summary, "with {} threads", threads);
        }
    }
}
