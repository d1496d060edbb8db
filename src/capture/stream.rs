//! The octets of a capture that can only be read: a pipe, or something compressed.
//!
//! Owns reading, decompression, whether the next read may block, and the blocks that are read into. Does not own what
//! the octets mean.

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, ErrorKind, Read};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::input::{Fill, Patience};
use crate::packet::Shared;

/// What a pipe is to hold: as much as Linux allows everybody by default (`/proc/sys/fs/pipe-max-size`).
#[cfg(target_os = "linux")]
const PIPE: i32 = 1 << 20;

/// The size of a block. One grows only for a single record that is larger.
const BLOCK: usize = 256 << 10;

/// From how many octets on a block is lent. Of fewer, what is wanted of the frames is copied: a block for each small
/// read would take much memory for little.
const WORTH_LENDING: usize = BLOCK / 16;

/// Blocks that may be lent at a time: as many as the thin records of all batches on their way lie in.
const LENT: usize = 32;

/// Octets that can be read once, from first to last.
///
/// They are read into blocks. A block that somebody holds frames of is left alone until they have let go of it, and
/// reading goes on in another: so frames are not copied.
#[derive(Debug)]
pub(super) struct Stream {
    source: Decoder,
    block: Arc<Vec<u8>>,
    /// The same, for those who keep frames of it.
    shared: Option<Shared>,
    /// The octets of the block that were read and not yet consumed.
    unused: Range<usize>,
    /// Blocks that frames were held of when reading went on.
    lent: Vec<Arc<Vec<u8>>>,
    may_block: bool,
    /// The size of the file behind it, for the progress; `None` for a pipe.
    total: Option<u64>,
}

/// A block, for those who keep frames of it.
struct Held(Arc<Vec<u8>>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Stream {
    /// `may_block` for a pipe, `total` for a file of known size.
    pub(super) fn new(source: Decoder, may_block: bool, total: Option<u64>) -> Self {
        if may_block {
            widen(&source.raw().file);
        }
        Self { source, block: block(), shared: None, unused: 0..0, lent: Vec::new(), may_block, total }
    }

    /// The octets that were read and not yet consumed.
    pub(super) fn view(&self) -> &[u8] {
        self.block.get(self.unused.clone()).unwrap_or_default()
    }

    /// What the view is a part of, where that can be kept.
    pub(super) const fn shared(&self) -> Option<&Shared> {
        self.shared.as_ref()
    }

    /// Marks the first `n` octets of the view as done with.
    pub(super) const fn consume(&mut self, n: usize) {
        self.unused.start += n;
    }

    pub(super) fn compression(&self) -> Option<&'static str> {
        self.source.compression()
    }

    /// Octets of the file read so far and in all; `None` for a pipe.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        Some((self.source.raw().read, self.total?))
    }

    /// Brings at least `need` octets into view.
    ///
    /// # Errors
    ///
    /// Reading or decompressing failed. What is in view stays valid.
    pub(super) fn fill(&mut self, need: usize, patience: &mut Patience) -> io::Result<Fill> {
        self.make_room(need);
        while self.unused.end < need {
            if self.may_block {
                match *patience {
                    Patience::Always => {}
                    Patience::Once => *patience = Patience::Never,
                    Patience::Never if readable(&self.source.raw().file) => {}
                    Patience::Never => return Ok(Fill::Starved),
                }
            }
            let block = Arc::get_mut(&mut self.block).and_then(|block| block.get_mut(self.unused.end..));
            match self.source.read(block.unwrap_or_default()) {
                Ok(0) => return Ok(Fill::End),
                Ok(n) => self.unused.end += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.unused.end >= WORTH_LENDING && self.lent.len() < LENT {
            self.shared = Some(Shared::new(Held(self.block.clone())));
        }
        Ok(Fill::Ready)
    }

    /// Moves what is in view to the start of a block that nobody holds frames of, with room for `need` octets.
    fn make_room(&mut self, need: usize) {
        self.shared = None;
        let rest = self.unused.clone();
        self.unused = 0..rest.len();
        if let Some(block) = Arc::get_mut(&mut self.block) {
            block.copy_within(rest, 0);
            block.resize(block.len().max(need), 0);
            return;
        }
        let free = self.lent.iter_mut().position(|lent| Arc::get_mut(lent).is_some());
        let mut next = free.map_or_else(block, |free| self.lent.swap_remove(free));
        if let (Some(next), Some(rest)) = (Arc::get_mut(&mut next), self.block.get(rest)) {
            next.resize(next.len().max(need).max(rest.len()), 0);
            next.get_mut(..rest.len()).unwrap_or_default().copy_from_slice(rest);
        }
        self.lent.push(std::mem::replace(&mut self.block, next));
    }
}

fn block() -> Arc<Vec<u8>> {
    Arc::new(vec![0; BLOCK])
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

/// Whether a read returns at once, with octets or with the end. In doubt it does not.
fn readable(file: &File) -> bool {
    let mut asked = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut asked, PollTimeout::ZERO) == Ok(1)
}

/// Lets a pipe hold more, so that whoever writes into it has to wait less. Where that is not allowed, or it is no pipe,
/// it stays as it is.
fn widen(file: &File) {
    #[cfg(target_os = "linux")]
    {
        use nix::fcntl::{FcntlArg, fcntl};
        if fcntl(file, FcntlArg::F_GETPIPE_SZ).is_ok_and(|size| size < PIPE) {
            let _ = fcntl(file, FcntlArg::F_SETPIPE_SZ(PIPE));
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The octet at a place of the input.
    fn octet(place: usize) -> u8 {
        (place % 251) as u8
    }

    /// Records of this size from a file, so often; what becomes of each block is up to `keep`.
    fn read_all(record: usize, count: usize, mut keep: impl FnMut(&Stream, usize)) -> Stream {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&(0..record * count).map(octet).collect::<Vec<_>>()).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let source = Decoder::Plain(Cursor::new(Vec::new()).chain(Counted { file, read: 0 }));
        let mut stream = Stream::new(source, false, None);
        for place in (0..count).map(|n| n * record) {
            if stream.view().len() < record {
                assert_eq!(stream.fill(record, &mut Patience::Always).unwrap(), Fill::Ready);
                keep(&stream, place);
            }
            let view = stream.view().iter().take(record).copied();
            assert!(view.eq((place..place + record).map(octet)), "at {place}");
            stream.consume(record);
        }
        assert_eq!(stream.fill(1, &mut Patience::Always).unwrap(), Fill::End);
        stream
    }

    #[test]
    fn what_is_held_stays_and_blocks_are_bounded() {
        let mut held = Vec::new();
        let stream = read_all(1_000, 20_000, |stream, place| {
            held.extend(stream.shared().map(|shared| (shared.clone(), place, stream.unused.clone())));
        });
        assert_eq!((stream.lent.len(), held.len()), (LENT, LENT), "the rest is copied");
        for (shared, place, unused) in held {
            let octets = shared.octets()[unused].iter().copied();
            assert!(octets.enumerate().all(|(n, value)| value == octet(place + n)), "from {place}");
        }
    }

    #[test]
    fn blocks_are_read_into_again_once_they_were_let_go() {
        let mut latest = None;
        let stream = read_all(1_000, 20_000, |stream, _| {
            assert!(stream.shared().is_some());
            latest = stream.shared().cloned();
        });
        assert_eq!(stream.lent.len(), 1);
    }

    #[test]
    fn a_record_may_be_larger_than_a_block() {
        let mut held = Vec::new();
        read_all(3 * BLOCK, 5, |stream, _| held.extend(stream.shared().cloned()));
        assert_eq!(held.len(), 5);
    }
}
