//! Errors of opening a live capture, each with advice.

use crate::capture::device::Device;
use crate::capture::filter::FilterError;
use crate::capture::libpcap;
use crate::capture::options::TimeSource;
use crate::packet::LinkType;

/// Reasons why a live capture cannot begin.
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
    /// The process has no right to capture.
    #[error(
        "{device}: capturing is not permitted: run it with sudo, or give the program the right once: \
         sudo setcap cap_net_raw+p {program}"
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
    /// Packets of its link type cannot be decoded.
    #[error(
        "{device}: packets of link type {link} cannot be analysed live; see -D for the interfaces there are"
    )]
    Link {
        /// The device.
        device: String,
        /// The device's link type.
        link: LinkType,
    },
    /// The time source is not supported by the device.
    #[error("{device}: its packets cannot be stamped by time source {}; it has {}", .source_wanted.name(), names(.has))]
    TimeSource {
        /// The device.
        device: String,
        /// The time source as given.
        source_wanted: TimeSource,
        /// The time sources that the device has.
        has: Vec<TimeSource>,
    },
    /// libpcap refuses the filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Another error of libpcap.
    #[error("{device}: {reason}")]
    Other {
        /// The device.
        device: String,
        /// libpcap's reason.
        reason: String,
    },
}

fn names(sources: &[TimeSource]) -> String {
    let names: Vec<&str> = sources.iter().map(|source| source.name()).collect();
    names.join(", ")
}

/// The error behind a refusal of libpcap's.
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
    LiveError::Other { device, reason: libpcap::message(error) }
}

/// True if the kernel lets this process open a packet socket. It is tried, because libpcap gives its error as a text
/// only.
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

/// True if the device is a network interface, which can be set up. libpcap lists other devices, too.
#[cfg(target_os = "linux")]
fn is_interface(device: &str) -> bool {
    nix::net::if_::if_nametoindex(device).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn is_interface(_device: &str) -> bool {
    true
}
