//! BPF filters, compiled by libpcap for each link type that needs one.

use std::ffi::{c_uint, c_void};

use ::pcap::{BpfProgram, Linktype};

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

/// A BPF expression, with a program for each link type it was used on.
pub struct Filter {
    expression: String,
    /// One entry a link type; captures have one or two of them.
    programs: Vec<(LinkType, Result<BpfProgram, FilterError>)>,
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

    /// Compiles `expression` for `link`; other link types are compiled when they come.
    ///
    /// # Errors
    ///
    /// libpcap refuses the expression, or the link type.
    pub fn compile(expression: &str, link: LinkType) -> Result<Self, FilterError> {
        let mut filter = Self::new(expression);
        filter.prepare(link)?;
        Ok(filter)
    }

    /// Compiles the filter for `link` if that was not yet done.
    pub(super) fn prepare(&mut self, link: LinkType) -> Result<(), FilterError> {
        self.program(link).map(|_| ()).map_err(FilterError::clone)
    }

    /// Whether the filter takes `frame`.
    ///
    /// # Errors
    ///
    /// The filter cannot be compiled for the link type of the frame.
    pub fn matches(&mut self, frame: &Frame<'_>) -> Result<bool, &FilterError> {
        let program = self.program(frame.link)?;
        let captured = c_uint::try_from(frame.data.len()).unwrap_or(c_uint::MAX);
        let instructions = program.get_instructions().as_ptr().cast();
        // SAFETY: a program as pcap_compile made it ends in a return and jumps only forward within
        // itself; the interpreter reads no more than `captured` octets of the packet.
        let taken = unsafe { bpf_filter(instructions, frame.data.as_ptr(), frame.wire_len, captured) };
        Ok(taken != 0)
    }

    fn program(&mut self, link: LinkType) -> Result<&BpfProgram, &FilterError> {
        let at = self.programs.iter().position(|(l, _)| *l == link).unwrap_or_else(|| {
            self.programs.push((link, compile(&self.expression, link)));
            self.programs.len() - 1
        });
        self.programs[at].1.as_ref()
    }
}

fn compile(expression: &str, link: LinkType) -> Result<BpfProgram, FilterError> {
    let compile = || ::pcap::Capture::dead(data_link(link)?)?.compile(expression, true);
    compile().map_err(|error| {
        let reason = match error {
            ::pcap::Error::PcapError(words) => format!("libpcap says: {words}"),
            other => other.to_string(),
        };
        FilterError { expression: expression.to_owned(), link, reason }
    })
}

/// A link type as files number it → as libpcap's compiler numbers it on this system
/// (`linktype_to_dlt` in libpcap's `pcap-common.c`; where the two differ there is a name for both).
fn data_link(link: LinkType) -> Result<Linktype, ::pcap::Error> {
    match link {
        LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 => Linktype::from_name("RAW"),
        LinkType::LOOP => Linktype::from_name("LOOP"),
        LinkType(100) => Linktype::from_name("ATM_RFC1483"),
        LinkType(number) => Ok(Linktype(i32::from(number))),
    }
}
