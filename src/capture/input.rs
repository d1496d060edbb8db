//! The octets of one capture, in place: a moving memory map for regular files, one reused buffer for
//! everything else.
//!
//! Owns mapping, reading, decompression and whether the next read may block. Does not own what the
//! octets mean.

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::window::{Window, page_size};
use crate::packet::Shared;

/// How much of a file is mapped at a time. Larger windows are no faster; this much counts as
/// resident, though not as anonymous, memory.
const WINDOW: u64 = 16 << 20;

/// The buffer for what cannot be mapped: four fills of a Linux pipe. Grows only for a single record
/// that is larger.
const BUFFER: usize = 256 << 10;

/// What is known of the octets asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    /// They are in view.
    Ready,
    /// They have not arrived, and reading on may block.
    Starved,
    /// The input ends before them.
    End,
}

/// Whether [`Input::fill`] may block on a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// As often as it takes.
    Always,
    /// For one read; what comes with it is worth a look.
    Once,
    /// Not at all.
    Never,
}

/// The octets of one capture, after decompression.
#[derive(Debug)]
pub(super) struct Input {
    octets: Octets,
    /// Where `view` begins, counted from the start of the (decompressed) input.
    offset: u64,
    pub(super) patience: Patience,
}

#[derive(Debug)]
enum Octets {
    Mapped(Mapped),
    Stream(Stream),
}

/// A regular, uncompressed file.
#[derive(Debug)]
struct Mapped {
    file: File,
    window: Arc<Window>,
    /// The same, for those who keep frames of it.
    shared: Shared,
    /// Octets of the window that were consumed.
    used: usize,
}

/// A window, for those who keep frames of it.
struct Held(Arc<Window>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Anything that can only be read.
#[derive(Debug)]
struct Stream {
    source: Decoder,
    buffer: Vec<u8>,
    used: usize,
    end: usize,
    may_block: bool,
    /// The size of the file behind it, for the progress; `None` for a pipe.
    total: Option<u64>,
}

/// A file or pipe whose first octets were already looked at.
pub(super) type Raw = Chain<Cursor<Vec<u8>>, Counted>;

/// Counts what is read from a file or pipe.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) file: File,
    pub(super) read: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read += n as u64;
        Ok(n)
    }
}

/// How the octets are compressed, if they are.
pub(super) enum Decoder {
    Plain(Raw),
    Gzip(Box<MultiGzDecoder<BufReader<Raw>>>),
    Zstd(Box<zstd::Decoder<'static, BufReader<Raw>>>),
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.compression().unwrap_or("plain"))
    }
}

impl Decoder {
    fn raw(&self) -> &Counted {
        let chain = match self {
            Self::Plain(raw) => raw,
            Self::Gzip(gzip) => gzip.get_ref().get_ref(),
            Self::Zstd(zstd) => zstd.get_ref().get_ref(),
        };
        chain.get_ref().1
    }

    fn compression(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => None,
            Self::Gzip(_) => Some("gzip"),
            Self::Zstd(_) => Some("zstd"),
        }
    }
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(raw) => raw.read(buffer),
            Self::Gzip(gzip) => gzip.read(buffer),
            Self::Zstd(zstd) => zstd.read(buffer),
        }
    }
}

impl Input {
    /// A regular file of which more than nothing is there.
    ///
    /// # Errors
    ///
    /// The file cannot be mapped; it is given back, to be read instead.
    pub(super) fn mapped(file: File) -> Result<Self, (File, io::Error)> {
        let window = file.metadata().and_then(|meta| Mapped::window(&file, 0, meta.len()));
        match window {
            Ok(window) => {
                let shared = Shared::new(Held(window.clone()));
                Ok(Self::new(Octets::Mapped(Mapped { file, window, shared, used: 0 })))
            }
            Err(error) => Err((file, error)),
        }
    }

    /// Anything else; `may_block` for a pipe, `total` for a file of known size.
    pub(super) fn stream(source: Decoder, may_block: bool, total: Option<u64>) -> Self {
        let buffer = vec![0; BUFFER];
        Self::new(Octets::Stream(Stream { source, buffer, used: 0, end: 0, may_block, total }))
    }

    fn new(octets: Octets) -> Self {
        Self { octets, offset: 0, patience: Patience::Always }
    }

    /// The octets that were read and not yet consumed.
    pub(super) fn view(&self) -> &[u8] {
        match &self.octets {
            Octets::Mapped(mapped) => mapped.window.bytes().get(mapped.used..).unwrap_or_default(),
            Octets::Stream(stream) => stream.buffer.get(stream.used..stream.end).unwrap_or_default(),
        }
    }

    /// What the view is a part of, where that can be kept.
    pub(super) fn shared(&self) -> Option<&Shared> {
        match &self.octets {
            Octets::Mapped(mapped) => Some(&mapped.shared),
            Octets::Stream(_) => None,
        }
    }

    /// Marks the first `n` octets of the view as done with.
    pub(super) fn consume(&mut self, n: usize) {
        let n = n.min(self.view().len());
        self.offset += n as u64;
        match &mut self.octets {
            Octets::Mapped(mapped) => mapped.used += n,
            Octets::Stream(stream) => stream.used += n,
        }
    }

    /// How many octets were consumed, after decompression.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// `gzip` or `zstd`.
    pub(super) fn compression(&self) -> Option<&'static str> {
        match &self.octets {
            Octets::Mapped(_) => None,
            Octets::Stream(stream) => stream.source.compression(),
        }
    }

    /// Octets of the file read so far and in all; `None` for a pipe.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        match &self.octets {
            Octets::Mapped(mapped) => Some((self.offset, mapped.file.metadata().ok()?.len())),
            Octets::Stream(stream) => Some((stream.source.raw().read, stream.total?)),
        }
    }

    /// Whether the file no longer reaches `ahead` octets beyond the start of the view, which it once
    /// did: what stands there is zeros and not the file's. The size that is left.
    pub(super) fn shrunk(&self, ahead: usize) -> Option<u64> {
        let Octets::Mapped(mapped) = &self.octets else { return None };
        let size = mapped.file.metadata().map_or(0, |meta| meta.len());
        let gone = size < self.offset.saturating_add(ahead as u64) || mapped.window.is_cut();
        gone.then_some(size)
    }

    /// Brings at least `need` octets into view.
    ///
    /// # Errors
    ///
    /// Reading, mapping or decompressing failed. What is in view stays valid.
    pub(super) fn fill(&mut self, need: usize) -> io::Result<Fill> {
        if self.view().len() >= need {
            return Ok(Fill::Ready);
        }
        match &mut self.octets {
            Octets::Mapped(mapped) => {
                if let Err(error) = mapped.slide(self.offset) {
                    // Too much is mapped already; what cannot be mapped can be read.
                    let rest = mapped.read_on(self.offset).map_err(|_| error)?;
                    self.octets = rest.octets;
                    return self.fill(need);
                }
            }
            Octets::Stream(stream) => return stream.fill(need, &mut self.patience),
        }
        Ok(if self.view().len() >= need { Fill::Ready } else { Fill::End })
    }
}

impl Mapped {
    fn window(file: &File, offset: u64, size: u64) -> io::Result<Arc<Window>> {
        // The last window of a file takes in a small rest rather than leave it to another.
        let len = if size - offset < WINDOW + WINDOW / 2 { size - offset } else { WINDOW };
        let len = usize::try_from(len).map_err(|_| ErrorKind::FileTooLarge)?;
        Window::map(file, offset, len).map(Arc::new)
    }

    /// Moves the window so that it begins in the page of `offset`, with what is in the file by now.
    fn slide(&mut self, offset: u64) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        if size <= offset {
            return Ok(());
        }
        let start = offset - offset % page_size() as u64;
        self.window = Self::window(&self.file, start, size)?;
        self.shared = Shared::new(Held(self.window.clone()));
        self.used = usize::try_from(offset - start).unwrap_or(usize::MAX);
        Ok(())
    }

    /// The rest of the file from `offset` on, to be read.
    fn read_on(&self, offset: u64) -> io::Result<Input> {
        let mut file = self.file.try_clone()?;
        let total = Some(file.metadata()?.len());
        file.seek(SeekFrom::Start(offset))?;
        let source = Decoder::Plain(Cursor::new(Vec::new()).chain(Counted { file, read: offset }));
        Ok(Input::stream(source, false, total))
    }
}

impl Stream {
    fn fill(&mut self, need: usize, patience: &mut Patience) -> io::Result<Fill> {
        self.buffer.copy_within(self.used..self.end, 0);
        self.end -= self.used;
        self.used = 0;
        if need > self.buffer.len() {
            self.buffer.resize(need.next_power_of_two(), 0);
        }
        while self.end < need {
            if self.may_block {
                match *patience {
                    Patience::Always => {}
                    Patience::Once => *patience = Patience::Never,
                    Patience::Never if readable(&self.source.raw().file) => {}
                    Patience::Never => return Ok(Fill::Starved),
                }
            }
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.source.read(room) {
                Ok(0) => return Ok(Fill::End),
                Ok(n) => self.end += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Fill::Ready)
    }
}

/// Whether a read returns at once, with octets or with the end. In doubt it does not.
fn readable(file: &File) -> bool {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid structure, and a descriptor that `file` keeps open.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}
