//! Clients that stay silent after their ACK, beside those that send at once: `TCP_DEFER_ACCEPT` treats them apart
//! (DOMAIN §3).

use std::collections::VecDeque;

use super::synack_time;
use crate::handshake::{Attempt, Fact, Verdict};
use crate::packet::{Span, Timestamp};

/// Treatment of clients that send nothing after their ACK, and of those that send at once.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Silence {
    /// Silent clients that got one SYN-ACK repeat: the times of their ACKs.
    repeated: RecentTimes,
    /// The shortest and the longest time from the SYN-ACK to that repeat.
    offsets: Option<(Span, Span)>,
    /// The longest silence of a client that got no repeat.
    without_repeat: Option<Span>,
    /// Clients that sent data with their ACK and were accepted at once: the times of their ACKs.
    prompt: RecentTimes,
    /// SYNs that were answered at once.
    answered: RecentTimes,
    /// Clients whose data was ignored, too: the times of their ACKs.
    data_ignored: RecentTimes,
    /// Attempts whose ACK was ignored: its time, and how many were in a row; the latest [`RecentTimes::MAX_TIMES`].
    ignored: VecDeque<(Timestamp, u32)>,
    /// An ACK was ignored more than once.
    ignored_often: bool,
    /// Attempts that never succeeded: from the ACK to the SYN-ACK that followed the last one ignored; the first [`MAX_IN_VAIN`].
    in_vain: Vec<(Timestamp, Timestamp)>,
}

/// Times in any order, the latest [`RecentTimes::MAX_TIMES`] to come.
#[derive(Debug, Clone, PartialEq, Default)]
struct RecentTimes {
    latest: VecDeque<Timestamp>,
    count: u32,
    /// The first and the last of all.
    span: Option<(Timestamp, Timestamp)>,
}

/// Repeats of one period are no further apart than a quarter, and so much: the timers of kernels before 4.4 run every
/// 200 ms, and prune a part of the requests each time.
const SAME_PERIOD: (i64, i64) = (5, 4);
const COARSE_TIMER: Span = Span::from_millis(300);

/// A client's data comes with its ACK if it is no later: a full queue has ignored both then, and not the ACK alone.
const AT_ONCE: Span = Span::from_millis(20);

/// Time for which a silent client without a repeat is watched, where nothing more comes of its attempt.
const WATCH_TIME: Span = Span::from_secs(130);

/// Most times of attempts kept that never succeeded.
const MAX_IN_VAIN: usize = 64;

/// Silent clients that are this far apart are no single outage (DOMAIN §3).
const FAR_APART: Span = Span::from_secs(10);

impl Silence {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        let Some(acked) = attempt.acked else { return };
        if attempt.verdict == Verdict::SynackRetransmitted {
            self.ignored.push_back((acked, attempt.retries.after_ack));
            self.ignored_often |= attempt.retries.after_ack >= 2;
            if self.ignored.len() > RecentTimes::MAX_TIMES {
                self.ignored.pop_front();
            }
        }
        if !attempt.facts.has(Fact::SynSeen) {
            return;
        }
        if attempt.retries.after_ack >= 2
            && !attempt.facts.has(Fact::Established)
            && self.in_vain.len() < MAX_IN_VAIN
        {
            self.in_vain.extend(ignored_between(attempt));
        }
        if attempt.retries.syn == 0 {
            self.answered.add(attempt.start);
        }
        if attempt.facts.has(Fact::DataIgnored) {
            self.data_ignored.add(acked);
        }
        match (attempt.verdict, attempt.retries.after_ack) {
            // A repeat before the ACK may have begun the wait for the next one anew.
            (Verdict::SynackRetransmitted, 1)
                if attempt.retries.syn_ack == 1 && !attempt.facts.has(Fact::DataIgnored) =>
            {
                self.repeated.add(acked);
                if let Some(&at) = attempt.retry_at.first() {
                    let (least, most) = self.offsets.unwrap_or((at, at));
                    self.offsets = Some((least.min(at), most.max(at)));
                }
            }
            (Verdict::Completed | Verdict::CompletedLate, 0) if attempt.retries.syn_ack == 0 => {
                self.see_without_repeat(attempt, acked);
            }
            _ => {}
        }
    }

    /// Takes an attempt that completed without a SYN-ACK repeat.
    fn see_without_repeat(&mut self, attempt: &Attempt, acked: Timestamp) {
        if has_gap(attempt) {
            return;
        }
        if attempt.sent.is_some_and(|sent| sent.since(acked) <= AT_ONCE) {
            if attempt.established == Some(true) {
                self.prompt.add(acked);
            }
            return;
        }
        let closed = attempt.facts.has(Fact::ResetUnserved) || attempt.facts.has(Fact::ClientAborted);
        // A server that sends first has accepted the bare ACK.
        let answered = attempt.sent.is_none() && attempt.facts.has(Fact::ServerSpoke);
        let silent = match attempt.sent {
            _ if answered => Self::SPOKE_FIRST,
            Some(sent) => sent.since(acked),
            None if closed => return,
            // Nothing came of it for as long as the capture shows.
            None => attempt.end.plus(attempt.silence.unwrap_or(WATCH_TIME)).since(acked),
        };
        self.without_repeat = Some(self.without_repeat.map_or(silent, |known| known.max(silent)));
    }

    /// Silence noted for a client to which the server spoke first: longer than any period.
    pub(in crate::listener) const SPOKE_FIRST: Span = Span::from_secs(600);

    /// The period, if at least two silent clients got their repeat at the same offset, and all of them.
    pub(in crate::listener) fn period(&self) -> Option<Span> {
        let (least, most) = self.offsets.filter(|_| self.repeated.count >= 2)?;
        (most <= least.scaled(SAME_PERIOD.0, SAME_PERIOD.1).plus(COARSE_TIMER)).then_some(least)
    }

    /// The silence of a client that got no repeat although it was silent for longer than a repeat at `offset` takes:
    /// the listener does not defer.
    pub(in crate::listener) fn outlasted(&self, offset: Span) -> Option<Span> {
        self.without_repeat.filter(|&silent| silent > offset.scaled(5, 4))
    }

    /// Attempts of which at least so many ACKs in a row were ignored, by when the first came.
    pub(in crate::listener) fn ignored_in_a_row(&self, in_a_row: u32, from: Timestamp, to: Timestamp) -> u32 {
        let counts = |&&(at, ignored): &&(Timestamp, u32)| from <= at && at <= to && ignored >= in_a_row;
        self.ignored.iter().filter(counts).count() as u32
    }

    /// Times in which ACKs of one attempt were ignored, and none of it accepted, that overlap with these.
    pub(in crate::listener) fn in_vain_with(
        &self,
        (from, to): (Timestamp, Timestamp),
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        self.in_vain.iter().copied().filter(move |&(first, last)| first <= to && from <= last)
    }

    /// True if silent clients that got their repeat are too far apart for a single outage.
    pub(in crate::listener) fn is_far_apart(&self) -> bool {
        self.repeated.span.is_some_and(|(from, to)| to.since(from) > FAR_APART)
    }

    /// Attempts from the first ignored ACK of a silent client to the last.
    pub(in crate::listener) fn between(&self) -> Option<Between> {
        let (from, to) = self.repeated.span?;
        Some(Between {
            silent: self.repeated.latest.len() as u32,
            prompt: self.prompt.between(from, to),
            answered: self.answered.between(from, to),
        })
    }

    /// Silent clients between these times that got one SYN-ACK repeat.
    pub(in crate::listener) fn repeated_between(&self, from: Timestamp, to: Timestamp) -> u32 {
        self.repeated.between(from, to)
    }

    /// Clients that sent at once and were accepted at once while silent ones got their repeats.
    pub(in crate::listener) fn prompt_meanwhile(&self) -> u32 {
        let Some(((from, to), (_, longest))) = self.repeated.span.zip(self.offsets) else { return 0 };
        self.prompt.between(from.minus(longest), to.plus(longest))
    }

    /// True if a full queue is seen: an ACK was ignored more than once, or around this time data was.
    pub(in crate::listener) fn queue_seen_full(&self, from: Timestamp, to: Timestamp) -> bool {
        let near = self.data_ignored.between(from.minus(FAR_APART), to.plus(FAR_APART)) > 0;
        near || self.ignored_often
    }
}

/// Times of the attempt's first ignored ACK, and of the SYN-ACK that followed the last.
pub(in crate::listener) fn ignored_between(attempt: &Attempt) -> Option<(Timestamp, Timestamp)> {
    let last = *attempt.retry_at.last()?;
    Some((attempt.acked?, synack_time(attempt).plus(last)))
}

/// True if the capture lacks a packet of the attempt: the first SYN-ACK, a repeat of it, or data of the client's. Then
/// it does not show that the client was silent, or that it got no repeat.
fn has_gap(attempt: &Attempt) -> bool {
    attempt.lacks_synack() || attempt.facts.has(Fact::AckUnasked) || attempt.facts.has(Fact::AckedUnseen)
}

/// Attempts while silent clients were ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) struct Between {
    /// Silent clients that got one SYN-ACK repeat.
    pub(in crate::listener) silent: u32,
    /// Clients that sent at once and were accepted at once.
    pub(in crate::listener) prompt: u32,
    /// SYNs that were answered at once.
    pub(in crate::listener) answered: u32,
}

impl RecentTimes {
    const MAX_TIMES: usize = 256;

    fn add(&mut self, at: Timestamp) {
        self.count += 1;
        let (from, to) = self.span.unwrap_or((at, at));
        self.span = Some((from.min(at), to.max(at)));
        self.latest.push_back(at);
        if self.latest.len() > Self::MAX_TIMES {
            self.latest.pop_front();
        }
    }

    fn between(&self, from: Timestamp, to: Timestamp) -> u32 {
        self.latest.iter().filter(|&&at| from <= at && at <= to).count() as u32
    }
}
