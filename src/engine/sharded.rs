//! The analysis on several threads. One reads, looks at the packets and deals them out; each of the others tracks
//! its share of the flows, and so does the one that reads, as far as it has time left. The caller's puts together
//! what all find.
//!
//! Every batch ends at the same packet whatever the number of shards; what is found in a batch is
//! ordered by time and position; and bounds are kept over all shards together. So the result does not depend on the number of threads.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::bounds::{Bounds, Keeper};
use super::channel::{Receiver, Sender, channel};
use super::intake::{Destination, Intake};
use super::placement::{Apart, Plan};
use super::shares::Shares;
use super::single::{enter, summary, told};
use super::{BATCH, Options, PacketCounts, Sink, Summary};
use crate::capture::{Source, Status};
use crate::handshake::{Batch, Counts, Found, Order, Tracker};
use crate::listener::Book;
use crate::packet::{Frame, Frames, Glimpse, Packet, Span, Timestamp};

/// Batches that are sent to a shard together. A thread that waits for each batch sleeps and wakes as often, and that
/// costs more than a batch does: a virtual machine gives the processor away and gets it back with cold caches.
const TOGETHER: usize = 4;

/// Parcels of batches on their way to a shard at most.
const IN_FLIGHT: usize = 2;

/// Findings whose room is used again at most: more than nearly all batches have.
const ROOM: usize = BATCH / 4;

/// One shard's part of a batch.
struct Part {
    packets: Batch,
    /// The latest steady time of the whole input so far.
    now: Option<Timestamp>,
    /// The whole batch was full: bounds are kept now.
    full: bool,
    /// Packets of the whole input up to here.
    total: u64,
    /// What comes after it.
    status: Status,
}

/// What a shard found in one batch; or, after the last one, some of what the end decides.
struct Findings {
    found: Vec<Found>,
    counts: Counts,
}

pub(super) fn analyse<S: Source + Send>(
    source: &mut S,
    options: &Options,
    sink: &mut dyn Sink,
) -> io::Result<(Summary, Book)> {
    let shares = Shares::new(options.threads);
    let bounds = Bounds::new(shares.shards(), options.max_attempts);
    let mut book = Book::new(options.max_listeners);
    let stop = AtomicBool::new(false);
    // Decided before any thread is spawned: it would inherit what is decided for this one.
    let plan = Plan::new(options.threads);
    let reading = &mut *source;
    let (result, counts, tracked) = thread::scope(|scope| {
        let mut found_by = Vec::new();
        let mut routes: Vec<Route> = Vec::new();
        let mut tracks: Vec<Track> = Vec::new();
        let mut told = Vec::new();
        for shard in 0..shares.shards() {
            let (packets, parts) = channel(IN_FLIGHT);
            let (empty, spares) = channel((IN_FLIGHT + 2) * TOGETHER);
            let (room, rooms) = channel((IN_FLIGHT + 2) * TOGETHER);
            routes.push(Route { packets, spares });
            told.push(room);
            tracks.push(Track { worker: Worker::new(shard, &bounds, rooms), parts, empty });
        }
        let mut tracks = tracks.into_iter();
        let own = tracks.next();
        let readers = shares.readers().and_then(|_| tracks.next_back());
        for track in tracks {
            let (findings, found) = channel(IN_FLIGHT);
            found_by.push(found);
            scope.spawn(move || track.run(&findings, plan.and_then(Plan::go)));
        }
        let (findings, found) = channel(IN_FLIGHT);
        if readers.is_some() {
            found_by.push(found);
        }
        let (shares, stop) = (&shares, &stop);
        let reader = scope.spawn(move || {
            let place = plan.and_then(Plan::go);
            Dealer::new(routes, shares).run(reading, readers.map(|track| (track, findings)), stop, place)
        });
        let place = plan.and_then(Plan::stay);
        let (result, tracked) = own.map_or((Ok(()), Counts::default()), |own| {
            collect(own, found_by, &told, stop, place, &mut book, sink)
        });
        (result, reader.join(), tracked)
    });
    result?;
    let counts = counts.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).with(tracked);
    Ok((summary(source.captures(), counts, &book), book))
}

/// Where a shard's parts go, and where batches come back from it.
struct Route {
    packets: Sender<Vec<Part>>,
    spares: Receiver<Batch>,
}

/// Reads, and deals packets out by flow.
struct Dealer<'a> {
    intake: Intake,
    routes: Vec<Route>,
    shares: &'a Shares,
}

/// A batch while it is filled, dealt out to the shards.
struct Parts<'a> {
    batches: Vec<Batch>,
    shares: &'a Shares,
}

impl Parts<'_> {
    /// The part of the shard that tracks flows with this hash.
    #[inline(always)]
    fn of(&mut self, hash: u64) -> Option<&mut Batch> {
        self.batches.get_mut(self.shares.of(hash))
    }
}

impl Destination for Parts<'_> {
    fn expect(&mut self, frames: &Frames<'_>, ordinal: u64) {
        self.batches.iter_mut().for_each(|part| part.expect(frames.shared(), ordinal));
    }

    fn lag(&mut self, ordinal: u64, lag: Span) {
        self.batches.iter_mut().for_each(|part| part.lag(ordinal, lag));
    }

    #[inline(always)]
    fn take(&mut self, hash: u64, glimpse: &Glimpse, frame: &Frame<'_>, ordinal: u64) {
        if let Some(part) = self.of(hash) {
            part.push(hash, glimpse, frame, ordinal);
        }
    }

    fn take_decoded(&mut self, hash: u64, packet: Packet, ordinal: u64) {
        if let Some(part) = self.of(hash) {
            part.push_decoded(hash, packet, ordinal);
        }
    }
}

impl<'a> Dealer<'a> {
    fn new(routes: Vec<Route>, shares: &'a Shares) -> Self {
        Self { intake: Intake::default(), routes, shares }
    }

    /// Reads to the end, or until told to stop, and tracks a share of its own if it has one.
    fn run<S: Source>(
        mut self,
        source: &mut S,
        mut own: Option<(Track<'_>, Sender<Vec<Findings>>)>,
        stop: &AtomicBool,
        mut place: Option<Apart>,
    ) -> PacketCounts {
        loop {
            place.take_if(|place| !place.goes_on());
            let mut parcels: Vec<Vec<Part>> =
                self.routes.iter().map(|_| Vec::with_capacity(TOGETHER)).collect();
            let mut status = Status::More;
            for _ in 0..TOGETHER {
                if status == Status::More {
                    status = self.read(source, &mut parcels, stop);
                }
            }
            let listened = self.routes.iter().zip(parcels).all(|(route, parcel)| {
                // The receiver is only gone when something has panicked.
                route.packets.send(parcel)
            });
            if let Some((track, findings)) = &mut own {
                track.step(findings);
            }
            if status == Status::End || !listened {
                break;
            }
        }
        if let Some((track, findings)) = own {
            track.finish(&findings);
        }
        self.intake.counts()
    }

    /// Reads one batch, and adds its parts to the parcels.
    fn read<S: Source>(&mut self, source: &mut S, parcels: &mut [Vec<Part>], stop: &AtomicBool) -> Status {
        let spare = |route: &Route| route.spares.poll().unwrap_or_else(|| Batch::with_capacity(BATCH));
        let mut parts = Parts { batches: self.routes.iter().map(spare).collect(), shares: self.shares };
        let intake = &mut self.intake;
        let wanted = BATCH - (intake.total() % BATCH as u64) as usize;
        let status = if stop.load(Ordering::Relaxed) {
            Status::End
        } else {
            source.read(wanted, &mut |frames| intake.take(frames, &mut parts))
        };
        let total = intake.total();
        let (now, full) = (told(intake.clock(), source, status), total.is_multiple_of(BATCH as u64));
        for (parcel, packets) in parcels.iter_mut().zip(parts.batches) {
            parcel.push(Part { packets, now, full, total, status });
        }
        status
    }
}

/// A shard's tracker, and when it has to look at the bounds.
struct Worker<'b> {
    shard: usize,
    tracker: Tracker,
    bounds: &'b Bounds,
    /// Room for what is found: it comes back when that is told.
    rooms: Receiver<Vec<Found>>,
    keeper: Keeper,
}

impl<'b> Worker<'b> {
    fn new(shard: usize, bounds: &'b Bounds, rooms: Receiver<Vec<Found>>) -> Self {
        Self { shard, tracker: Tracker::new(), bounds, rooms, keeper: Keeper::default() }
    }

    /// Tracks a shard's part of a batch.
    fn take(&mut self, part: &Part) {
        self.tracker.take(&part.packets);
        if let Some(now) = part.now {
            self.tracker.advance(now);
        }
        if part.full || part.status == Status::End {
            self.keeper.keep(self.bounds, self.shard, &mut self.tracker, (part.total, part.now));
        }
    }

    fn findings(&mut self) -> Findings {
        let room = self.rooms.poll().unwrap_or_default();
        Findings { found: self.tracker.hand_over(room), counts: self.tracker.counts() }
    }

    /// The next of what the end decides, in order of position; at most a batch's worth.
    fn rest(&mut self) -> Option<Findings> {
        self.tracker.finish(BATCH);
        Some(self.findings()).filter(|findings| !findings.found.is_empty())
    }
}

/// A worker, and the packets that it works on.
struct Track<'b> {
    worker: Worker<'b>,
    parts: Receiver<Vec<Part>>,
    /// Batches that can be used again.
    empty: Sender<Batch>,
}

impl Track<'_> {
    /// Tracks all parcels to the end, on a thread of its own.
    fn run(mut self, findings: &Sender<Vec<Findings>>, mut place: Option<Apart>) {
        while self.step(findings) {
            place.take_if(|place| !place.goes_on());
        }
        self.finish(findings);
    }

    /// Tracks one parcel; says whether there are more.
    fn step(&mut self, findings: &Sender<Vec<Findings>>) -> bool {
        let Some(parcel) = self.parts.receive() else { return false };
        let status = parcel.last().map_or(Status::End, |part| part.status);
        let found = parcel.into_iter().map(|part| self.take(part)).collect();
        findings.send(found) && status != Status::End
    }

    /// Tracks a part, and gives its batch back.
    fn take(&mut self, part: Part) -> Findings {
        self.worker.take(&part);
        let mut packets = part.packets;
        packets.clear();
        // A full recycling channel only means that the reader needs no more.
        self.empty.offer(packets);
        self.worker.findings()
    }

    /// Decides what is left.
    fn finish(mut self, findings: &Sender<Vec<Findings>>) {
        while let Some(rest) = self.worker.rest() {
            if !findings.send(vec![rest]) {
                return;
            }
        }
    }
}

/// Tracks the caller's own share, and tells what all shards find, batch by batch; the room that it took goes back, by
/// shard, when it is `told`.
fn collect(
    mut own: Track<'_>,
    others: Vec<Receiver<Vec<Findings>>>,
    told: &[Sender<Vec<Found>>],
    stop: &AtomicBool,
    mut place: Option<Apart>,
    book: &mut Book,
    sink: &mut dyn Sink,
) -> (io::Result<()>, Counts) {
    let mut counts = vec![Counts::default(); others.len() + 1];
    let mut order = Order::default();
    let mut result = Ok(());
    while let Some(parcel) = own.parts.receive() {
        place.take_if(|place| !place.goes_on());
        let statuses: Vec<Status> = parcel.iter().map(|part| part.status).collect();
        let mut found = vec![parcel.into_iter().map(|part| own.take(part)).collect::<Vec<_>>()];
        found.extend(others.iter().map(|others| others.receive().unwrap_or_default()));
        let mut found: Vec<_> = found.into_iter().map(Vec::into_iter).collect();
        for &status in &statuses {
            let findings = found.iter_mut().filter_map(Iterator::next).zip(&mut counts);
            let mut batch: Vec<Vec<Found>> = findings
                .map(|(findings, counts)| {
                    *counts = findings.counts;
                    findings.found
                })
                .collect();
            if result.is_ok() {
                result = order.tell(&mut batch, |found| enter(book, found, sink));
                result = result.and_then(|()| pause(status, sink));
                stop.fetch_or(result.is_err(), Ordering::Relaxed);
            }
            for (mut room, told) in batch.into_iter().zip(told).filter(|(room, _)| room.capacity() <= ROOM) {
                room.clear();
                told.offer(room);
            }
        }
        if statuses.last().is_none_or(|&status| status == Status::End) {
            break;
        }
    }
    if result.is_ok() {
        result = tell_rest(&mut own.worker, &others, &mut counts, |found| enter(book, found, sink));
    }
    (result, sum(&counts))
}

/// Tells what the end decides, in order of position: each shard's is in order.
fn tell_rest(
    own: &mut Worker<'_>,
    others: &[Receiver<Vec<Findings>>],
    counts: &mut [Counts],
    mut take: impl FnMut(&mut Found) -> io::Result<()>,
) -> io::Result<()> {
    let mut queues = vec![VecDeque::new(); counts.len()];
    loop {
        for (shard, (queue, counts)) in queues.iter_mut().zip(&mut *counts).enumerate() {
            while queue.is_empty() {
                let rest = match shard.checked_sub(1).and_then(|other| others.get(other)) {
                    None => own.rest(),
                    Some(other) => other.receive().and_then(|findings| findings.into_iter().next()),
                };
                let Some(Findings { found, counts: so_far }) = rest else { break };
                *counts = so_far;
                queue.extend(found);
            }
        }
        let next = queues.iter_mut().filter(|queue| !queue.is_empty());
        let next = next.min_by_key(|queue| queue.front().map(|found| (found.at, found.attempt.ordinal)));
        let Some(mut found) = next.and_then(VecDeque::pop_front) else { return Ok(()) };
        take(&mut found)?;
    }
}

/// Tells the sink when more may be long in coming.
fn pause(status: Status, sink: &mut dyn Sink) -> io::Result<()> {
    if status == Status::Drained { sink.drained() } else { Ok(()) }
}

fn sum(counts: &[Counts]) -> Counts {
    counts.iter().fold(Counts::default(), |sum, counts| Counts {
        copies: sum.copies + counts.copies,
        midstream: sum.midstream + counts.midstream,
        stray_errors: sum.stray_errors + counts.stray_errors,
    })
}
