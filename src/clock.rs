//! The host's clock: the only module that reads the time of day. Packet time comes from captures.

use std::time::SystemTime;

use crate::packet::Timestamp;

/// The time now, by `CLOCK_REALTIME`: the clock that the kernel stamps captured packets with, so that a
/// `connect()`'s return and a packet can be compared to the nanosecond.
#[must_use]
pub(crate) fn now() -> Timestamp {
    let nanos = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, i64::wrapping_neg),
    };
    Timestamp::from_nanos(nanos)
}
