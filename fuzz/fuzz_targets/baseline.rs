//! Arbitrary bytes as an earlier report (`--baseline`), and an analysis compared with what was read of them.
//!
//! Looks for panics, for results that depend on how much is read at a time, for a comparison that leaves a listener out or is
//! judged without attempts, and for reports with a comparison that are not what their format says.

#![no_main]

use std::io::{Cursor, Read};
use std::sync::LazyLock;

use hsanalyze::engine::{PacketCounts, Summary};
use hsanalyze::handshake::Attempt;
use hsanalyze::listener::Listeners;
use hsanalyze::listener::comparison::{Baseline, BaselineComparison, Change};
use hsanalyze::report::read_baseline;
use hsanalyze_fuzz::output::{FORMATS, check, options, report};
use hsanalyze_fuzz::{attempts, packets};
use libfuzzer_sys::fuzz_target;

/// Attempts to three servers: refused, unanswered, completed.
static ANALYSIS: LazyLock<(Vec<Attempt>, Listeners)> = LazyLock::new(|| {
    // Ends, flags, numbers from the ISNs, payload, pause (count and unit), clock.
    let segments: [[u8; 8]; 9] = [
        [0x00, 0x02, 0, 0, 0, 1, 2, 1],
        [0x04, 0x14, 0, 1, 0, 20, 2, 1],
        [0x02, 0x02, 0, 0, 0, 1, 2, 2],
        [0x02, 0x02, 0, 0, 0, 1, 6, 3],
        [0x02, 0x02, 0, 0, 0, 2, 6, 4],
        [0x11, 0x02, 0, 0, 0, 1, 2, 5],
        [0x15, 0x12, 0, 1, 0, 20, 2, 5],
        [0x11, 0x10, 1, 1, 0, 1, 2, 6],
        [0x11, 0x18, 1, 1, 0x81, 1, 2, 7],
    ];
    attempts(&packets(&segments.concat(), &[]))
});

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    let whole = read_baseline("earlier", bytes);
    let some = 1 + usize::from(choice >> 4);
    let parts = read_baseline("earlier", InParts { bytes: Cursor::new(bytes), some });
    let Ok(baseline) = whole else {
        assert_eq!(whole.unwrap_err().to_string(), parts.expect_err("it is refused").to_string());
        return;
    };
    assert_eq!(baseline, parts.expect("it is read"));
    let (attempts, listeners) = &*ANALYSIS;
    let summary = summary(attempts, listeners);
    let comparison = BaselineComparison::new(&baseline, &summary.listeners);
    check_comparison(&baseline, &comparison, &summary);
    for format in FORMATS {
        let report = report(options(format, choice), attempts, &summary, listeners, Some(&comparison));
        check(format, &report);
    }
});

/// Bytes that come a few at a time.
struct InParts<'a> {
    bytes: Cursor<&'a [u8]>,
    some: usize,
}

impl Read for InParts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let some = self.some.min(buffer.len());
        self.bytes.read(&mut buffer[..some])
    }
}

/// Each listener of either side once, with an outcome that its figures allow.
fn check_comparison(baseline: &Baseline, comparison: &BaselineComparison<'_>, summary: &Summary) {
    let mut servers: Vec<_> = baseline.listeners.keys().copied().collect();
    servers.extend(summary.listeners.iter().filter_map(|listener| listener.server));
    servers.sort_unstable();
    servers.dedup();
    let mut compared: Vec<_> = comparison.listeners.iter().map(|listener| listener.server).collect();
    compared.sort_unstable();
    assert_eq!(compared, servers);
    for listener in &comparison.listeners {
        let judged = [&listener.before, &listener.after]
            .map(|figures| figures.as_ref().is_some_and(|figures| figures.judged > 0));
        let fits = match listener.change {
            Change::Worse => listener.shifts.iter().any(|shift| shift.is_rise()),
            Change::Better => listener.shifts.iter().all(|shift| !shift.is_rise()),
            Change::Unchanged => judged[0] == judged[1],
            Change::New => judged == [false, true],
            Change::Gone => judged == [true, false],
        };
        assert!(fits, "{listener:?}");
        for figures in [&listener.before, &listener.after].into_iter().flatten() {
            let shares = [figures.failed().share(), figures.late().share()];
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{listener:?}");
        }
    }
    let (worse, better) = (comparison.count(Change::Worse), comparison.count(Change::Better));
    match comparison.result() {
        None => assert!(!comparison.can_be_judged()),
        Some(Change::Worse) => assert!(worse > 0),
        Some(Change::Better) => assert!(better > 0 && worse == 0),
        Some(_) => assert_eq!((worse, better), (0, 0)),
    }
}

fn summary(attempts: &[Attempt], listeners: &Listeners) -> Summary {
    let packets = attempts.iter().map(|attempt| u64::from(attempt.packets)).sum();
    Summary {
        packets: PacketCounts { total: packets, tcp: packets, ..PacketCounts::default() },
        captures: Vec::new(),
        verdicts: listeners.verdicts(),
        listeners: listeners.listeners(attempts.iter().map(|attempt| attempt.end).max()),
        outside: listeners.outside(),
        coverage: listeners.coverage(),
    }
}
