//! The devices that packets can be captured from.

use std::fmt;
use std::net::IpAddr;

use ::pcap::ConnectionStatus;

/// A device, as `tcpdump -D` shows it, and its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The name, as `-i` takes it.
    pub name: String,
    /// The description that libpcap gives; `None` without one.
    pub description: Option<String>,
    /// The IP addresses of the device.
    pub addresses: Vec<IpAddr>,
    /// `Up`, `Running`, `Loopback` …, in tcpdump's order.
    pub flags: Vec<&'static str>,
    /// True if the device is up.
    pub up: bool,
}

impl fmt::Display for Device {
    /// `eth0 [Up, Running, Connected] 10.9.0.1 fd09::1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(description) = &self.description {
            write!(f, " ({description})")?;
        }
        if !self.flags.is_empty() {
            write!(f, " [{}]", self.flags.join(", "))?;
        }
        self.addresses.iter().try_for_each(|address| write!(f, " {address}"))
    }
}

impl From<::pcap::Device> for Device {
    fn from(device: ::pcap::Device) -> Self {
        let flags = &device.flags;
        let status = match (&flags.connection_status, flags.is_wireless()) {
            (ConnectionStatus::Connected, false) => Some("Connected"),
            (ConnectionStatus::Connected, true) => Some("Associated"),
            (ConnectionStatus::Disconnected, false) => Some("Disconnected"),
            (ConnectionStatus::Disconnected, true) => Some("Not associated"),
            (ConnectionStatus::NotApplicable, _) => None,
            (ConnectionStatus::Unknown, false) => Some("Connection status unknown"),
            (ConnectionStatus::Unknown, true) => Some("Association status unknown"),
        };
        let shown = [
            flags.is_up().then_some("Up"),
            flags.is_running().then_some("Running"),
            flags.is_loopback().then_some("Loopback"),
            flags.is_wireless().then_some("Wireless"),
            status,
        ];
        Self {
            up: flags.is_up(),
            flags: shown.into_iter().flatten().collect(),
            addresses: device.addresses.into_iter().map(|address| address.addr).collect(),
            description: device.desc,
            name: device.name,
        }
    }
}

/// All devices, in libpcap's order: the best default comes first. Needs no privilege.
///
/// # Errors
///
/// libpcap's, as a message.
pub fn devices() -> Result<Vec<Device>, String> {
    let devices = ::pcap::Device::list().map_err(|error| super::libpcap::message(&error))?;
    Ok(devices.into_iter().map(Device::from).collect())
}

/// True if a network interface is up; `None` if the device is none, or its state cannot be read.
pub(super) fn is_up(name: &str) -> Option<bool> {
    let mut interfaces = nix::ifaddrs::getifaddrs().ok()?;
    let found = interfaces.find(|interface| interface.interface_name == name)?;
    Some(found.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP))
}
