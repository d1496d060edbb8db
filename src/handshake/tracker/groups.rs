//! Takes packets in groups, so that the processor waits for much memory at once.
//!
//! Owns the passes over a group, and which of its packets are of interest. Does not own what is done with them (the
//! tracker).

use std::hint::select_unpredictable;

use super::{AHEAD, Tracker};
use crate::handshake::batch::{Batch, Content, Item};
use crate::handshake::table::{Cell, Position};
use crate::packet;

/// Number of packets that are looked up together, before the first of them is taken.
const TOGETHER: usize = 128;

/// A packet of a group that is of interest: its place, and the probable cell of its flow.
type Wanted = (u32, Cell);

/// The wanted packets of a group, with [`AHEAD`] spare places: prefetching indexes past the last one.
type WantedBuffer = [Wanted; TOGETHER + AHEAD];

impl Tracker {
    /// Takes packets, in order.
    ///
    /// In groups, and in passes over them, so that the processor waits for many loads at once, and for none of the
    /// packets that do not matter: those are left out without a branch, which it could not predict.
    pub fn take(&mut self, batch: &Batch) {
        let mut items = batch.items();
        while !items.is_empty() {
            let (group, _) = items.split_at(items.len().min(TOGETHER));
            let taken = self.take_group(batch, group);
            items = items.get(taken..).unwrap_or_default();
        }
        self.lag = batch.lag_at(u64::MAX).unwrap_or(self.lag);
    }

    /// Takes packets of a group, the first one at least; returns how many. Stops where a flow was reopened: its later
    /// packets were of no interest when they were looked up.
    #[inline(always)]
    fn take_group(&mut self, batch: &Batch, items: &[Item]) -> usize {
        items.iter().for_each(|item| self.table.prefetch_index(item.hash()));
        let mut found: WantedBuffer = [(0, Cell::EMPTY); TOGETHER + AHEAD];
        let wanted = self.look_up(items, &mut found);
        found.iter().take(AHEAD).for_each(|&(place, cell)| self.prefetch(batch, items, place, cell));
        for (now, &(place, cell)) in found.iter().enumerate().take(wanted) {
            if let (Some(&(place, later)), Some((_, soon))) =
                (found.get(now + AHEAD), found.get(now + AHEAD / 2))
            {
                self.prefetch(batch, items, place, later);
                // The entry was prefetched before; its cold state, which few have, is elsewhere.
                let tracked = self.table.get(Position::new(soon.position().unwrap_or(0)));
                tracked.inspect(|tracked| tracked.attempt.prefetch_cold());
            }
            let Some((item, rest)) = items.get(place as usize..).and_then(<[Item]>::split_first) else {
                break;
            };
            self.take_one(batch, item, cell);
            if let Some(hash) = self.reopened.take()
                && rest.iter().any(|item| item.hash() == hash)
            {
                return items.len() - rest.len();
            }
        }
        items.len()
    }

    /// Finds the packets of a group that are of interest; returns how many.
    #[inline(always)]
    fn look_up(&self, items: &[Item], found: &mut WantedBuffer) -> usize {
        let mut wanted = 0;
        for (place, item) in (0..).zip(items) {
            let cell = self.table.guess(item.hash());
            found[wanted % TOGETHER] = (place, cell);
            wanted += usize::from(!cell.is_settled(item.hash()) | item.may_open());
        }
        wanted
    }

    /// Prefetches what a packet of interest needs; where its flow is not in the slab, room for a new entry.
    #[inline(always)]
    fn prefetch(&self, batch: &Batch, items: &[Item], place: u32, cell: Cell) {
        if let Some(item) = items.get(place as usize) {
            batch.prefetch(item);
            // For packets that open no attempt the same line each time, which costs little.
            self.seen.prefetch(select_unpredictable(item.may_open(), item.hash(), 0));
        }
        let entry = cell.position().map_or_else(|| self.table.some_free(place), Position::new);
        self.table.prefetch(entry);
    }

    /// True if an ACK of the flow may be one that its attempt waits for, so that its checksum matters: most segments come later.
    #[inline(always)]
    fn awaits_ack(&self, cell: Cell) -> bool {
        // Where the flow was not there when it was looked up, its SYN may have come since.
        let Some(at) = cell.position() else { return true };
        self.table.get(Position::new(at)).is_some_and(|tracked| tracked.attempt.awaits_ack())
    }

    /// Takes a packet, of whose flow `cell` was known lately.
    #[inline(always)]
    fn take_one(&mut self, batch: &Batch, item: &Item, cell: Cell) {
        let Some((ordinal, content)) = batch.body(item) else { return };
        self.lag = batch.lag_at(ordinal).unwrap_or(self.lag);
        self.is_doubted = batch.is_doubted(ordinal);
        match content {
            Content::Headers(at, frame, headers) => {
                // Each version apart: what is decoded stays in registers until it is written.
                let verifies = item.may_open() || self.awaits_ack(cell);
                if let Some(stack) = packet::usual_ipv4(headers) {
                    self.take_segment(cell, &stack.segment(at, frame, verifies), item.hash(), ordinal);
                } else if let Some(stack) = packet::usual_ipv6(headers) {
                    self.take_segment(cell, &stack.segment(at, frame, verifies), item.hash(), ordinal);
                } else {
                    self.abandon_undecided();
                }
            }
            Content::Decoded(packet) => {
                self.own = batch.own_flow(ordinal);
                self.take_decoded(cell, packet, item.hash(), ordinal);
                self.own = None;
            }
        }
    }
}
