//! The clock of a live capture, and its count of lost packets.

use crate::packet::{Span, Timestamp};

/// Greatest age of a packet when it is handed over after the ring was drained: libpcap's time-out of 100 ms, and 150 ms
/// more because the timer may be late.
const MAX_DELIVERY_LAG: Span = Span::from_millis(250);

/// The clock of a live capture: the time up to which all packets were handed over.
#[derive(Debug, Clone, Copy)]
pub(super) struct LiveClock {
    /// True if time stamps are from this host's clock.
    pub(super) of_host: bool,
    /// The host's time when the ring was last drained.
    pub(super) drained_at: Option<Timestamp>,
    /// For an adapter's clock: its latest time stamp, and the host's time then.
    pub(super) latest: Option<(Timestamp, Timestamp)>,
}

impl LiveClock {
    pub(super) fn now(&self) -> Option<Timestamp> {
        let drained_at = self.drained_at?;
        let time = if self.of_host {
            drained_at
        } else {
            let (stamp, wall) = self.latest?;
            stamp.plus(drained_at.since(wall))
        };
        Some(time.minus(MAX_DELIVERY_LAG))
    }
}

/// Numbers of packets that a capture lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaptureDrops {
    /// Dropped by the kernel, whose buffer was full.
    pub by_kernel: u64,
    /// Dropped by the interface or its driver.
    pub by_interface: u64,
}

impl CaptureDrops {
    /// All of them.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.by_kernel + self.by_interface
    }
}

/// Counts dropped packets in 64 bits. libpcap's counts are 32 bits wide, and wrap in a capture of weeks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DropCounter {
    pub(super) total: CaptureDrops,
    dropped: u32,
    if_dropped: u32,
}

impl DropCounter {
    pub(super) fn update(&mut self, dropped: u32, if_dropped: u32) {
        self.total.by_kernel += u64::from(dropped.wrapping_sub(self.dropped));
        self.total.by_interface += u64::from(if_dropped.wrapping_sub(self.if_dropped));
        (self.dropped, self.if_dropped) = (dropped, if_dropped);
    }
}

/// The time of a packet, whose sub-second field counts units of so many nanoseconds.
#[allow(clippy::useless_conversion, reason = "both fields have 32 bits on some platforms")]
pub(super) fn stamp(header: &::pcap::PacketHeader, nanos_per_unit: i64) -> Timestamp {
    let (seconds, units) = (i64::from(header.ts.tv_sec), i64::from(header.ts.tv_usec));
    let nanos = seconds.saturating_mul(1_000_000_000).saturating_add(units.saturating_mul(nanos_per_unit));
    Timestamp::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_drops_go_on_when_libpcaps_wrap() {
        let mut lost = DropCounter::default();
        lost.update(u32::MAX, 1);
        assert_eq!(lost.total, CaptureDrops { by_kernel: u32::MAX.into(), by_interface: 1 });
        lost.update(4, 1);
        assert_eq!(lost.total.total(), u64::from(u32::MAX) + 6);
    }

    #[test]
    fn another_clock_is_followed_by_its_latest_stamp() {
        let at = |millis: i64| Timestamp::from_nanos(millis * 1_000_000);
        let host = LiveClock { of_host: true, drained_at: Some(at(5_000)), latest: None };
        assert_eq!(host.now(), Some(at(4_750)));
        let adapter = LiveClock { of_host: false, latest: Some((at(100), at(4_000))), ..host };
        assert_eq!(adapter.now(), Some(at(850)));
        assert_eq!(LiveClock { latest: None, ..adapter }.now(), None);
        assert_eq!(LiveClock { drained_at: None, ..host }.now(), None, "packets may be waiting");
    }
}
