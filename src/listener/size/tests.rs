//! Properties of the model, and answers for loads whose answer is known.

use proptest::prelude::*;

use super::*;
use crate::handshake::{Cause, Confidence};
use crate::packet::{Span, Timestamp};

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_nanos((seconds * 1e9) as i64)
}

fn model(arrivals: &[Timestamp], per_second: f64, limit: u32) -> Model<'_> {
    Model {
        arrivals,
        service: Service { per_second, batch: 1 },
        limit: Some(limit),
        waiting: 0,
        retries: &RETRIES_LINEAR,
        one_host: false,
        round_trip: Span::from_millis(2),
        cookies: true,
        abort: false,
    }
}

/// The packets of a simulated listener, as [`Load::of`] would find them.
fn observe(arrivals: &[Timestamp], service: Service, limit: u32, until: f64) -> Load {
    Load { until: Some(at(until)), ..Model { service, ..model(arrivals, 1.0, limit) }.observe() }
}

proptest! {
    #[test]
    fn nobody_is_lost_from_sight(
        gaps in prop::collection::vec(0_u32..20_000, 1..300),
        rate in 1.0..2_000.0,
        limit in 0_u32..100,
        batch in 1_u32..20,
        waiting in 0_u32..50,
        cookies: bool,
        abort: bool,
        one_host: bool,
    ) {
        let arrivals = arrivals(&gaps);
        let service = Service { per_second: rate, batch };
        let model = Model { cookies, abort, one_host, waiting, service, ..model(&arrivals, rate, limit) };
        let outcome = model.run();
        prop_assert_eq!(outcome.admitted + outcome.lost, arrivals.len() as u64);
        let all = outcome.admitted + u64::from(waiting);
        prop_assert_eq!(outcome.accepted, all, "the application goes on until the queue is empty");
        prop_assert!(outcome.longest <= (limit + 1).max(waiting));
        prop_assert!(cookies || outcome.most_requests <= limit + 1);
        prop_assert!(outcome.late <= outcome.turned_away);
        prop_assert!(outcome.turned_away <= outcome.overflows + outcome.syn_queue_drops);
    }

    /// Without retries a larger queue turns no more clients away, and the longest queue wanted is one that holds all.
    #[test]
    fn a_larger_queue_turns_no_more_away(
        gaps in prop::collection::vec(0_u32..20_000, 1..300),
        rate in 1.0..2_000.0,
        limit in 0_u32..60,
    ) {
        let arrivals = arrivals(&gaps);
        let run = |limit| {
            Model { retries: &[], round_trip: Span::ZERO, ..model(&arrivals, rate, limit) }.run().turned_away
        };
        prop_assert!(run(limit + 1) <= run(limit));
        let wanted = Model { limit: None, ..model(&arrivals, rate, 0) }.run().longest;
        let held = model(&arrivals, rate, wanted).run();
        prop_assert_eq!((held.overflows, held.late, held.lost), (0, 0, 0));
        if wanted > 2 {
            let half = Model { round_trip: Span::ZERO, ..model(&arrivals, rate, wanted / 2) }.run();
            prop_assert!(half.overflows > 0 || wanted / 2 + 1 >= wanted);
        }
    }

    /// With several sockets, too, each client gets in or is lost, and the fullest queue is one that holds all at each.
    #[test]
    fn several_sockets_have_the_same_clients(
        gaps in prop::collection::vec(0_u32..20_000, 1..300),
        rate in 1.0..2_000.0,
        limit in 0_u32..60,
        sockets in 1_u32..6,
    ) {
        let known = KnownQueue { sockets: Some(sockets), ..KnownQueue::default() };
        let arrivals = arrivals(&gaps);
        let load = Load { arrivals, known, retries: RETRIES_LINEAR.to_vec(), ..Load::default() };
        let service = Service { per_second: rate, batch: 1 };
        let outcome = load.simulate(service, Some(limit));
        prop_assert_eq!(outcome.admitted + outcome.lost, load.arrivals.len() as u64);
        prop_assert!(outcome.longest <= limit + 1);
        let wanted = load.fullest(service).longest;
        prop_assert_eq!(load.simulate(service, Some(wanted)).overflows, 0);
    }

    /// Little's law: the queue's length, summed over time, is the time that the connections in it waited.
    #[test]
    fn lengths_and_waits_agree(
        gaps in prop::collection::vec(0_u32..20_000, 1..300),
        rate in 1.0..2_000.0,
        batch in 1_u32..20,
    ) {
        let arrivals = arrivals(&gaps);
        let service = Service { per_second: rate, batch };
        let outcome = Model { service, limit: None, ..model(&arrivals, rate, 0) }.run_traced();
        let summed: i64 = outcome
            .lengths
            .windows(2)
            .map(|pair| pair[1].0.since(pair[0].0).as_nanos() * i64::from(pair[0].1))
            .sum();
        prop_assert_eq!(summed, outcome.waited.as_nanos());
    }
}

fn arrivals(gaps: &[u32]) -> Vec<Timestamp> {
    let mut now = Timestamp::from_nanos(0);
    gaps.iter()
        .map(|&gap| {
            now = now.plus(Span::from_micros(gap.into()));
            now
        })
        .collect()
}

/// `count` clients within `seconds`, evenly.
fn burst(from: f64, count: u32, seconds: f64) -> Vec<Timestamp> {
    (0..count).map(|n| at(from + seconds * f64::from(n) / f64::from(count))).collect()
}

#[test]
fn a_queue_is_full_when_it_holds_more_than_its_limit() {
    let arrivals = burst(0.0, 10, 0.1);
    let outcome = Model { retries: &[], ..model(&arrivals, 0.0, 4) }.run();
    assert_eq!((outcome.admitted, outcome.overflows, outcome.longest), (5, 5, 5));
    assert_eq!(outcome.lost, 5);
}

#[test]
fn a_client_retries_by_its_schedule() {
    let arrivals = burst(0.0, 3, 0.003);
    // Two fit; the third finds a place when one is accepted, after the retry at 3 s.
    for (retries, late) in [(&RETRIES_LINEAR[..], 3), (&RETRIES_DOUBLING[..], 2)] {
        let service = Service { per_second: 0.4, batch: 2 };
        let outcome = Model { service, retries, ..model(&arrivals, 0.0, 1) }.run();
        assert_eq!((outcome.late, outcome.lost), (1, 0), "{retries:?}");
        assert!(outcome.overflows <= late + 3, "{retries:?}: {}", outcome.overflows);
    }
}

/// Many retries at one instant get SYN-ACKs before the first ACK fills the queue: more by cookies, whose ACKs are lost.
#[test]
fn one_hosts_timers_fire_together() {
    let arrivals = burst(0.0, 130, 0.2);
    let apart = model(&arrivals, 50.0, 12);
    let together = Model { one_host: true, ..apart };
    let (apart, together) = (apart.run(), together.run());
    assert!(apart.lost < 10, "{}", apart.lost);
    assert!(together.lost > 20, "{}", together.lost);
    assert!(together.overflows < apart.overflows * 9 / 10, "{} {}", together.overflows, apart.overflows);
}

#[test]
fn ignored_acks_recover_and_resets_do_not() {
    // All SYNs arrive before the first ACK.
    let arrivals = burst(0.0, 8, 0.001);
    let model = Model { round_trip: Span::from_millis(50), ..model(&arrivals, 100.0, 3) };
    let outcome = Model { cookies: false, ..model }.run();
    assert_eq!((outcome.lost, outcome.syn_queue_drops > 0), (0, true));
    let cookies = model.run();
    assert!(cookies.lost > 0, "an ACK with a cookie is ignored once and for all");
    assert!(Model { abort: true, ..model }.run().lost >= cookies.lost);
}

#[test]
fn a_burst_gets_the_backlog_that_holds_it() {
    let arrivals = burst(0.0, 130, 0.3);
    let service = Service { per_second: 100.0, batch: 1 };
    let load = observe(&arrivals, service, 16, 12.0);
    let found = size(&load);
    let Answer::Backlog { backlog, longest_wait } = found.answer else { panic!("{found:?}") };
    let clean = (1..200).find(|&limit| model(&arrivals, 100.0, limit).run().overflows == 0).unwrap();
    assert!((clean..=clean * 115 / 100).contains(&backlog), "{backlog} for {clean}: {found:?}");
    assert!(longest_wait.unwrap() > Span::from_millis(800));
    let limit = found.limit.unwrap();
    assert!((15..=18).contains(&limit.value) && !limit.known, "{limit:?}");
}

/// Requests whose ACKs were ignored fill the SYN queue; cookies take over, whose ignored ACKs look like handshakes that
/// completed. These are not taken for accepts.
#[test]
fn ignored_cookies_are_no_accepts() {
    let arrivals = burst(0.0, 240, 0.3);
    let busy = Model { round_trip: Span::from_millis(3), ..model(&arrivals, 90.0, 12) };
    let load = Load { until: Some(at(12.0)), ..busy.observe() };
    let bogus = busy.run().cookie_overflows;
    assert!(bogus > 20, "{bogus}");
    let seen = size(&load).accepts.unwrap();
    assert!((80.0..100.0).contains(&seen.per_second), "{seen:?}");
    // With the server's answers each admission is proven.
    let all = size(&Load { unproven: Vec::new(), ..load }).accepts.unwrap();
    assert!(all.per_second > 120.0, "{all:?}");
}

#[test]
fn a_stopped_application_needs_no_backlog_but_a_cure() {
    let arrivals = burst(0.0, 60, 0.1);
    let load = observe(&arrivals, Service { per_second: 0.0, batch: 1 }, 8, 40.0);
    assert!(
        matches!(size(&load).answer, Answer::NothingAccepted { watched } if watched > Span::from_secs(39))
    );
    // The same, cut short: an application may be between two accepts.
    let short =
        |times: &[Timestamp]| times.iter().copied().filter(|&time| time < at(0.3)).collect::<Vec<_>>();
    let cut = Load { drops: short(&load.drops), until: Some(at(0.3)), ..load };
    assert!(matches!(size(&cut).answer, Answer::Unknown(Unknown::TooShort { .. })));
}

#[test]
fn a_steady_load_that_is_too_much_outruns_any_backlog() {
    let arrivals = burst(0.0, 2_200, 20.0);
    let load = observe(&arrivals, Service { per_second: 100.0, batch: 1 }, 16, 30.0);
    let found = size(&load);
    let Answer::Outrun { needed, over, .. } = found.answer else { panic!("{found:?}") };
    assert!((105.0..115.0).contains(&needed), "{needed}");
    assert!(over > Span::from_secs(15));
}

#[test]
fn a_pause_of_a_fast_application_is_held_by_what_came_meanwhile() {
    // 200 clients a second; accepted at once, but for 0.4 s in which 80 come and 17 fit.
    let arrivals = burst(0.0, 800, 4.0);
    let paused = (at(2.0), at(2.4));
    let inside = |&&time: &&Timestamp| time >= paused.0 && time < paused.1;
    let mut load = Load { arrivals: arrivals.clone(), until: Some(at(6.0)), ..Load::default() };
    load.admissions = arrivals.iter().filter(|time| !inside(time)).copied().collect();
    let queued: Vec<_> = arrivals.iter().filter(inside).copied().collect();
    load.admissions.extend(&queued[..17]);
    load.turned_away = queued[17..].to_vec();
    load.drops = load.turned_away.clone();
    load.admissions.extend(load.turned_away.iter().map(|time| time.plus(Span::from_secs(1))));
    load.admissions.sort_unstable();
    let more = size(&load).answer;
    assert_eq!(more, Answer::MoreThanLimit { more: 64 });
    load.known.limit = Some(16);
    let known = size(&load).answer;
    assert_eq!(known, Answer::Backlog { backlog: 80, longest_wait: None });
}

#[test]
fn an_application_that_stopped_and_went_on_is_not_outrun() {
    // 50 clients a second for 20 s; all are accepted at once, but for 4 s in which a single one is.
    let arrivals = burst(0.0, 1_000, 20.0);
    let (from, to) = (at(5.0), at(9.0));
    let mut load = Load { arrivals: arrivals.clone(), until: Some(at(30.0)), ..Load::default() };
    let (stopped, served): (Vec<_>, Vec<_>) = arrivals.iter().partition(|&&time| time >= from && time < to);
    let (queued, turned_away) = stopped.split_at(17);
    load.turned_away = turned_away.to_vec();
    // Clients that come now and then, so that the drops are no even run.
    load.turned_away.retain(|time| time.since(from).as_nanos() / 250_000_000 % 2 == 0);
    let accepted = load.turned_away.remove(20);
    load.drops = load.turned_away.clone();
    let retried = load.turned_away.iter().map(|time| time.plus(Span::from_secs(4)));
    load.admissions =
        served.into_iter().chain(queued.iter().copied()).chain([accepted]).chain(retried).collect();
    load.admissions.sort_unstable();
    let found = size(&load);
    assert_eq!(
        (found.accepts, found.limit),
        (None, None),
        "one accept is no rate of an application that stopped"
    );
    let more = u32::try_from(load.turned_away.len()).unwrap() + 1;
    assert_eq!(found.answer, Answer::MoreThanLimit { more });
}

#[test]
fn each_of_several_sockets_needs_more_than_its_share_and_less_than_all() {
    let arrivals = burst(0.0, 400, 0.5);
    let load = observe(&arrivals, Service { per_second: 200.0, batch: 1 }, 16, 12.0);
    let backlog = |sockets| {
        let known = KnownQueue { sockets, limit: Some(16), ..KnownQueue::default() };
        let found = size(&Load { known, ..load.clone() });
        assert_eq!(found.sockets, sockets);
        let Answer::Backlog { backlog, .. } = found.answer else { panic!("{found:?}") };
        backlog
    };
    let (one, four) = (backlog(None), backlog(Some(4)));
    assert!(four > one / 4 && four < one / 2, "{four} each for {one} in all");
    assert_eq!(backlog(Some(1)), one);
}

/// Samples of a queue with a limit of 16, one a second.
fn samples(waiting: &[u32], opened: u64) -> KnownQueue {
    let sample = |(second, &waiting): (usize, &u32)| {
        let opened = (second > 0).then_some(opened);
        QueueSample { at: at(second as f64), waiting, opened }
    };
    let samples = waiting.iter().enumerate().map(sample).collect();
    KnownQueue { limit: Some(16), samples, ..KnownQueue::default() }
}

#[test]
fn the_kernels_samples_show_a_rate_that_few_drops_do_not() {
    // Ten accepts a second keep up with ten clients, one of which is dropped now and then.
    let admissions = burst(0.05, 40, 4.0);
    let drops = vec![at(0.5), at(3.5)];
    let load =
        Load { arrivals: admissions.clone(), admissions, drops, until: Some(at(6.0)), ..Load::default() };
    assert_eq!(size(&load).accepts, None);
    let accepts = |known| size(&Load { known, ..load.clone() }).accepts;
    let seen = accepts(samples(&[17, 16, 17, 16, 17], 10)).unwrap();
    assert_eq!((seen.accepted, seen.over), (40, Span::from_secs(4)));
    // Each pair of samples may be off by one accept at either end.
    assert!((9.4..9.6).contains(&seen.low) && (10.4..10.6).contains(&seen.high), "{seen:?}");
    // Packets show more admissions than the kernel counted: ACKs of cookies that were ignored.
    assert_eq!(accepts(samples(&[17, 16, 17, 16, 17], 4)).unwrap().accepted, 16);
    // Between two samples that found it far from full the application may have had nothing to accept.
    assert_eq!(accepts(samples(&[17, 3, 2, 3, 17], 10)), None);
    // Samples of the fullest of several sockets say nothing of the others.
    assert_eq!(accepts(KnownQueue { sockets: Some(2), ..samples(&[17, 16, 17], 10) }), None);
}

#[test]
fn those_that_wait_at_the_start_need_their_places() {
    let arrivals = burst(0.0, 50, 0.1);
    let longest = |waiting| {
        let load = Load { arrivals: arrivals.clone(), waiting, ..Load::default() };
        load.fullest(Service { per_second: 100.0, batch: 1 }).longest
    };
    assert_eq!(longest(30), longest(0) + 30);
}

#[test]
fn without_cookies_the_backlog_must_hold_all_that_shake_hands_at_once() {
    let arrivals = burst(0.0, 130, 0.3);
    let service = Service { per_second: 300.0, batch: 1 };
    let observed = Load { unproven: Vec::new(), ..observe(&arrivals, service, 8, 12.0) };
    let backlog = |cookies, millis| {
        let known = KnownQueue { cookies, limit: Some(8), ..KnownQueue::default() };
        let found = size(&Load { known, round_trip: Span::from_millis(millis), ..observed.clone() });
        let Answer::Backlog { backlog, .. } = found.answer else { panic!("{found:?}") };
        backlog
    };
    assert_eq!(backlog(Some(true), 200), backlog(None, 200));
    // Of 433 clients a second some 87 have not sent their ACK within 200 ms.
    assert!(backlog(None, 200) < 60 && (85..90).contains(&backlog(Some(false), 200)));
    assert_eq!(backlog(Some(false), 2), backlog(None, 2));
}

#[test]
fn another_cause_is_no_question_of_size() {
    let arrivals = burst(0.0, 60, 0.1);
    let found = size(&observe(&arrivals, Service { per_second: 0.0, batch: 1 }, 8, 40.0));
    let given = |cause, confidence| found.clone().given_cause(cause, confidence).answer;
    let other = Some(Cause::DeferAccept);
    let refused = Answer::Unknown(Unknown::OtherCause(Cause::DeferAccept));
    assert_eq!(given(other, Some(Confidence::Likely)), refused);
    assert_eq!(given(other, Some(Confidence::Possible)), found.answer);
    assert_eq!(given(Some(Cause::AcceptQueueOverflow), Some(Confidence::Likely)), found.answer);
    assert_eq!(given(None, None), found.answer);
}

#[test]
fn an_application_that_accepts_in_bursts_is_planned_for_at_its_worst() {
    let arrivals = burst(0.0, 400, 1.0);
    let service = Service { per_second: 100.0, batch: 20 };
    let load = observe(&arrivals, service, 32, 20.0);
    let found = size(&load);
    assert!(matches!(found.accepts.unwrap().pace, Pace::InBursts { .. }), "{found:?}");
    let Answer::Backlog { backlog, .. } = found.answer else { panic!("{found:?}") };
    let held = Model { service, ..model(&arrivals, 0.0, backlog) }.run();
    assert_eq!(held.overflows, 0, "{found:?}");
}

#[test]
fn five_drops_do_not_make_a_rate() {
    let arrivals = burst(0.0, 2_000, 2.0);
    let mut load = observe(&arrivals, Service { per_second: 950.0, batch: 1 }, 90, 3.0);
    load.drops.truncate(5);
    load.turned_away.truncate(5);
    let found = size(&load);
    assert!(!matches!(found.answer, Answer::Outrun { .. } | Answer::NothingAccepted { .. }), "{found:?}");
}

#[test]
fn what_one_client_sees_is_not_the_load() {
    let arrivals = burst(0.0, 130, 0.3);
    let service = Service { per_second: 100.0, batch: 1 };
    let load = Load { one_client_side: true, ..observe(&arrivals, service, 16, 12.0) };
    assert_eq!(size(&load).answer, Answer::Unknown(Unknown::OneClientSide));
    assert_eq!(size(&Load::default()).answer, Answer::Unknown(Unknown::NoArrivals));
}

#[test]
fn a_rate_that_changes_is_planned_for_at_its_slower() {
    let arrivals = burst(0.0, 600, 2.0);
    let mut load = observe(&arrivals, Service { per_second: 120.0, batch: 1 }, 16, 20.0);
    // In the second second only every third got in.
    let slow = |(n, &time): (usize, &Timestamp)| (time < at(1.0) || n % 3 == 0).then_some(time);
    load.admissions = load.admissions.iter().enumerate().filter_map(slow).collect();
    let found = size(&load);
    let Pace::Changing { first, second } = found.accepts.unwrap().pace else { panic!("{found:?}") };
    assert!(first > 1.5 * second, "{first} {second}");
}
