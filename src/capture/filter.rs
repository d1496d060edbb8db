//! BPF filters, compiled by libpcap for each link type that needs one.

use ::pcap::{BpfProgram, Capture, Offline};

use super::libpcap;
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
    /// libpcap's reason.
    pub reason: String,
}

/// A BPF expression, with the programs for each link type it was used on.
pub struct Filter {
    expression: String,
    /// The programs compiled so far: one entry for each link type, of which captures have one or two.
    programs: Vec<(LinkType, Result<Vec<BpfProgram>, FilterError>)>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("expression", &self.expression).finish_non_exhaustive()
    }
}

impl Filter {
    /// A filter that is compiled for each link type when its first frame comes.
    pub(crate) fn new(expression: &str) -> Self {
        Self { expression: expression.to_owned(), programs: Vec::new() }
    }

    /// Compiles the filter for `link` if that was not yet done.
    pub(super) fn prepare(&mut self, link: LinkType) -> Result<(), FilterError> {
        self.programs(link).map(|_| ()).map_err(FilterError::clone)
    }

    /// True if the filter takes `frame`.
    ///
    /// # Errors
    ///
    /// The filter cannot be compiled for the link type of the frame.
    pub fn matches(&mut self, frame: &Frame<'_>) -> Result<bool, &FilterError> {
        let programs = self.programs(frame.link)?;
        Ok(match programs {
            [little, big] => libpcap::matches(if is_little_endian(frame.data) { little } else { big }, frame),
            programs => programs.iter().any(|program| libpcap::matches(program, frame)),
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

/// The programs for frames of `link`: none for a link type that cannot be decoded, two where the byte order is not known.
fn compile(expression: &str, link: LinkType) -> Result<Vec<BpfProgram>, FilterError> {
    let byte_orders: &[EncodeU32] = match link {
        // The address family before each packet is in the byte order of the host that captured.
        LinkType::NULL => &[u32::to_le_bytes, u32::to_be_bytes],
        _ => &[u32::to_le_bytes],
    };
    let compiled: Result<_, _> =
        byte_orders.iter().map(|&encode| savefile(link, encode)?.compile(expression, true)).collect();
    compiled.or_else(|error| {
        let reason = libpcap::message(&error);
        let error = FilterError { expression: expression.to_owned(), link, reason };
        // No frame of it can be decoded, so none has to match; but the expression itself may be wrong.
        if !link.is_decoded() {
            compile(expression, LinkType::ETHERNET).map(|_| Vec::new())
        } else {
            Err(error)
        }
    })
}

/// True if the address family at the start of a frame is little-endian, given that no family needs the upper 16 bits.
fn is_little_endian(frame: &[u8]) -> bool {
    frame.first_chunk().is_some_and(|&family| u32::from_le_bytes(family) < 0x1_0000)
}

/// Writes a number in some byte order.
type EncodeU32 = fn(u32) -> [u8; 4];

/// A capture file without packets. Programs compiled for a file are needed: libpcap compiles some tests differently for
/// interfaces.
fn savefile(link: LinkType, encode: EncodeU32) -> Result<Capture<Offline>, ::pcap::Error> {
    // Raw IP has the number 101 in files; 12 and 14 are its numbers on some systems.
    let link = match link {
        LinkType::RAW_12 | LinkType::RAW_14 => LinkType::RAW,
        link => link,
    };
    // Version 2.4, in two halves.
    let version = if encode(1) == 1_u32.to_le_bytes() { 0x0004_0002 } else { 0x0002_0004 };
    let header = [0xa1b2_c3d4, version, 0, 0, 262_144, u32::from(link.0)].map(encode);
    libpcap::savefile(header.as_flattened())
}
