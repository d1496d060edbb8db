//! Ladders of the bundled captures.

use std::path::{Path, PathBuf};

use super::*;
use crate::capture::{CaptureOptions, Captures};
use crate::engine::packets::{PacketAccess, PacketLimits, PacketStore};
use crate::engine::{self, AnalysisOptions};
use crate::handshake::{Attempt, Verdict};
use crate::listener::{AttemptFilter, Message, MessageMeaning};
use crate::packet::Span;
use crate::report::ReportOptions;

/// The attempts of a fixture with their final causes, and their packets.
fn analysed(name: &str) -> (Vec<Attempt>, PacketStore) {
    analysed_files(vec![fixture(name)])
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn analysed_files(paths: Vec<PathBuf>) -> (Vec<Attempt>, PacketStore) {
    let (mut captures, _) = Captures::open(&paths, &CaptureOptions::default()).unwrap();
    let mut attempts: Vec<Attempt> = Vec::new();
    let options = AnalysisOptions::default().with_threads(1);
    let (_, listeners) = engine::analyse(&mut captures, &options, &mut attempts).unwrap();
    attempts.iter_mut().for_each(|attempt| attempt.inference = listeners.infer(attempt).into());
    let listed: Vec<&Attempt> = attempts.iter().collect();
    let access = PacketAccess::Files { paths, filter: None, points: Vec::new() };
    let store = access.collect(&listed, &PacketLimits::DIAGRAMS).unwrap();
    (attempts, store)
}

/// The attempts of a fixture with their messages.
fn read(name: &str) -> Vec<(Attempt, Vec<Message>)> {
    let (attempts, store) = analysed(name);
    let ladders = attempts.into_iter().map(|attempt| Ladder::new(attempt, &store));
    ladders.map(|ladder| (ladder.attempt, ladder.messages)).collect()
}

/// The ladder of a fixture's first attempt with this verdict.
fn ladder(name: &str, verdict: Verdict) -> Ladder {
    let (attempts, store) = analysed(name);
    let attempt = attempts.into_iter().find(|attempt| attempt.verdict == verdict).unwrap();
    Ladder::new(attempt, &store)
}

fn text(ladder: &Ladder, width: usize, unicode: bool) -> String {
    let options = ReportOptions { width, unicode, ..ReportOptions::default() };
    let mut bytes = Vec::new();
    write(&mut bytes, &options, std::slice::from_ref(ladder)).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn an_ignored_ack_is_followed_by_numbered_retransmissions() {
    let read = read("captures/overflow_mixed-server.pcap");
    let of = |verdict| read.iter().find(move |(attempt, _)| attempt.verdict == verdict).unwrap();
    let (_, messages) = of(Verdict::SynackRetransmitted);
    let meanings: Vec<MessageMeaning> = messages.iter().map(|message| message.meaning).take(5).collect();
    assert_eq!(
        meanings[..3],
        [MessageMeaning::Syn, MessageMeaning::SynAck { after_retries: 0 }, MessageMeaning::Ack]
    );
    assert!(matches!(
        meanings[3],
        MessageMeaning::SynAckRetransmission { number: 1, of: 5, after_ack: true }
    ));
    assert_eq!(meanings[4], MessageMeaning::AckAgain);
    assert_eq!((messages[1].seq, messages[1].ack), (0, Some(1)));
    assert_eq!((messages[2].seq, messages[2].ack), (1, Some(1)));
    let (_, unanswered) = of(Verdict::Unanswered);
    assert_eq!(unanswered.len(), 10);
    assert_eq!(unanswered[9].meaning, MessageMeaning::SynRetry { number: 9, of: 9, after_synack: false });
}

#[test]
fn packets_that_came_after_the_record_of_an_attempt_are_numbered_on() {
    let numbers = |verdict, retries: fn(&mut Attempt), number: fn(&MessageMeaning) -> Option<(u32, u32)>| {
        let (attempts, store) = analysed("captures/overflow_mixed-server.pcap");
        let mut attempt = attempts.into_iter().find(|attempt| attempt.verdict == verdict).unwrap();
        retries(&mut attempt);
        let ladder = Ladder::new(attempt, &store);
        ladder.messages.iter().filter_map(|message| number(&message.meaning)).collect::<Vec<_>>()
    };
    let syn = |attempt: &mut Attempt| {
        attempt.retries.syn = 2;
        attempt.end = attempt.start.plus(attempt.syn_retry_at[1]);
    };
    let of_syn = |meaning: &MessageMeaning| match *meaning {
        MessageMeaning::SynRetry { number, of, .. } => Some((number, of)),
        _ => None,
    };
    let nine: Vec<(u32, u32)> = (1..=9).map(|number| (number, 9)).collect();
    assert_eq!(numbers(Verdict::Unanswered, syn, of_syn), nine);
    let synack = |attempt: &mut Attempt| {
        attempt.retries.syn_ack = 2;
        attempt.retry_at.truncate(2);
        attempt.end = attempt.start.plus(attempt.retry_at[1]).plus(Span::from_millis(20));
    };
    let of_synack = |meaning: &MessageMeaning| match *meaning {
        MessageMeaning::SynAckRetransmission { number, of, .. } => Some((number, of)),
        _ => None,
    };
    let five: Vec<(u32, u32)> = (1..=5).map(|number| (number, 5)).collect();
    assert_eq!(numbers(Verdict::SynackRetransmitted, synack, of_synack), five);
}

#[test]
fn a_ladder_never_contradicts_the_counts() {
    let mut wrong = Vec::new();
    for kind in ["captures", "field"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind);
        for entry in std::fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.ends_with(".pcap") {
                continue;
            }
            for (attempt, messages) in read(&format!("{kind}/{name}")) {
                let number = |is: fn(MessageMeaning) -> bool| {
                    messages.iter().filter(|message| is(message.meaning)).count() as u32
                };
                let syn = number(|meaning| matches!(meaning, MessageMeaning::SynRetry { .. }));
                let syn_ack =
                    number(|meaning| matches!(meaning, MessageMeaning::SynAckRetransmission { .. }));
                if (syn, syn_ack) != (attempt.retries.syn, attempt.retries.syn_ack) {
                    wrong.push(format!("{name}: {} {syn} {syn_ack}, {:?}", attempt.client, attempt.retries));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn duplicates_are_folded() {
    for (attempt, messages) in read("captures/duplicated-server.pcap") {
        let handshake = &messages[..3];
        assert!(handshake.iter().all(|message| message.duplicates == 1), "{}: {messages:?}", attempt.client);
    }
}

/// The problems that people are to see at a glance, from every kind of fixture.
fn samples() -> Vec<(&'static str, Ladder)> {
    [
        ("overflow", "captures/overflow_mixed-server.pcap", Verdict::SynackRetransmitted),
        ("dropped", "captures/overflow_mixed-server.pcap", Verdict::Unanswered),
        ("reset", "captures/overflow_reset-server.pcap", Verdict::ResetAfterAck),
        ("cookies", "captures/overflow_cookie_data-server.pcap", Verdict::AckIgnored),
        ("late", "field/late-burst.pcap", Verdict::CompletedLate),
        ("refused", "captures/refused-server.pcap", Verdict::Refused),
        ("icmp", "captures/rejected_icmp-client.pcap", Verdict::Unreachable),
        ("duplicated", "captures/duplicated-server.pcap", Verdict::Completed),
        ("many", "field/synack-repeats-many.pcap", Verdict::HalfOpen),
        ("nat", "field/nat-one-way.pcap", Verdict::Unanswered),
    ]
    .map(|(name, file, verdict)| (name, ladder(file, verdict)))
    .into()
}

#[test]
fn ladders_say_what_each_message_means() {
    for (name, ladder) in samples() {
        insta::assert_snapshot!(format!("ladder_{name}"), text(&ladder, 80, true));
    }
}

#[test]
fn ladders_fit_narrow_terminals_and_ascii() {
    for (name, ladder) in samples() {
        for width in [40, 60, 80, 120] {
            for line in text(&ladder, width, false).lines() {
                assert!(line.chars().count() <= width, "{name} at {width}: {line}");
                assert_eq!(line, line.trim_end(), "{name} at {width}");
                assert!(line.replace('µ', "u").is_ascii(), "{name} at {width}: {line}");
            }
        }
    }
    let overflow = &samples()[0].1;
    insta::assert_snapshot!("ladder_forty_columns", text(overflow, 40, false));
    insta::assert_snapshot!("ladder_sixty_columns", text(overflow, 60, false));
}

/// Captures of both ends of a path on which ACKs were lost, and of a firewall in its middle.
fn with_firewall(directory: &Path) -> Vec<PathBuf> {
    let mut firewall = std::fs::read(fixture("captures/ack_lost-client.pcap")).unwrap();
    let mut at = 24;
    while let Some(header) = firewall.get(at..at + 16) {
        let word = |place: usize| u32::from_le_bytes(header[place..place + 4].try_into().unwrap());
        let (micros, length) = (u64::from(word(0)) * 1_000_000 + u64::from(word(4)), word(8) as usize);
        // Half the way: later from the client than there, earlier from the server.
        let from_server = firewall[at + 16 + 34..][..2] == 7777_u16.to_be_bytes();
        let micros = if from_server { micros - 2_500 } else { micros + 2_500 };
        firewall[at..at + 4].copy_from_slice(&((micros / 1_000_000) as u32).to_le_bytes());
        firewall[at + 4..at + 8].copy_from_slice(&((micros % 1_000_000) as u32).to_le_bytes());
        at += 16 + length;
    }
    let path = directory.join("ack_lost-firewall.pcap");
    std::fs::write(&path, firewall).unwrap();
    vec![fixture("captures/ack_lost-client.pcap"), fixture("captures/ack_lost-server.pcap"), path]
}

#[test]
fn points_have_lines_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let files = with_firewall(directory.path());
    for (points, files) in [("two", &files[..2]), ("three", &files[..])] {
        let (attempts, store) = analysed_files(files.to_vec());
        let ladders: Vec<Ladder> = attempts.into_iter().map(|attempt| Ladder::new(attempt, &store)).collect();
        for ladder in &ladders {
            assert_eq!(ladder.points.len(), files.len());
            let missed: Vec<&Message> =
                ladder.messages.iter().filter(|message| !message.unseen.is_empty()).collect();
            assert_eq!(missed.len(), 1, "one ACK was lost of {}: {missed:?}", ladder.attempt.client);
            assert_eq!(missed[0].meaning, MessageMeaning::Ack);
            assert_eq!(missed[0].unseen[..], ladder.points[files.len() - 1..]);
            assert!(ladder.messages.iter().all(|message| message.duplicates == 0));
            for width in 40..130 {
                for line in text(ladder, width, true).lines() {
                    assert!(textwrap::core::display_width(line) <= width, "{points} at {width}: {line}");
                }
            }
        }
        for width in [40, 80, 100, 120] {
            let name = format!("ladder_{points}_points_{width}");
            insta::assert_snapshot!(name, text(&ladders[0], width, width != 120));
        }
    }
}

#[test]
fn packets_that_are_not_kept_are_counted() {
    let (attempts, _) = analysed("captures/overflow_mixed-server.pcap");
    let attempt = attempts.iter().find(|attempt| attempt.retries.syn_ack == 5).unwrap();
    let none = text(&Ladder::new(attempt.clone(), &PacketStore::default()), 80, false);
    assert!(none.contains("not kept"), "{none}");
    let limits = PacketLimits { per_attempt: 6, ..PacketLimits::DIAGRAMS };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures/overflow_mixed-server.pcap");
    let store = PacketAccess::Files { paths: vec![path], filter: None, points: Vec::new() }
        .collect(&[attempt], &limits)
        .unwrap();
    let some = text(&Ladder::new(attempt.clone(), &store), 80, false);
    let left_out = u64::from(attempt.packets) - 6;
    assert!(some.contains(&format!("... {left_out} packets left out")), "{some}");
}

#[test]
fn the_selection_shows_each_verdict_before_more_of_one() {
    let (attempts, _) = analysed("captures/overflow_mixed-server.pcap");
    let mut selection = Selection::new(3, AttemptFilter::problems(), None);
    let mut kept: Vec<u64> = Vec::new();
    for attempt in &attempts {
        let offer = selection.offer(attempt);
        kept.extend(offer.kept.then_some(attempt.ordinal));
        kept.retain(|&ordinal| Some(ordinal) != offer.left);
    }
    let mut listed: Vec<u64> = selection.attempts().map(|attempt| attempt.ordinal).collect();
    listed.sort_unstable();
    kept.sort_unstable();
    assert_eq!(listed, kept, "every attempt that leaves is reported");
    let verdicts: Vec<Verdict> = selection.worst(2).iter().map(|attempt| attempt.verdict).collect();
    assert_eq!(verdicts, [Verdict::SynackRetransmitted, Verdict::Unanswered]);
    let client = attempts[7].client;
    let mut selection = Selection::new(20, AttemptFilter::problems(), Some(client));
    attempts.iter().for_each(|attempt| _ = selection.offer(attempt));
    assert!(!selection.worst(20).is_empty());
    assert!(selection.worst(20).iter().all(|attempt| attempt.client == client));
}
