//! A small set of client addresses, for counts that need only few of them.

use std::net::IpAddr;

use smallvec::SmallVec;

/// The first distinct addresses, up to [`ClientSet::MAX_ADDRESSES`].
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct ClientSet {
    addresses: SmallVec<[IpAddr; 2]>,
}

impl ClientSet {
    /// Most addresses that are kept; more count as so many.
    pub(in crate::listener) const MAX_ADDRESSES: usize = 16;

    pub(in crate::listener) fn add(&mut self, client: IpAddr) {
        if self.addresses.len() < Self::MAX_ADDRESSES && !self.addresses.contains(&client) {
            self.addresses.push(client);
        }
    }

    pub(in crate::listener) fn merge(&mut self, other: &Self) {
        other.addresses.iter().for_each(|&client| self.add(client));
    }

    /// Number of addresses, up to [`Self::MAX_ADDRESSES`].
    pub(in crate::listener) fn count(&self) -> u32 {
        self.addresses.len() as u32
    }
}
