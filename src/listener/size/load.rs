//! The load on one listener, as the packets show it: who wanted in, who got in, who was turned away, and when.
//!
//! Owns how an attempt becomes arrivals, admissions and drops. Does not own what follows from them.

use std::net::IpAddr;

use super::known::KnownQueue;
use crate::handshake::{Attempt, Fact, Unproven, Vantage, Verdict};
use crate::listener::schedule::SYNACK_RETRIES;
use crate::packet::{Span, Timestamp};

/// SYN retries of Linux since 6.5, from the first SYN: five gaps of 1 s (`tcp_syn_linear_timeouts`), then doubling. The
/// default of `tcp_syn_retries` allows no more.
pub const RETRIES_LINEAR: [Span; 9] = spans([1, 2, 3, 4, 5, 7, 11, 19, 35]);
/// SYN retries of Linux before 6.5 and of most other systems: each gap is twice the one before (RFC 6298 §5.5).
pub const RETRIES_DOUBLING: [Span; 6] = spans([1, 3, 7, 15, 31, 63]);
/// Client hosts that are few: near so few, a capture shows their share of the load. More are a network's, or a
/// balancer's.
const FEW_CLIENTS: usize = 8;
/// Gaps after the first SYN in which a retry shows which schedule it is: only the linear one has a retry at 2 s.
const SECOND_RETRY: (Span, Span) = (Span::from_millis(1_700), Span::from_millis(2_600));

const fn spans<const N: usize>(seconds: [i64; N]) -> [Span; N] {
    let mut spans = [Span::ZERO; N];
    let mut at = 0;
    while at < N {
        spans[at] = Span::from_secs(seconds[at]);
        at += 1;
    }
    spans
}

/// Something that the packets show of a listener's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A client's first SYN.
    Arrival,
    /// A handshake that completed: the connection is in the accept queue.
    Admission,
    /// The same, but nothing shows that the server took the client's ACK; reported as [`Event::Admission`] too.
    Unproven,
    /// The first ACK of an attempt, if it was ignored: the server keeps the request. Reported as [`Event::Drop`] too.
    Ignored,
    /// A SYN that got no answer, or an ACK that was ignored or reset: the queue was full.
    Drop,
    /// The first drop of an attempt, which is reported as [`Event::Drop`] too.
    TurnedAway,
}

/// Arrivals, admissions and drops of one listener, in order of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Load {
    /// First SYNs, one of each client; retries are not new arrivals.
    pub arrivals: Vec<Timestamp>,
    /// Handshakes that completed.
    pub admissions: Vec<Timestamp>,
    /// Completed handshakes that nothing proves: with SYN cookies a client's ACK may have met a full queue without a
    /// trace.
    pub unproven: Vec<Timestamp>,
    /// SYNs without an answer, retries included, and ACKs that were ignored or reset.
    pub drops: Vec<Timestamp>,
    /// First ACKs that were ignored, one of each client: requests that fill the SYN queue.
    pub ignored: Vec<Timestamp>,
    /// Times at which clients first met a full queue, one for each of them.
    pub turned_away: Vec<Timestamp>,
    /// Clients that met a full queue and got in later.
    pub late: u64,
    /// SYN retries of a dropped client, from its first SYN.
    pub retries: Vec<Span>,
    /// All clients are on one host.
    pub one_host: bool,
    /// SYN-ACK to ACK, the typical one.
    pub round_trip: Span,
    /// End of what was watched.
    pub until: Option<Timestamp>,
    /// Connections that waited in the queue when the first client arrived.
    pub waiting: u32,
    /// `net.ipv4.tcp_abort_on_overflow`.
    pub abort: bool,
    /// The packets show SYN cookies.
    pub cookies_seen: bool,
    /// The capture was taken near a few clients: those of other hosts are not in it.
    pub one_client_side: bool,
    /// Facts about the queue from elsewhere.
    pub known: KnownQueue,
}

impl Load {
    /// The load that these attempts to one listener make, watched until `until`.
    #[must_use]
    pub fn of(attempts: &[Attempt], until: Option<Timestamp>) -> Self {
        let mut collected = Collector::default();
        attempts.iter().for_each(|attempt| collected.add(attempt));
        collected.load(until)
    }

    pub(super) fn push(&mut self, event: Event, at: Timestamp) {
        match event {
            Event::Arrival => self.arrivals.push(at),
            Event::Admission => self.admissions.push(at),
            Event::Unproven => self.unproven.push(at),
            Event::Drop => self.drops.push(at),
            Event::Ignored => self.ignored.push(at),
            Event::TurnedAway => self.turned_away.push(at),
        }
    }

    pub(super) fn sort(&mut self) {
        let times = [
            &mut self.arrivals,
            &mut self.admissions,
            &mut self.unproven,
            &mut self.drops,
            &mut self.ignored,
            &mut self.turned_away,
        ];
        times.into_iter().for_each(|times| times.sort_unstable());
    }
}

/// Collects the load of one listener from its attempts, in any order. Keeps 8 bytes of an arrival, an admission or a
/// drop.
#[derive(Debug, Clone, Default)]
pub struct Collector {
    load: Load,
    round_trips: Vec<Span>,
    traits: Traits,
}

impl Collector {
    /// Adds an attempt.
    pub fn add(&mut self, attempt: &Attempt) {
        let late = events(attempt, |event, at| self.load.push(event, at));
        self.load.late += u64::from(late);
        self.round_trips.extend(attempt.timing.synack_to_ack);
        self.load.until = self.load.until.max(Some(attempt.end));
        self.traits.add(attempt);
    }

    /// Drops seen so far.
    #[must_use]
    pub fn drops(&self) -> usize {
        self.load.drops.len()
    }

    /// The load, watched until `until` or the last packet of an attempt.
    #[must_use]
    pub fn load(self, until: Option<Timestamp>) -> Load {
        let Self { mut load, round_trips, traits } = self;
        load.round_trip = Span::median(round_trips).unwrap_or_default();
        load.until = load.until.max(until);
        traits.apply(&mut load);
        load.sort();
        load
    }
}

/// Traits of a listener's clients that bear on its load.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Traits {
    /// Client hosts, at most [`FEW_CLIENTS`].
    clients: Vec<IpAddr>,
    /// Attempts whose timing shows the capture near the client, and anywhere else.
    near_client: u64,
    elsewhere: u64,
    /// Clients that retry by either schedule.
    linear: u64,
    doubling: u64,
    abort: bool,
    cookies: bool,
}

impl Traits {
    pub(super) fn add(&mut self, attempt: &Attempt) {
        let client = attempt.client.ip();
        if self.clients.len() < FEW_CLIENTS && !self.clients.contains(&client) {
            self.clients.push(client);
        }
        match attempt.vantage {
            Some(Vantage::Client) => self.near_client += 1,
            Some(Vantage::Server | Vantage::Local | Vantage::Middle) => self.elsewhere += 1,
            None => {}
        }
        if let Some(second) = attempt.syn_retry_at.get(1) {
            let linear = (SECOND_RETRY.0..SECOND_RETRY.1).contains(second);
            *if linear { &mut self.linear } else { &mut self.doubling } += 1;
        }
        self.abort |= attempt.verdict == Verdict::ResetAfterAck;
        // Linux keeps any other request whose ACK meets a full queue, and sends its SYN-ACK again.
        let without_trace = attempt.verdict == Verdict::AckIgnored || taken_later(attempt).is_some();
        self.cookies |= without_trace && attempt.retries.syn_ack == 0;
    }

    pub(super) fn apply(&self, load: &mut Load) {
        load.retries =
            if self.doubling > self.linear { RETRIES_DOUBLING.to_vec() } else { RETRIES_LINEAR.to_vec() };
        load.one_host = self.clients.len() == 1;
        load.abort = self.abort;
        load.cookies_seen = self.cookies;
        // A capture near few clients shows only their share of the load.
        load.one_client_side = self.clients.len() < FEW_CLIENTS && self.near_client > self.elsewhere;
    }
}

/// Calls `take` with each thing that `attempt` shows of the queue. Returns true for a client that met a full queue and
/// got in later, as far as the packets show.
pub(super) fn events(attempt: &Attempt, mut take: impl FnMut(Event, Timestamp)) -> bool {
    let mut turned_away = false;
    arrivals_admissions_drops(attempt, |event, at| {
        take(event, at);
        if event == Event::Drop && !turned_away {
            turned_away = true;
            take(Event::TurnedAway, at);
        }
    });
    turned_away && may_have_got_in(attempt)
}

/// Calls `take` with each event but [`Event::TurnedAway`].
fn arrivals_admissions_drops(attempt: &Attempt, mut take: impl FnMut(Event, Timestamp)) {
    let wanted_in = match attempt.verdict {
        Verdict::Completed
        | Verdict::CompletedLate
        | Verdict::SynackRetransmitted
        | Verdict::ResetAfterAck
        | Verdict::AckIgnored
        | Verdict::Unanswered
        | Verdict::Undetermined => true,
        // Attempts that never reached the accept queue, or were turned away for another reason.
        Verdict::Refused | Verdict::Unreachable | Verdict::HalfOpen | Verdict::ClientReset => false,
    };
    // A client retries after a second, if it waits for so long. One that never does, and finishes no other handshake, is a
    // scan's or a flood's.
    let waits = attempt.verdict != Verdict::Unanswered || attempt.retries.syn > 0 || attempt.client_finishes;
    if !wanted_in || !waits || attempt.facts.has(Fact::ClientWentOn) && attempt.verdict == Verdict::Unanswered
    {
        return;
    }
    if !attempt.is_syn_missing() {
        take(Event::Arrival, attempt.start);
    }
    dropped_syns(attempt, |at| take(Event::Drop, at));
    let Some(acked) = attempt.acked else { return };
    match attempt.verdict {
        Verdict::Completed | Verdict::CompletedLate => {
            // Data that goes unacknowledged is what SYN cookies leave of a full queue.
            if attempt.unproven != Some(Unproven::DataUnacknowledged) {
                let taken = taken_later(attempt);
                if taken.is_some() {
                    take(Event::Drop, acked);
                }
                take(Event::Admission, taken.unwrap_or(acked));
                if attempt.established.is_none() {
                    take(Event::Unproven, acked);
                }
            }
        }
        Verdict::SynackRetransmitted => {
            take(Event::Ignored, acked);
            // Each retransmitted SYN-ACK draws an ACK, as much later than the first one as it is itself.
            let acks = || [Span::ZERO].into_iter().chain(attempt.retry_at.iter().copied());
            // Linux gives up after the default retries: the last ACK was ignored too.
            let given_up = attempt.retry_at.len() >= SYNACK_RETRIES.len();
            let ignored = attempt.retry_at.len() + usize::from(given_up);
            acks().take(ignored).for_each(|after| take(Event::Drop, acked.plus(after)));
            // The last ACK was taken, or the capture ends before that shows.
            if attempt.established == Some(true) {
                acks().skip(ignored).for_each(|after| take(Event::Admission, acked.plus(after)));
            }
        }
        Verdict::ResetAfterAck | Verdict::AckIgnored => take(Event::Drop, acked),
        Verdict::Refused
        | Verdict::Unreachable
        | Verdict::Unanswered
        | Verdict::HalfOpen
        | Verdict::ClientReset
        | Verdict::Undetermined => {}
    }
}

/// The time at which a completed connection got in by its repeated data, near the server: its ACK had met a full queue, and SYN
/// cookies keep no request that could be answered again (DOMAIN §2 D, §2 E).
fn taken_later(attempt: &Attempt) -> Option<Timestamp> {
    let near = attempt.vantage.is_some_and(Vantage::is_near_server);
    let repeated = near && attempt.verdict.is_completed() && attempt.data_retransmissions > 0;
    attempt.acked.zip(attempt.timing.stall.filter(|_| repeated)).map(|(acked, stall)| acked.plus(stall))
}

/// True if a client that met a full queue may have got in later, as far as the packets show.
fn may_have_got_in(attempt: &Attempt) -> bool {
    match attempt.verdict {
        Verdict::CompletedLate => true,
        Verdict::SynackRetransmitted => attempt.retry_at.len() < SYNACK_RETRIES.len(),
        _ => false,
    }
}

/// The SYNs of an attempt that nothing answered.
fn dropped_syns(attempt: &Attempt, mut take: impl FnMut(Timestamp)) {
    let answered = match attempt.verdict {
        Verdict::Unanswered => None,
        // A retry was answered: those before it were not.
        _ if attempt.was_rejected_first() || attempt.facts.has(Fact::FirstSynAnswered) => return,
        _ if attempt.retries.syn > 0 => match attempt.timing.delay.and(attempt.answered_syn_after()) {
            Some(answered) => Some(answered),
            None => return,
        },
        _ => return,
    };
    /// Slack at the end of the delay, which is the SYN that was answered: retries are far further apart.
    const RETRY_SLACK: Span = Span::from_millis(5);
    let dropped = |&at: &Span| answered.is_none_or(|answered| at < answered.minus(RETRY_SLACK));
    let syns = [Span::ZERO].into_iter().chain(attempt.syn_retry_at.iter().copied());
    syns.filter(dropped).for_each(|after| take(attempt.start.plus(after)));
}
