//! The bytes of a capture that cannot be mapped: a pipe, or a compressed file.
//!
//! Owns reading, decompression, whether the next read may block, and the blocks that are read into. Does not own what
//! the bytes mean.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, ErrorKind, Read};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use flate2::bufread::GzDecoder;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::packet::Shared;

/// The size of a block. It is larger only while a single record is.
const BLOCK: usize = 256 << 10;

/// Fewest bytes of a block that is lent. Headers of frames in a smaller one are copied: a block for each small read
/// would take too much memory.
const WORTH_LENDING: usize = BLOCK / 16;

/// Most blocks of a pipe that are lent at a time: enough for the thin records of all batches that are being analysed.
const LENT: usize = 32;

/// The result of asking for some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    /// The bytes are in view.
    Ready,
    /// The bytes have not arrived, and reading on may block.
    Starved,
    /// The input ends before the bytes.
    End,
}

/// Kind of input that is read as a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamKind {
    /// A file, which ends where it ends.
    File,
    /// A pipe, on which reads may block until its writer ends.
    Pipe,
    /// A file that another program is writing: its end is not the end.
    Growing,
}

/// Limit on how often [`ByteStream::fill`] may block on a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocking {
    /// As often as it takes.
    Always,
    /// For one read; the caller looks at the result first.
    Once,
    /// Not at all.
    Never,
}

/// Bytes that can be read once, from the first to the last.
///
/// The bytes are read into blocks. A pipe's block whose frames are still held is lent: it is not reused until they are
/// dropped, and reading goes on in another one, so that frames need not be copied. A compressed file has one block
/// only: copying takes less time than decompressing, and there may be many such files.
#[derive(Debug)]
pub(super) struct ByteStream {
    source: Decompressor,
    block: Arc<Vec<u8>>,
    /// The same, for users that keep frames of it.
    shared: Option<Shared>,
    /// The bytes of the block that are in view: read and not yet consumed.
    unused: Range<usize>,
    /// Blocks whose frames were held when reading went on.
    lent: Vec<Arc<Vec<u8>>>,
    kind: StreamKind,
    /// The size of the file, for the progress; `None` for a pipe.
    total: Option<u64>,
}

/// A block that stays unchanged while its frames are held.
pub(super) struct SharedBlock(pub(super) Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedBlock {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl ByteStream {
    /// A stream of these bytes; `total` for a file of known size.
    pub(super) fn new(source: Decompressor, kind: StreamKind, total: Option<u64>) -> Self {
        if let Some(raw) = source.raw().filter(|_| kind == StreamKind::Pipe) {
            widen(&raw.file);
        }
        Self { source, block: block(), shared: None, unused: 0..0, lent: Vec::new(), kind, total }
    }

    /// The bytes read and not yet consumed.
    pub(super) fn view(&self) -> &[u8] {
        self.block.get(self.unused.clone()).unwrap_or_default()
    }

    /// The bytes that the view is part of, where they can be kept.
    pub(super) const fn shared(&self) -> Option<&Shared> {
        self.shared.as_ref()
    }

    /// Removes the first `n` bytes from the view.
    pub(super) const fn consume(&mut self, n: usize) {
        self.unused.start += n;
    }

    /// True for a pipe, on which reads may block.
    pub(super) fn is_pipe(&self) -> bool {
        self.kind == StreamKind::Pipe
    }

    pub(super) fn compression(&self) -> Option<&'static str> {
        self.source.compression()
    }

    /// Bytes read of the file, and its size; `None` for a pipe.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        Some((self.source.raw()?.read, self.total?))
    }

    /// Brings at least `need` bytes into view.
    ///
    /// # Errors
    ///
    /// Reading or decompressing failed. What is in view stays valid.
    pub(super) fn fill(&mut self, need: usize, blocking: &mut Blocking) -> io::Result<Fill> {
        self.make_space(need);
        while self.unused.end < need {
            if self.is_pipe() {
                match *blocking {
                    Blocking::Always => {}
                    Blocking::Once => *blocking = Blocking::Never,
                    Blocking::Never if self.source.raw().is_some_and(|raw| readable(&raw.file)) => {}
                    Blocking::Never => return Ok(Fill::Starved),
                }
            }
            let block = Arc::get_mut(&mut self.block).and_then(|block| block.get_mut(self.unused.end..));
            match self.source.read(block.unwrap_or_default()) {
                Ok(0) if self.kind == StreamKind::Growing => return Ok(Fill::Starved),
                Ok(0) => {
                    self.lent = Vec::new();
                    return Ok(Fill::End);
                }
                Ok(n) => self.unused.end += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.may_lend() {
            self.shared = Some(Shared::new(SharedBlock(self.block.clone())));
        }
        Ok(Fill::Ready)
    }

    /// True if frames of the block may be held; then another block must be free to go on with.
    fn may_lend(&mut self) -> bool {
        let worth = self.is_pipe() && self.unused.end >= WORTH_LENDING && self.block.len() == BLOCK;
        worth && (self.lent.len() < LENT || self.lent.iter_mut().any(is_free))
    }

    /// Moves the view to the start of a block without held frames, with space for `need` bytes.
    fn make_space(&mut self, need: usize) {
        self.shared = None;
        let rest = self.unused.clone();
        self.unused = 0..rest.len();
        let size = need.max(rest.len()).max(BLOCK);
        if let Some(block) = Arc::get_mut(&mut self.block) {
            block.copy_within(rest, 0);
            block.resize(size, 0);
            block.shrink_to(size);
            return;
        }
        let free = self.lent.iter_mut().position(is_free);
        let mut next = free.map_or_else(block, |free| self.lent.swap_remove(free));
        if let (Some(next), Some(rest)) = (Arc::get_mut(&mut next), self.block.get(rest)) {
            next.resize(size, 0);
            next.get_mut(..rest.len()).unwrap_or_default().copy_from_slice(rest);
        }
        self.lent.push(std::mem::replace(&mut self.block, next));
    }
}

fn is_free(block: &mut Arc<Vec<u8>>) -> bool {
    Arc::get_mut(block).is_some()
}

fn block() -> Arc<Vec<u8>> {
    Arc::new(vec![0; BLOCK])
}

/// A file or pipe whose first bytes were already read, to recognise it.
pub(super) type Raw = Chain<Cursor<Vec<u8>>, CountingFile>;

/// Counts the bytes read from a file or pipe.
#[derive(Debug)]
pub(super) struct CountingFile {
    pub(super) file: File,
    pub(super) read: u64,
}
impl Read for CountingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read += n as u64;
        Ok(n)
    }
}

/// Decompresses the bytes, if they are compressed.
pub(super) enum Decompressor {
    Plain(Raw),
    Gzip(Box<GzipMembers>),
    Zstd(Box<zstd::Decoder<'static, BufReader<Raw>>>),
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.compression().unwrap_or("plain"))
    }
}

impl Decompressor {
    fn raw(&self) -> Option<&CountingFile> {
        let chain = match self {
            Self::Plain(raw) => raw,
            Self::Gzip(gzip) => gzip.member.as_ref()?.get_ref().get_ref(),
            Self::Zstd(zstd) => zstd.get_ref().get_ref(),
        };
        Some(chain.get_ref().1)
    }

    fn compression(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => None,
            Self::Gzip(_) => Some("gzip"),
            Self::Zstd(_) => Some("zstd"),
        }
    }
}

impl Read for Decompressor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(raw) => raw.read(buffer),
            Self::Gzip(gzip) => gzip.read(buffer),
            Self::Zstd(zstd) => zstd.read(buffer).map_err(hint_at_window),
        }
    }
}

/// Adds advice to the error of a frame with a large window: zstd refuses more than 128 MiB of memory unless asked.
fn hint_at_window(error: io::Error) -> io::Error {
    // `std::io::Error` has nothing but the message.
    if error.to_string().contains("requires too much memory") {
        return io::Error::other(format!("{error}; unpack it first: zstd -d --long=31"));
    }
    error
}

/// The members of a gzip file, one after the other. Zeros between or after them are skipped, as gzip does: tapes and
/// disks are padded with them.
pub(super) struct GzipMembers {
    /// `None` only while one is exchanged for the next.
    member: Option<GzDecoder<BufReader<Raw>>>,
    ended: bool,
}

impl GzipMembers {
    pub(super) fn new(raw: Raw) -> Self {
        Self { member: Some(GzDecoder::new(BufReader::new(raw))), ended: false }
    }

    /// Opens the next member, if there is one.
    fn next(&mut self) -> io::Result<()> {
        let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { return Ok(()) };
        let more = skip_zeros(&mut rest);
        self.member = Some(GzDecoder::new(rest));
        self.ended = !more?;
        Ok(())
    }
}

impl Read for GzipMembers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self.member.as_mut().filter(|_| !self.ended) {
            match member.read(buffer)? {
                0 if !buffer.is_empty() => self.next()?,
                n => return Ok(n),
            }
        }
        Ok(0)
    }
}

/// Skips zeros. True if anything comes after them.
fn skip_zeros(rest: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = rest.fill_buf()?;
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        if zeros < bytes.len() || bytes.is_empty() {
            let more = !bytes.is_empty();
            rest.consume(zeros);
            return Ok(more);
        }
        rest.consume(zeros);
    }
}

/// True if a read returns at once, with bytes or with the end; false where that is not known.
fn readable(file: &File) -> bool {
    let mut asked = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut asked, PollTimeout::ZERO) == Ok(1)
}

/// Enlarges the buffer of a pipe, so that its writer has to wait less. Without effect where that is not allowed, and on
/// anything but a pipe.
#[cfg(target_os = "linux")]
fn widen(file: &File) {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::fcntl::{FcntlArg, fcntl};

    /// The default of the largest size that needs no privilege (`/proc/sys/fs/pipe-max-size`).
    const SIZE: i32 = 1 << 20;
    /// Most pipes that are enlarged: all pipes of a user share a limit (`/proc/sys/fs/pipe-user-pages-soft`), by
    /// default 64 times that size, and other programs need some of it.
    const MAX_WIDENED: usize = 8;
    static WIDENED: AtomicUsize = AtomicUsize::new(0);

    if fcntl(file, FcntlArg::F_GETPIPE_SZ).is_ok_and(|size| size < SIZE)
        && WIDENED.fetch_add(1, Ordering::Relaxed) < MAX_WIDENED
    {
        let _ = fcntl(file, FcntlArg::F_SETPIPE_SZ(SIZE));
    }
}

#[cfg(not(target_os = "linux"))]
const fn widen(_file: &File) {}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::thread;

    use super::*;

    /// The byte at a position of the input.
    fn byte(place: usize) -> u8 {
        (place % 251) as u8
    }

    /// Reads `count` records of this size from a pipe; `keep` is called after each fill.
    fn read_all(record: usize, count: usize, mut keep: impl FnMut(&ByteStream, usize)) -> ByteStream {
        let (reader, mut writer) = io::pipe().unwrap();
        let writing =
            thread::spawn(move || writer.write_all(&(0..record * count).map(byte).collect::<Vec<_>>()));
        let file = File::from(OwnedFd::from(reader));
        let source = Decompressor::Plain(Cursor::new(Vec::new()).chain(CountingFile { file, read: 0 }));
        let mut stream = ByteStream::new(source, StreamKind::Pipe, None);
        for place in (0..count).map(|n| n * record) {
            if stream.view().len() < record {
                // Nearly always as much as fits, because the writer is faster.
                let need = record.max(BLOCK / 2).min(record * count - place);
                assert_eq!(stream.fill(need, &mut Blocking::Always).unwrap(), Fill::Ready);
                keep(&stream, place);
            }
            let view = stream.view().iter().take(record).copied();
            assert!(view.eq((place..place + record).map(byte)), "at {place}");
            stream.consume(record);
        }
        writing.join().unwrap().unwrap();
        stream
    }

    #[test]
    fn held_frames_stay_unchanged_and_blocks_are_bounded() {
        let mut held = Vec::new();
        let mut fills = 0;
        let mut stream = read_all(1_000, 20_000, |stream, place| {
            fills += 1;
            held.extend(stream.shared().map(|shared| (shared.clone(), place, stream.unused.clone())));
        });
        assert!(fills > 2 * LENT, "{fills}");
        assert_eq!((stream.lent.len(), held.len()), (LENT, LENT), "the rest is copied");
        for (shared, place, unused) in held {
            let bytes = shared.bytes()[unused].iter().copied();
            assert!(bytes.enumerate().all(|(n, value)| value == byte(place + n)), "from {place}");
        }
        assert_eq!(stream.fill(1, &mut Blocking::Always).unwrap(), Fill::End);
        assert!(stream.lent.is_empty(), "given back with the end");
    }

    #[test]
    fn blocks_are_lent_again_once_their_frames_are_dropped() {
        let mut held = Vec::new();
        let mut lent = 0;
        let stream = read_all(1_000, 40_000, |stream, place| {
            // At first all are held, then only the latest.
            if place > 20_000_000 {
                held.clear();
                lent += usize::from(stream.shared().is_some());
            }
            held.extend(stream.shared().cloned());
        });
        assert_eq!(stream.lent.len(), LENT);
        assert!(lent > LENT, "{lent}");
    }

    #[test]
    fn a_block_that_had_to_grow_is_not_lent_and_shrinks_again() {
        let mut stream = read_all(3 * BLOCK, 3, |stream, _| assert!(stream.shared().is_none()));
        stream.make_space(1);
        assert_eq!((stream.block.len(), stream.block.capacity()), (BLOCK, BLOCK));
    }
}
