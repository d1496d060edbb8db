//! The default number of threads: as many as there are processors that nobody else is using.
//!
//! Threads that share a processor with other programs wait for one another: measured with both of two processors busy,
//! two threads took a quarter longer than one. So a busy machine gets fewer threads, down to one. The load is measured
//! once, at the start. It is the number of runnable tasks at the moment, and not the load average, which also counts
//! what this program's own previous runs did.

use std::fs;
use std::thread;
use std::time::Duration;

/// Most readings of the load. The lowest counts: a task that is runnable for a moment only is no load.
const READINGS: usize = 4;

/// Time between two readings.
const INTERVAL: Duration = Duration::from_millis(1);

/// The default number of threads, at least 1.
pub(super) fn default_count() -> usize {
    let allowed = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if allowed == 1 {
        return 1;
    }
    // A limit (affinity, cgroup) may allow fewer processors than there are, and others may run on the rest.
    let processors = processors().map_or(allowed, |all| all.max(allowed));
    let mut least = usize::MAX;
    for reading in 0..READINGS {
        if reading > 0 {
            thread::sleep(INTERVAL);
        }
        // Unknown: as if nobody else was running.
        let Some(others) = others() else { return allowed };
        least = least.min(others);
        if free(allowed, processors, least) == allowed {
            break;
        }
    }
    free(allowed, processors, least)
}

/// Number of threads that get a processor of their own beside this many other tasks.
fn free(allowed: usize, processors: usize, others: usize) -> usize {
    processors.saturating_sub(others).clamp(1, allowed)
}

/// Runnable tasks besides the calling thread, on all processors.
fn others() -> Option<usize> {
    runnable(&fs::read_to_string("/proc/loadavg").ok()?)?.checked_sub(1)
}

/// The runnable tasks in a `/proc/loadavg`, the reading one included: the number before the slash (proc_loadavg(5)).
fn runnable(loadavg: &str) -> Option<usize> {
    loadavg.split_whitespace().nth(3)?.split_once('/')?.0.parse().ok()
}

/// Processors that are online.
fn processors() -> Option<usize> {
    let count = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN).ok()??;
    usize::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_busy_processor_takes_a_thread_away_and_one_is_left() {
        let counts = |allowed, processors| [0, 1, 2, 9].map(|others| free(allowed, processors, others));
        assert_eq!(counts(2, 2), [2, 1, 1, 1]);
        assert_eq!(counts(8, 8), [8, 7, 6, 1]);
        // Allowed two of eight processors.
        assert_eq!(counts(2, 8), [2, 2, 2, 1]);
    }

    #[test]
    fn the_load_is_the_number_of_runnable_tasks() {
        assert_eq!(runnable("0.20 0.18 0.12 3/80 11206\n"), Some(3));
        assert_eq!(runnable("0.20 0.18"), None);
        assert_eq!(runnable("0.20 0.18 0.12 x/80 1"), None);
    }

    #[test]
    fn the_default_is_within_what_is_allowed() {
        let allowed = thread::available_parallelism().unwrap().get();
        assert!((1..=allowed).contains(&default_count()));
    }
}
