//! Random bursts against the real kernel: the answer is replayed, with 80 % of it and with the smallest that is enough.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use hsanalyze::lab::{AcceptPolicy, ReplayOutcome};
use hsanalyze::listener::size::{Answer, Load, RETRIES_LINEAR, Service, Size, size};
use hsanalyze::packet::{Span, Timestamp};
use hsanalyze::race::Packets;

use super::troubles::one_worker;
use crate::undisturbed::undisturbed;

/// Bursts in the table of docs/SIZE.md.
const BURSTS: u64 = 30;
/// Marks that the measurements stand between, in docs/SIZE.md.
const MARKS: (&str, &str) = ("<!-- thirty bursts: begin -->\n", "<!-- thirty bursts: end -->\n");

/// A burst of clients at an application that accepts evenly.
struct Burst {
    starts: Vec<Duration>,
    per_second: u32,
    backlog: u32,
}

impl Burst {
    /// A burst like those of DOMAIN §9, more clients than the queue holds.
    fn random(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (count, length) = (rng.usize(90..150), rng.f64() * 0.35 + 0.1);
        let mut starts: Vec<Duration> =
            (0..count).map(|_| Duration::from_secs_f64(rng.f64() * length)).collect();
        starts.sort_unstable();
        Self { starts, per_second: rng.u32(45..140), backlog: rng.u32(8..33) }
    }

    fn replay(&self, backlog: u32) -> ReplayOutcome {
        let accept = AcceptPolicy::Batches(1, Duration::from_secs(1) / self.per_second);
        one_worker(self.starts.clone(), backlog, accept).run().unwrap()
    }

    fn overflows(&self, backlog: u32) -> u64 {
        self.replay(backlog).overflows
    }

    /// The smallest backlog that replays without an overflow, from one that did to one that did not.
    fn smallest_clean(&self, mut over: u32, mut clean: u32) -> u32 {
        while clean - over > 1 {
            let middle = over + (clean - over) / 2;
            if self.overflows(middle) == 0 { clean = middle } else { over = middle }
        }
        clean
    }
}

fn size_of(outcome: &ReplayOutcome) -> Size {
    let packets = Packets::of(outcome.trace.server.clone()).unwrap();
    let attempts: Vec<_> = packets.attempts().into_iter().cloned().collect();
    size(&Load::of(&attempts, None))
}

/// Measurements of one burst, where an answer was given.
struct Measured {
    backlog: u32,
    /// Overflows with the answer, and with 80 % of it.
    with: u64,
    with_less: u64,
    /// The smallest backlog that replays clean.
    smallest: u32,
}

impl Measured {
    fn of(burst: &Burst, backlog: u32) -> Self {
        let less = backlog * 8 / 10;
        let (with, with_less) = (burst.overflows(backlog), burst.overflows(less));
        let over = if with_less > 0 { less } else { burst.backlog };
        let clean = if with == 0 { backlog } else { burst.starts.len() as u32 };
        Self { backlog, with, with_less, smallest: burst.smallest_clean(over, clean) }
    }

    fn is_close(&self) -> bool {
        (self.backlog.abs_diff(self.smallest)) as f64 <= 0.15 * f64::from(self.smallest)
    }
}

/// Three bursts in each run of the tests, at the same time: most of a replay is waiting.
#[test]
fn the_answer_holds_a_random_burst_and_four_fifths_of_it_do_not() {
    let held = |seed| {
        undisturbed("the_answer_holds_a_random_burst_and_four_fifths_of_it_do_not", || {
            let burst = Burst::random(seed);
            let found = size_of(&burst.replay(burst.backlog));
            let Answer::Backlog { backlog, .. } = found.answer else { panic!("burst {seed}: {found:?}") };
            let (with, with_less) = (burst.overflows(backlog), burst.overflows(backlog * 8 / 10));
            assert!(
                with == 0 && with_less > 0,
                "burst {seed}: {backlog}: {with} overflows, {with_less} with 80 % of it"
            );
        });
    };
    std::thread::scope(|scope| {
        let bursts = [2, 14, 23].map(|seed| scope.spawn(move || held(seed)));
        bursts.into_iter().for_each(|burst| burst.join().unwrap());
    });
}

/// The simulation against what the kernel counted, in the table of docs/SIZE.md: thirty loads, rates and backlogs.
#[test]
fn the_simulation_counts_what_the_kernel_counted() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SIZE.md")).unwrap();
    let (_, table) = page.split_once(MARKS.0).unwrap();
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        Some((cells.get(1)?.parse::<u64>().ok()?, cells.get(5)?.parse::<f64>().ok()?))
    });
    let (mut bursts, mut predicted, mut counted) = (0, 0.0, 0.0);
    for (seed, overflows) in rows {
        let burst = Burst::random(seed);
        let at = |start: &Duration| Timestamp::from_nanos(start.as_nanos() as i64);
        let load = Load {
            arrivals: burst.starts.iter().map(at).collect(),
            retries: RETRIES_LINEAR.to_vec(),
            one_host: true,
            round_trip: Span::from_millis(1),
            ..Load::default()
        };
        let service = Service { per_second: burst.per_second.into(), batch: 1 };
        let outcome = load.simulate(service, Some(burst.backlog));
        let counts = format!("burst {seed}: {} predicted, {overflows} counted", outcome.overflows);
        println!("{counts}");
        // Measured: at most 9 % off.
        assert!((outcome.overflows as f64 - overflows).abs() <= 0.12 * overflows + 2.0, "{counts}");
        bursts += 1;
        predicted += outcome.overflows as f64;
        counted += overflows;
    }
    assert_eq!(bursts, BURSTS);
    assert!((0.95..1.05).contains(&(predicted / counted)), "{predicted} predicted, {counted} counted");
}

/// All thirty, for docs/SIZE.md, which names the command.
#[test]
#[ignore = "takes ten minutes, and a machine with nothing else to do"]
fn thirty_bursts() {
    let mut table = "| seed | clients | accepts a second | backlog | overflows | rate seen | answer | overflows with it | with \
                     80 % of it | smallest without |\n|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let mut measured = Vec::new();
    for seed in 1..=BURSTS {
        let burst = Burst::random(seed);
        let first = burst.replay(burst.backlog);
        let found = size_of(&first);
        let rate = found.accepts.map_or_else(|| "-".to_owned(), |rate| format!("{:.1}", rate.per_second));
        let mut row = format!(
            "| {seed} | {} in {:.2} s | {} | {} | {} | {rate} |",
            burst.starts.len(),
            burst.starts.last().unwrap().as_secs_f64(),
            burst.per_second,
            burst.backlog,
            first.overflows
        );
        if let Answer::Backlog { backlog, .. } = found.answer {
            let run = Measured::of(&burst, backlog);
            write!(row, " {backlog} | {} | {} | {} |", run.with, run.with_less, run.smallest).unwrap();
            measured.push(run);
        } else {
            row.push_str(" no answer | | | |");
        }
        println!("{row}");
        writeln!(table, "{row}").unwrap();
    }
    let count = |holds: fn(&Measured) -> bool| measured.iter().filter(|run| holds(run)).count();
    let (given, clean) = (measured.len(), count(|run| run.with == 0));
    let (too_small, close) = (count(|run| run.with_less > 0), count(Measured::is_close));
    let summary = format!(
        "An answer was given in {given} of {BURSTS} runs. It replayed without an overflow in {clean}; 80 % of it overflowed in\n\
         {too_small}; it was within 15 % of the smallest backlog without an overflow in {close}.\n"
    );
    println!("{summary}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        update_docs(&format!("{summary}\n{table}"));
    }
    assert!(given >= 24, "{summary}");
    assert!(clean + 1 >= given, "{summary}");
    assert!(too_small + 2 >= given, "{summary}");
    assert!(close >= 24, "{summary}");
}

fn update_docs(measurements: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SIZE.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(MARKS.0).unwrap();
    let (_, after) = rest.split_once(MARKS.1).unwrap();
    fs::write(&path, format!("{before}{}{measurements}{}{after}", MARKS.0, MARKS.1)).unwrap();
}
