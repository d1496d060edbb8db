//! Opens a path: recognises the kind of file, its compression and its format.

use crate::packet::CapturePoint;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;

use super::input::Input;
use super::source::CaptureFormat;
use super::stream::{CountingFile, Decompressor, GzipMembers, Raw, StreamKind};
use super::{pcap, pcapng};

/// A file that is not read, and the reason.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct OpenError {
    /// The path as given.
    pub path: String,
    /// The reason. Not a `source`, since the message above includes it.
    pub reason: OpenReason,
}

/// Reasons why a file cannot be read as a capture.
#[derive(Debug, thiserror::Error)]
pub enum OpenReason {
    /// There is no such file.
    #[error("not found")]
    Missing,
    /// The file cannot be opened or read.
    #[error("{0}")]
    Io(io::Error),
    /// The path is that of a directory.
    #[error("is a directory; expected a capture file")]
    Directory,
    /// The input is empty.
    #[error("is empty; expected a capture")]
    Empty,
    /// The input does not begin as a capture does.
    #[error("is not a capture: {found}; expected the magic number of pcap or pcapng")]
    Foreign {
        /// The first bytes as a message: `begins with 7f 45 4c 46 (an ELF executable)`.
        found: String,
    },
    /// A classic pcap file ends inside its file header.
    #[error("ends after {have} of the {} bytes of the pcap file header", pcap::FILE_HEADER)]
    HeaderCut {
        /// The length of the file.
        have: usize,
    },
    /// A classic pcap file of an unknown version.
    #[error("is of pcap version {major}.{minor}; expected 2.x")]
    Version {
        /// Major version number.
        major: u16,
        /// Minor version number.
        minor: u16,
    },
    /// The compressed data in it is damaged from the start.
    #[error("cannot be decompressed as {compression}: {error}")]
    Compression {
        /// `gzip` or `zstd`.
        compression: &'static str,
        /// The decompressor's error.
        error: io::Error,
    },
    /// The input cannot be read while it grows.
    #[error("{0}")]
    NotFollowed(&'static str),
    /// More files than a [`FrameRef`](crate::packet::FrameRef) can tell apart.
    #[error("is one file too many; at most {} can be read as one capture", u16::MAX)]
    TooMany,
}

/// The reader of a format, with its state.
#[derive(Debug)]
pub(super) enum FormatReader {
    Pcap(pcap::PcapReader),
    PcapNg(pcapng::PcapNgReader),
}

impl FormatReader {
    /// The points of its interfaces, where there are several.
    pub(super) fn points(&self) -> Vec<CapturePoint> {
        match self {
            Self::Pcap(_) => Vec::new(),
            Self::PcapNg(pcapng) => pcapng.points().to_vec(),
        }
    }

    pub(super) fn format(&self) -> CaptureFormat {
        match self {
            Self::Pcap(_) => CaptureFormat::Pcap,
            Self::PcapNg(_) => CaptureFormat::PcapNg,
        }
    }
}

/// Length of the magic number of a format or a compression.
const MAGIC: usize = 4;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// True if zstd data begins with these bytes: with a frame, or with a skippable one (RFC 8878 §3.1.2), which parallel
/// compressors write.
fn is_zstd(magic: &[u8]) -> bool {
    let skippable = |magic: [u8; 4]| u32::from_le_bytes(magic) & 0xffff_fff0 == 0x184d_2a50;
    magic.starts_with(&ZSTD) || magic.first_chunk().is_some_and(|&magic| skippable(magic))
}

/// Files that users take for captures, by their first bytes.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"\x7fELF", "an ELF executable"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"\xfd7zX", "xz-compressed: decompress it first"),
    (b"BZh", "bzip2-compressed: decompress it first"),
    (b"\x04\x22\x4d\x18", "lz4-compressed: decompress it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (&GZIP, "gzip-compressed twice"),
    (&ZSTD, "zstd-compressed twice"),
    (b"snoo", "a snoop capture: convert it with editcap"),
    (b"RTSS", "a Network Monitor capture: convert it with editcap"),
    (b"GMBU", "a Network Monitor capture: convert it with editcap"),
    (b"TRSN", "a NetXray capture: convert it with editcap"),
    (b"%PDF", "a PDF document"),
    (b"{", "JSON text"),
    (b"<", "markup text"),
];

/// Opens `path`, or standard input for `-`, and recognises what is in it.
pub(super) fn open(path: &OsStr) -> Result<(Input, FormatReader), OpenReason> {
    let file = if path == "-" { stdin() } else { File::open(path) };
    let mut input = input(file.map_err(reason)?)?;
    let reader = recognise(&mut input)?;
    Ok((input, reader))
}

/// The same for a file whose bytes are in memory.
#[cfg(feature = "fuzzing")]
pub(super) fn open_bytes(bytes: Vec<u8>) -> Result<(Input, FormatReader), OpenReason> {
    let magic = bytes.get(..bytes.len().min(MAGIC)).unwrap_or_default().to_vec();
    let (read, total) = (bytes.len() as u64, Some(bytes.len() as u64));
    // Nothing follows the bytes.
    let file = File::open("/dev/null").map_err(reason)?;
    let raw = Cursor::new(bytes).chain(CountingFile { file, read });
    let mut input = Input::stream(decompressor(raw, &magic)?, StreamKind::File, total);
    let reader = recognise(&mut input)?;
    Ok((input, reader))
}

/// The same for a regular file to which another program is still writing: where it ends, more may come.
pub(super) fn open_growing(path: &OsStr) -> Result<(Input, FormatReader), OpenReason> {
    let mut file = File::open(path).map_err(reason)?;
    if !file.metadata().map_err(OpenReason::Io)?.is_file() {
        return Err(OpenReason::NotFollowed("is no regular file; a pipe is read without --follow"));
    }
    let magic = peek(&mut file).map_err(OpenReason::Io)?;
    if magic.starts_with(&GZIP) || is_zstd(&magic) {
        return Err(OpenReason::NotFollowed("is compressed; only uncompressed captures can be followed"));
    }
    let read = magic.len() as u64;
    let raw = Cursor::new(magic).chain(CountingFile { file, read });
    let mut input = Input::stream(Decompressor::Plain(raw), StreamKind::Growing, None);
    let reader = recognise(&mut input)?;
    Ok((input, reader))
}

fn reason(error: io::Error) -> OpenReason {
    match error.kind() {
        io::ErrorKind::NotFound => OpenReason::Missing,
        _ => OpenReason::Io(error),
    }
}

/// True if this input can be read a second time: a regular file, and no pipe, device or standard input.
pub(crate) fn can_be_read_again(path: &OsStr) -> bool {
    path != "-" && Path::new(path).is_file()
}

/// Standard input without the buffer of `std::io::stdin`, so that it can be mapped when it is a file,
/// and polled when it is a pipe.
pub(crate) fn stdin() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

fn input(mut file: File) -> Result<Input, OpenReason> {
    let meta = file.metadata().map_err(OpenReason::Io)?;
    if meta.is_dir() {
        return Err(OpenReason::Directory);
    }
    // Files of /proc and /sys are regular files of size 0 with content.
    let regular = meta.is_file() && meta.len() > 0;
    // Standard input may be a file of which another program has read a part.
    let at_start = regular && file.stream_position().is_ok_and(|at| at == 0);
    let magic = peek(&mut file).map_err(OpenReason::Io)?;
    let compressed = magic.starts_with(&GZIP) || is_zstd(&magic);
    let mut file = match (at_start, compressed) {
        (true, false) => match Input::mapped(file) {
            Ok(input) => return Ok(input),
            // Some file systems do not support mapping.
            Err((file, _)) => file,
        },
        _ => file,
    };
    let total = regular.then_some(meta.len());
    let read = if regular { file.stream_position().unwrap_or(0) } else { magic.len() as u64 };
    let raw = Cursor::new(magic.clone()).chain(CountingFile { file, read });
    let decompressor = decompressor(raw, &magic)?;
    let kind = if regular { StreamKind::File } else { StreamKind::Pipe };
    Ok(Input::stream(decompressor, kind, total))
}

/// The first [`MAGIC`] bytes, fewer only if the file is shorter.
fn peek(file: &mut File) -> io::Result<Vec<u8>> {
    let mut magic = Vec::with_capacity(MAGIC);
    file.take(MAGIC as u64).read_to_end(&mut magic)?;
    Ok(magic)
}

fn decompressor(raw: Raw, magic: &[u8]) -> Result<Decompressor, OpenReason> {
    if magic.starts_with(&GZIP) {
        return Ok(Decompressor::Gzip(Box::new(GzipMembers::new(raw))));
    }
    if is_zstd(magic) {
        let zstd = zstd::Decoder::new(raw)
            .map_err(|error| OpenReason::Compression { compression: "zstd", error })?;
        return Ok(Decompressor::Zstd(Box::new(zstd)));
    }
    Ok(Decompressor::Plain(raw))
}

/// Recognises the format by the first bytes, and reads the file header.
fn recognise(input: &mut Input) -> Result<FormatReader, OpenReason> {
    need(input, MAGIC)?;
    let Some(&magic) = input.view().first_chunk::<MAGIC>() else {
        return Err(if input.view().is_empty() { OpenReason::Empty } else { foreign(input) });
    };
    if pcapng::PcapNgReader::recognises(magic) {
        return Ok(FormatReader::PcapNg(pcapng::PcapNgReader::new()));
    }
    if !pcap::PcapReader::recognises(magic) {
        // A file that was cut meanwhile reads as zeros.
        return Err(match input.shrunk(MAGIC) {
            Some(size) => OpenReason::HeaderCut { have: size as usize },
            None => foreign(input),
        });
    }
    need(input, pcap::FILE_HEADER)?;
    let Some(header) = input.view().first_chunk() else {
        return Err(OpenReason::HeaderCut { have: input.view().len() });
    };
    let reader =
        pcap::PcapReader::new(header).map_err(|(major, minor)| OpenReason::Version { major, minor })?;
    input.consume(pcap::FILE_HEADER);
    Ok(FormatReader::Pcap(reader))
}

/// Brings `bytes` into view, or fewer if the file is shorter.
fn need(input: &mut Input, bytes: usize) -> Result<(), OpenReason> {
    let compression = input.compression();
    input.fill(bytes).map(|_| ()).map_err(|error| match compression {
        Some(compression) => OpenReason::Compression { compression, error },
        None => OpenReason::Io(error),
    })
}

fn foreign(input: &Input) -> OpenReason {
    let view = input.view();
    let head = view.get(..view.len().min(MAGIC)).unwrap_or_default();
    let inside = input.compression().map(|c| format!("the {c} data in it ")).unwrap_or_default();
    let bytes: Vec<String> = head.iter().map(|o| format!("{o:02x}")).collect();
    let known = FOREIGN.iter().find(|(magic, _)| view.starts_with(magic));
    let known = known.map(|(_, name)| format!(" ({name})")).unwrap_or_default();
    OpenReason::Foreign { found: format!("{inside}begins with {}{known}", bytes.join(" ")) }
}
