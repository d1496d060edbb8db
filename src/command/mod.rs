//! The commands: they wire arguments, engine and reports together, and decide nothing else.

pub mod analyse;
#[cfg(target_os = "linux")]
pub mod lab;
pub mod listeners;
pub mod live;
pub mod race;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Everything was done.
    Done,
    /// An attempt has a verdict that `--fail-on` names, or the lab met a disagreement.
    Found,
    /// An input was damaged or packets could not be saved; what could be read was reported.
    Damaged,
}

impl Status {
    /// The exit status of the process.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Found => 1,
            Self::Damaged => 2,
        }
    }
}

/// Allows this process as many descriptors as it may have: each capture and each connect takes one, and shells set the
/// limit to 1,024 for the sake of old programs that use `select()`.
fn raise_descriptor_limit() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where that is refused, whoever finds no descriptor says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// These signals, but SIGHUP only if the program was not told to ignore it: `nohup` has it outlive the terminal.
fn wanted(signals: &[i32]) -> Vec<i32> {
    let ignored = |signal: i32| {
        // SAFETY: all-zero is a valid `sigaction`, and nothing is set.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the structure is valid.
        let known = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } == 0;
        known && action.sa_sigaction == libc::SIG_IGN
    };
    signals.iter().copied().filter(|&signal| signal != libc::SIGHUP || !ignored(signal)).collect()
}
