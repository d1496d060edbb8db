//! The rule of worse and better.

use super::*;

/// Figures of a listener: attempts, failed, late.
fn figures(attempts: u64, failed: u64, late: u64) -> ComparedFigures {
    ComparedFigures { attempts, judged: attempts, failed, late, ..ComparedFigures::default() }
}

fn with_cause(
    figures: ComparedFigures,
    cause: Cause,
    confidence: Confidence,
    attempts: u64,
) -> ComparedFigures {
    let mut figures = figures;
    figures.causes.push(ComparedCause { cause, confidence, attempts });
    figures
}

fn shifts(before: &ComparedFigures, after: &ComparedFigures) -> Vec<Shift> {
    Rule::for_shares(compared_shares(before, after).len()).shifts(before, after)
}

fn rises(before: &ComparedFigures, after: &ComparedFigures) -> Vec<ComparedShare> {
    shifts(before, after).into_iter().filter(Shift::is_rise).map(|shift| shift.share).collect()
}

#[test]
fn few_attempts_show_nothing() {
    assert!(shifts(&figures(3, 0, 0), &figures(3, 1, 0)).is_empty());
    assert!(shifts(&figures(60, 0, 0), &figures(60, 1, 0)).is_empty());
    assert!(shifts(&figures(60, 2, 1), &figures(60, 5, 3)).is_empty());
    assert!(shifts(&figures(10, 0, 0), &figures(10_000, 30, 0)).is_empty(), "ten attempts show no 0.3 %");
}

#[test]
fn a_share_that_rose_beyond_chance_is_worse_and_one_that_fell_is_better() {
    assert_eq!(rises(&figures(60, 0, 0), &figures(60, 50, 0)), [ComparedShare::Failed]);
    assert_eq!(rises(&figures(60, 0, 0), &figures(60, 0, 20)), [ComparedShare::Late]);
    let fell = shifts(&figures(60, 50, 0), &figures(600, 0, 0));
    assert!(fell.len() == 1 && !fell[0].is_rise());
}

#[test]
fn of_millions_of_attempts_a_small_part_is_no_change() {
    let before = figures(10_000_000, 1_000_000, 0);
    assert!(shifts(&before, &figures(10_000_000, 1_050_000, 0)).is_empty(), "10 % and 10.5 %");
    assert_eq!(rises(&before, &figures(10_000_000, 1_110_000, 0)), [ComparedShare::Failed]);
    assert_eq!(
        rises(&figures(10_000_000, 1_000, 0), &figures(10_000_000, 2_500, 0)),
        [ComparedShare::Failed],
        "more than twice as many"
    );
}

#[test]
fn trouble_that_changes_its_kind_goes_by_what_became_of_the_whole() {
    assert_eq!(rises(&figures(60, 0, 50), &figures(60, 50, 0)), [ComparedShare::Failed], "late before");
    assert!(rises(&figures(60, 50, 0), &figures(60, 0, 50)).is_empty(), "they complete now");
    let closed = with_cause(figures(60, 50, 0), Cause::PortClosed, Confidence::Likely, 50);
    let overflowed = with_cause(figures(60, 50, 0), Cause::AcceptQueueOverflow, Confidence::Likely, 50);
    assert!(shifts(&closed, &overflowed).is_empty());
}

#[test]
fn a_new_state_of_the_server_counts_from_few_attempts_if_the_baseline_would_have_shown_it() {
    let overflow = |attempts, of, confidence| {
        with_cause(figures(of, attempts, 0), Cause::AcceptQueueOverflow, confidence, attempts)
    };
    let new = [ComparedShare::Cause(Cause::AcceptQueueOverflow)];
    assert_eq!(rises(&figures(60, 0, 0), &overflow(4, 60, Confidence::Likely)), new);
    assert!(rises(&figures(60, 0, 0), &overflow(4, 60, Confidence::Possible)).is_empty());
    assert!(rises(&figures(10, 0, 0), &overflow(1, 60, Confidence::Confirmed)).is_empty(), "too few before");
    let before = overflow(1, 60, Confidence::Possible);
    assert!(rises(&before, &overflow(4, 60, Confidence::Likely)).is_empty(), "not new");
    let lost = with_cause(figures(60, 4, 0), Cause::SynLost, Confidence::Likely, 4);
    assert!(rises(&figures(60, 0, 0), &lost).is_empty(), "losses come by chance");
}

#[test]
fn what_is_intended_is_no_trouble() {
    let checks = with_cause(figures(60, 0, 0), Cause::HealthCheck, Confidence::Likely, 60);
    assert!(shifts(&figures(60, 0, 0), &checks).is_empty());
}

#[test]
fn listeners_of_one_side_are_new_or_gone_and_many_comparisons_raise_no_alarm() {
    let server = |port| Endpoint::from(std::net::SocketAddr::from(([10, 0, 0, 1], port)));
    let baseline = Baseline {
        listeners: [(server(1), figures(60, 0, 0)), (server(2), ComparedFigures::default())].into(),
        ..Baseline::default()
    };
    let comparison = BaselineComparison::new(&baseline, &[]);
    assert_eq!(comparison.result(), None);
    assert_eq!((comparison.count(Change::Gone), comparison.count(Change::Unchanged)), (1, 1));
    // The same difference is beyond chance alone, and not among a thousand.
    let pair = (Portion::new(0, 60), Portion::new(9, 60));
    let shift = Shift { share: ComparedShare::Failed, before: pair.0, after: pair.1 };
    assert!(Rule::for_shares(2).is_beyond_chance(&shift));
    assert!(!Rule::for_shares(2_000).is_beyond_chance(&shift));
}

/// Pairs of captures that differ by chance only are called worse in less than one of a hundred, however few attempts they
/// have.
#[test]
fn chance_alone_is_hardly_ever_worse() {
    let mut random = fastrand::Rng::with_seed(7);
    for (attempts, probability) in [(5, 0.3), (60, 0.02), (60, 0.5), (2_000, 0.01)] {
        let mut draw = || (0..attempts).filter(|_| random.f64() < probability).count() as u64;
        const PAIRS: usize = 2_000;
        let alarms = (0..PAIRS)
            .filter(|_| {
                let (before, after) = (draw(), draw());
                !rises(&figures(attempts, before, 0), &figures(attempts, after, 0)).is_empty()
            })
            .count();
        assert!(alarms * 100 <= PAIRS, "{alarms} of {PAIRS} with {attempts} attempts at {probability}");
    }
}
