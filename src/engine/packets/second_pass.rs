//! A second pass over capture files, for the packets of attempts that the first pass listed.

use std::collections::HashMap;
use std::path::PathBuf;

use super::store::{AttemptPackets, KeptPacket, PacketLimits, PacketStore, flow_of, flows, last_sighting};
use crate::capture::{CaptureOptions, Captures, FilterError, Source, SourceStatus};
use crate::handshake::{Attempt, Verdict};
use crate::packet::{Flags, FlowKey, Frame, Packet, Seeded};

/// Frames that are read at a time.
const BATCH: usize = 2048;

/// Positions that a refusal may stand before the SYN which it answers: as many as the tracker remembers it for.
const EARLY: u64 = 16_384;

/// Reads the files again.
pub(super) fn collect(
    paths: &[PathBuf],
    options: &CaptureOptions,
    attempts: &[&Attempt],
    limits: &PacketLimits,
) -> Result<PacketStore, FilterError> {
    let (mut captures, _unreadable) = Captures::open(paths, options)?;
    let mut pass = SecondPass::new(attempts, limits);
    loop {
        let status = captures.read(BATCH, &mut |frames| frames.iter().for_each(|frame| pass.take(frame)));
        if status == SourceStatus::End {
            return Ok(pass.store);
        }
    }
}

struct SecondPass<'a> {
    limits: &'a PacketLimits,
    /// Attempts by flow, in the order of their first packets.
    wanted: HashMap<FlowKey, Vec<&'a Attempt>, Seeded>,
    store: PacketStore,
    /// Bytes kept.
    bytes: usize,
    /// Position of the next frame in the input, from 0; the same as in the first pass.
    position: u64,
}

impl<'a> SecondPass<'a> {
    fn new(attempts: &[&'a Attempt], limits: &'a PacketLimits) -> Self {
        let mut wanted: HashMap<FlowKey, Vec<&Attempt>, _> = HashMap::default();
        for &attempt in attempts {
            flows(attempt).into_iter().for_each(|flow| wanted.entry(flow).or_default().push(attempt));
        }
        wanted.values_mut().for_each(|attempts| attempts.sort_by_key(|attempt| attempt.ordinal));
        Self { limits, wanted, store: PacketStore::default(), bytes: 0, position: 0 }
    }

    fn take(&mut self, frame: &Frame<'_>) {
        let position = self.position;
        self.position += 1;
        let Some(flow) = flow_of(frame) else { return };
        let Some(attempts) = self.wanted.get(&flow) else { return };
        let begun = attempts.partition_point(|attempt| attempt.ordinal <= position);
        let current = begun.checked_sub(1).and_then(|index| attempts.get(index));
        let current = current.filter(|attempt| frame.at <= last_sighting(attempt));
        let next = attempts.get(begun).filter(|next| is_early_refusal(frame, position, next));
        let Some(attempt) = current.or(next) else { return };
        let packet = KeptPacket::new(frame, self.limits.snap);
        let kept: &mut AttemptPackets = self.store.0.entry(attempt.ordinal).or_default();
        if self.bytes + packet.cost() > self.limits.total {
            kept.left_out += 1;
            kept.gap_at = kept.packets.len();
            return;
        }
        self.bytes = self.bytes.saturating_add_signed(kept.push(packet, self.limits));
    }
}

/// True if the frame refuses the SYN of an attempt whose first packet stands after it.
fn is_early_refusal(frame: &Frame<'_>, position: u64, attempt: &Attempt) -> bool {
    let is_refused = matches!(attempt.verdict, Verdict::Refused | Verdict::Unreachable);
    if !is_refused || attempt.ordinal - position > EARLY {
        return false;
    }
    match crate::packet::decode(frame) {
        Ok(Packet::Segment(segment)) => segment.flags.contains(Flags::RST),
        Ok(Packet::Unreachable(_)) => true,
        Err(_) => false,
    }
}
