//! The addresses of this machine, which decide whether a server runs here.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::KernelError;

/// The addresses of the interfaces of one network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalAddresses(BTreeSet<IpAddr>);

impl LocalAddresses {
    /// True if packets to `address` end in this namespace.
    ///
    /// All of 127.0.0.0/8 does, whatever is configured on `lo`. Addresses that a `local` route or IP_TRANSPARENT
    /// brings here without an interface owning them are not known.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || self.0.contains(&address)
    }
}

impl FromIterator<IpAddr> for LocalAddresses {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        Self(addresses.into_iter().map(|address| address.to_canonical()).collect())
    }
}

/// The addresses of the calling thread's network namespace (`getifaddrs`).
///
/// # Errors
///
/// The list cannot be had; not Linux.
#[cfg(target_os = "linux")]
pub fn local_addresses() -> Result<LocalAddresses, KernelError> {
    let interfaces = nix::ifaddrs::getifaddrs().map_err(|errno| KernelError::Addresses(errno.into()))?;
    Ok(interfaces
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect())
}

/// See the version for Linux.
///
/// # Errors
///
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn local_addresses() -> Result<LocalAddresses, KernelError> {
    Err(KernelError::Unsupported)
}

/// The name of the interface with this index in the calling thread's network namespace, while it exists.
#[must_use]
pub fn device_name(index: u32) -> Option<String> {
    #[cfg(target_os = "linux")]
    return nix::net::if_::if_indextoname(index).ok()?.into_string().ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = index;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_and_all_of_127_are_local() {
        let local: LocalAddresses =
            ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()].into_iter().collect();
        assert!(local.contains("10.0.0.1".parse().unwrap()));
        assert!(local.contains("::ffff:10.0.0.1".parse().unwrap()));
        assert!(local.contains("127.8.8.8".parse().unwrap()));
        assert!(local.contains("fd00::1".parse().unwrap()));
        assert!(!local.contains("10.0.0.2".parse().unwrap()));
        assert!(!local.contains("fd00::2".parse().unwrap()));
    }
}
