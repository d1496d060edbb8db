//! Batches of packets: where one ends, and the state of the input there.
//!
//! Every batch ends at the same packet whatever the number of threads and however the source delivers: evictions depend
//! on where batches end.

use super::intake::{Intake, PacketReceiver};
use super::survey::Survey;
use crate::capture::{Source, SourceStatus};
use crate::packet::Timestamp;

/// Packets per batch. Small enough that a batch stays in the second-level cache on its way from the
/// reading to the tracking thread, large enough that handing it over costs nothing per packet.
pub(super) const BATCH: usize = 2048;

/// The end of a batch. A batch that the source could not fill has several ends, the last of them at its last packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchEnd {
    /// The packet clock: the latest steady time of the whole input so far.
    pub(super) now: Option<Timestamp>,
    /// Packets of the whole input so far.
    pub(super) total: u64,
    /// State of the source after these packets.
    pub(super) status: SourceStatus,
    /// Properties of the capture itself, as the packets so far show them.
    pub(super) survey: Survey,
}

impl BatchEnd {
    /// True if bounds are checked at this end: that of a full batch, or of the input.
    pub(super) const fn is_bounded(&self) -> bool {
        self.total.is_multiple_of(BATCH as u64) || matches!(self.status, SourceStatus::End)
    }
}

/// Reads what the source can give at once, at most the rest of a batch.
pub(super) fn read_batch(
    source: &mut (impl Source + ?Sized),
    intake: &mut Intake,
    destination: &mut impl PacketReceiver,
) -> BatchEnd {
    let wanted = BATCH - (intake.total() % BATCH as u64) as usize;
    let status = source.read(wanted, &mut |frames| intake.take(frames, destination));
    intake.pause(status == SourceStatus::End, destination);
    let clock = intake.clock();
    let by_packets = if status == SourceStatus::End { clock.end() } else { clock.now() };
    let by_source = source.now().map(|now| clock.steady(now));
    let (now, total) = (by_packets.max(by_source), intake.total());
    BatchEnd { now, total, status, survey: intake.survey() }
}
