//! Keeps every CPU busy, to see what that does to a sleeping thread's wake-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// One spinning thread per CPU, until dropped.
#[derive(Debug)]
pub(super) struct Burner {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Burner {
    /// Starts spinning. Threads that cannot be had are done without.
    #[must_use]
    pub(super) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = (0..cpus)
            .filter_map(|_| {
                let stop = Arc::clone(&stop);
                let spin = move || {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                };
                std::thread::Builder::new().name("busy".to_owned()).spawn(spin).ok()
            })
            .collect();
        Self { stop, threads }
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A spinning thread has nothing to fail with.
            let _ = thread.join();
        }
    }
}
