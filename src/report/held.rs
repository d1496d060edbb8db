//! Attempts that an output holds until all are known: in memory up to a bound, and beyond it in a file without a name.
//!
//! Sorted by position in runs of the bound's length, which are merged when they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::{env, fmt};

use super::ReportFormat;
use crate::handshake::Attempt;
use crate::listener::AttemptFilter;

/// Most attempts in memory: 30 MB. Only one capture in many has as many.
const IN_MEMORY: usize = 65_536;

/// Bytes of each run that are read at once.
const READ_AHEAD: usize = 1 << 15;

/// A temporary file without a name, which is opened before the program gives up the right to.
#[derive(Debug)]
pub struct SpillFile(io::Result<File>);

impl SpillFile {
    /// Opens it in the directory for temporary files, if the report may need it: one of this format that lists these
    /// attempts. That this failed matters only once it is needed.
    #[must_use]
    pub fn open(format: ReportFormat, listed: AttemptFilter) -> Self {
        match format {
            ReportFormat::Json => Self::create(),
            ReportFormat::Text if listed.causes.is_some() => Self::create(),
            _ => Self(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Opens it in the directory for temporary files.
    #[must_use]
    pub fn create() -> Self {
        Self(tempfile::tempfile())
    }
}

/// Attempts in any order, to be read by position.
#[derive(Debug)]
pub struct HeldAttempts {
    bound: usize,
    kept: Vec<Attempt>,
    /// `None` once it is a spill.
    unused: Option<SpillFile>,
    spill: Option<Spill>,
}

/// The attempts in the file.
#[derive(Debug)]
struct Spill {
    file: BufWriter<File>,
    /// End of each run.
    ends: Vec<u64>,
    at: u64,
}

/// The bound is passed, and there is no file to write to.
#[derive(Debug)]
struct NoSpillFile {
    bound: usize,
    reason: io::Error,
}

impl fmt::Display for NoSpillFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bound, reason } = self;
        let directory = env::temp_dir();
        write!(
            f,
            "more than {bound} attempts need a temporary file, and none can be made in {}: {reason}; set TMPDIR, or use \
             --format ndjson, which holds none",
            directory.display()
        )
    }
}

impl std::error::Error for NoSpillFile {}

impl HeldAttempts {
    /// Holds nothing yet.
    #[must_use]
    pub fn new(file: SpillFile) -> Self {
        Self::with_bound(file, IN_MEMORY)
    }

    fn with_bound(file: SpillFile, bound: usize) -> Self {
        Self { bound, kept: Vec::new(), unused: Some(file), spill: None }
    }

    /// Adds an attempt. What was inferred of it is not kept.
    ///
    /// # Errors
    ///
    /// The attempt does not fit into memory, and the file cannot be written.
    pub fn push(&mut self, attempt: Attempt) -> io::Result<()> {
        if self.kept.len() >= self.bound {
            self.spill()?;
        }
        self.kept.push(attempt);
        Ok(())
    }

    /// Writes what is in memory to the file.
    fn spill(&mut self) -> io::Result<()> {
        self.kept.sort_unstable_by_key(|attempt| attempt.ordinal);
        let spill = match (&mut self.spill, self.unused.take()) {
            (Some(spill), _) => spill,
            (none, Some(SpillFile(Ok(file)))) => {
                none.insert(Spill { file: BufWriter::new(file), ends: Vec::new(), at: 0 })
            }
            (None, Some(SpillFile(Err(reason)))) => {
                return Err(io::Error::other(NoSpillFile { bound: self.bound, reason }));
            }
            (None, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        let mut bytes = Vec::new();
        for attempt in self.kept.drain(..) {
            bytes = postcard::to_extend(&attempt, bytes).map_err(io::Error::other)?;
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            spill.file.write_all(&length.to_le_bytes())?;
            spill.file.write_all(&bytes)?;
            spill.at += 4 + u64::from(length);
            bytes.clear();
        }
        spill.file.flush()?;
        spill.ends.push(spill.at);
        Ok(())
    }

    /// Hands over all attempts in order of position.
    ///
    /// # Errors
    ///
    /// The errors of `take`, and of reading the file.
    pub fn read(mut self, mut take: impl FnMut(Attempt) -> io::Result<()>) -> io::Result<()> {
        self.kept.sort_unstable_by_key(|attempt| attempt.ordinal);
        let Some(spill) = self.spill else { return self.kept.into_iter().try_for_each(take) };
        let file = spill.file.into_inner()?;
        let starts = std::iter::once(0).chain(spill.ends.iter().copied());
        let mut runs: Vec<Run<'_>> = starts
            .zip(&spill.ends)
            .map(|(start, &end)| Run::Spilled(SpilledRun::new(&file, start, end)))
            .collect();
        runs.push(Run::Kept(self.kept.into_iter()));
        // The next attempt of each run, the earliest first.
        let mut next = Vec::with_capacity(runs.len());
        let mut order = BinaryHeap::with_capacity(runs.len());
        for (place, run) in runs.iter_mut().enumerate() {
            let first = run.next()?;
            order.extend(first.as_ref().map(|attempt| Reverse((attempt.ordinal, place))));
            next.push(first);
        }
        while let Some(Reverse((_, place))) = order.pop() {
            let (Some(run), Some(slot)) = (runs.get_mut(place), next.get_mut(place)) else { break };
            let following = run.next()?;
            order.extend(following.as_ref().map(|attempt| Reverse((attempt.ordinal, place))));
            if let Some(attempt) = std::mem::replace(slot, following) {
                take(attempt)?;
            }
        }
        Ok(())
    }
}

/// Attempts in order of position.
enum Run<'a> {
    Spilled(SpilledRun<'a>),
    Kept(std::vec::IntoIter<Attempt>),
}

impl Run<'_> {
    fn next(&mut self) -> io::Result<Option<Attempt>> {
        match self {
            Self::Spilled(run) => run.next(),
            Self::Kept(kept) => Ok(kept.next()),
        }
    }
}

/// A run in the file.
struct SpilledRun<'a> {
    bytes: BufReader<RunCursor<'a>>,
    attempt: Vec<u8>,
}

/// Bytes of a file, which others read, too.
struct RunCursor<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for RunCursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let read = self.file.read_at(buffer.get_mut(..length).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<'a> SpilledRun<'a> {
    fn new(file: &'a File, at: u64, end: u64) -> Self {
        let part = RunCursor { file, at, end };
        Self { bytes: BufReader::with_capacity(READ_AHEAD, part), attempt: Vec::new() }
    }

    fn next(&mut self) -> io::Result<Option<Attempt>> {
        let part = self.bytes.get_ref();
        if part.at == part.end && self.bytes.buffer().is_empty() {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.bytes.read_exact(&mut length)?;
        self.attempt.resize(u32::from_le_bytes(length) as usize, 0);
        self.bytes.read_exact(&mut self.attempt)?;
        postcard::from_bytes(&self.attempt).map(Some).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::SharedInference;
    use crate::report::samples;

    /// Attempts of several kinds, each twice.
    fn attempts() -> Vec<Attempt> {
        let samples = [
            samples::overflow_mixed(),
            samples::refused(),
            samples::damaged(),
            samples::ipv6(),
            samples::healthy(),
        ];
        let all = samples.into_iter().flat_map(|(_, attempts)| attempts);
        (0..)
            .zip(all)
            .map(|(ordinal, attempt)| Attempt { ordinal, inference: SharedInference::default(), ..attempt })
            .collect()
    }

    fn read(held: HeldAttempts) -> Vec<Attempt> {
        let mut read = Vec::new();
        held.read(|attempt| {
            read.push(attempt);
            Ok(())
        })
        .unwrap();
        read
    }

    #[test]
    fn attempts_come_back_in_order_wherever_they_were_held() {
        let expected = attempts();
        let mut shuffled = expected.clone();
        fastrand::Rng::with_seed(5).shuffle(&mut shuffled);
        for bound in [1, 7, expected.len() - 1, expected.len(), 1_000] {
            let mut held = HeldAttempts::with_bound(SpillFile::create(), bound);
            for attempt in &shuffled {
                held.push(attempt.clone()).unwrap();
                assert!(held.kept.len() <= bound);
            }
            assert_eq!(read(held), expected, "{bound}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_made_matters_at_the_bound() {
        let none = || SpillFile(Err(io::ErrorKind::PermissionDenied.into()));
        let few: Vec<Attempt> = attempts().into_iter().take(3).collect();
        let mut held = HeldAttempts::with_bound(none(), 3);
        few.iter().for_each(|attempt| held.push(attempt.clone()).unwrap());
        let error = held.push(few[0].clone()).unwrap_err().to_string();
        assert!(error.starts_with("more than 3 attempts need a temporary file"), "{error}");
        assert!(error.contains("permission denied; set TMPDIR"), "{error}");
    }
}
