//! BPF filters, compiled by libpcap for each link type that needs one.

use std::ffi::{c_uint, c_void};
use std::io::{self, Write};
use std::os::fd::{IntoRawFd, OwnedFd};

use ::pcap::{BpfProgram, Capture, Offline};

use crate::packet::{Frame, LinkType};

/// A filter that libpcap refuses.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "filter '{expression}' for link type {link}: {reason} (the whole expression is one argument: \
     quote it, as in -f 'tcp port 80')"
)]
pub struct FilterError {
    /// The expression as given.
    pub expression: String,
    /// The link type it was to be compiled for.
    pub link: LinkType,
    /// What libpcap says.
    pub reason: String,
}

/// A BPF expression, with the programs for each link type it was used on.
pub struct Filter {
    expression: String,
    /// One entry a link type; captures have one or two of them.
    programs: Vec<(LinkType, Result<Vec<BpfProgram>, FilterError>)>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("expression", &self.expression).finish_non_exhaustive()
    }
}

// libpcap's interpreter itself (pcap/bpf.h), which the `pcap` crate links but does not export. Its
// own `BpfProgram::filter` takes the captured length for the length on the wire, so `greater 1000`
// would match nothing in a capture with a short snap length.
unsafe extern "C" {
    fn bpf_filter(program: *const c_void, packet: *const u8, wire: c_uint, captured: c_uint) -> c_uint;
}

impl Filter {
    /// A filter that is compiled when the first frame of a link type comes.
    pub(super) fn new(expression: &str) -> Self {
        Self { expression: expression.to_owned(), programs: Vec::new() }
    }

    /// Compiles the filter for `link` if that was not yet done.
    pub(super) fn prepare(&mut self, link: LinkType) -> Result<(), FilterError> {
        self.programs(link).map(|_| ()).map_err(FilterError::clone)
    }

    /// Whether the filter takes `frame`.
    ///
    /// # Errors
    ///
    /// The filter cannot be compiled for the link type of the frame.
    pub fn matches(&mut self, frame: &Frame<'_>) -> Result<bool, &FilterError> {
        let programs = self.programs(frame.link)?;
        let captured = c_uint::try_from(frame.data.len()).unwrap_or(c_uint::MAX);
        let takes = |program: &BpfProgram| {
            let instructions = program.get_instructions().as_ptr().cast();
            // SAFETY: a program as pcap_compile made it ends in a return and jumps only forward within
            // itself; the interpreter reads no more than `captured` octets of the packet.
            unsafe { bpf_filter(instructions, frame.data.as_ptr(), frame.wire_len, captured) != 0 }
        };
        Ok(match programs {
            [little, big] => takes(if is_little_endian(frame.data) { little } else { big }),
            programs => programs.iter().any(takes),
        })
    }

    fn programs(&mut self, link: LinkType) -> Result<&[BpfProgram], &FilterError> {
        let at = self.programs.iter().position(|(l, _)| *l == link).unwrap_or_else(|| {
            self.programs.push((link, compile(&self.expression, link)));
            self.programs.len() - 1
        });
        self.programs[at].1.as_deref()
    }
}

/// The programs for frames of `link`: none where nobody can decode them, two where the order of octets is not known.
fn compile(expression: &str, link: LinkType) -> Result<Vec<BpfProgram>, FilterError> {
    let orders: &[EncodeU32] = match link {
        // Address families stand in the order of the machine that captured.
        LinkType::NULL => &[u32::to_le_bytes, u32::to_be_bytes],
        _ => &[u32::to_le_bytes],
    };
    let compiled: Result<_, _> =
        orders.iter().map(|&order| savefile(link, order)?.compile(expression, true)).collect();
    compiled.or_else(|error| {
        let reason = match error {
            ::pcap::Error::PcapError(words) => format!("libpcap says: {words}"),
            other => other.to_string(),
        };
        let error = FilterError { expression: expression.to_owned(), link, reason };
        // What nobody can decode cannot be asked about either; the expression may still be wrong.
        if link.name().is_none() {
            compile(expression, LinkType::ETHERNET).map(|_| Vec::new())
        } else {
            Err(error)
        }
    })
}

/// Whether the address family that a frame begins with is written so: no family needs the upper half.
fn is_little_endian(frame: &[u8]) -> bool {
    frame.first_chunk().is_some_and(|&family| u32::from_le_bytes(family) < 0x1_0000)
}

/// How a number is written.
type EncodeU32 = fn(u32) -> [u8; 4];

/// A capture file without packets: some tests mean something else in files than on interfaces.
fn savefile(link: LinkType, order: EncodeU32) -> Result<Capture<Offline>, ::pcap::Error> {
    // Its number in files, where some systems have others.
    let link = match link {
        LinkType::RAW_12 | LinkType::RAW_14 => LinkType::RAW,
        link => link,
    };
    // 2.4, in halves.
    let version = if order(1) == 1_u32.to_le_bytes() { 0x0004_0002 } else { 0x0002_0004 };
    let header = [0xa1b2_c3d4, version, 0, 0, 262_144, u32::from(link.0)].map(order);
    let io = |error: io::Error| ::pcap::Error::IoError(error.kind());
    let (reader, mut writer) = io::pipe().map_err(io)?;
    writer.write_all(header.as_flattened()).map_err(io)?;
    drop(writer);
    // SAFETY: the descriptor is given away.
    unsafe { Capture::from_raw_fd(OwnedFd::from(reader).into_raw_fd()) }
}
