//! Figures of one listener between two snapshots: how many events of each kind, and whose they can be.

use super::{Counter, Counters};
use crate::packet::Timestamp;

/// Figures of one listener between two successive snapshots, or several such intervals together.
///
/// Counters count events, not connections: a dropped SYN is one, each of its retries another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerInterval {
    /// Time of the first snapshot.
    pub from: Timestamp,
    /// Time of the second.
    pub until: Timestamp,
    /// Packets that its sockets dropped: a SYN counts once, an ACK or data that met a full queue twice. `None` where
    /// the kernel does not count, or a socket was closed and its last drops are not known.
    pub drops: Option<u64>,
    /// Drops of all other listeners of the namespace.
    pub others_drops: Option<u64>,
    /// Connections that waited at the second snapshot, in the fullest of its queues.
    pub waiting: u32,
    /// True if a snapshot found its queue full.
    pub full: bool,
    /// True if its queue overflowed, by the rule of [`KernelStats::overflowed`](super::KernelStats::overflowed).
    pub overflowed: Option<bool>,
    /// Growth of the namespace's counters; of other listeners, too.
    pub counters: Counters,
}

/// Bounds of a number of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventBounds {
    /// At least so many.
    pub least: u64,
    /// At most so many.
    pub most: u64,
}

impl ListenerInterval {
    /// Events that met this listener's full accept queue; `None` where the kernel does not count.
    ///
    /// ListenOverflows is the namespace's. Each of its events is at least one drop of a socket, so the drops of this
    /// listener bound its part from above, and those of all others from below.
    #[must_use]
    pub fn overflows(&self) -> Option<EventBounds> {
        let all = self.counters.get(Counter::ListenOverflows)?;
        let most = self.drops.map_or(all, |drops| drops.min(all));
        let least = self.others_drops.map_or(0, |others| all.saturating_sub(others)).min(most);
        Some(EventBounds { least, most })
    }

    /// Growth of a counter of the namespace that listeners share.
    #[must_use]
    pub const fn counter(&self, counter: Counter) -> Option<u64> {
        self.counters.get(counter)
    }

    /// True if anything was dropped, reset or answered by a cookie, at this listener or another.
    #[must_use]
    pub fn is_troubled(&self) -> bool {
        self.overflowed != Some(false)
            || self.drops.is_some_and(|drops| drops > 0)
            || TROUBLE.into_iter().any(|counter| self.counter(counter).is_some_and(|events| events > 0))
    }

    /// Both intervals as one, never surer than its parts.
    #[must_use]
    pub fn joined(&self, later: &Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.saturating_add(b));
        Self {
            from: self.from.min(later.from),
            until: self.until.max(later.until),
            drops: sum(self.drops, later.drops),
            others_drops: sum(self.others_drops, later.others_drops),
            waiting: later.waiting,
            full: self.full || later.full,
            overflowed: if self.overflowed == later.overflowed { self.overflowed } else { None },
            counters: self.counters.plus(&later.counters),
        }
    }
}

/// Counters of handshakes that did not go through.
const TROUBLE: [Counter; 12] = [
    Counter::ListenOverflows,
    Counter::ListenDrops,
    Counter::TcpReqQFullDrop,
    Counter::TcpReqQFullDoCookies,
    Counter::SyncookiesSent,
    Counter::SyncookiesRecv,
    Counter::SyncookiesFailed,
    Counter::EmbryonicRsts,
    Counter::TcpDeferAcceptDrop,
    Counter::PawsActive,
    Counter::PawsEstab,
    Counter::PawsTimewait,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(overflows: u64, drops: Option<u64>, others_drops: Option<u64>) -> ListenerInterval {
        let text = format!("TcpExt: ListenOverflows ListenDrops\nTcpExt: {overflows} {overflows}\n");
        ListenerInterval {
            from: Timestamp::from_nanos(0),
            until: Timestamp::from_nanos(1),
            drops,
            others_drops,
            waiting: 0,
            full: false,
            overflowed: Some(overflows > 0),
            counters: Counters::parse(&text, ""),
        }
    }

    fn bounds(least: u64, most: u64) -> Option<EventBounds> {
        Some(EventBounds { least, most })
    }

    #[test]
    fn overflows_are_this_listeners_as_far_as_drops_allow() {
        assert_eq!(interval(10, Some(20), Some(0)).overflows(), bounds(10, 10), "ten ignored ACKs, alone");
        assert_eq!(interval(10, Some(10), Some(0)).overflows(), bounds(10, 10), "ten dropped SYNs, alone");
        assert_eq!(interval(10, Some(4), Some(8)).overflows(), bounds(2, 4), "another dropped, too");
        assert_eq!(interval(10, Some(0), Some(10)).overflows(), bounds(0, 0), "all of another");
        assert_eq!(interval(10, None, None).overflows(), bounds(0, 10), "no drop counts");
        let mut unknown = interval(1, Some(1), Some(0));
        unknown.counters = Counters::default();
        assert_eq!(unknown.overflows(), None);
    }

    #[test]
    fn a_joined_interval_has_the_sum_and_is_never_surer() {
        let (quiet, full) = (interval(0, Some(0), Some(0)), interval(3, Some(6), Some(0)));
        let joined = quiet.joined(&full);
        assert_eq!((joined.overflows(), joined.drops, joined.overflowed), (bounds(3, 3), Some(6), None));
        assert_eq!(full.joined(&full).overflowed, Some(true));
        assert!(!quiet.is_troubled() && full.is_troubled());
    }
}
