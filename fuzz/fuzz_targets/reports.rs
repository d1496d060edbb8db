//! Arbitrary attempts, in captures with arbitrary names and damage, through every report.
//!
//! Looks for panics, for JSON and CSV that no parser reads, for reports that are no baseline to compare with, and for characters
//! that drive a terminal.

#![no_main]

use hsanalyze::capture::{CaptureFormat, CaptureInfo};
use hsanalyze::engine::packets::PacketStore;
use hsanalyze::engine::{PacketCounts, Summary};
use hsanalyze::handshake::{
    Attempt, Cause, Confidence, Connect, ConnectOutcome, Errno, Evidence, Finding, Reason, RuledOut,
    SegmentKind, SegmentLoss, SegmentStep, Unproven, Vantage, Verdict,
};
use hsanalyze::kernel::{DropNetns, DropReason};
use hsanalyze::listener::Listeners;
use hsanalyze::packet::{CapturePoint, FrameRef, IcmpError, LinkType, Span, Timestamp};
use hsanalyze::report::ReportFormat;
use hsanalyze::report::ladder::{self, Ladder};
use hsanalyze::report::page::PageReport;
use hsanalyze_fuzz::output::{FORMATS, assert_safe, check, options, report, text};
use hsanalyze_fuzz::{attempts, packets};
use libfuzzer_sys::arbitrary::{self, Unstructured};
use libfuzzer_sys::fuzz_target;
use strum::IntoEnumIterator;

// Choices, the lengths of three parts, and the parts: a path, damage, changes; then segments.
fuzz_target!(|input: (u8, [u8; 3], &[u8])| {
    let (choice, lengths, rest) = input;
    let (path, rest) = part(rest, lengths[0] % 32);
    let (damage, rest) = part(rest, lengths[1] % 32);
    let (changes, segments) = part(rest, lengths[2]);
    let (path, damage) = (&String::from_utf8_lossy(path), &String::from_utf8_lossy(damage));
    let points: &[CapturePoint] = if choice & 0x80 == 0 { &[] } else { &POINTS.map(CapturePoint::named) };
    let (mut attempts, listeners) = attempts(&packets(segments, points));
    let mut changes = Unstructured::new(changes);
    let mut changed = Listeners::new(Listeners::DEFAULT_LIMIT);
    for attempt in &mut attempts {
        // At the end of the bytes an attempt stays as it is.
        let _ = change(attempt, &mut changes);
        changed.record(&mut Finding { at: attempt.end, settled: true, attempt: attempt.clone() });
    }
    let listeners = if choice & 1 == 0 { listeners } else { changed };
    let summary = summary(path, damage, &attempts, &listeners);
    for format in FORMATS {
        check(format, &report(options(format, choice), &attempts, &summary, &listeners, None));
    }
    let ladders: Vec<Ladder> =
        attempts.iter().map(|attempt| Ladder::new(attempt.clone(), &PacketStore::default())).collect();
    let mut drawn = Vec::new();
    ladder::write(&mut drawn, &options(ReportFormat::Text, choice), &ladders).expect("memory does not fail");
    assert_safe(&text(drawn));
    check_page(choice, &attempts, &summary, &listeners, &ladders);
});

/// The first bytes, as many as there are, and the rest.
fn part(bytes: &[u8], length: u8) -> (&[u8], &[u8]) {
    bytes.split_at(usize::from(length).min(bytes.len()))
}

/// Points whose names come from outside.
const POINTS: [&str; 3] = ["eth0", "a\u{1b}[31m\"\n<script>", "\u{202e}0hte\u{9b}"];

fn check_page(
    choice: u8,
    attempts: &[Attempt],
    summary: &Summary,
    listeners: &Listeners,
    ladders: &[Ladder],
) {
    let mut page = PageReport::new(options(ReportFormat::Text, choice));
    for attempt in attempts {
        page.count(attempt);
        page.list(attempt);
    }
    let mut out = Vec::new();
    page.write(&mut out, summary, listeners, ladders).expect("memory does not fail");
    let html = text(out);
    assert_safe(&html);
    // A name that is markup would be one script too many.
    assert_eq!(html.matches("<script").count(), html.matches("</script>").count());
}

fn summary(path: &str, damage: &str, attempts: &[Attempt], listeners: &Listeners) -> Summary {
    let points = POINTS.map(CapturePoint::named);
    let capture = CaptureInfo {
        path: path.to_owned(),
        format: Some(CaptureFormat::PcapNg),
        link_types: vec![LinkType::ETHERNET, LinkType(147)],
        packets: attempts.iter().map(|attempt| u64::from(attempt.packets)).sum(),
        untimed: 0,
        bytes: 0,
        first: attempts.iter().map(|attempt| attempt.start).min(),
        last: attempts.iter().map(|attempt| attempt.end).max(),
        damaged: (!damage.is_empty()).then(|| damage.to_owned()),
        cut: damage.len() > 3,
        shift: None,
        clock_doubt: None,
        read_once: false,
        dropped: damage.len().checked_sub(2).map(|dropped| dropped as u64),
        points: points.into(),
    };
    let last = capture.last;
    Summary {
        packets: PacketCounts { total: capture.packets, tcp: capture.packets, ..PacketCounts::default() },
        captures: vec![capture],
        verdicts: listeners.verdicts(),
        listeners: listeners.listeners(last),
        outside: listeners.outside(),
        coverage: listeners.coverage(),
    }
}

/// Changes an attempt to one that no packets need have made.
fn change(attempt: &mut Attempt, bytes: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    if bytes.ratio(1, 3)? {
        return Ok(());
    }
    attempt.verdict = one(bytes)?;
    attempt.reason = (attempt.verdict == Verdict::Undetermined).then_some(one::<Reason>(bytes)?);
    attempt.unproven = bytes.ratio(1, 4)?.then_some(one::<Unproven>(bytes)?);
    attempt.vantage = bytes.ratio(1, 2)?.then_some(one::<Vantage>(bytes)?);
    attempt.established = bytes.arbitrary()?;
    let errno = bytes.ratio(1, 2)?.then_some(one::<Errno>(bytes)?);
    attempt.connect = Connect { outcome: one::<ConnectOutcome>(bytes)?, errno, window: span(bytes)? };
    let timing = &mut attempt.timing;
    for time in [
        &mut timing.connect,
        &mut timing.delay,
        &mut timing.stall,
        &mut timing.syn_to_synack,
        &mut timing.synack_to_ack,
        &mut timing.ack_to_rst,
    ] {
        *time = span(bytes)?;
    }
    attempt.frame = FrameRef::new(0, bytes.arbitrary::<u64>()? >> 16);
    attempt.packets = bytes.arbitrary()?;
    attempt.silence = span(bytes)?;
    if bytes.ratio(1, 8)? {
        attempt.start = Timestamp::from_nanos(bytes.arbitrary()?);
        attempt.end = attempt.end.max(attempt.start);
    }
    change_inference(attempt, bytes)
}

fn change_inference(attempt: &mut Attempt, bytes: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let inference = &mut attempt.inference;
    inference.cause = bytes.ratio(3, 4)?.then_some(one::<Cause>(bytes)?);
    inference.confidence = match inference.cause {
        Some(_) => Some(one::<Confidence>(bytes)?),
        None => None,
    };
    inference.abort_on_overflow = bytes.arbitrary()?;
    for _ in 0..bytes.int_in_range(0..=3)? {
        inference.evidence.push(evidence(bytes)?);
    }
    for _ in 0..bytes.int_in_range(0..=2)? {
        inference.ruled_out.push(RuledOut { cause: one(bytes)?, evidence: evidence(bytes)? });
    }
    Ok(())
}

fn one<T: IntoEnumIterator>(bytes: &mut Unstructured<'_>) -> arbitrary::Result<T> {
    let count = T::iter().count();
    let chosen = bytes.choose_index(count)?;
    T::iter().nth(chosen).ok_or(arbitrary::Error::IncorrectFormat)
}

fn span(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Option<Span>> {
    Ok(match bytes.int_in_range(0..=4)? {
        0 => None,
        1 => Some(Span::ZERO),
        2 => Some(Span::from_nanos(bytes.arbitrary::<u32>()?.into())),
        3 => Some(Span::from_millis(bytes.arbitrary::<u16>()?.into())),
        _ => Some(Span::from_nanos(bytes.arbitrary::<i64>()? & i64::MAX)),
    })
}

fn loss(bytes: &mut Unstructured<'_>) -> arbitrary::Result<SegmentLoss> {
    Ok(SegmentLoss {
        kind: one::<SegmentKind>(bytes)?,
        packets: bytes.arbitrary()?,
        from: CapturePoint::named(bytes.choose(&POINTS)?),
        to: CapturePoint::named(bytes.choose(&POINTS)?),
        within_host: bytes.arbitrary()?,
    })
}

/// Evidence with figures, and with names from outside.
fn evidence(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Evidence> {
    let steps = [SegmentStep::Syn, SegmentStep::SynAck, SegmentStep::Ack];
    Ok(match bytes.int_in_range(0..=12)? {
        0 => Evidence::LostBetween(loss(bytes)?),
        1 => Evidence::Icmp(IcmpError {
            v6: bytes.arbitrary()?,
            kind: bytes.arbitrary()?,
            code: bytes.arbitrary()?,
        }),
        2 => Evidence::FloodRate { per_second: bytes.arbitrary()?, sources: bytes.arbitrary()? },
        3 => Evidence::WrongChecksum(*bytes.choose(&steps)?),
        4 => Evidence::ManyPorts(bytes.arbitrary()?),
        5 => {
            Evidence::SteadyChecks { period: span(bytes)?.unwrap_or(Span::ZERO), clients: bytes.arbitrary()? }
        }
        6 => Evidence::GaveUpBefore(span(bytes)?.unwrap_or(Span::ZERO)),
        7 => Evidence::CouldBe(one(bytes)?),
        8 => Evidence::Otherwise(one(bytes)?),
        9 => Evidence::KernelDroppedSegments {
            reason: one::<DropReason>(bytes)?,
            segments: bytes.arbitrary()?,
            netns: DropNetns::Other(bytes.arbitrary()?),
        },
        10 => Evidence::Unmodelled,
        11 => Evidence::LimitedByCapture,
        _ => Evidence::NeverAnswers,
    })
}
