//! The bytes of one capture, read in place: a moving memory map for regular files, a stream for everything else.
//!
//! Owns the view, and the map that moves. Does not own how a stream is read (`stream`), nor what the bytes mean.

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::stream::{Blocking, ByteStream, CountingFile, Decompressor, Fill, StreamKind};
use super::window::{Window, page_size};
use crate::packet::Shared;

/// Bytes of a file that are mapped at a time. Larger windows are no faster; this much counts as resident, though not as
/// anonymous, memory.
const WINDOW: u64 = 16 << 20;

/// The bytes of one capture, after decompression.
#[derive(Debug)]
pub(super) struct Input {
    source: ByteSource,
    /// Position of the view in the (decompressed) input.
    offset: u64,
    pub(super) blocking: Blocking,
}

#[derive(Debug)]
enum ByteSource {
    Mapped(Mapped),
    Stream(ByteStream),
}

/// A regular, uncompressed file.
#[derive(Debug)]
struct Mapped {
    file: File,
    window: Arc<Window>,
    /// The same, for users that keep frames of it.
    shared: Shared,
    /// Bytes consumed of the window.
    used: usize,
}

/// A window that stays mapped while its frames are kept.
struct SharedWindow(Arc<Window>);

impl AsRef<[u8]> for SharedWindow {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Input {
    /// The bytes of a regular file that is not empty.
    ///
    /// # Errors
    ///
    /// The file cannot be mapped; it is returned, to be read instead.
    pub(super) fn mapped(file: File) -> Result<Self, (File, io::Error)> {
        let window = file.metadata().and_then(|meta| Mapped::window(&file, 0, meta.len()));
        match window {
            Ok(window) => {
                let shared = Shared::new(SharedWindow(window.clone()));
                Ok(Self::new(ByteSource::Mapped(Mapped { file, window, shared, used: 0 })))
            }
            Err(error) => Err((file, error)),
        }
    }

    /// The bytes of anything else; `total` for a file of known size.
    pub(super) fn stream(source: Decompressor, kind: StreamKind, total: Option<u64>) -> Self {
        Self::new(ByteSource::Stream(ByteStream::new(source, kind, total)))
    }

    fn new(source: ByteSource) -> Self {
        Self { source, offset: 0, blocking: Blocking::Always }
    }

    /// The bytes read and not yet consumed.
    pub(super) fn view(&self) -> &[u8] {
        match &self.source {
            ByteSource::Mapped(mapped) => mapped.window.bytes().get(mapped.used..).unwrap_or_default(),
            ByteSource::Stream(stream) => stream.view(),
        }
    }

    /// The bytes that the view is part of, where they can be kept.
    pub(super) fn shared(&self) -> Option<&Shared> {
        match &self.source {
            ByteSource::Mapped(mapped) => Some(&mapped.shared),
            ByteSource::Stream(stream) => stream.shared(),
        }
    }

    /// Removes the first `n` bytes from the view.
    pub(super) fn consume(&mut self, n: usize) {
        let n = n.min(self.view().len());
        self.offset += n as u64;
        match &mut self.source {
            ByteSource::Mapped(mapped) => mapped.used += n,
            ByteSource::Stream(stream) => stream.consume(n),
        }
    }

    /// Bytes consumed, after decompression.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// True for a pipe.
    pub(super) fn is_pipe(&self) -> bool {
        matches!(&self.source, ByteSource::Stream(stream) if stream.is_pipe())
    }

    /// `gzip` or `zstd`.
    pub(super) fn compression(&self) -> Option<&'static str> {
        match &self.source {
            ByteSource::Mapped(_) => None,
            ByteSource::Stream(stream) => stream.compression(),
        }
    }

    /// Bytes read of the file, and its size; `None` for a pipe.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        match &self.source {
            ByteSource::Mapped(mapped) => Some((self.offset, mapped.file.metadata().ok()?.len())),
            ByteSource::Stream(stream) => stream.progress(),
        }
    }

    /// The size of the file, if it has shrunk so that it no longer reaches `ahead` bytes beyond the start of the view.
    /// The map has zeros there.
    pub(super) fn shrunk(&self, ahead: usize) -> Option<u64> {
        let ByteSource::Mapped(mapped) = &self.source else { return None };
        let size = mapped.file.metadata().map_or(0, |meta| meta.len());
        let gone = size < self.offset.saturating_add(ahead as u64) || mapped.window.is_cut();
        gone.then_some(size)
    }

    /// Brings at least `need` bytes into view.
    ///
    /// # Errors
    ///
    /// Reading, mapping or decompressing failed. What is in view stays valid.
    pub(super) fn fill(&mut self, need: usize) -> io::Result<Fill> {
        if self.view().len() >= need {
            return Ok(Fill::Ready);
        }
        match &mut self.source {
            ByteSource::Mapped(mapped) => {
                if let Err(error) = mapped.slide(self.offset) {
                    // Too much is mapped already: the rest is read instead.
                    let rest = mapped.read_on(self.offset).map_err(|_| error)?;
                    self.source = rest.source;
                    return self.fill(need);
                }
            }
            ByteSource::Stream(stream) => return stream.fill(need, &mut self.blocking),
        }
        Ok(if self.view().len() >= need { Fill::Ready } else { Fill::End })
    }
}

impl Mapped {
    fn window(file: &File, offset: u64, size: u64) -> io::Result<Arc<Window>> {
        // The last window of a file includes a small rest, which would not be worth a window of its own.
        let len = if size - offset < WINDOW + WINDOW / 2 { size - offset } else { WINDOW };
        let len = usize::try_from(len).map_err(|_| ErrorKind::FileTooLarge)?;
        Window::map(file, offset, len).map(Arc::new)
    }

    /// Maps a new window that begins in the page of `offset`, and includes what was added to the file meanwhile.
    fn slide(&mut self, offset: u64) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        if size <= offset {
            return Ok(());
        }
        let start = offset - offset % page_size() as u64;
        self.window = Self::window(&self.file, start, size)?;
        self.shared = Shared::new(SharedWindow(self.window.clone()));
        self.used = usize::try_from(offset - start).unwrap_or(usize::MAX);
        Ok(())
    }

    /// The rest of the file from `offset` on, as a stream.
    fn read_on(&self, offset: u64) -> io::Result<Input> {
        let mut file = self.file.try_clone()?;
        let total = Some(file.metadata()?.len());
        file.seek(SeekFrom::Start(offset))?;
        let source = Decompressor::Plain(Cursor::new(Vec::new()).chain(CountingFile { file, read: offset }));
        Ok(Input::stream(source, StreamKind::File, total))
    }
}
