//! Saves packets of a live capture to files: classic pcap with nanoseconds, rotated by size and time as tcpdump does.
//!
//! Owns names and content of the files, and what happens when the disk is full. Does not own the choice of packets.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use crate::packet::{Frame, LinkType, Span, Timestamp};

/// Rules for beginning a new file, and the number of files that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotation {
    /// Begin another file once this one has more than so many bytes (tcpdump's `-C`).
    pub bytes: Option<u64>,
    /// Begin another file after so much packet time (tcpdump's `-G`).
    pub period: Option<Span>,
    /// Keep so many files: with `bytes` they are overwritten in turn, with `period` alone saving ends with the last one
    /// (tcpdump's `-W`).
    pub files: Option<u32>,
}

/// Length of a record header.
const RECORD_HEADER: usize = 16;

/// Magic number of classic pcap with nanoseconds, in the byte order of the file.
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;

/// Writes packets to files until an error.
pub struct Saver {
    path: PathBuf,
    rotation: Rotation,
    link: LinkType,
    snap_length: u32,
    file: Option<OpenFile>,
    /// The name of the previous file, after its `strftime` conversions.
    converted: Option<OsString>,
    /// Files begun so far.
    begun: u64,
    error: Option<String>,
}

/// An open file. Records are buffered, so that only whole ones are left where writing fails.
struct OpenFile {
    path: PathBuf,
    file: File,
    /// Whole records that are not yet written.
    buffer: Vec<u8>,
    /// Bytes of the file, with those of the buffer.
    bytes: u64,
    /// The time of the first packet.
    since: Option<Timestamp>,
}

/// Bytes that are written at once.
const BUFFER: usize = 1 << 18;

impl OpenFile {
    fn add(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        self.since.get_or_insert(frame.at);
        self.bytes += record(&mut self.buffer, frame)?;
        if self.buffer.len() < BUFFER { Ok(()) } else { self.flush() }
    }

    /// Writes the buffer. After an error the file ends with a whole record, and the rest of the buffer is lost.
    fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            match self.buffer.get(written..) {
                None | Some([]) => break Ok(()),
                Some(rest) => match self.file.write(rest) {
                    Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                    Ok(bytes) => written += bytes,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                },
            }
        };
        if result.is_err() {
            // Without effect on a pipe or a device.
            let _ = self.truncate(written - whole_records(&self.buffer, written));
        }
        self.buffer.clear();
        result
    }

    /// Removes the last bytes of the file.
    fn truncate(&mut self, bytes: usize) -> io::Result<()> {
        let end = self.file.stream_position()?;
        self.file.set_len(end.saturating_sub(bytes as u64))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // The errors that matter are those of `flush`, which is called once a second and at the end.
        let _ = self.flush();
    }
}

/// The length of the records that are whole within the first bytes of a buffer of records.
fn whole_records(buffer: &[u8], written: usize) -> usize {
    let mut whole = 0;
    while let Some(captured) = buffer.get(whole + 8..).and_then(|field| field.first_chunk()) {
        let end = whole + RECORD_HEADER + u32::from_le_bytes(*captured) as usize;
        if end > written {
            break;
        }
        whole = end;
    }
    whole
}

impl Saver {
    /// Creates the (first) file. With a period, its name may contain `strftime` conversions; where they give the name
    /// of the previous file, or there are none, a number is appended from the second file on, as it is with a size.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub fn create(
        path: &Path,
        rotation: Rotation,
        link: LinkType,
        snap_length: u32,
        now: Timestamp,
    ) -> io::Result<Self> {
        let mut saver = Self {
            path: path.to_owned(),
            rotation,
            link,
            snap_length,
            file: None,
            converted: None,
            begun: 0,
            error: None,
        };
        saver.begin(now).map_err(|(_, error)| error)?;
        Ok(saver)
    }

    /// Adds a packet. After an error nothing more is written.
    pub fn add(&mut self, frame: &Frame<'_>) {
        if self.error.is_some() {
            return;
        }
        if let Err((path, error)) = self.try_add(frame) {
            self.fail(&path, &error);
        }
    }

    /// Flushes the buffer, so that a reader of the file sees all packets.
    pub fn flush(&mut self) {
        let Some(open) = &mut self.file else { return };
        if let Err(error) = open.flush() {
            let path = open.path.clone();
            self.fail(&path, &error);
        }
    }

    /// The error that has ended the saving.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    fn fail(&mut self, path: &Path, error: &io::Error) {
        self.error = Some(format!("cannot write {}: {error}; packets are no longer saved", path.display()));
        self.file = None;
    }

    fn try_add(&mut self, frame: &Frame<'_>) -> Result<(), (PathBuf, io::Error)> {
        if self.belongs_to_next(frame.at) {
            self.end()?;
            if self.has_last() {
                return Ok(());
            }
            self.begin(frame.at)?;
        }
        let Some(open) = &mut self.file else { return Ok(()) };
        open.add(frame).map_err(|error| (open.path.clone(), error))
    }

    /// True if the packet belongs to another file than the open one.
    fn belongs_to_next(&self, at: Timestamp) -> bool {
        let Some(open) = &self.file else { return false };
        let large = self.rotation.bytes.is_some_and(|bytes| open.bytes > bytes);
        let old =
            self.rotation.period.zip(open.since).is_some_and(|(period, since)| at.since(since) >= period);
        large || old
    }

    /// True if no other file may follow.
    fn has_last(&self) -> bool {
        let Rotation { bytes, period, files } = self.rotation;
        bytes.is_none() && period.is_some() && files.is_some_and(|files| self.begun >= u64::from(files))
    }

    fn end(&mut self) -> Result<(), (PathBuf, io::Error)> {
        match self.file.take() {
            Some(mut open) => open.flush().map_err(|error| (open.path.clone(), error)),
            None => Ok(()),
        }
    }

    fn begin(&mut self, now: Timestamp) -> Result<(), (PathBuf, io::Error)> {
        let path = self.name(now);
        let begun = File::create(&path).and_then(|mut file| {
            let bytes = header(&mut file, self.link, self.snap_length)?;
            let buffer = Vec::with_capacity(BUFFER);
            Ok(OpenFile { path: path.clone(), file, buffer, bytes, since: None })
        });
        self.file = Some(begun.map_err(|error| (path, error))?);
        self.begun += 1;
        Ok(())
    }

    /// The name of the next file.
    fn name(&mut self, now: Timestamp) -> PathBuf {
        let Rotation { bytes, period, files } = self.rotation;
        let by_size = bytes.is_some();
        let pattern = self.path.to_str().filter(|name| period.is_some() && name.contains('%'));
        let converted: Option<OsString> = pattern.map(|pattern| strftime(pattern, now).into());
        // Conversions coarser than the period give the same name twice; the previous file must not be overwritten.
        let is_new = converted.is_some() && converted != self.converted;
        let mut name = converted.clone().unwrap_or_else(|| self.path.clone().into());
        self.converted = converted;
        let number = match files.filter(|_| by_size) {
            Some(files) => self.begun % u64::from(files.max(1)),
            None => self.begun,
        };
        if let Some(files) = files.filter(|_| by_size) {
            // As many digits as the last number has, so that the names sort; tcpdump numbers the first file then, too.
            let digits = files.saturating_sub(1).to_string().len();
            name.push(format!("{number:0digits$}"));
        } else if number > 0 && (by_size || !is_new) {
            name.push(number.to_string());
        }
        name.into()
    }
}

/// Local time as formatted by `strftime`; the pattern itself if it is wrong.
fn strftime(pattern: &str, now: Timestamp) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(now.as_nanos())).unwrap_or_default();
    let local = time.to_zoned_datetime(jiff::tz::TimeZone::system());
    jiff::fmt::strtime::format(pattern, &local).unwrap_or_else(|_| pattern.to_owned())
}

/// Writes the file header (draft-ietf-opsawg-pcap §4), and returns its length.
fn header(out: &mut impl Write, link: LinkType, snap_length: u32) -> io::Result<u64> {
    // Raw IP has one number in libpcap's interface and another one in files.
    let link = if link == LinkType::RAW_12 || link == LinkType::RAW_14 { LinkType::RAW } else { link };
    let (major, minor) = (2_u16, 4_u16);
    let mut bytes = Vec::with_capacity(24);
    bytes.extend(MAGIC_NANOS.to_le_bytes());
    bytes.extend(major.to_le_bytes());
    bytes.extend(minor.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(snap_length.to_le_bytes());
    bytes.extend(u32::from(link.0).to_le_bytes());
    out.write_all(&bytes)?;
    Ok(bytes.len() as u64)
}

/// Writes a packet record (draft-ietf-opsawg-pcap §5), and returns its length.
fn record(out: &mut impl Write, frame: &Frame<'_>) -> io::Result<u64> {
    const NANOS: i64 = 1_000_000_000;
    let nanos = frame.at.as_nanos().max(0);
    let seconds = u32::try_from(nanos / NANOS).unwrap_or(u32::MAX);
    let rest = u32::try_from(nanos % NANOS).unwrap_or(0);
    let captured = u32::try_from(frame.data.len()).map_err(io::Error::other)?;
    let mut head = [0; RECORD_HEADER];
    for (place, value) in head.chunks_exact_mut(4).zip([seconds, rest, captured, frame.wire_len]) {
        place.copy_from_slice(&value.to_le_bytes());
    }
    out.write_all(&head)?;
    out.write_all(frame.data)?;
    Ok((head.len() + frame.data.len()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{CaptureOptions, Captures, Source, SourceStatus};
    use crate::packet::FrameRef;

    fn saver(path: &Path, rotation: Rotation) -> Saver {
        Saver::create(path, rotation, LinkType::ETHERNET, 256, at(0)).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(1_800_000_000_000_000_000).plus(Span::from_secs(seconds))
    }

    fn add(saver: &mut Saver, at: Timestamp) {
        let (frame, link) = (FrameRef::new(0, 1), LinkType::ETHERNET);
        saver.add(&Frame { at, frame, link, wire_len: 1500, data: &[7; 84] });
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The number of packets of [`add`] in the files.
    fn kept(directory: &Path) -> u64 {
        let size = |name: String| std::fs::metadata(directory.join(name)).unwrap().len();
        names(directory).into_iter().map(|name| (size(name) - 24) / 100).sum()
    }

    #[test]
    fn saved_packets_can_be_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcap");
        let mut saver = saver(&path, Rotation::default());
        let time = at(0).plus(Span::from_nanos(123_456_789));
        add(&mut saver, time);
        saver.flush();
        assert_eq!(saver.error(), None);
        let (mut captures, errors) = Captures::open(&[&path], &CaptureOptions::default()).unwrap();
        assert!(errors.is_empty());
        let mut frames = Vec::new();
        let status = captures.read(10, &mut |some| {
            frames.extend(some.iter().map(|f| (f.at, f.wire_len, f.data.to_vec(), f.link)));
        });
        assert_eq!(status, SourceStatus::End);
        assert_eq!(frames, [(time, 1500, vec![7; 84], LinkType::ETHERNET)]);
    }

    #[test]
    fn files_follow_by_size_and_are_overwritten_in_turn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcap");
        let bytes = Some(24 + 2 * 100 - 1);
        let mut endless = saver(&path, Rotation { bytes, ..Rotation::default() });
        (0..6).for_each(|n| add(&mut endless, at(n)));
        assert_eq!(names(directory.path()), ["a.pcap", "a.pcap1", "a.pcap2"]);
        let ring = directory.path().join("ring");
        std::fs::create_dir(&ring).unwrap();
        let rotation = Rotation { bytes, files: Some(11), period: None };
        let mut ringed = saver(&ring.join("r"), rotation);
        (0..25).for_each(|n| add(&mut ringed, at(n)));
        ringed.flush();
        let expected: Vec<_> = (0..11).map(|n| format!("r{n:02}")).collect();
        assert_eq!(names(&ring), expected);
        let size = |name: &str| std::fs::metadata(ring.join(name)).unwrap().len();
        assert_eq!((size("r00"), size("r02")), (24 + 200, 24 + 200));
        assert_eq!(size("r01"), 24 + 100, "begun anew");
    }

    #[test]
    fn files_follow_by_time_and_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t-%s.pcap");
        let rotation = Rotation { period: Some(Span::from_secs(10)), files: Some(2), bytes: None };
        let mut saver = saver(&path, rotation);
        [0, 9, 10, 15, 21, 40].into_iter().for_each(|n| add(&mut saver, at(n)));
        assert_eq!(names(directory.path()), ["t-1800000000.pcap", "t-1800000010.pcap"]);
        assert_eq!((kept(directory.path()), saver.error()), (4, None));
    }

    #[test]
    fn a_name_that_comes_twice_in_a_row_gets_a_number() {
        let directory = tempfile::tempdir().unwrap();
        let rotation = Rotation { period: Some(Span::from_secs(10)), ..Rotation::default() };
        let mut saver = saver(&directory.path().join("t-%Y"), rotation);
        [0, 10, 20].into_iter().for_each(|n| add(&mut saver, at(n)));
        assert_eq!(names(directory.path()), ["t-2027", "t-20271", "t-20272"]);
        saver.flush();
        assert_eq!((kept(directory.path()), saver.error()), (3, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_reported_once_and_ends_the_saving() {
        let refused = Saver::create(
            Path::new("/dev/full"),
            Rotation::default(),
            LinkType::ETHERNET,
            256,
            Timestamp::default(),
        );
        assert_eq!(refused.err().unwrap().kind(), io::ErrorKind::StorageFull);
        let directory = tempfile::tempdir().unwrap();
        let mut saver = saver(&directory.path().join("a"), Rotation::default());
        saver.file.as_mut().unwrap().file = File::create("/dev/full").unwrap();
        add(&mut saver, at(0));
        saver.flush();
        let error = saver.error().unwrap().to_owned();
        assert!(error.contains("No space left on device") && error.contains("no longer saved"), "{error}");
        add(&mut saver, at(1));
        saver.flush();
        assert_eq!(saver.error(), Some(error.as_str()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_cannot_grow_ends_with_a_whole_record() {
        use nix::fcntl::{FcntlArg, SealFlag, fcntl};
        use nix::sys::memfd::{MFdFlags, memfd_create};

        let directory = tempfile::tempdir().unwrap();
        let mut saver = saver(&directory.path().join("a"), Rotation::default());
        // Writes fail past two pages, in the middle of a record of 100 bytes.
        let limited = File::from(memfd_create("limited", MFdFlags::MFD_ALLOW_SEALING).unwrap());
        limited.set_len(2 * 4096).unwrap();
        fcntl(&limited, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW)).unwrap();
        saver.file.as_mut().unwrap().file = limited.try_clone().unwrap();
        (0..100).for_each(|n| add(&mut saver, at(n)));
        saver.flush();
        assert!(saver.error().is_some());
        assert_eq!(limited.metadata().unwrap().len(), 81 * 100);
    }
}
