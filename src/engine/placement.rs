//! Where the threads of an analysis begin to run: apart.
//!
//! Linux wakes a thread on the processor of the one that wakes it. While the threads of a pipeline find their pace they
//! sleep and wake one another, so they gather on one processor and take turns there, for tens of milliseconds until the
//! kernel notices; a short capture is read by then. So the thread that collects stays where it is in the beginning,
//! and the others are anywhere else. After that the scheduler has its way. Elsewhere nothing of this happens.

#[cfg(target_os = "linux")]
pub(super) use linux::{Apart, Plan};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{Apart, Plan};

#[cfg(target_os = "linux")]
mod linux {
    use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
    use nix::unistd::Pid;

    /// Pieces of work until the pace is found: some ten milliseconds.
    const BEGINNING: u32 = 64;

    /// Which processors there are, and on which of them the thread that plans runs.
    #[derive(Debug, Clone, Copy)]
    pub(in crate::engine) struct Plan {
        allowed: CpuSet,
        home: usize,
    }

    /// A thread's place, until it is given back.
    #[derive(Debug)]
    pub(in crate::engine) struct Apart {
        allowed: CpuSet,
        left: u32,
    }

    impl Plan {
        /// A plan for so many threads; `None` where they have no processors enough, or the system does not tell.
        pub(in crate::engine) fn new(threads: usize) -> Option<Self> {
            let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
            let home = sched_getcpu().ok().filter(|&cpu| is_in(&allowed, cpu))?;
            let count = (0..CpuSet::count()).filter(|&cpu| is_in(&allowed, cpu)).count();
            (threads > 1 && threads <= count).then_some(Self { allowed, home })
        }

        /// Has the calling thread, the one that planned, stay.
        pub(in crate::engine) fn stay(self) -> Option<Apart> {
            let mut home = CpuSet::new();
            home.set(self.home).ok()?;
            self.place(&home)
        }

        /// Has the calling thread go elsewhere.
        pub(in crate::engine) fn go(self) -> Option<Apart> {
            let mut others = self.allowed;
            others.unset(self.home).ok()?;
            self.place(&others)
        }

        fn place(self, on: &CpuSet) -> Option<Apart> {
            sched_setaffinity(Pid::from_raw(0), on).ok()?;
            Some(Apart { allowed: self.allowed, left: BEGINNING })
        }
    }

    impl Apart {
        /// Notes that a piece of work is done; says whether the place is still held.
        pub(in crate::engine) fn goes_on(&mut self) -> bool {
            self.left = self.left.saturating_sub(1);
            self.left > 0
        }
    }

    impl Drop for Apart {
        fn drop(&mut self) {
            // It was allowed before; if it no longer is, somebody has set limits meanwhile.
            let _ = sched_setaffinity(Pid::from_raw(0), &self.allowed);
        }
    }

    fn is_in(set: &CpuSet, cpu: usize) -> bool {
        set.is_set(cpu) == Ok(true)
    }

    #[cfg(test)]
    mod tests {
        use std::io::{self, Write as _};

        use super::*;

        #[test]
        fn threads_are_apart_and_may_go_everywhere_afterwards() {
            let allowed = || sched_getaffinity(Pid::from_raw(0)).unwrap();
            let before = allowed();
            assert!(Plan::new(1).is_none() && Plan::new(CpuSet::count() + 1).is_none());
            let Some(plan) = Plan::new(2) else {
                // Past the capture of a test's output.
                let _ = writeln!(io::stderr(), "SKIPPED: threads_are_apart: there is one processor only");
                return;
            };
            let mut stays = plan.stay().unwrap();
            assert_eq!(sched_getcpu(), Ok(plan.home));
            let there = std::thread::spawn(move || {
                let _goes = plan.go().unwrap();
                sched_getcpu().unwrap()
            });
            assert_ne!(there.join().unwrap(), plan.home);
            assert_ne!(allowed(), before);
            assert_eq!((1..=BEGINNING).filter(|_| stays.goes_on()).count(), BEGINNING as usize - 1);
            drop(stays);
            assert_eq!(allowed(), before);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    /// Never there.
    #[derive(Debug, Clone, Copy)]
    pub(in crate::engine) enum Plan {}

    /// Never there.
    #[derive(Debug)]
    pub(in crate::engine) enum Apart {}

    impl Plan {
        pub(in crate::engine) fn new(_threads: usize) -> Option<Self> {
            None
        }

        pub(in crate::engine) fn stay(self) -> Option<Apart> {
            match self {}
        }

        pub(in crate::engine) fn go(self) -> Option<Apart> {
            match self {}
        }
    }

    impl Apart {
        pub(in crate::engine) fn goes_on(&mut self) -> bool {
            match *self {}
        }
    }
}
