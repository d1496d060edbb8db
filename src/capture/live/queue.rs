//! Packets in memory, on their way from the kernel's ring to the analysis.
//!
//! Owns the blocks that packets are copied to, and how many may wait. Does not own who fills them (`reader`).

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::capture::stream::SharedBlock;
use crate::capture::walk::FrameGroup;
use crate::packet::{Frame, FrameRef, Frames, LinkType, Shared, Timestamp};

/// Most bytes that wait for the analysis. While it is behind, for its work of once a second or in a flood, packets gather
/// here and not in the ring: half a million of handshakes. When these are full the ring fills, and the kernel counts what
/// it drops.
const MOST_WAITING: usize = 64 << 20;

/// Bytes at which the analysis goes on at once: more would leave the processor's caches before they are looked at.
const ENOUGH: usize = 1 << 20;

/// Most bytes that empty blocks have room for: those that wait at once, unless the analysis is behind. New memory for each
/// would be cleared by the kernel, and moved as it grows.
const MOST_FREE: usize = 4 << 20;

/// Packets that were read from the ring at once.
#[derive(Debug, Default)]
pub(super) struct FrameBlock {
    bytes: Vec<u8>,
    frames: Vec<HeldFrame>,
    /// The host's time before the ring was read.
    pub(super) read_at: Timestamp,
}

/// A packet of a block.
#[derive(Debug, Clone, Copy)]
struct HeldFrame {
    at: Timestamp,
    /// Beginning of its bytes in the block, and their number.
    offset: u32,
    captured: u32,
    wire_len: u32,
}

impl FrameBlock {
    /// Appends a packet.
    pub(super) fn push(&mut self, at: Timestamp, wire_len: u32, data: &[u8]) {
        let (offset, captured) = (self.bytes.len() as u32, data.len() as u32);
        self.bytes.extend_from_slice(data);
        self.frames.push(HeldFrame { at, offset, captured, wire_len });
    }

    /// Bytes of memory that it has room for.
    fn room(&self) -> usize {
        self.bytes.capacity() + self.frames.capacity() * size_of::<HeldFrame>()
    }

    /// Bytes of memory that its packets take.
    fn size(&self) -> usize {
        self.bytes.len() + self.frames.len() * size_of::<HeldFrame>()
    }
}

/// A block whose packets are being handed over. Its bytes stay until the analysis needs their headers no more.
#[derive(Debug)]
pub(super) struct OpenBlock {
    bytes: Arc<Vec<u8>>,
    shared: Shared,
    frames: Vec<HeldFrame>,
    next: usize,
    /// See [`FrameBlock::read_at`].
    pub(super) read_at: Timestamp,
}

impl OpenBlock {
    pub(super) fn new(block: FrameBlock) -> Self {
        let bytes = Arc::new(block.bytes);
        let shared = Shared::new(SharedBlock(Arc::clone(&bytes)));
        Self { bytes, shared, frames: block.frames, next: 0, read_at: block.read_at }
    }

    /// True if all its packets were handed over.
    pub(super) fn is_spent(&self) -> bool {
        self.next >= self.frames.len()
    }

    /// Hands over up to `max` packets of this link type, the first of which is number `first` of the capture, each after
    /// `look` saw it. Returns how many.
    pub(super) fn hand_over(
        &mut self,
        max: usize,
        (first, link): (u64, LinkType),
        mut look: impl FnMut(&mut Frame<'_>),
        sink: &mut dyn FnMut(Frames<'_>),
    ) -> usize {
        let rest = self.frames.get(self.next..).unwrap_or_default();
        let mut group = FrameGroup::new(Some(&self.shared));
        let mut handed = 0;
        for (held, number) in rest.iter().zip(first..).take(max) {
            let begin = held.offset as usize;
            let data = self.bytes.get(begin..begin + held.captured as usize).unwrap_or_default();
            let frame = FrameRef::new(0, number);
            let mut frame = Frame { at: held.at, frame, link, wire_len: held.wire_len, data };
            look(&mut frame);
            group.push(frame, sink);
            handed += 1;
        }
        group.hand_over(sink);
        self.next += handed;
        handed
    }

    /// The block without its packets, once nobody holds their bytes.
    pub(super) fn reclaim(self) -> Option<FrameBlock> {
        drop(self.shared);
        let mut bytes = Arc::try_unwrap(self.bytes).ok()?;
        let mut frames = self.frames;
        bytes.clear();
        frames.clear();
        Some(FrameBlock { bytes, frames, read_at: self.read_at })
    }
}

/// Counts of dropped packets as libpcap gives them, 32 bits wide: those of the kernel, and those of the interface.
pub(super) type RawDrops = (u32, u32);

/// Blocks that wait, in order, and what is known of the ring.
#[derive(Debug, Default)]
pub(super) struct FrameQueue {
    state: Mutex<QueueState>,
    /// Signalled when enough waits, or the capture ended, or the drops that were asked for are known.
    ready: Condvar,
    /// Signalled when blocks were taken.
    taken: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<FrameBlock>,
    /// Bytes of those.
    bytes: usize,
    free: Vec<FrameBlock>,
    /// Bytes that those have room for.
    free_room: usize,
    /// The host's time before the ring was last found empty: everything captured by then was put here.
    drained_at: Option<Timestamp>,
    /// Reason for which no packets will come any more.
    ended: Option<String>,
    /// Nobody takes packets any more.
    closed: bool,
    drops: Option<RawDrops>,
    drops_asked: bool,
}

impl QueueState {
    /// Keeps an empty block for other packets.
    fn keep(&mut self, block: FrameBlock) {
        let room = block.room();
        if self.free_room + room <= MOST_FREE {
            self.free_room += room;
            self.free.push(block);
        }
    }
}

/// The next thing in a queue.
pub(super) enum Next {
    /// The block that came first.
    Block(OpenBlock),
    /// An empty queue; with the time by which everything captured until then had been put here.
    Nothing(Option<Timestamp>),
    /// The end: the queue is empty, and nothing will come, for this reason.
    End(String),
}

impl FrameQueue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // No code that could panic runs while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty block; waits while too much is waiting. `None` once the queue is closed.
    pub(super) fn empty_block(&self) -> Option<FrameBlock> {
        let full = |state: &mut QueueState| state.bytes >= MOST_WAITING && !state.closed;
        let waited = self.taken.wait_while(self.lock(), full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        let block = state.free.pop().unwrap_or_default();
        state.free_room -= block.room();
        Some(block)
    }

    /// Appends a block. `drained_at` is the host's time before the ring was found empty, if it was.
    pub(super) fn put(&self, block: FrameBlock, drained_at: Option<Timestamp>) {
        let mut state = self.lock();
        state.drained_at = drained_at.or(state.drained_at);
        let size = block.size();
        if size == 0 {
            state.keep(block);
            return;
        }
        state.waiting.push_back(block);
        state.bytes += size;
        if state.bytes >= ENOUGH {
            self.ready.notify_one();
        }
    }

    /// Waits until enough packets have gathered, `most` at most.
    pub(super) fn gather(&self, most: Duration) {
        let few = |state: &mut QueueState| state.bytes < ENOUGH && state.ended.is_none();
        // Whatever came by then is taken next.
        drop(self.ready.wait_timeout_while(self.lock(), most, few));
    }

    /// Takes the block that came first.
    pub(super) fn next(&self) -> Next {
        let mut state = self.lock();
        let Some(block) = state.waiting.pop_front() else {
            return match &state.ended {
                Some(reason) => Next::End(reason.clone()),
                None => Next::Nothing(state.drained_at),
            };
        };
        state.bytes -= block.size();
        drop(state);
        self.taken.notify_one();
        Next::Block(OpenBlock::new(block))
    }

    /// Takes back a block whose packets were used.
    pub(super) fn give_back(&self, block: FrameBlock) {
        self.lock().keep(block);
    }

    /// No packets will come any more.
    pub(super) fn end(&self, reason: String) {
        let mut state = self.lock();
        state.ended.get_or_insert(reason);
        self.ready.notify_one();
    }

    /// Nobody takes packets any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.taken.notify_one();
    }

    /// True once nobody takes packets any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// True if the drops are asked for.
    pub(super) fn wants_drops(&self) -> bool {
        self.lock().drops_asked
    }

    /// Answers with the drops until now.
    pub(super) fn set_drops(&self, drops: Option<RawDrops>) {
        let mut state = self.lock();
        state.drops = drops.or(state.drops);
        state.drops_asked = false;
        self.ready.notify_one();
    }

    /// Asks for the drops, by `wake`, and waits for the answer, `most` at most; the latest known ones, if none comes.
    pub(super) fn drops(&self, wake: impl FnOnce(), most: Duration) -> Option<RawDrops> {
        let mut state = self.lock();
        if state.ended.is_none() {
            state.drops_asked = true;
            drop(state);
            wake();
            let unanswered = |state: &mut QueueState| state.drops_asked && state.ended.is_none();
            let waited = self.ready.wait_timeout_while(self.lock(), most, unanswered);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.drops
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn block(first: u8, packets: u8) -> FrameBlock {
        let mut block = FrameBlock::default();
        (first..first + packets).for_each(|n| block.push(at(n.into()), 1_500, &[n; 60]));
        block
    }

    fn taken(queue: &FrameQueue) -> OpenBlock {
        match queue.next() {
            Next::Block(block) => block,
            Next::Nothing(_) | Next::End(_) => panic!("nothing waits"),
        }
    }

    /// Hands over up to `max` packets: the number, the time and the first byte of each.
    fn hand_over(block: &mut OpenBlock, max: usize, first: u64) -> Vec<(u64, Timestamp, u8)> {
        let mut seen = Vec::new();
        let place = (first, LinkType::ETHERNET);
        let handed = block.hand_over(max, place, |_| {}, &mut |frames| {
            assert!(frames.shared().is_some(), "they need not be copied");
            seen.extend(frames.iter().map(|frame| (frame.frame.number(), frame.at, frame.data[0])));
        });
        assert_eq!(handed, seen.len());
        seen
    }

    #[test]
    fn packets_come_out_in_order_in_parts_and_numbered() {
        let queue = FrameQueue::default();
        queue.put(block(1, 40), None);
        queue.put(block(41, 2), Some(at(99)));
        let mut first = taken(&queue);
        assert_eq!(hand_over(&mut first, 2, 1), [(1, at(1), 1), (2, at(2), 2)]);
        assert!(!first.is_spent());
        assert_eq!(hand_over(&mut first, 100, 3).len(), 38);
        assert!(first.is_spent());
        let mut second = taken(&queue);
        assert_eq!(hand_over(&mut second, 9, 41), [(41, at(41), 41), (42, at(42), 42)]);
        assert!(matches!(queue.next(), Next::Nothing(Some(drained)) if drained == at(99)));
        queue.put(FrameBlock::default(), Some(at(199)));
        assert!(matches!(queue.next(), Next::Nothing(Some(drained)) if drained == at(199)), "an empty ring");
    }

    #[test]
    fn a_block_is_used_again_once_nobody_holds_its_bytes() {
        let queue = FrameQueue::default();
        queue.put(block(1, 3), None);
        let open = taken(&queue);
        let held = open.shared.clone();
        assert!(open.reclaim().is_none());
        assert_eq!(held.bytes()[0], 1);
        queue.put(block(1, 3), None);
        let block = taken(&queue).reclaim().unwrap();
        assert_eq!(block.size(), 0);
        queue.give_back(block);
        assert!(queue.empty_block().unwrap().bytes.capacity() >= 180);
    }

    #[test]
    fn a_full_queue_makes_the_reader_wait_until_a_block_is_taken() {
        let queue = FrameQueue::default();
        queue.put(block(1, 3), None);
        queue.lock().bytes += MOST_WAITING;
        thread::scope(|scope| {
            let reader = scope.spawn(|| queue.empty_block().is_some());
            thread::sleep(Duration::from_millis(20));
            assert!(!reader.is_finished());
            queue.lock().bytes -= MOST_WAITING;
            drop(taken(&queue));
            assert!(reader.join().unwrap());
        });
        queue.lock().bytes += MOST_WAITING;
        queue.close();
        assert!(queue.empty_block().is_none(), "nobody takes any more");
    }

    #[test]
    fn the_end_comes_after_what_waits_and_drops_are_answered_until_then() {
        let queue = FrameQueue::default();
        let wake = || {
            assert!(queue.wants_drops());
            queue.set_drops(Some((3, 1)));
        };
        assert_eq!(queue.drops(wake, Duration::from_secs(9)), Some((3, 1)));
        assert_eq!(
            queue.drops(|| {}, Duration::from_millis(1)),
            Some((3, 1)),
            "the latest, without an answer"
        );
        queue.put(block(1, 1), None);
        queue.end("eth9: gone".to_owned());
        queue.end("again".to_owned());
        queue.gather(Duration::from_secs(9));
        drop(taken(&queue));
        assert!(matches!(queue.next(), Next::End(reason) if reason == "eth9: gone"));
        assert_eq!(queue.drops(|| panic!("nobody reads"), Duration::from_secs(9)), Some((3, 1)));
    }
}
