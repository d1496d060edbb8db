//! The commands: they wire arguments, engine and reports together, and decide nothing else.

pub mod analyse;
mod config;
mod fail_on;
mod given_time;
#[cfg(all(target_os = "linux", feature = "lab"))]
pub mod lab;
pub mod listeners;
pub mod live;
#[cfg(target_os = "linux")]
pub mod netns_helper;
mod outputs;
pub mod race;
pub mod size;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
pub use fail_on::{Condition, UnknownCondition};
pub use given_time::GivenTime;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Result of a command that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Everything was done.
    Done,
    /// A condition of `--fail-on` is met, or the lab met a disagreement.
    Finding,
    /// `--fail-on` has nothing to judge.
    NothingToJudge,
    /// An input was damaged or packets could not be saved; what could be read was reported.
    Damaged,
}

impl Status {
    /// The exit status of the process.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Finding => 1,
            Self::Damaged | Self::NothingToJudge => 2,
        }
    }
}

/// Allows this process as many descriptors as it may have: each capture and each connect takes one, and shells set the
/// limit to 1,024 for the sake of old programs that use `select()`.
fn raise_descriptor_limit() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // A refusal shows later, as an error of the file that finds no descriptor.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Refuses to write packets, by `option`, and something else to one file: what is finished last would replace the other.
/// With `numbered`, `packets` is the beginning of the names of several files.
fn refuse_one_file_for_two(
    (option, packets): (&str, &Path),
    numbered: bool,
    (other_option, other): (&str, &Path),
) -> anyhow::Result<()> {
    /// The place of a file, existing or not; none for a device, which takes any number of outputs.
    fn place(path: &Path) -> Option<PathBuf> {
        if let Ok(path) = fs::canonicalize(path) {
            return path.is_file().then_some(path);
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Some(fs::canonicalize(directory.unwrap_or(Path::new("."))).ok()?.join(path.file_name()?))
    }
    /// The name that a numbered file's begins with.
    fn unnumbered(place: &Path) -> Option<PathBuf> {
        let name = place.file_name()?.to_str()?;
        Some(place.with_file_name(name.trim_end_matches(|c: char| c.is_ascii_digit())))
    }
    let (Some(packets), Some(report)) = (place(packets), place(other)) else { return Ok(()) };
    if packets == report || numbered && unnumbered(&report) == Some(packets) {
        bail!("{option} and {other_option} both name {}: each needs a file of its own", other.display());
    }
    Ok(())
}

/// Returns `signals`, without SIGHUP where it is ignored: under `nohup` the program outlives the terminal.
#[expect(unsafe_code, reason = "nix cannot ask for a signal's action without setting another")]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_and_report_need_a_file_each() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        let around = directory.path().join(".").join("one");
        for there in [false, true] {
            assert_eq!(one.exists(), there);
            assert!(refuse_one_file_for_two(("-w", &one), false, ("-o", &around)).is_err());
            assert!(refuse_one_file_for_two(("-w", &one), false, ("-o", &other)).is_ok());
            let second = directory.path().join("one01");
            assert!(refuse_one_file_for_two(("-w", &one), false, ("-o", &second)).is_ok());
            assert!(refuse_one_file_for_two(("-w", &one), true, ("-o", &second)).is_err());
            fs::write(&one, "").unwrap();
        }
        std::os::unix::fs::symlink(&one, &other).unwrap();
        assert!(refuse_one_file_for_two(("-w", &one), false, ("-o", &other)).is_err());
        let null = Path::new("/dev/null");
        assert!(refuse_one_file_for_two(("-w", null), false, ("-o", null)).is_ok());
    }
}
