//! Sizes of the client's data that a listener acknowledged, and of data that it did not: a path may lose large segments
//! alone (DOMAIN §3).

use super::per_second::PerSecond;
use crate::handshake::{Attempt, Fact, Verdict};
use crate::packet::Timestamp;

/// Least bytes of a large segment: paths narrower than Ethernet lose it. IPv6 carries 1,220 bytes behind the smallest
/// MTU that it allows (RFC 8200 §5), tunnels over Ethernet from 1,300.
const MIN_LARGE: u32 = 1_200;

/// Most bytes of small data: any path carries its segments (RFC 1122 §3.3.3: 576 bytes with headers).
pub(in crate::listener) const MAX_SMALL: u32 = 536;

/// Attempts by the size of the client's first data and by its end, in seconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Sizes {
    small_acknowledged: PerSecond,
    large_acknowledged: PerSecond,
    small_ignored: PerSecond,
    large_ignored: PerSecond,
}

/// Attempts of a stretch of time by the size of their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) struct SizeCounts {
    /// Small data that was acknowledged.
    pub(in crate::listener) small_acknowledged: u32,
    /// Large segments that were not.
    pub(in crate::listener) large_ignored: u32,
}

impl Sizes {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        let Some(sent) = attempt.sent else { return };
        let acknowledged = attempt.facts.has(Fact::Established) && attempt.data_retransmissions == 0;
        if attempt.verdict == Verdict::AckIgnored {
            let ignored = if is_large(attempt) { &mut self.large_ignored } else { &mut self.small_ignored };
            ignored.add(sent);
        } else if acknowledged && attempt.sent_bytes <= MAX_SMALL {
            self.small_acknowledged.add(sent);
        } else if acknowledged && attempt.sent_bytes >= MIN_LARGE {
            self.large_acknowledged.add(sent);
        }
    }

    /// The counts from one time to another, by whole seconds; `None` if small data was ignored too, or large data was
    /// acknowledged.
    pub(in crate::listener) fn separated(&self, from: Timestamp, to: Timestamp) -> Option<SizeCounts> {
        let mixed = self.small_ignored.between(from, to) + self.large_acknowledged.between(from, to);
        (mixed == 0).then(|| SizeCounts {
            small_acknowledged: self.small_acknowledged.between(from, to),
            large_ignored: self.large_ignored.between(from, to),
        })
    }

    /// True if large data was acknowledged at any time.
    pub(in crate::listener) fn has_acknowledged_large(&self) -> bool {
        !self.large_acknowledged.is_empty()
    }
}

/// True if the client sent a large segment again.
pub(in crate::listener) const fn is_large(attempt: &Attempt) -> bool {
    attempt.resent_bytes >= MIN_LARGE
}
