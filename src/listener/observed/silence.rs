//! Clients that stay silent after their ACK, beside those that send at once: `TCP_DEFER_ACCEPT` treats them apart (DOMAIN
//! §3).

use crate::handshake::{Attempt, Fact, Verdict};
use crate::packet::{Span, Timestamp};

/// Counts and times that show how a listener treats clients which send nothing after their ACK.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(in crate::listener) struct Silence {
    /// Silent clients that got one SYN-ACK repeat, and their first and last time.
    pub(in crate::listener) repeated: u32,
    span: Option<(Timestamp, Timestamp)>,
    /// The shortest and the longest time from the SYN-ACK to that repeat.
    pub(in crate::listener) offsets: Option<(Span, Span)>,
    /// The longest silence of a client that got no repeat.
    pub(in crate::listener) without_repeat: Option<Span>,
    /// Clients that sent data before any repeat, and were accepted.
    pub(in crate::listener) prompt: u32,
    /// Clients whose data was ignored, too.
    pub(in crate::listener) data_ignored: u32,
    /// Attempts whose ACK was ignored more than once.
    pub(in crate::listener) repeated_often: u32,
}

/// Repeats of one period are no further apart than a quarter, and so much: the timers of kernels before 4.4 run every
/// 200 ms, and prune a part of the requests each time.
const SAME_PERIOD: (i64, i64) = (5, 4);
const COARSE_TIMER: Span = Span::from_millis(300);

impl Silence {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        let Some(acked) = attempt.acked.filter(|_| attempt.facts.has(Fact::SynSeen)) else { return };
        let silent = attempt.sent.unwrap_or(attempt.end).since(acked);
        let first = attempt.retry_at.first().copied();
        self.data_ignored += u32::from(attempt.facts.has(Fact::DataIgnored));
        match (attempt.verdict, attempt.retries.after_ack) {
            (Verdict::SynackRetransmitted, 1) if !attempt.facts.has(Fact::DataIgnored) => {
                self.repeated += 1;
                let (from, to) = self.span.unwrap_or((acked, acked));
                self.span = Some((from.min(acked), to.max(acked)));
                if let Some(at) = first {
                    let (least, most) = self.offsets.unwrap_or((at, at));
                    self.offsets = Some((least.min(at), most.max(at)));
                }
            }
            (Verdict::SynackRetransmitted, 2..) => self.repeated_often += 1,
            (Verdict::Completed | Verdict::CompletedLate, 0) if attempt.retries.syn_ack == 0 => {
                let closed = attempt.facts.has(Fact::ResetUnserved) || attempt.facts.has(Fact::ClientAborted);
                // A server that speaks first has accepted the bare ACK.
                let answered = attempt.sent.is_none() && attempt.facts.has(Fact::ServerSpoke);
                if attempt.sent.is_some_and(|sent| sent.since(acked) < Span::from_millis(900)) {
                    self.prompt += u32::from(attempt.established == Some(true));
                } else if !closed || answered {
                    let known = self.without_repeat.unwrap_or(Span::ZERO);
                    self.without_repeat =
                        Some(known.max(if answered { Span::from_secs(600) } else { silent }));
                }
            }
            _ => {}
        }
    }

    /// The period, if all repeats came at the same offset.
    pub(in crate::listener) fn period(&self) -> Option<Span> {
        let (least, most) = self.offsets?;
        (most <= least.scaled(SAME_PERIOD.0, SAME_PERIOD.1).plus(COARSE_TIMER)).then_some(least)
    }

    /// From the first silent client that got a repeat to the last.
    pub(in crate::listener) fn spread(&self) -> Span {
        self.span.map_or(Span::ZERO, |(from, to)| to.since(from))
    }
}
