//! Reasons why reading a capture ends early.

use std::io;

/// Largest plausible captured length, in bytes. libpcap and Wireshark stop at 262,144; Linux builds TCP packets of up
/// to 512 KiB where BIG TCP is on, and loopback shows them whole. A larger length is damage, and no buffer of that size
/// is made.
pub(super) const MAX_CAPTURED: u32 = 1 << 20;

/// Largest block of a pcapng file that is read into memory: a packet with all its options.
pub(super) const MAX_BLOCK: u32 = 2 * MAX_CAPTURED;

/// Most interfaces of one pcapng section. A longer list is an attack on memory.
pub(super) const MAX_INTERFACES: usize = 1 << 16;

/// Damage in a capture: what was found, and what was expected.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("the capture ends after {have} of the {need} bytes of its {part}")]
    Cut { have: usize, need: usize, part: &'static str },
    #[error("its captured length is {found}; expected at most {MAX_CAPTURED}")]
    TooLong { found: u32 },
    #[error("the file was cut to {size} bytes while it was read, or cannot be read from its disk")]
    Shrunk { size: u64 },
    #[error(
        "there are only zeros here; expected a {part} (space that was allocated and never written, or lost in a crash)"
    )]
    Zeros { part: &'static str },
    #[error("reading failed: {0}")]
    Read(io::Error),
    #[error("the {compression} data cannot be decompressed further: {error}")]
    Decompress { compression: &'static str, error: io::Error },
    #[error("block type {kind:#010x} has length {found}; expected a multiple of 4, at least {least}")]
    BlockLength { kind: u32, found: u32, least: u32 },
    #[error("block type {kind:#010x} has length {found}; expected at most {MAX_BLOCK}")]
    BlockTooLong { kind: u32, found: u32 },
    #[error("the block's length is {head} at its beginning and {tail} at its end; expected the same")]
    BlockTrailer { head: u32, tail: u32 },
    #[error("the block holds {space} bytes of packet and options, but its captured length is {found}")]
    BlockOverrun { space: usize, found: u32 },
    #[error("block type {kind:#010x} is malformed inside")]
    BlockMalformed { kind: u32 },
    #[error("it belongs to interface {found}, but the section has declared {declared} so far")]
    UndeclaredInterface { found: u32, declared: usize },
    #[error("the section declares more than {MAX_INTERFACES} interfaces")]
    TooManyInterfaces,
    #[error("the section's byte-order mark is {found:02x?}; expected 1a 2b 3c 4d or its reverse")]
    ByteOrder { found: [u8; 4] },
    #[error("the section is of pcapng version {major}.{minor}; expected 1.x")]
    Version { major: u16, minor: u16 },
}

impl Damage {
    /// True if the input ended within a record, or within compressed data.
    pub(super) fn is_early_end(&self) -> bool {
        match self {
            Self::Cut { .. } => true,
            Self::Decompress { error, .. } => error.kind() == io::ErrorKind::UnexpectedEof,
            _ => false,
        }
    }
}
