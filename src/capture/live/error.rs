//! Why a live capture cannot begin, with what to do about it.

use crate::capture::device::Device;
use crate::capture::{FilterError, TimeSource};
use crate::packet::LinkType;

/// Why a live capture cannot begin. Displays as the message, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// There is no such device.
    #[error("there is no interface '{device}'; there are: {}", .there_are.join(", "))]
    UnknownDevice {
        /// The name as given.
        device: String,
        /// The names that exist.
        there_are: Vec<String>,
    },
    /// The right to capture is missing.
    #[error(
        "{device}: capturing is not permitted: run it with sudo, or give the program the right once: \
         sudo setcap cap_net_raw+ep {program}"
    )]
    NotPermitted {
        /// The device.
        device: String,
        /// The path of this program.
        program: String,
    },
    /// The interface is not up.
    #[error("{device}: the interface is down: ip link set {device} up")]
    Down {
        /// The device.
        device: String,
    },
    /// Its packets are nothing that TCP could be in.
    #[error(
        "{device}: no TCP can be found in packets of link type {link}; see -D for the interfaces there are"
    )]
    Link {
        /// The device.
        device: String,
        /// Its link type.
        link: LinkType,
    },
    /// The time source is not supported by the device.
    #[error("{device}: its packets cannot be stamped by time source {}; it has {}", .source_wanted.name(), names(.has))]
    TimeSource {
        /// The device.
        device: String,
        /// The time source as given.
        source_wanted: TimeSource,
        /// Those it has.
        has: Vec<TimeSource>,
    },
    /// libpcap refuses the filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Anything else that libpcap refuses.
    #[error("{device}: {reason}")]
    Other {
        /// The device.
        device: String,
        /// What libpcap says.
        reason: String,
    },
}

fn names(sources: &[TimeSource]) -> String {
    let names: Vec<&str> = sources.iter().map(|source| source.name()).collect();
    names.join(", ")
}
/// libpcap's words, without the crate's prefix.
pub(in crate::capture) fn words(error: &::pcap::Error) -> String {
    match error {
        ::pcap::Error::PcapError(words) => format!("libpcap says: {words}"),
        other => other.to_string(),
    }
}
/// What libpcap's refusal means, with what to do.
pub(super) fn explain(device: &str, known: &[Device], error: &::pcap::Error) -> LiveError {
    let device = device.to_owned();
    if !permitted() {
        let program =
            std::env::current_exe().map_or_else(|_| "hsanalyze".into(), |path| path.display().to_string());
        return LiveError::NotPermitted { device, program };
    }
    if is_interface(&device) && known.iter().any(|known| known.name == device && !known.up) {
        return LiveError::Down { device };
    }
    LiveError::Other { device, reason: words(error) }
}

/// Whether the kernel lets this process open a packet socket: libpcap says why not only in prose.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

    let opened = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
    !matches!(opened, Err(nix::errno::Errno::EPERM | nix::errno::Errno::EACCES))
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    true
}

/// Whether it can be set up at all: libpcap's list has devices that are no network interface.
#[cfg(target_os = "linux")]
fn is_interface(device: &str) -> bool {
    nix::net::if_::if_nametoindex(device).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn is_interface(_device: &str) -> bool {
    true
}
