//! From a path to an input: what kind of file it is, how it is compressed, which format it has.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::os::fd::AsFd;

use super::input::Input;
use super::source::CaptureFormat;
use super::stream::{Counted, Decoder, Members, Raw};
use super::{pcap, pcapng};

/// A file that is not read, and why.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct OpenError {
    /// The path as given.
    pub path: String,
    /// What is wrong with it. Not a `source`: the message above says it already.
    pub reason: OpenReason,
}

/// Why a file cannot be read as a capture.
#[derive(Debug, thiserror::Error)]
pub enum OpenReason {
    /// The system refuses to open or read it.
    #[error("{0}")]
    Io(io::Error),
    /// It is a directory.
    #[error("is a directory; expected a capture file")]
    Directory,
    /// There is nothing in it.
    #[error("is empty; expected a capture")]
    Empty,
    /// It begins with something else than a capture does. The words say where (inside a gzip file,
    /// perhaps) and with what.
    #[error("is not a capture: {found}; expected the magic number of pcap or pcapng")]
    Foreign {
        /// `begins with 7f 45 4c 46 (an ELF executable)`.
        found: String,
    },
    /// A classic pcap file ends inside its file header.
    #[error("ends after {have} of the {} bytes of the pcap file header", pcap::FILE_HEADER)]
    HeaderCut {
        /// Bytes that are there.
        have: usize,
    },
    /// A classic pcap file of a version that nobody wrote.
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
        /// What the decompressor says.
        error: io::Error,
    },
    /// More files than a packet's place can tell apart.
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
    pub(super) fn format(&self) -> CaptureFormat {
        match self {
            Self::Pcap(_) => CaptureFormat::Pcap,
            Self::PcapNg(_) => CaptureFormat::PcapNg,
        }
    }
}

/// The bytes that tell a format or a compression.
const MAGIC: usize = 4;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether zstd data begins so: with a frame, or with one to be skipped (RFC 8878 §3.1.2), as parallel compressors write.
fn is_zstd(magic: &[u8]) -> bool {
    let skippable = |magic: [u8; 4]| u32::from_le_bytes(magic) & 0xffff_fff0 == 0x184d_2a50;
    magic.starts_with(&ZSTD) || magic.first_chunk().is_some_and(|&magic| skippable(magic))
}

/// Files that users take for captures, by how they begin.
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
    let file = if path == "-" { stdin() } else { File::open(path) }.map_err(OpenReason::Io)?;
    let mut input = input(file)?;
    let reader = recognise(&mut input)?;
    Ok((input, reader))
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
    // Files of /proc and /sys are regular, and as long as somebody reads them.
    let regular = meta.is_file() && meta.len() > 0;
    // Standard input may be a file that somebody else has read a part of.
    let at_start = regular && file.stream_position().is_ok_and(|at| at == 0);
    let magic = peek(&mut file).map_err(OpenReason::Io)?;
    let compressed = magic.starts_with(&GZIP) || is_zstd(&magic);
    let mut file = match (at_start, compressed) {
        (true, false) => match Input::mapped(file) {
            Ok(input) => return Ok(input),
            // Some file systems cannot map.
            Err((file, _)) => file,
        },
        _ => file,
    };
    let total = regular.then_some(meta.len());
    let read = if regular { file.stream_position().unwrap_or(0) } else { magic.len() as u64 };
    let raw = Cursor::new(magic.clone()).chain(Counted { file, read });
    let decoder = decoder(raw, &magic)?;
    Ok(Input::stream(decoder, !regular, total))
}

/// The first bytes, fewer only where the file ends.
fn peek(file: &mut File) -> io::Result<Vec<u8>> {
    let mut magic = Vec::with_capacity(MAGIC);
    file.take(MAGIC as u64).read_to_end(&mut magic)?;
    Ok(magic)
}

fn decoder(raw: Raw, magic: &[u8]) -> Result<Decoder, OpenReason> {
    if magic.starts_with(&GZIP) {
        return Ok(Decoder::Gzip(Box::new(Members::new(raw))));
    }
    if is_zstd(magic) {
        let zstd = zstd::Decoder::new(raw)
            .map_err(|error| OpenReason::Compression { compression: "zstd", error })?;
        return Ok(Decoder::Zstd(Box::new(zstd)));
    }
    Ok(Decoder::Plain(raw))
}

/// Tells the format by the first bytes, and reads the file header.
fn recognise(input: &mut Input) -> Result<FormatReader, OpenReason> {
    need(input, MAGIC)?;
    let Some(&magic) = input.view().first_chunk::<MAGIC>() else {
        return Err(if input.view().is_empty() { OpenReason::Empty } else { foreign(input) });
    };
    if pcapng::PcapNgReader::recognises(magic) {
        return Ok(FormatReader::PcapNg(pcapng::PcapNgReader::new()));
    }
    if !pcap::PcapReader::recognises(magic) {
        // Zeros are what a file that was cut meanwhile reads as.
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

/// Brings `bytes` into view, as far as they are there.
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
