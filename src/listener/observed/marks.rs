//! Times at which a listener's accept queue was seen full: by ignored ACKs, bare RSTs and ignored data (DOMAIN §2).

use super::Observed;
use crate::handshake::{Attempt, Fact, Vantage, Verdict};
use crate::packet::{Span, Timestamp};

/// The look of a full queue that left a mark, by row of DOMAIN §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) enum MarkKind {
    /// Row A, with the ACK echoed: it reached the server's TCP.
    AckEchoed,
    /// Row A near the server, as sure as one attempt alone can be.
    AcksIgnored,
    /// Row A near the server, once: a deferral looks the same.
    IgnoredOnce,
    /// Row A that lost ACKs look like.
    MaybeIgnored,
    /// Row A that a lost ACK or a deferral looks like.
    MaybeIgnoredOnce,
    /// Row B, as sure as one attempt alone can be.
    Reset,
    /// Row B, with an RST that something else may have sent.
    MaybeReset,
    /// Rows D and F.
    DataIgnored,
}

/// A stretch of time in which the queue was seen to be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    kind: MarkKind,
    from: Timestamp,
    to: Timestamp,
    /// The position of the attempt that showed it, while only one has.
    sole: Option<u64>,
}

/// All marks of a listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Marks {
    settled: Vec<Mark>,
    /// Marks of attempts that are not settled: one may recover, and show that it had lost its data on the way.
    provisional: Vec<Mark>,
}

/// Most marks kept per listener; a further one stretches the nearest.
const MAX_MARKS: usize = 96;

/// Most provisional marks.
const MAX_PROVISIONAL: usize = 32;

/// Longest gap within a stretch: a dropped client retries after 1 s (DOMAIN §4).
pub(in crate::listener) const MARK_GAP: Span = Span::from_millis(1_500);

/// The first SYN-ACK repeat has come by then, unless it was deferred for two seconds or more.
const ONE_REPEAT: Span = Span::from_millis(1_500);

impl Mark {
    /// True if all of it is the end of a listener that was closed.
    fn is_of_closing(&self, observed: &Observed) -> bool {
        let claims = |at| observed.closing.claims(at).is_some();
        matches!(self.kind, MarkKind::Reset | MarkKind::MaybeReset) && claims(self.from) && claims(self.to)
    }

    /// True if its last SYN-ACK came when a server that had stood still went on.
    fn is_of_pause(&self, observed: &Observed) -> bool {
        let once = matches!(
            self.kind,
            MarkKind::AcksIgnored
                | MarkKind::IgnoredOnce
                | MarkKind::MaybeIgnored
                | MarkKind::MaybeIgnoredOnce
        );
        once && observed.stood_still_until(self.to).is_some()
    }

    /// True if it shows a full queue for sure, and so supports an overflow of other attempts at that time.
    fn is_sure(&self, observed: &Observed, attempt: &Attempt) -> bool {
        match self.kind {
            MarkKind::AckEchoed => true,
            MarkKind::AcksIgnored => !observed.is_away_from_server(),
            MarkKind::IgnoredOnce => {
                observed.silence.outlasted(ONE_REPEAT).is_some() && !observed.is_away_from_server()
            }
            // A firewall that resets the ACKs of others may have sent it.
            MarkKind::Reset if observed.firewall_resets > 0 || observed.has_foreign_resets() => false,
            // No listener that closes leaves a connection.
            MarkKind::Reset => {
                let (closing, drops) = (&observed.closing, &observed.drops);
                let lived = closing.resets_apart(observed.round_trip(attempt)) || closing.survived(self.to);
                // A closing listener leaves no SYN without an answer either. A single RST may be something else's.
                let dropping = || drops.at(self.from, self.to).filter(|_| self.sole.is_none());
                let full =
                    || dropping().is_some_and(|stretch| drops.answered_in_cluster(stretch, None).is_some());
                !closing.refused_around(self.from) && !closing.refused_around(self.to) && (lived || full())
            }
            MarkKind::MaybeIgnored
            | MarkKind::MaybeIgnoredOnce
            | MarkKind::MaybeReset
            | MarkKind::DataIgnored => false,
        }
    }

    /// The mark that an attempt leaves, if it shows a full queue.
    fn of(attempt: &Attempt) -> Option<Self> {
        let kind = kind_of(attempt)?;
        let reset = attempt.reset.unwrap_or(attempt.end);
        let acked = attempt.acked.unwrap_or(attempt.start);
        let (from, to) = match kind {
            MarkKind::Reset | MarkKind::MaybeReset => (reset, reset),
            MarkKind::AckEchoed
            | MarkKind::AcksIgnored
            | MarkKind::IgnoredOnce
            | MarkKind::MaybeIgnored
            | MarkKind::MaybeIgnoredOnce => (acked, last_ignored(attempt)),
            MarkKind::DataIgnored => (acked, attempt.end),
        };
        Some(Self { kind, from, to: to.max(from), sole: Some(attempt.ordinal) })
    }
}

impl Marks {
    /// Takes an attempt that shows an overflow before it is settled.
    pub(super) fn see_provisional(&mut self, attempt: &Attempt) {
        let Some(mark) = Mark::of(attempt) else { return };
        self.provisional.retain(|other| other.sole != mark.sole);
        if self.provisional.len() < MAX_PROVISIONAL {
            self.provisional.push(mark);
        }
    }

    /// Takes a settled attempt.
    pub(super) fn see(&mut self, attempt: &Attempt) {
        self.provisional.retain(|mark| mark.sole != Some(attempt.ordinal));
        let Some(mark) = Mark::of(attempt) else { return };
        let alike = |other: &Mark| other.kind == mark.kind && touches(other, mark.from, mark.to, MARK_GAP);
        let place = self.settled.iter().rposition(alike).or_else(|| {
            let full = self.settled.len() >= MAX_MARKS;
            self.settled.iter().rposition(|other| full && other.kind == mark.kind)
        });
        let full = self.settled.len() >= MAX_MARKS;
        match place.and_then(|place| self.settled.get_mut(place)) {
            Some(other) => {
                other.from = other.from.min(mark.from);
                other.to = other.to.max(mark.to);
                other.sole = None;
            }
            None if !full => self.settled.push(mark),
            None => {}
        }
    }

    fn all(&self) -> impl Iterator<Item = &Mark> {
        self.settled.iter().chain(&self.provisional)
    }

    /// Evidence of attempts other than this one that the queue was full between these times, give or take [`MARK_GAP`]:
    /// `true` if one of them shows it for sure, `None` if none shows it.
    pub(in crate::listener) fn others(
        &self,
        observed: &Observed,
        attempt: &Attempt,
        span: (Timestamp, Timestamp),
    ) -> Option<bool> {
        self.surest_other(observed, attempt, span, |_| true)
    }

    /// The same, by ignored or reset ACKs alone: ignored data shows no more than the data that is to be explained.
    pub(in crate::listener) fn others_by_acks(
        &self,
        observed: &Observed,
        attempt: &Attempt,
        span: (Timestamp, Timestamp),
    ) -> Option<bool> {
        self.surest_other(observed, attempt, span, |kind| kind != MarkKind::DataIgnored)
    }

    /// True if others show more than one ACK that may have been lost, or RSTs that something else may have sent.
    pub(in crate::listener) fn others_show_more(
        &self,
        observed: &Observed,
        attempt: &Attempt,
        span: (Timestamp, Timestamp),
    ) -> bool {
        let more = |kind| !matches!(kind, MarkKind::MaybeIgnoredOnce | MarkKind::MaybeReset);
        self.surest_other(observed, attempt, span, more).is_some()
    }

    fn surest_other(
        &self,
        observed: &Observed,
        attempt: &Attempt,
        (from, to): (Timestamp, Timestamp),
        counts: impl Fn(MarkKind) -> bool,
    ) -> Option<bool> {
        let other = |mark: &&Mark| counts(mark.kind) && mark.sole != Some(attempt.ordinal);
        let touching = self.all().filter(other).filter(|mark| touches(mark, from, to, MARK_GAP));
        let touching = touching.filter(|mark| !mark.is_of_closing(observed) && !mark.is_of_pause(observed));
        touching.map(|mark| mark.is_sure(observed, attempt)).max()
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

/// True if the RST is not the server's.
fn foreign_reset(attempt: &Attempt) -> bool {
    [Fact::TtlDiffers, Fact::SynAckAfterRst, Fact::RstTooSoon].into_iter().any(|fact| attempt.facts.has(fact))
}

fn kind_of(attempt: &Attempt) -> Option<MarkKind> {
    let facts = attempt.facts;
    match attempt.verdict {
        Verdict::SynackRetransmitted if facts.has(Fact::SynAckAfterRst) => None,
        Verdict::SynackRetransmitted => {
            let near = attempt.vantage.is_some_and(Vantage::is_near_server);
            let again = attempt.retries.after_ack >= 2 || facts.has(Fact::DataIgnored);
            let other = facts.has(Fact::RetransmittedByOther) || facts.has(Fact::ProofWithoutAck);
            // Later the repeat was held back: only a deferral does that.
            let soon = attempt.first_ignored().is_some_and(|at| at <= ONE_REPEAT);
            let refused = facts.has(Fact::RetransmissionUnanswered);
            Some(match (again, near) {
                (true, _) if !other && facts.has(Fact::EchoesAck) => MarkKind::AckEchoed,
                (true, true) if !other => MarkKind::AcksIgnored,
                (false, true) if !other && !refused && soon => MarkKind::IgnoredOnce,
                (true, _) => MarkKind::MaybeIgnored,
                (false, _) => MarkKind::MaybeIgnoredOnce,
            })
        }
        Verdict::ResetAfterAck if foreign_reset(attempt) => None,
        Verdict::ResetAfterAck => {
            let kernels = facts.has(Fact::RstToFirstAck) && facts.has(Fact::RstKernelForm);
            let doubts = [Fact::RstBeforeAck, Fact::RstTooLate, Fact::ClientClosedFirst, Fact::DataAfterRst];
            let doubted = doubts.into_iter().any(|doubt| facts.has(doubt));
            Some(if kernels && !doubted { MarkKind::Reset } else { MarkKind::MaybeReset })
        }
        Verdict::AckIgnored if facts.has(Fact::TooBig) || attempt.is_ignored_by_fin_alone() => None,
        Verdict::AckIgnored => Some(MarkKind::DataIgnored),
        Verdict::Completed
        | Verdict::CompletedLate
        | Verdict::Refused
        | Verdict::Unreachable
        | Verdict::Unanswered
        | Verdict::HalfOpen
        | Verdict::ClientReset
        | Verdict::Undetermined => None,
    }
}
