//! Entries for the fuzz targets (`fuzz/`), to parts that are not public.

use std::ffi::OsStr;
use std::path::Path;

use crate::capture::{CaptureOptions, Captures, Filter, FilterError, OpenError};
#[cfg(feature = "metrics")]
use crate::http::{HttpStatus, Response};
use crate::packet::Frame;
use crate::printable::is_unsafe;
#[cfg(feature = "metrics")]
use crate::report::metrics::MetricsFormat;

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

/// A capture file that another program is writing: reading it never ends, and at its present end says so.
///
/// # Errors
///
/// As for [`Captures::open`].
pub fn growing_capture(path: &Path) -> Result<(Captures, Option<OpenError>), FilterError> {
    Captures::follow(path.as_os_str(), &CaptureOptions::default())
}

/// The answer to a request for metrics, once its head is whole or wrong: of a server whose documents say what was asked of them.
#[cfg(feature = "metrics")]
#[must_use]
pub fn http_answer(bytes: &[u8]) -> Option<String> {
    crate::http::answer(bytes, &mut |request| {
        let format = MetricsFormat::accepted(&request.accept);
        Response::line(HttpStatus::Ok, &format!("{} {}", request.path, format.content_type()))
    })
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
