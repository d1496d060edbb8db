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

    /// An address by which other hosts may reach a socket that is bound to `bound`: that itself, or where it is any
    /// address, one of the namespace's.
    #[must_use]
    pub fn reachable(&self, bound: IpAddr) -> IpAddr {
        let fits = |address: &&IpAddr| {
            !address.is_loopback() && !is_link_local(**address) && (bound.is_ipv6() || address.is_ipv4())
        };
        if bound.is_unspecified() { self.0.iter().find(fits).copied().unwrap_or(bound) } else { bound }
    }
}

/// True if packets with this address do not leave the link: every namespace has such addresses.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
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

    #[test]
    fn a_socket_on_any_address_is_reached_by_one_that_leaves_the_link() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let local: LocalAddresses =
            ["127.0.0.1", "169.254.1.1", "172.17.0.2", "fe80::1", "fd00::2"].map(ip).into_iter().collect();
        assert_eq!(local.reachable(ip("0.0.0.0")), ip("172.17.0.2"));
        assert_eq!(local.reachable(ip("::")), ip("172.17.0.2"));
        assert_eq!(local.reachable(ip("127.0.0.1")), ip("127.0.0.1"), "it is not bound to any");
        let only_v6: LocalAddresses = ["fe80::1", "fd00::2"].map(ip).into_iter().collect();
        assert_eq!(
            (only_v6.reachable(ip("::")), only_v6.reachable(ip("0.0.0.0"))),
            (ip("fd00::2"), ip("0.0.0.0"))
        );
    }
}
