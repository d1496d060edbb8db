//! Experiments that the machine may spoil: threads that it holds back make other traffic than the one that was meant.
//!
//! Owns how the time that threads were held back is measured, and when an experiment is made again.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::lab_is_possible;

/// Longest time for which a thread may be held back in a run whose failure counts: the experiments' rates are of some
/// milliseconds a client.
const TOLERATED: Duration = Duration::from_millis(20);

/// Runs a test in the lab, where it is possible, until it passes. It fails if it did so in four runs in which no thread was
/// held back for long; an answer that is wrong is wrong each time. On a machine that spoils twelve runs it is not run, and
/// says so.
pub(crate) fn undisturbed(name: &str, test: impl Fn()) {
    const FAILURES: usize = 4;
    const RUNS: usize = 12;
    if !lab_is_possible(name) {
        return;
    }
    let mut failures = 0;
    let mut longest = Duration::ZERO;
    for _ in 0..RUNS {
        let (result, held_back) = measured(|| catch_unwind(AssertUnwindSafe(&test)));
        let Err(panic) = result else { return };
        failures += usize::from(held_back <= TOLERATED);
        if failures == FAILURES {
            resume_unwind(panic);
        }
        longest = longest.max(held_back);
    }
    // Not eprintln!, whose output the harness shows for failing tests only.
    let mut stderr = io::stderr();
    writeln!(stderr, "NOT RUN: {name}: this machine holds threads back, by up to {longest:.0?}").unwrap();
}

/// Runs something, and measures for how long a thread that sleeps beside it was held back at most.
fn measured<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    const SLEEP: Duration = Duration::from_millis(2);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let before = Instant::now();
                thread::sleep(SLEEP);
                longest = longest.max(before.elapsed().saturating_sub(SLEEP));
            }
            longest
        });
        let result = run();
        over.store(true, Ordering::Relaxed);
        (result, sleeper.join().unwrap())
    })
}
