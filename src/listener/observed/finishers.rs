//! Clients that finished a handshake, and when: that an address is real, and reached, holds for a minute (DOMAIN §3).

use std::net::IpAddr;

use crate::packet::{Span, Timestamp};

/// The time of handshakes, each no more than [`A_MINUTE`] from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) struct ActivePeriod {
    from: Timestamp,
    to: Timestamp,
}

/// Clients that finished a handshake.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Finishers {
    periods: Vec<(IpAddr, ActivePeriod)>,
    /// A number for each period's client: a client that is in none of them nearly always differs from all.
    tags: Vec<u32>,
}

const A_MINUTE: Span = Span::from_secs(60);

/// Most periods kept per listener; past that the half that ended first is dropped.
const MAX_PERIODS: usize = 128;

impl Finishers {
    pub(super) fn see(&mut self, client: IpAddr, at: Timestamp) {
        if let Some((_, period)) = self.find(client, at).and_then(|place| self.periods.get_mut(place)) {
            return period.extend(at);
        }
        if self.periods.len() >= MAX_PERIODS {
            let mut ends: Vec<Timestamp> = self.periods.iter().map(|(_, period)| period.to).collect();
            let (_, &mut median, _) = ends.select_nth_unstable(MAX_PERIODS / 2);
            self.periods.retain(|(_, period)| period.to > median);
            self.tags = self.periods.iter().map(|&(client, _)| tag(client)).collect();
        }
        self.periods.push((client, ActivePeriod::of(at)));
        self.tags.push(tag(client));
    }

    /// The place of the client's period that this time belongs to.
    fn find(&self, client: IpAddr, at: Timestamp) -> Option<usize> {
        let any = may_hold(&self.tags, client);
        let is_it = |&(other, period): &(IpAddr, ActivePeriod)| other == client && period.touches(at);
        if any { self.periods.iter().position(is_it) } else { None }
    }

    /// Clients that finished a handshake at any time, as far as is known.
    pub(in crate::listener) fn clients(&self) -> impl Iterator<Item = IpAddr> {
        self.periods.iter().map(|&(client, _)| client)
    }

    /// True if the client finished a handshake within a minute after that time.
    pub(in crate::listener) fn has_later(&self, client: IpAddr, at: Timestamp) -> bool {
        let place = self.find(client, at);
        place.and_then(|place| self.periods.get(place)).is_some_and(|(_, period)| period.goes_on_after(at))
    }

    /// True if the client finished a handshake within a minute before or after that time.
    pub(in crate::listener) fn has(&self, client: IpAddr, at: Timestamp) -> bool {
        self.find(client, at).is_some()
    }
}

impl ActivePeriod {
    pub(in crate::listener) const fn of(at: Timestamp) -> Self {
        Self { from: at, to: at }
    }

    /// Takes a handshake that [`Self::touches`] it.
    pub(in crate::listener) fn extend(&mut self, at: Timestamp) {
        self.from = self.from.min(at);
        self.to = self.to.max(at);
    }

    /// True if its last handshake came after that time.
    pub(in crate::listener) fn goes_on_after(self, at: Timestamp) -> bool {
        self.to > at
    }

    /// True if a time is no more than a minute from it.
    pub(in crate::listener) fn touches(self, at: Timestamp) -> bool {
        self.from.minus(A_MINUTE) <= at && at <= self.to.plus(A_MINUTE)
    }
}

/// True if one of these tags is the client's. Without a branch for each: all are compared, several at once.
#[inline(always)]
pub(super) fn may_hold<'t>(tags: impl IntoIterator<Item = &'t u32>, client: IpAddr) -> bool {
    let tag = tag(client);
    tags.into_iter().fold(false, |any, &other| any | (other == tag))
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
