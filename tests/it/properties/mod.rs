//! What never changes a verdict, and what never makes an overflow: over the bundled captures, and over random attempts.
//!
//! Cuts of captures are in `cuts.rs`, numbers of threads also in `threads.rs` and `arbitrary.rs`, misdated packets in
//! `clocks.rs`.

pub(crate) mod changes;
pub(crate) mod files;
mod outcome;
pub(crate) mod random;
mod track;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use hsanalyze::handshake::{Attempt, Retries, Verdict};
use hsanalyze::packet::{Endpoint, Flags, Packet, Segment, Span};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestRunner};

use self::changes::{
    Traced, copies, has_ambiguous_reset, merge, rename, shift_numbers, shift_time, swapped, traced, without,
};
use self::outcome::{Outcome, counts_add_up, difference, outcomes};
use self::track::{claims_overflow, time, track};
use crate::bundled;

/// The packets of a capture that the analysis uses.
fn decode(packets: &[bundled::RawPacket]) -> Vec<Packet> {
    let numbered = (1..).zip(packets);
    numbered.filter_map(|(number, packet)| hsanalyze::packet::decode(&packet.frame(number)).ok()).collect()
}

/// Verdicts and retries by the position of the attempt's first packet.
fn verdicts(packets: &[Packet]) -> BTreeMap<u64, (Verdict, Retries)> {
    track(packets).attempts.iter().map(|attempt| (attempt.ordinal, essence(attempt))).collect()
}

/// The attempts of a changed capture by the position that their first packet had before; apart from those that a packet
/// opened which the change added.
fn origins(changed: &[Traced]) -> (BTreeMap<u64, Attempt>, Vec<Attempt>) {
    let packets: Vec<Packet> = changed.iter().map(|(packet, _)| *packet).collect();
    let (mut known, mut added) = (BTreeMap::new(), Vec::new());
    for attempt in track(&packets).attempts {
        match changed.get(attempt.ordinal as usize).and_then(|(_, origin)| *origin) {
            Some(origin) => drop(known.insert(origin, attempt)),
            None => added.push(attempt),
        }
    }
    (known, added)
}

/// Demands of every bundled capture that `check`, which gets its name and packets, finds nothing wrong.
fn on_every_capture(check: impl Fn(&str, &[Packet]) -> Vec<String> + Sync) {
    let paths: Vec<PathBuf> = bundled::bundled(&["captures", "field"]);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = path.file_name().unwrap().to_string_lossy();
            let found = check(&name, &decode(&bundled::packets(path)));
            wrong.extend(found.into_iter().map(|found| format!("{name}: {found}")));
        }
        wrong
    };
    let wrong: Vec<String> = thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let first: Vec<&str> = wrong.iter().map(String::as_str).take(8).collect();
    assert!(wrong.is_empty(), "{} wrong, such as:\n{}", wrong.len(), first.join("\n"));
}

/// Changes that leave everything what it is: other times, names and numbers.
fn renamings(packets: &[Packet]) -> Vec<(String, Vec<Packet>)> {
    let first = packets.first().map_or(0, |packet| time(packet).second());
    let mut changed = Vec::new();
    // The first is past the wrap of a 32-bit count of microseconds, the second leads to the epoch.
    for by in [4_295, -first, 400_000_007] {
        changed.push((format!("{by} s later"), shift_time(packets, Span::from_secs(by))));
    }
    for masks in [(0xffff_ffff, 0xffff), (0x0001_0001, 0x0101), (0x8000_0000, 0)] {
        changed.push((format!("renamed by {masks:x?}"), rename(packets, masks)));
    }
    // Each of the first numbers just before the wrap, so that the handshake or its data pass it.
    let numbers = packets.iter().filter_map(|packet| match packet {
        Packet::Segment(segment) if segment.flags.contains(Flags::SYN) => Some(segment.seq.0),
        Packet::Segment(_) | Packet::Unreachable(_) => None,
    });
    let wraps = numbers
        .take(4)
        .flat_map(|isn| [0_u32, 1, 50].map(|before| isn.wrapping_add(1 + before).wrapping_neg()));
    for by in wraps.chain([0x8000_0000, 12_345]) {
        changed.push((format!("numbers higher by {by}"), shift_numbers(packets, by)));
    }
    changed
}

#[test]
fn times_names_and_numbers_of_a_capture_do_not_matter() {
    on_every_capture(|_, packets| {
        let before = outcomes(packets);
        let wrong = |(change, packets): (String, Vec<Packet>)| {
            Some(format!("{change}: {}", difference(&before, &outcomes(&packets))?))
        };
        renamings(packets).into_iter().filter_map(wrong).collect()
    });
}

/// A time that is no whole number of seconds: causes are left out, because what happened around an attempt is counted
/// by the seconds of the clock, and a second holds other attempts then.
#[test]
fn fractions_of_a_second_change_no_verdict() {
    on_every_capture(|_, packets| {
        let before = verdicts(packets);
        let wrong = |by| {
            let after = verdicts(&shift_time(packets, Span::from_nanos(by)));
            Some(format!("{by} ns later: {}", difference(&before, &after)?))
        };
        // The second one is past the wrap of a 32-bit count of microseconds.
        [1, 4_294_967_296_001, 400_000_000_000_000_007].into_iter().filter_map(wrong).collect()
    });
}

/// Every packet again, as at a second point; how much later, depends on what distinguishes a copy from a
/// retransmission (DOMAIN §4).
fn copied(packets: &[Packet], stamped: Span) -> Vec<Traced> {
    copies(packets, |packet| match packet {
        Packet::Segment(segment) if segment.options.timestamps().is_some_and(|(tsval, _)| tsval != 0) => {
            stamped
        }
        Packet::Segment(_) | Packet::Unreachable(_) => Span::from_millis(5),
    })
}

/// Verdict and retries.
fn essence(attempt: &Attempt) -> (Verdict, Retries) {
    (attempt.verdict, attempt.retries)
}

#[test]
fn copies_of_every_packet_change_no_verdict() {
    on_every_capture(|name, packets| {
        let beyond = match name {
            // A client uses its port again within a second: the copies of its first connection come after the SYN of
            // the second one.
            "old-connection-challenge.pcap" => true,
            // Without timestamps, and five segments within 5 ms: the IP IDs of four are known.
            "client-closed-first.pcap" => true,
            _ => false,
        };
        if beyond {
            return Vec::new();
        }
        let before = verdicts(packets);
        let mut wrong = Vec::new();
        for after in [1, 5_000, 40_000, 1_000_000] {
            let (known, added) = origins(&copied(packets, Span::from_micros(after)));
            let known = known.iter().map(|(place, one)| (*place, essence(one))).collect();
            wrong.extend(difference(&before, &known).map(|found| format!("{after} µs: {found}")));
            wrong.extend(added.first().map(|one| format!("{after} µs: a copy opened {one:?}")));
        }
        wrong
    });
}

/// Random attempts to another server, of other clients, which begin while the capture goes on.
fn strangers(packets: &[Packet]) -> Vec<Traced> {
    let mut runner = TestRunner::new(random_inputs(1));
    let flows = prop::collection::vec(random::flow(), 12).new_tree(&mut runner).unwrap().current();
    let strangers = random::packets(&flows, 77);
    let by = packets.first().zip(strangers.first()).map(|(ours, theirs)| time(ours).since(time(theirs)));
    let strangers = shift_time(&strangers, by.unwrap_or(Span::ZERO));
    strangers.into_iter().map(|packet| (packet, None)).collect()
}

#[test]
fn unrelated_flows_in_a_capture_do_not_matter() {
    on_every_capture(|_, packets| {
        let (known, _) = origins(&merge(&traced(packets), &strangers(packets)));
        let known = known.iter().map(|(place, attempt)| (*place, Outcome::of(attempt))).collect();
        difference(&outcomes(packets), &known).into_iter().collect()
    });
}

/// Most packets that are tracked of all changes of one capture: of a longer one fewer packets are changed, evenly spread.
const BUDGET: usize = 60_000;

/// Positions of packets to be changed one at a time.
fn some_places(packets: &[Packet]) -> impl Iterator<Item = usize> {
    let step = (packets.len() * packets.len()).div_ceil(BUDGET).max(1);
    (0..packets.len()).step_by(step)
}

/// Verdicts that an overflow has, besides SYNs without an answer.
fn looks_like_overflow(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::SynackRetransmitted | Verdict::ResetAfterAck | Verdict::AckIgnored)
}

/// The completed attempts, and whether an overflow is likely for them.
fn completed(packets: &[Packet]) -> BTreeMap<(Endpoint, u32), bool> {
    let completed = track(packets).attempts.into_iter().filter(|attempt| attempt.verdict.is_completed());
    completed.map(|attempt| ((attempt.client, attempt.client_isn.0), claims_overflow(&attempt))).collect()
}

/// Overflows of completed attempts that the packet at this place and the next one make in the wrong order.
fn made_overflows(
    packets: &[Packet],
    completed: &BTreeMap<(Endpoint, u32), bool>,
    place: usize,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for attempt in track(&swapped(packets, place)).attempts {
        let was = completed.get(&(attempt.client, attempt.client_isn.0));
        if let Some(&overflow) = was
            && (looks_like_overflow(attempt.verdict) || claims_overflow(&attempt) && !overflow)
        {
            let Attempt { client, verdict, history, .. } = &attempt;
            wrong.push(format!("packets {place} and the next: {client} {verdict} {history}"));
        }
    }
    wrong
}

#[test]
fn two_packets_in_the_wrong_order_make_no_overflow_of_a_completed_attempt() {
    on_every_capture(|_, packets| {
        let completed = completed(packets);
        let close = |place: &usize| match packets.get(*place..place + 2) {
            Some([first, second]) => time(second).since(time(first)).abs() <= Span::from_millis(1),
            _ => false,
        };
        some_places(packets)
            .filter(close)
            .flat_map(|place| made_overflows(packets, &completed, place))
            .collect()
    });
}

/// The captures in `field` whose listener overflowed (`cases.json`); of those in `captures` the names tell.
const OVERFLOWED: [&str; 3] = ["late-burst.pcap", "flood-beside-overflow.pcap", "freebsd.pcap"];

/// An attempt for which an overflow is likely.
fn claimed_overflow(packets: &[Packet]) -> Option<String> {
    let one = track(packets).attempts.into_iter().find(claims_overflow)?;
    Some(format!("{} {} {} {:?}", one.client, one.verdict, one.history, one.inference.evidence))
}

#[test]
fn no_packet_that_is_missing_makes_an_overflow_of_a_healthy_listener() {
    on_every_capture(|name, packets| {
        if name.starts_with("overflow_") || OVERFLOWED.contains(&name) {
            return Vec::new();
        }
        let of =
            |place| Some(format!("without packet {place}: {}", claimed_overflow(&without(packets, place))?));
        some_places(packets).filter_map(of).chain(claimed_overflow(packets)).collect()
    });
}

/// Data that both ends send once the connection is there.
fn with_data(packets: &[Packet], attempts: &[Attempt]) -> Vec<Traced> {
    let alone = |attempt: &&Attempt| {
        let of_flow = |other: &&Attempt| (other.client, other.server) == (attempt.client, attempt.server);
        attempt.verdict == Verdict::Completed
            && attempt.established == Some(true)
            && attempts.iter().filter(of_flow).count() == 1
    };
    let mut added = Vec::new();
    for attempt in attempts.iter().filter(alone) {
        let of_flow = packets.iter().filter_map(|packet| match packet {
            Packet::Segment(segment) => Some(segment),
            Packet::Unreachable(_) => None,
        });
        let from = |end| {
            of_flow.clone().filter(move |segment| {
                let ends =
                    (segment.flow.source(segment.direction), segment.flow.destination(segment.direction));
                ends == if end { (attempt.client, attempt.server) } else { (attempt.server, attempt.client) }
            })
        };
        // After the last segment of each end, which it continues, with a clock that goes on.
        let (Some(client), Some(server)) = (from(true).next_back(), from(false).next_back()) else {
            continue;
        };
        let begin = client.at.since(server.at);
        let begin = if begin > Span::ZERO { client.at } else { server.at };
        let mut next = [client.seq.plus(client.payload), server.seq.plus(server.payload)];
        for (count, from_client) in (1..).zip([true, false, true, true, false]) {
            let (last, own, other) = if from_client { (client, 0, 1) } else { (server, 1, 0) };
            let mut data = Segment { at: begin.plus(Span::from_millis(count * 7)), ..*last };
            data.flags = Flags::ACK;
            (data.seq, data.ack, data.payload) = (next[own], next[other], 500);
            next[own] = next[own].plus(500);
            added.push((Packet::Segment(data), None));
        }
    }
    added.sort_by_key(|(packet, _)| time(packet));
    merge(&traced(packets), &added)
}

/// The verdict, apart from what the first data may decide: without timestamps its round trip tells whether a handshake
/// was late (DOMAIN §4, "Late or not").
fn settled_verdict(attempt: &Attempt) -> Verdict {
    match attempt.verdict {
        Verdict::CompletedLate => Verdict::Completed,
        other => other,
    }
}

#[test]
fn data_after_the_handshake_changes_no_verdict() {
    on_every_capture(|_, packets| {
        let attempts = track(packets).attempts;
        let before = attempts.iter().map(|one| (one.ordinal, settled_verdict(one))).collect();
        let (known, added) = origins(&with_data(packets, &attempts));
        let after = known.iter().map(|(place, one)| (*place, settled_verdict(one))).collect();
        difference(&before, &after)
            .into_iter()
            .chain(added.first().map(|one| format!("opened {one:?}")))
            .collect()
    });
}

#[test]
fn no_packet_of_a_capture_counts_twice() {
    on_every_capture(|_, packets| counts_add_up(packets, &track(packets)).into_iter().collect());
}

/// As many inputs as take a few seconds, unless `PROPTEST_CASES` says how many; and which.
pub(crate) fn random_inputs(cases: u32) -> ProptestConfig {
    let chosen = std::env::var_os("PROPTEST_RNG_SEED").is_some();
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = if asked { ProptestConfig::default() } else { ProptestConfig::with_cases(cases) };
    if chosen { default } else { ProptestConfig { rng_seed: RngSeed::Fixed(24), ..default } }
}

proptest! {
    // The same inputs in each run: PROPTEST_RNG_SEED and PROPTEST_CASES try others, and more.
    #![proptest_config(random_inputs(400))]

    #[test]
    fn times_names_and_numbers_of_random_attempts_do_not_matter(
        flows in prop::collection::vec(random::flow(), 1..6),
        (later, masks, higher) in (-1_000_000_i64..1_000_000, any::<(u32, u16)>(), any::<u32>()),
    ) {
        let packets = random::packets(&flows, 10);
        if has_ambiguous_reset(&packets) || has_ambiguous_reset(&shift_numbers(&packets, higher)) {
            return Ok(());
        }
        let before = outcomes(&packets);
        for (change, packets) in [
            ("later", shift_time(&packets, Span::from_secs(later))),
            ("renamed", rename(&packets, masks)),
            ("numbered", shift_numbers(&packets, higher)),
        ] {
            prop_assert_eq!(difference(&before, &outcomes(&packets)), None, "{}", change);
        }
    }

    #[test]
    fn fractions_of_a_second_change_no_verdict_of_random_attempts(
        flows in prop::collection::vec(random::flow(), 1..6),
        later in -1_000_000_000_000_000_i64..1_000_000_000_000_000,
    ) {
        let packets = random::packets(&flows, 10);
        let after = verdicts(&shift_time(&packets, Span::from_nanos(later)));
        prop_assert_eq!(difference(&verdicts(&packets), &after), None);
    }

    #[test]
    fn unrelated_flows_do_not_matter(
        flows in prop::collection::vec(random::flow(), 1..6),
        others in prop::collection::vec(random::flow(), 1..12),
    ) {
        let packets = random::packets(&flows, 10);
        let strangers: Vec<Traced> =
            random::packets(&others, 77).into_iter().map(|packet| (packet, None)).collect();
        let (known, _) = origins(&merge(&traced(&packets), &strangers));
        let known = known.iter().map(|(place, attempt)| (*place, Outcome::of(attempt))).collect();
        prop_assert_eq!(difference(&outcomes(&packets), &known), None);
    }

    #[test]
    fn two_random_packets_in_the_wrong_order_make_no_overflow_of_a_completed_attempt(
        flows in prop::collection::vec(random::single_attempt(), 1..4),
        (place, apart) in (any::<prop::sample::Index>(), 1..1_000_i64),
    ) {
        let mut packets = random::packets(&flows, 10);
        let place = place.index(packets.len());
        prop_assume!(place + 1 < packets.len());
        // The next one comes right after it, and all others as much sooner.
        let by = time(&packets[place]).plus(Span::from_micros(apart)).since(time(&packets[place + 1]));
        let sooner = shift_time(&packets[place + 1..], by);
        packets.splice(place + 1.., sooner);
        let wrong = made_overflows(&packets, &completed(&packets), place);
        prop_assert!(wrong.is_empty(), "{:?}", wrong);
    }

    #[test]
    fn no_packet_that_is_missing_makes_an_overflow_of_random_healthy_connections(
        flows in prop::collection::vec(random::healthy(), 1..6),
    ) {
        let packets = random::packets(&flows, 10);
        for place in 0..packets.len() {
            prop_assert_eq!(claimed_overflow(&without(&packets, place)), None, "without packet {}", place);
        }
    }

    #[test]
    fn copies_of_random_attempts_change_no_verdict(
        flows in prop::collection::vec(random::single_attempt(), 1..4),
        after in prop_oneof![1..5_000_i64, 1..1_000_000_i64],
    ) {
        let packets = random::packets(&flows, 10);
        let before = verdicts(&packets);
        let (known, added) = origins(&copied(&packets, Span::from_micros(after)));
        let known = known.iter().map(|(place, one)| (*place, essence(one))).collect();
        prop_assert_eq!(difference(&before, &known), None);
        prop_assert!(added.is_empty(), "a copy opened {:?}", added);
    }

    #[test]
    fn data_after_random_handshakes_changes_no_verdict(flows in prop::collection::vec(random::flow(), 1..6)) {
        let packets = random::packets(&flows, 10);
        let attempts = track(&packets).attempts;
        let before = attempts.iter().map(|one| (one.ordinal, settled_verdict(one))).collect();
        let (known, added) = origins(&with_data(&packets, &attempts));
        let after = known.iter().map(|(place, one)| (*place, settled_verdict(one))).collect();
        prop_assert_eq!(difference(&before, &after), None);
        prop_assert!(added.is_empty(), "data opened {:?}", added);
    }

    #[test]
    fn random_packets_count_once(flows in prop::collection::vec(random::flow(), 1..8)) {
        let packets = random::packets(&flows, 10);
        prop_assert_eq!(counts_add_up(&packets, &track(&packets)), None);
    }
}
