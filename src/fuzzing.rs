//! Entries for the fuzz targets (`fuzz/`), to parts that are not public.

use std::ffi::OsStr;

use crate::capture::{CaptureOptions, Captures, Filter, FilterError, OpenError};
use crate::packet::Frame;
use crate::printable::is_unsafe;

/// A capture whose bytes are in memory; neither a file nor a pipe is read.
///
/// # Errors
///
/// As for [`Captures::open`].
pub fn captures_in_memory(
    bytes: Vec<u8>,
    options: &CaptureOptions,
) -> Result<(Captures, Option<OpenError>), FilterError> {
    Captures::in_memory(OsStr::new("memory"), bytes, options)
}

/// Checks that the quick decoder of usual headers gives what the general one does.
pub fn decoders_agree(frame: &Frame<'_>) {
    crate::packet::agree(frame);
}

/// Hands bytes to a parser of what the kernel writes, chosen by the number.
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub fn parse_kernel(choice: u8, bytes: &[u8]) {
    crate::kernel::fuzzing::parse(choice, bytes);
}

/// The first character of an output that could drive a terminal, or break a line; newlines are left out.
#[must_use]
pub fn unsafe_character(text: &str) -> Option<char> {
    text.chars().find(|&character| character != '\n' && is_unsafe(character))
}

/// A filter, compiled for each link type when its first frame comes.
#[must_use]
pub fn filter(expression: &str) -> Filter {
    Filter::new(expression)
}
