//! Functions of libpcap that the `pcap` crate does not offer.
//!
//! Owns the functions that the crate links and does not export, and the wording of libpcap's errors.

#![expect(unsafe_code, reason = "calls C functions of libpcap")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::io::{self, Write};
use std::os::fd::{IntoRawFd, OwnedFd};

use ::pcap::{Active, BpfProgram, Capture, Inactive, Offline, Precision};

use crate::packet::Frame;

// pcap/pcap.h and pcap/bpf.h
unsafe extern "C" {
    fn bpf_filter(program: *const c_void, packet: *const u8, wire: c_uint, captured: c_uint) -> c_uint;
    fn pcap_list_tstamp_types(capture: *mut c_void, types: *mut *mut c_int) -> c_int;
    fn pcap_free_tstamp_types(types: *mut c_int);
    fn pcap_lib_version() -> *const c_char;
    fn pcap_get_tstamp_precision(capture: *mut c_void) -> c_int;
}

/// libpcap's name and version: `libpcap version 1.10.3 (with TPACKET_V3)`.
#[must_use]
pub fn libpcap_version() -> String {
    // SAFETY: a string that ends in NUL and is never freed.
    unsafe { CStr::from_ptr(pcap_lib_version()) }.to_string_lossy().into_owned()
}

/// An error of libpcap as a message, without the crate's prefix.
pub(super) fn message(error: &::pcap::Error) -> String {
    match error {
        ::pcap::Error::PcapError(message) => format!("libpcap: {message}"),
        other => other.to_string(),
    }
}

/// Runs a BPF program on a frame.
///
/// `BpfProgram::filter` takes the captured length for the length on the wire, so `greater 1000`
/// would match nothing in a capture with a short snap length.
pub(super) fn matches(program: &BpfProgram, frame: &Frame<'_>) -> bool {
    let captured = c_uint::try_from(frame.data.len()).unwrap_or(c_uint::MAX);
    let instructions = program.get_instructions().as_ptr().cast();
    // SAFETY: a program as pcap_compile made it ends in a return and jumps only forward within
    // itself; the interpreter reads no more than `captured` bytes of the packet.
    unsafe { bpf_filter(instructions, frame.data.as_ptr(), frame.wire_len, captured) != 0 }
}

/// Opens a capture file that consists of these bytes, which must fit into a pipe (4 KiB everywhere).
pub(super) fn savefile(content: &[u8]) -> Result<Capture<Offline>, ::pcap::Error> {
    let io = |error: io::Error| ::pcap::Error::IoError(error.kind());
    let (reader, mut writer) = io::pipe().map_err(io)?;
    writer.write_all(content).map_err(io)?;
    drop(writer);
    // SAFETY: the descriptor is open, and nobody else owns it.
    unsafe { Capture::from_raw_fd(OwnedFd::from(reader).into_raw_fd()) }
}

/// The numbers of the time stamp types that a device supports (`PCAP_TSTAMP_*`); empty where it has no choice.
pub(super) fn time_stamp_types(capture: &Capture<Inactive>) -> Vec<c_int> {
    let mut list: *mut c_int = std::ptr::null_mut();
    // SAFETY: the handle lives as long as `capture`, and `list` outlives the call.
    let count = unsafe { pcap_list_tstamp_types(capture.as_ptr().cast(), &raw mut list) };
    let count = usize::try_from(count).unwrap_or(0);
    if count == 0 || list.is_null() {
        return Vec::new();
    }
    // SAFETY: on success the list has that many entries until it is freed.
    let numbers = unsafe { std::slice::from_raw_parts(list, count) }.to_vec();
    // SAFETY: it came from `pcap_list_tstamp_types`, and nobody uses it any more.
    unsafe { pcap_free_tstamp_types(list) };
    numbers
}

/// Nanoseconds in a unit of the sub-second field of a packet's time.
pub(super) fn nanos_per_unit(capture: &Capture<Active>) -> i64 {
    // SAFETY: the handle is open, and lives as long as `capture`.
    let precision = unsafe { pcap_get_tstamp_precision(capture.as_ptr().cast()) };
    if precision == Precision::Nano as c_int { 1 } else { 1_000 }
}
