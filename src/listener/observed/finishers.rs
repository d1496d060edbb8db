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
pub(in crate::listener) struct Finishers(Vec<ActivePeriod>);

const A_MINUTE: Span = Span::from_secs(60);

/// Bound on periods per listener; the one that ended first is dropped.
const MOST: usize = 64;

impl Finishers {
    pub(super) fn see(&mut self, client: IpAddr, at: Timestamp) {
        if let Some(period) = self.0.iter_mut().find(|period| period.client == client && period.touches(at)) {
            period.from = period.from.min(at);
            period.to = period.to.max(at);
            return;
        }
        if self.0.len() >= MOST
            && let Some(oldest) = (0..self.0.len()).min_by_key(|&place| self.0[place].to)
        {
            self.0.swap_remove(oldest);
        }
        self.0.push(ActivePeriod { client, from: at, to: at });
    }

    /// True if the client finished a handshake within a minute before or after that time.
    pub(in crate::listener) fn has(&self, client: IpAddr, at: Timestamp) -> bool {
        self.0.iter().any(|period| period.client == client && period.touches(at))
    }
}

impl ActivePeriod {
    fn touches(&self, at: Timestamp) -> bool {
        self.from.minus(A_MINUTE) <= at && at <= self.to.plus(A_MINUTE)
    }
}
