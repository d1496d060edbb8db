//! Times at which a listener's accept queue was seen full: by ignored ACKs, bare RSTs and ignored data (DOMAIN §2).

use super::Silence;
use crate::handshake::{Attempt, Fact, Vantage, Verdict};
use crate::packet::{Span, Timestamp};

/// The look of a full queue that left a mark, by row of DOMAIN §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) enum MarkKind {
    /// Row A, as sure as one attempt alone can be.
    AcksIgnored,
    /// Row A near the server, once: a deferral looks the same.
    IgnoredOnce,
    /// Row A that a lost ACK or a deferral looks like.
    MaybeIgnored,
    /// Row B.
    Reset,
    /// Rows D and F.
    DataIgnored,
}

impl MarkKind {
    /// True if such a mark shows a full queue for sure, and so supports an overflow of other attempts at that time;
    /// `silence` shows whether the listener defers.
    fn is_sure(self, silence: &Silence) -> bool {
        match self {
            Self::AcksIgnored => true,
            Self::IgnoredOnce => silence.outlasted(ONE_REPEAT).is_some(),
            Self::MaybeIgnored | Self::Reset | Self::DataIgnored => false,
        }
    }
}

/// A stretch of time in which the queue was seen to be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    kind: MarkKind,
    from: Timestamp,
    to: Timestamp,
    attempts: u32,
    /// The position of the attempt that showed it, while only one has.
    sole: Option<u64>,
}

/// All marks of a listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Marks(Vec<Mark>);

/// Most marks kept per listener; a further one stretches the nearest.
const MAX_MARKS: usize = 96;

/// Longest gap within a stretch: a dropped client retries after 1 s (DOMAIN §4).
pub(in crate::listener) const MARK_GAP: Span = Span::from_millis(1_500);

/// The first SYN-ACK repeat has come by then, unless it was deferred for two seconds or more.
const ONE_REPEAT: Span = Span::from_millis(1_500);

impl Marks {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        let Some(kind) = kind_of(attempt) else { return };
        let from = attempt.acked.unwrap_or(attempt.start);
        let to = match kind {
            MarkKind::Reset => attempt.reset.unwrap_or(attempt.end),
            MarkKind::AcksIgnored | MarkKind::IgnoredOnce | MarkKind::MaybeIgnored => last_ignored(attempt),
            MarkKind::DataIgnored => attempt.end,
        };
        let mark = Mark { kind, from, to: to.max(from), attempts: 1, sole: Some(attempt.ordinal) };
        let alike = |other: &Mark| other.kind == kind && touches(other, mark.from, mark.to, MARK_GAP);
        let place = self.0.iter().rposition(alike).or_else(|| {
            let full = self.0.len() >= MAX_MARKS;
            self.0.iter().rposition(|other| full && other.kind == kind)
        });
        let full = self.0.len() >= MAX_MARKS;
        match place.and_then(|place| self.0.get_mut(place)) {
            Some(other) => {
                let same = other.sole == mark.sole;
                other.from = other.from.min(mark.from);
                other.to = other.to.max(mark.to);
                other.attempts += u32::from(!same);
                other.sole = other.sole.filter(|_| same);
            }
            None if !full => self.0.push(mark),
            None => {}
        }
    }

    /// Evidence of attempts other than this one that the queue was full between these times, give or take [`MARK_GAP`]:
    /// `true` if one of them shows it for sure, `None` if none shows it.
    pub(in crate::listener) fn others(
        &self,
        silence: &Silence,
        ordinal: u64,
        (from, to): (Timestamp, Timestamp),
    ) -> Option<bool> {
        let touching =
            self.0.iter().filter(|mark| mark.sole != Some(ordinal) && touches(mark, from, to, MARK_GAP));
        touching.map(|mark| mark.kind.is_sure(silence)).max()
    }

    /// The same, by ignored or reset ACKs alone: ignored data shows no more than the data that is to be explained.
    pub(in crate::listener) fn others_by_acks(
        &self,
        silence: &Silence,
        ordinal: u64,
        (from, to): (Timestamp, Timestamp),
    ) -> Option<bool> {
        let others =
            self.0.iter().filter(|mark| mark.kind != MarkKind::DataIgnored && mark.sole != Some(ordinal));
        others.filter(|mark| touches(mark, from, to, MARK_GAP)).map(|mark| mark.kind.is_sure(silence)).max()
    }
}

fn touches(mark: &Mark, from: Timestamp, to: Timestamp, slack: Span) -> bool {
    mark.from <= to.plus(slack) && from <= mark.to.plus(slack)
}

/// The last SYN-ACK that followed an ignored ACK.
fn last_ignored(attempt: &Attempt) -> Timestamp {
    let first = super::synack_time(attempt);
    attempt.retry_at.last().map_or(first, |&since| first.plus(since))
}

fn kind_of(attempt: &Attempt) -> Option<MarkKind> {
    let facts = attempt.facts;
    match attempt.verdict {
        Verdict::SynackRetransmitted if facts.has(Fact::SynAckAfterRst) => None,
        Verdict::SynackRetransmitted => {
            let near = matches!(attempt.vantage, Some(Vantage::Server | Vantage::Local));
            let again = attempt.retries.after_ack >= 2 || facts.has(Fact::DataIgnored);
            let other = facts.has(Fact::RetransmittedByOther) || facts.has(Fact::ProofWithoutAck);
            // Later the repeat was held back: only a deferral does that.
            let soon = attempt.retry_at.first().is_some_and(|&at| at <= ONE_REPEAT);
            let refused = facts.has(Fact::RetransmissionUnanswered);
            Some(match (again, near) {
                (true, _) if !other && (near || facts.has(Fact::EchoesAck)) => MarkKind::AcksIgnored,
                (false, true) if !other && !refused && soon => MarkKind::IgnoredOnce,
                (_, _) => MarkKind::MaybeIgnored,
            })
        }
        Verdict::ResetAfterAck if facts.has(Fact::RstTtlDiffers) || facts.has(Fact::SynAckAfterRst) => None,
        Verdict::ResetAfterAck => Some(MarkKind::Reset),
        Verdict::AckIgnored if !facts.has(Fact::TooBig) => Some(MarkKind::DataIgnored),
        Verdict::AckIgnored
        | Verdict::Completed
        | Verdict::CompletedLate
        | Verdict::Refused
        | Verdict::Unreachable
        | Verdict::Unanswered
        | Verdict::HalfOpen
        | Verdict::ClientReset
        | Verdict::Undetermined => None,
    }
}
