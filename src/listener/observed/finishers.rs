//! Clients that finished a handshake, and when: that an address is real, and reached, holds for a minute (DOMAIN §3).

use std::net::IpAddr;

use crate::packet::{Span, Timestamp};

/// Handshakes of one client, each no more than [`A_MINUTE`] from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ActivePeriod {
    client: IpAddr,
    from: Timestamp,
    to: Timestamp,
}

/// Clients that finished a handshake.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Finishers {
    periods: Vec<ActivePeriod>,
    /// A number for each period's client: a client that is in none of them nearly always differs from all.
    tags: Vec<u32>,
}

const A_MINUTE: Span = Span::from_secs(60);

/// Most periods kept per listener; past that the half that ended first is dropped.
const MAX_PERIODS: usize = 128;

impl Finishers {
    pub(super) fn see(&mut self, client: IpAddr, at: Timestamp) {
        if let Some(period) = self.find(client, at).and_then(|place| self.periods.get_mut(place)) {
            period.from = period.from.min(at);
            period.to = period.to.max(at);
            return;
        }
        if self.periods.len() >= MAX_PERIODS {
            let mut ends: Vec<Timestamp> = self.periods.iter().map(|period| period.to).collect();
            let (_, &mut median, _) = ends.select_nth_unstable(MAX_PERIODS / 2);
            self.periods.retain(|period| period.to > median);
            self.tags = self.periods.iter().map(|period| tag(period.client)).collect();
        }
        self.periods.push(ActivePeriod { client, from: at, to: at });
        self.tags.push(tag(client));
    }

    /// The place of the client's period that this time belongs to.
    fn find(&self, client: IpAddr, at: Timestamp) -> Option<usize> {
        let tag = tag(client);
        // Without a branch for each: all are compared, several at once.
        let any = self.tags.iter().fold(false, |any, &other| any | (other == tag));
        let is_it = |period: &ActivePeriod| period.client == client && period.touches(at);
        if any { self.periods.iter().position(is_it) } else { None }
    }

    /// True if the client finished a handshake within a minute before or after that time.
    pub(in crate::listener) fn has(&self, client: IpAddr, at: Timestamp) -> bool {
        self.find(client, at).is_some()
    }
}

impl ActivePeriod {
    fn touches(&self, at: Timestamp) -> bool {
        self.from.minus(A_MINUTE) <= at && at <= self.to.plus(A_MINUTE)
    }
}

/// A number that hardly any two clients share.
pub(super) fn tag(client: IpAddr) -> u32 {
    match client {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            [0, 32, 64, 96].into_iter().fold(0, |tag, shift| tag ^ (bits >> shift) as u32)
        }
    }
}
