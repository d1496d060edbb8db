//! Many connects, a bounded number of them at once.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::connect::{Call, ConnectPlan, connect};

/// Stack of a client's thread: it makes a handful of system calls.
const STACK: usize = 128 * 1024;
/// Longest sleep of a waiting thread between two looks at the stop flag.
const TICK: Duration = Duration::from_millis(20);

/// Number of connects, and their pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectPace {
    /// In all.
    pub count: usize,
    /// At once.
    pub concurrency: usize,
    /// Between the starts of two of them, at least.
    pub interval: Duration,
}

/// Makes the connects of `pace`, each as `plan` says; no new ones once `stop` is set. Calls come in order
/// of their start.
///
/// # Errors
///
/// Sockets or threads ran out; the connects under way are finished first.
pub fn run(plan: &ConnectPlan, pace: ConnectPace, stop: &AtomicBool) -> io::Result<Vec<Call>> {
    let next = AtomicUsize::new(0);
    let calls = Mutex::new(Vec::with_capacity(pace.count));
    let begin = Instant::now();
    let work = || -> io::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= pace.count || !wait_for_turn(begin, pace.interval, number, stop) {
                return Ok(());
            }
            let (call, _socket) = connect(plan).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            if let Ok(mut calls) = calls.lock() {
                calls.push(call);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..pace.concurrency.min(pace.count))
            .map(|_| {
                let builder = std::thread::Builder::new().name("connect".to_owned()).stack_size(STACK);
                builder.spawn_scoped(scope, work)
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let mut calls = calls.into_inner().map_err(|_| io::Error::other("a connecting thread panicked"))?;
    calls.sort_by_key(|call| call.started);
    Ok(calls)
}

/// Waits for the start of connect `number`; `false` when it should not be made any more.
fn wait_for_turn(begin: Instant, interval: Duration, number: usize, stop: &AtomicBool) -> bool {
    let offset = interval.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        match offset.checked_sub(begin.elapsed()) {
            Some(left) if !left.is_zero() => std::thread::sleep(left.min(TICK)),
            _ => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::race::{Probe, WaitMode};
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn makes_as_many_as_asked_and_none_after_the_stop() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let plan = ConnectPlan {
            target: listener.local_addr().unwrap(),
            source: (Ipv4Addr::LOCALHOST, 0).into(),
            mode: WaitMode::NonBlocking,
            timeout: Duration::from_secs(5),
            send: 0,
            watch: Duration::ZERO,
            probe: Probe::SoError,
        };
        let pace = ConnectPace { count: 30, concurrency: 4, interval: Duration::from_millis(2) };
        let begin = Instant::now();
        let calls = run(&plan, pace, &AtomicBool::new(false)).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(29 * 2));
        assert_eq!(calls.iter().filter(|call| call.succeeded()).count(), 30);
        assert_eq!(run(&plan, pace, &AtomicBool::new(true)).unwrap(), []);
    }
}
