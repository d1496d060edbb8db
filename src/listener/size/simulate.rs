//! The accept queue as Linux runs it, simulated: arrivals in, drops and waits out.
//!
//! Pure and deterministic: no clock, no randomness. Owns the rules of the queue and of the clients' retries. Does not
//! own where arrivals and rates come from.
//!
//! The rules (DOMAIN §1, §2; `tcp_conn_request`, `tcp_check_req`): the queue is full when it holds more than the limit;
//! a full queue drops SYNs and ignores ACKs (or resets, with `tcp_abort_on_overflow`); the SYN queue, of requests that
//! wait for their ACK, is full when it holds more than the same limit; then SYN cookies take over, or SYNs are dropped
//! where cookies are off.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::listener::schedule::SYNACK_RETRIES;
use crate::packet::{Span, Timestamp};

/// Slot of Linux' timer wheel for time-outs of a second (`kernel/time/timer.c`): 32 ms with HZ=250, as most
/// distributions have it; 64 ms with 1000, 80 ms with 100. Longer time-outs, to which few clients get, have longer
/// slots.
const SLOT: Span = Span::from_millis(32);

/// The application's `accept()` calls while connections wait.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Service {
    /// Connections a second; 0 is an application that has stopped.
    pub per_second: f64,
    /// Connections accepted in a row before the application pauses; 1 where it does not.
    pub batch: u32,
}

impl Service {
    /// From one batch to the next; `None` where it never comes.
    fn interval(self) -> Option<Span> {
        let seconds = f64::from(self.batch.max(1)) / self.per_second;
        // A rate too small for 64 bits of nanoseconds is none.
        (self.per_second > 0.0 && seconds < 1e9).then(|| Span::from_nanos((seconds * 1e9).round() as i64))
    }
}

/// A listener and its clients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model<'a> {
    /// First SYNs, in order of time.
    pub arrivals: &'a [Timestamp],
    /// The application.
    pub service: Service,
    /// The queue's limit; `None` for a queue that never fills.
    pub limit: Option<u32>,
    /// Connections that wait when the first client arrives.
    pub waiting: u32,
    /// SYN retries of a dropped client, from its first SYN.
    pub retries: &'a [Span],
    /// The clients are one host, whose kernel fires retry timers many at an instant.
    pub one_host: bool,
    /// From a SYN to the ACK of the same handshake.
    pub round_trip: Span,
    /// `net.ipv4.tcp_syncookies` is on.
    pub cookies: bool,
    /// `net.ipv4.tcp_abort_on_overflow` is on.
    pub abort: bool,
}

/// Result of a simulation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SimulationResult {
    /// SYNs dropped and ACKs ignored by a full accept queue: what Linux counts as ListenOverflows.
    pub overflows: u64,
    /// ACKs with a SYN cookie among them: no packet shows that they were ignored.
    pub cookie_overflows: u64,
    /// Clients whose first ACK was ignored and whose request is kept, so that their SYN-ACK is sent again.
    pub ignored: u64,
    /// SYNs dropped because too many requests waited for their ACK, with cookies off.
    pub syn_queue_drops: u64,
    /// Clients that met a full queue at least once.
    pub turned_away: u64,
    /// Clients that got into the queue by a retry.
    pub late: u64,
    /// Clients that never got in.
    pub lost: u64,
    /// Clients that got into the queue.
    pub admitted: u64,
    /// Connections that the application accepted, those that waited at the start included.
    pub accepted: u64,
    /// The most connections that waited at one time.
    pub longest: u32,
    /// The most handshakes that waited for their ACK at one time: the longest SYN queue.
    pub most_requests: u32,
    /// Time at which the queue first was that long.
    pub longest_at: Option<Timestamp>,
    /// The last time before that when none waited.
    pub grows_from: Option<Timestamp>,
    /// The longest time that an accepted connection waited.
    pub longest_wait: Span,
    /// Time that accepted connections waited, summed.
    pub waited: Span,
    /// Queue length over time, at each change; only in a traced run.
    pub lengths: Vec<(Timestamp, u32)>,
}

impl Model<'_> {
    /// Runs the model until nothing can happen any more.
    #[must_use]
    pub fn run(&self) -> SimulationResult {
        SimulationRun::new(self, false).finish()
    }

    /// The same, with the queue's length over time.
    #[must_use]
    pub fn run_traced(&self) -> SimulationResult {
        SimulationRun::new(self, true).finish()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// The application takes a batch. At the same instant it comes first: its place is free for the SYN.
    Accept,
    /// An ACK: of the SYN-ACK, or of its `usize`-th retransmission.
    Ack { client: usize, round: usize },
    /// A SYN: the first, or the `usize`-th retry.
    Syn { client: usize, round: usize },
}

#[derive(Debug, Clone, Copy, Default)]
struct SimulatedClient {
    turned_away: bool,
    /// Answered by a SYN cookie: nothing is kept of it.
    by_cookie: bool,
    /// Answered at a SYN that was a retry.
    retried: bool,
}

struct SimulationRun<'a> {
    model: &'a Model<'a>,
    interval: Option<Span>,
    /// Number of first SYNs that have come.
    arrived: usize,
    /// The ACKs of SYN-ACKs that were sent once, in order of time: each comes one round trip after its SYN.
    acks: VecDeque<(Timestamp, usize)>,
    /// Retries of SYNs and of SYN-ACKs, which are few unless the queue is full for long.
    retries: BinaryHeap<Reverse<(Timestamp, Happening)>>,
    /// The next batch that the application takes.
    accept_due: Option<Timestamp>,
    clients: Vec<SimulatedClient>,
    /// Times at which the connections in the queue got in, in order.
    queue: VecDeque<Timestamp>,
    /// Requests that wait for their ACK.
    requests: u32,
    last_accept: Option<Timestamp>,
    empty_since: Option<Timestamp>,
    traced: bool,
    outcome: SimulationResult,
}

impl<'a> SimulationRun<'a> {
    fn new(model: &'a Model<'a>, traced: bool) -> Self {
        let begin = model.arrivals.first().copied();
        // An admission makes the queue longer, and at most one accept shorter.
        let changes = if traced { 2 * model.arrivals.len() + model.waiting as usize } else { 0 };
        let mut run = Self {
            model,
            interval: model.service.interval(),
            arrived: 0,
            acks: VecDeque::new(),
            retries: BinaryHeap::new(),
            accept_due: None,
            clients: vec![SimulatedClient::default(); model.arrivals.len()],
            queue: VecDeque::new(),
            requests: 0,
            last_accept: None,
            empty_since: begin,
            traced,
            outcome: SimulationResult { lengths: Vec::with_capacity(changes), ..SimulationResult::default() },
        };
        if let Some(begin) = begin {
            (0..model.waiting).for_each(|_| run.enqueue(begin));
        }
        run
    }

    fn finish(mut self) -> SimulationResult {
        while self.step().is_some() {}
        self.outcome
    }

    /// Runs the next event. Returns its time; `None` once there is none.
    fn step(&mut self) -> Option<Timestamp> {
        let (now, happening) = self.next()?;
        match happening {
            Happening::Accept => self.accept(now),
            Happening::Ack { client, round } => self.ack(now, client, round),
            Happening::Syn { client, round } => self.syn(now, client, round),
        }
        Some(now)
    }

    /// Takes out the next event.
    fn next(&mut self) -> Option<(Timestamp, Happening)> {
        // In the order in which they happen at the same instant.
        let mut first = self.accept_due.map(|at| (at, Happening::Accept));
        let is_before = |at, first: Option<(Timestamp, _)>| first.is_none_or(|(earliest, _)| at < earliest);
        if let Some(&(at, client)) = self.acks.front()
            && is_before(at, first)
        {
            first = Some((at, Happening::Ack { client, round: 0 }));
        }
        let client = self.arrived;
        if let Some(&at) = self.model.arrivals.get(client)
            && is_before(at, first)
        {
            first = Some((at, Happening::Syn { client, round: 0 }));
        }
        if let Some(&Reverse(retry)) = self.retries.peek()
            && first.is_none_or(|first| retry < first)
        {
            self.retries.pop();
            return Some(retry);
        }
        match first?.1 {
            Happening::Accept => self.accept_due = None,
            Happening::Ack { .. } => drop(self.acks.pop_front()),
            Happening::Syn { .. } => self.arrived += 1,
        }
        first
    }

    fn is_full(&self) -> bool {
        self.model.limit.is_some_and(|limit| self.queue.len() as u64 > u64::from(limit))
    }

    fn syn(&mut self, now: Timestamp, client: usize, round: usize) {
        let too_many = self.model.limit.is_some_and(|limit| self.requests > limit);
        if too_many && !self.model.cookies {
            self.outcome.syn_queue_drops += 1;
            return self.turn_away(now, client, round);
        }
        if self.is_full() {
            self.outcome.overflows += 1;
            return self.turn_away(now, client, round);
        }
        self.clients[client].by_cookie = too_many;
        self.clients[client].retried = round > 0;
        self.requests += u32::from(!too_many);
        self.outcome.most_requests = self.outcome.most_requests.max(self.requests);
        self.acks.push_back((now.plus(self.model.round_trip), client));
    }

    /// A dropped SYN: the client sends it again, as long as its schedule has it.
    fn turn_away(&mut self, now: Timestamp, client: usize, round: usize) {
        self.count_turned_away(client);
        let Some(&after) = self.model.retries.get(round) else {
            self.outcome.lost += 1;
            return;
        };
        let at = if self.model.one_host {
            // Each timer is set when the one before has fired.
            let before = round.checked_sub(1).and_then(|last| self.model.retries.get(last)).copied();
            fires_at(now.plus(after.minus(before.unwrap_or_default())))
        } else {
            self.model.arrivals[client].plus(after)
        };
        self.retry(at, Happening::Syn { client, round: round + 1 });
    }

    fn count_turned_away(&mut self, client: usize) {
        let client = &mut self.clients[client];
        self.outcome.turned_away += u64::from(!client.turned_away);
        client.turned_away = true;
    }

    fn ack(&mut self, now: Timestamp, client: usize, round: usize) {
        let by_cookie = self.clients[client].by_cookie;
        if self.is_full() {
            self.outcome.overflows += 1;
            self.outcome.cookie_overflows += u64::from(by_cookie);
            self.outcome.ignored += u64::from(!by_cookie && round == 0 && !self.model.abort);
            self.count_turned_away(client);
            let next = SYNACK_RETRIES.get(round).filter(|_| !by_cookie && !self.model.abort);
            if let Some(&after) = next {
                let before = round.checked_sub(1).and_then(|last| SYNACK_RETRIES.get(last)).copied();
                let gap = after.minus(before.unwrap_or_default());
                self.retry(now.plus(gap), Happening::Ack { client, round: round + 1 });
            } else {
                self.requests -= u32::from(!by_cookie);
                self.outcome.lost += 1;
            }
            return;
        }
        self.requests -= u32::from(!by_cookie);
        self.outcome.late += u64::from(self.clients[client].retried || round > 0);
        self.outcome.admitted += 1;
        self.enqueue(now);
    }

    /// A connection gets into the queue.
    fn enqueue(&mut self, now: Timestamp) {
        self.queue.push_back(now);
        let length = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        if length > self.outcome.longest {
            self.outcome.longest = length;
            self.outcome.longest_at = Some(now);
            self.outcome.grows_from = self.empty_since;
        }
        self.trace(now);
        if self.accept_due.is_none() {
            self.schedule_accept(now);
        }
    }

    fn accept(&mut self, now: Timestamp) {
        self.last_accept = Some(now);
        for _ in 0..self.model.service.batch.max(1) {
            let Some(since) = self.queue.pop_front() else { break };
            let wait = now.since(since);
            self.outcome.accepted += 1;
            self.outcome.waited = self.outcome.waited.plus(wait);
            self.outcome.longest_wait = self.outcome.longest_wait.max(wait);
        }
        self.trace(now);
        if self.queue.is_empty() {
            self.empty_since = Some(now);
        } else {
            self.schedule_accept(now);
        }
    }

    /// The next batch. An application that accepts one by one waits in `accept()` for the first; one that pauses
    /// between batches has just begun its pause, which is the worst case.
    fn schedule_accept(&mut self, now: Timestamp) {
        let Some(interval) = self.interval else { return };
        let due = self.last_accept.map(|last| last.plus(interval)).filter(|&due| due > now);
        let idle = if self.model.service.batch > 1 { now.plus(interval) } else { now };
        self.accept_due = Some(due.unwrap_or(idle));
    }

    fn retry(&mut self, at: Timestamp, happening: Happening) {
        self.retries.push(Reverse((at, happening)));
    }

    fn trace(&mut self, now: Timestamp) {
        if self.traced {
            self.outcome.lengths.push((now, u32::try_from(self.queue.len()).unwrap_or(u32::MAX)));
        }
    }
}

/// Time at which Linux fires a timer that is due at `due`: with all others of the same slot of its timer wheel.
fn fires_at(due: Timestamp) -> Timestamp {
    let slot = SLOT.as_nanos();
    Timestamp::from_nanos(due.as_nanos().div_euclid(slot).saturating_add(1).saturating_mul(slot))
}

#[cfg(test)]
impl Model<'_> {
    /// Runs the model, and keeps what a capture near its listener would show of clients that send nothing.
    pub(crate) fn observe(&self) -> super::Load {
        let mut run = SimulationRun::new(self, false);
        let mut load = super::Load {
            arrivals: self.arrivals.to_vec(),
            retries: self.retries.to_vec(),
            round_trip: self.round_trip,
            ..super::Load::default()
        };
        let counts = |run: &SimulationRun<'_>| {
            let SimulationResult { overflows, cookie_overflows, ignored, admitted, turned_away, .. } =
                run.outcome;
            // The handshake of an ignored cookie looks like one that completed, of a client that was never turned away.
            let (drops, admissions) = (overflows - cookie_overflows, admitted + cookie_overflows);
            [drops, ignored, admissions, turned_away - cookie_overflows]
        };
        let mut before = counts(&run);
        while let Some(now) = run.step() {
            let after = counts(&run);
            let grown = |index: usize| after[index] > before[index];
            load.drops.extend(grown(0).then_some(now));
            load.ignored.extend(grown(1).then_some(now));
            load.admissions.extend(grown(2).then_some(now));
            load.unproven.extend(grown(2).then_some(now));
            load.turned_away.extend(grown(3).then_some(now));
            before = after;
        }
        load.late = run.outcome.late;
        load.sort();
        load
    }
}
