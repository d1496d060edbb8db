//! Arbitrary bytes as capture files, through the whole analysis to the verdicts.
//!
//! Looks for panics and hangs, for packets or attempts that are not counted, and for results that depend on how
//! the file was read (mapped, from a pipe, decompressed) or on the number of threads.

#![no_main]

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use hsanalyze::capture::{CaptureOptions, Captures};
use hsanalyze::engine::{self, AnalysisOptions, Sink, Summary};
use hsanalyze::handshake::Attempt;
use hsanalyze_fuzz::check_attempt;
use libfuzzer_sys::fuzz_target;

/// Form in which the same bytes reach the reader.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// A regular file, mapped.
    Plain,
    /// A pipe, whose writer is another thread.
    Pipe,
    /// A file that is to be decompressed.
    Gzip,
    /// As above.
    Zstd,
}

const FORMS: [Form; 4] = [Form::Plain, Form::Pipe, Form::Gzip, Form::Zstd];

const FILTERS: [Option<&str>; 4] = [None, None, Some("tcp port 80"), Some("ether host 1:2:3:4:5:6")];

/// Attempts undecided at once: few, so that some are evicted; or more than an input has.
const MAX_ATTEMPTS: [usize; 4] = [2, 100, 1_000_000, 1_000_000];

// A pipe's writer outlives a reader that stops early. Rust's own start-up code, which libFuzzer's takes the place of,
// has it informed by an error.
// SAFETY: nothing else sets signals here.
fuzz_target!(init: unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) }, |input: (u8, u16, &[u8])| {
    let (choice, cut, data) = input;
    let filter = FILTERS[usize::from(choice >> 2) % 4];
    let max_attempts = MAX_ATTEMPTS[usize::from(choice >> 4) % 4];
    let form = FORMS[usize::from(choice) % 4];
    // The second file, if there is one, is the rest of the bytes.
    let (first, second) = data.split_at(usize::from(cut).min(data.len()));
    let files: &[&[u8]] = if choice & 0x80 == 0 { &[data] } else { &[first, second] };

    // A file that was compressed twice is no capture.
    let packed = files.iter().any(|data| data.starts_with(&[0x1f, 0x8b]) || data.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    let form = if packed && !matches!(form, Form::Pipe) { Form::Plain } else { form };

    let one = analyse(files, Form::Plain, filter, 1, max_attempts);
    let other = analyse(files, form, filter, 1 + usize::from(choice >> 6 & 1) * 2, max_attempts);
    assert_eq!(one.is_some(), other.is_some(), "{form:?}");
    if let (Some(one), Some(other)) = (one, other) {
        // A pipe cannot be looked at beforehand, to see after how long it holds its packets again.
        if matches!(form, Form::Pipe) {
            let counted = |finding: &Finding| {
                let packets = &finding.summary.packets;
                (packets.total, packets.tcp, packets.skipped, packets.icmp_errors())
            };
            assert_eq!(counted(&one), counted(&other));
            return;
        }
        assert_eq!(one.summary.packets, other.summary.packets, "{form:?}");
        assert_eq!(one.summary.listeners, other.summary.listeners, "{form:?}");
        assert_eq!(one.settled, other.settled, "{form:?}");
        assert_eq!(one.delivered, other.delivered, "{form:?}");
    }
});

/// What an analysis found.
struct Finding {
    summary: Summary,
    /// The attempts as they were delivered, in order of decision.
    delivered: Vec<Attempt>,
    /// In order of first packet, with their causes at the end.
    settled: Vec<Attempt>,
}

/// `None` where no file is a capture.
fn analyse(
    files: &[&[u8]],
    form: Form,
    filter: Option<&str>,
    threads: usize,
    max_attempts: usize,
) -> Option<Finding> {
    let places: Vec<Place> =
        files.iter().enumerate().map(|(number, data)| Place::new(form, number, data)).collect();
    let paths: Vec<PathBuf> = places.iter().map(Place::path).collect();
    let options = CaptureOptions { filter: filter.map(str::to_owned), ..CaptureOptions::default() };
    let (mut captures, errors) = Captures::open(&paths, &options).ok()?;
    if errors.len() == files.len() {
        return None;
    }
    let engine = AnalysisOptions { max_attempts, ..AnalysisOptions::default() }.with_threads(threads);
    let mut checked = Checked(Vec::new());
    let (summary, listeners) =
        engine::analyse(&mut captures, &engine, &mut checked).expect("memory does not fail");
    let packets = &summary.packets;
    assert_eq!(packets.tcp + packets.skipped.iter().sum::<u64>() + packets.icmp_errors(), packets.total);
    assert!(packets.total <= summary.captures.iter().map(|capture| capture.packets).sum());
    let delivered = checked.0.len() as u64;
    assert_eq!(summary.verdicts.total(), delivered);
    let listed: u64 = summary.listeners.iter().map(|listener| listener.verdicts.total()).sum();
    assert_eq!(listed, delivered);
    let delivered = checked.0;
    let mut settled = delivered.clone();
    settled.sort_by_key(|attempt| attempt.ordinal);
    settled.iter_mut().for_each(|attempt| attempt.inference = listeners.infer(attempt).into());
    Some(Finding { summary, delivered, settled })
}

/// The attempts, whose figures fit each other.
struct Checked(Vec<Attempt>);

impl Sink for Checked {
    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        check_attempt(attempt);
        self.0.push(attempt.clone());
        Ok(())
    }
}

/// Source of a file's bytes.
enum Place {
    File(PathBuf),
    Pipe(File),
}

impl Place {
    /// Files of one number have one name, which points of the path are told apart by.
    fn new(form: Form, number: usize, data: &[u8]) -> Self {
        let packed = match form {
            Form::Plain => data.to_vec(),
            Form::Pipe => return Self::pipe(data.to_vec()),
            Form::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(data).and_then(|()| encoder.finish()).expect("memory does not fail")
            }
            Form::Zstd => zstd::encode_all(data, 1).expect("memory does not fail"),
        };
        let path = std::env::temp_dir().join(format!("hsanalyze-fuzz-{}-{number}", std::process::id()));
        fs::write(&path, packed).expect("room for it");
        Self::File(path)
    }

    fn pipe(data: Vec<u8>) -> Self {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        // The reader may stop early: then nobody wants the rest.
        std::thread::spawn(move || writer.write_all(&data));
        Self::Pipe(File::from(std::os::fd::OwnedFd::from(reader)))
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Pipe(file) => format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::File(path) = self {
            // It is temporary: what stays behind hurts nobody.
            let _ = fs::remove_file(path);
        }
    }
}
