//! The meaning of a listener's attempts, summed up: causes with their evidence, and what was ruled out.

use smallvec::SmallVec;
use strum::EnumCount;

use super::clients::Clients;
use super::episodes::Episodes;
use super::tally::{AlikeAttempts, Tally};
use crate::handshake::{
    Attempt, Cause, Confidence, Evidence, EvidenceCode, Inference, RuledOut, SegmentLoss, Verdict,
};
use crate::packet::Timestamp;

/// The attempts that one cause explains: by verdict, how surely, when, and by what evidence.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct CauseTally {
    pub(super) verdicts: Tally,
    /// Highest confidence of the attempts with each verdict; `None` where the cause explains none of them.
    pub(super) surest: [Option<Confidence>; Verdict::COUNT],
    /// Highest confidence of the attempts that completed late or were stalled.
    pub(super) surest_late: Option<Confidence>,
    pub(super) span: Option<(Timestamp, Timestamp)>,
    /// Each kind of evidence once, with how many attempts have it.
    pub(super) evidence: SmallVec<[(Evidence, u64); 4]>,
    /// Attempts that are confirmed.
    pub(super) confirmed: u64,
    /// Attempts that are only possible.
    pub(super) possible: u64,
}

impl CauseTally {
    /// Adds those of another listener.
    fn merge(&mut self, other: &Self) {
        self.verdicts.merge(&other.verdicts);
        self.surest.iter_mut().zip(other.surest).for_each(|(known, more)| *known = (*known).max(more));
        self.surest_late = self.surest_late.max(other.surest_late);
        let spans = [self.span, other.span].into_iter().flatten();
        self.span = spans.reduce(|(from, to), (begin, end)| (from.min(begin), to.max(end)));
        for &(evidence, attempts) in &other.evidence {
            add_count(&mut self.evidence, evidence, attempts, is_same_evidence);
        }
        self.confirmed += other.confirmed;
        self.possible += other.possible;
    }

    /// True if an attempt has evidence of this kind.
    pub(super) fn has(&self, code: EvidenceCode) -> bool {
        self.evidence.iter().any(|&(evidence, _)| EvidenceCode::from(evidence) == code)
    }

    /// The places between which segments of its attempts were lost, or made up.
    pub(super) fn losses(&self) -> impl Iterator<Item = SegmentLoss> {
        self.evidence.iter().filter_map(|&(evidence, _)| match evidence {
            Evidence::LostBetween(loss) | Evidence::MadeBetween(loss) => Some(loss),
            _ => None,
        })
    }

    /// True if points of the capture show where it happened.
    pub(super) fn has_place(&self) -> bool {
        self.losses().next().is_some()
    }

    /// True if all of that happened within one host.
    pub(super) fn is_lost_within_host(&self) -> bool {
        self.losses().all(|loss| loss.within_host)
    }

    /// The highest confidence of its attempts.
    pub(super) fn confidence(&self) -> Option<Confidence> {
        self.surest.into_iter().max().flatten()
    }
}

/// Causes and evidence of all attempts of a listener, counted.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Totals {
    /// Most listeners have one cause, if any.
    causes: SmallVec<[(Cause, CauseTally); 1]>,
    /// Evidence of problems without a cause.
    pub(super) unexplained: SmallVec<[(Evidence, u64); 4]>,
    /// Causes that were excluded, by what, and for how many attempts.
    pub(super) ruled_out: SmallVec<[(RuledOut, u64); 2]>,
    /// Overflowed attempts that show this `tcp_abort_on_overflow`: 0, or 1.
    pub(super) settings: [u64; 2],
    /// Numbers of clients with overflowed attempts, by what `connect()` returned to them.
    pub(super) clients: Clients,
    pub(super) most_ignored: u32,
    /// Overflowed attempts whose client sent nothing but FIN, which was ignored.
    pub(super) fins_ignored: u64,
    /// Attempts that look like an overflow which the kernel denies.
    pub(super) denied: u64,
    /// Attempts that are no problem although their verdict is one: a deferral, a health check.
    pub(super) no_problem: u64,
    /// Attempts that completed and broke afterwards.
    pub(super) broken: u64,
    /// Stretches of trouble.
    pub(super) episodes: Episodes,
}

impl Totals {
    /// Adds an attempt and what it means.
    pub(super) fn add(&mut self, attempt: &Attempt, inference: &Inference) {
        self.add_alike(attempt, inference, AlikeAttempts::one(attempt));
    }

    /// Adds attempts that are like this one, and mean the same.
    pub(super) fn add_alike(&mut self, attempt: &Attempt, inference: &Inference, alike: AlikeAttempts) {
        let counted = |counts: bool| if counts { alike.attempts } else { 0 };
        self.episodes.add(attempt, inference, alike);
        let denial = Evidence::KernelDidNotOverflow;
        self.denied += counted(inference.cause.is_none() && inference.evidence.contains(&denial));
        for &ruled_out in &inference.ruled_out {
            add_count(&mut self.ruled_out, ruled_out, alike.attempts, is_same_exclusion);
        }
        let Some(cause) = inference.cause else {
            if attempt.verdict.is_problem() {
                add_evidence(&mut self.unexplained, &inference.evidence, alike.attempts);
            }
            return;
        };
        let sure = inference.confidence >= Some(Confidence::Likely);
        self.no_problem += counted(cause.is_harmless() && sure && attempt.verdict.is_problem());
        let completed = attempt.verdict.is_completed() && !attempt.verdict.is_problem();
        self.broken += counted(cause.breaks_completed() && sure && completed && !attempt.is_late());
        let place = self.causes.iter().position(|&(known, _)| known == cause).unwrap_or_else(|| {
            self.causes.push((cause, CauseTally::default()));
            self.causes.len() - 1
        });
        let (_, tally) = &mut self.causes[place];
        tally.verdicts.add_many(attempt.verdict, alike.attempts);
        let surest = &mut tally.surest[attempt.verdict as usize];
        *surest = (*surest).max(inference.confidence);
        if attempt.is_late() {
            tally.surest_late = tally.surest_late.max(inference.confidence);
        }
        tally.confirmed += counted(inference.confidence == Some(Confidence::Confirmed));
        tally.possible += counted(inference.confidence == Some(Confidence::Possible));
        let (from, to) = tally.span.unwrap_or((alike.from, alike.until));
        tally.span = Some((from.min(alike.from), to.max(alike.until)));
        add_evidence(&mut tally.evidence, &inference.evidence, alike.attempts);
        if cause == Cause::AcceptQueueOverflow {
            self.add_overflow(attempt, inference);
        }
    }

    fn add_overflow(&mut self, attempt: &Attempt, inference: &Inference) {
        if let Some(abort) = inference.abort_on_overflow {
            self.settings[usize::from(abort)] += 1;
        }
        self.clients.add(attempt, inference);
        self.fins_ignored += u64::from(attempt.verdict == Verdict::AckIgnored && attempt.sent_only_fin());
        if attempt.verdict == Verdict::SynackRetransmitted {
            self.most_ignored = self.most_ignored.max(attempt.retries.after_ack);
        }
    }

    /// Adds those of another listener of the same scan, none of which overflowed.
    pub(super) fn merge(&mut self, other: &Self) {
        for (cause, more) in &other.causes {
            match self.causes.iter_mut().find(|(known, _)| known == cause) {
                Some((_, tally)) => tally.merge(more),
                None => self.causes.push((*cause, more.clone())),
            }
        }
        for &(ruled_out, attempts) in &other.ruled_out {
            add_count(&mut self.ruled_out, ruled_out, attempts, is_same_exclusion);
        }
        self.no_problem += other.no_problem;
        self.broken += other.broken;
        self.episodes.merge(&other.episodes);
    }

    /// The attempts that `cause` explains.
    pub(super) fn of(&self, cause: Cause) -> Option<&CauseTally> {
        self.causes.iter().find(|&&(known, _)| known == cause).map(|(_, tally)| tally)
    }

    /// All causes, with the attempts that each explains.
    pub(super) fn causes(&self) -> impl Iterator<Item = (Cause, &CauseTally)> {
        self.causes.iter().map(|(cause, tally)| (*cause, tally))
    }
}

/// Adds each kind of evidence once; of those with figures the first attempt's stand, but the segments that the kernel dropped are
/// added up, and of figures that grow with each attempt the highest stands.
fn add_evidence(known: &mut SmallVec<[(Evidence, u64); 4]>, evidence: &[Evidence], attempts: u64) {
    for &one in evidence {
        if let Evidence::KernelDroppedSegments { segments: more, .. } = one
            && let Some((Evidence::KernelDroppedSegments { segments: sum, .. }, _)) =
                known.iter_mut().find(|(known, _)| is_same_evidence(known, &one))
        {
            *sum = sum.saturating_add(more);
        }
        add_count(known, one, attempts, is_same_evidence);
        if highest(&one).is_some() {
            let is_lower = |other: &Evidence| is_same_evidence(other, &one) && highest(other) < highest(&one);
            known.iter_mut().filter(|(other, _)| is_lower(other)).for_each(|(other, _)| *other = one);
        }
    }
}

/// A figure that grows with each attempt: of a flood's first second, of SYNs with an option.
const fn highest(evidence: &Evidence) -> Option<u32> {
    match evidence {
        Evidence::FloodRate { per_second, .. } => Some(*per_second),
        Evidence::FeatureBlockedOften(syns) => Some(*syns),
        _ => None,
    }
}

fn is_same_evidence(known: &Evidence, new: &Evidence) -> bool {
    match (known, new) {
        (Evidence::CouldBe(one), Evidence::CouldBe(other)) => one == other,
        (Evidence::LostBetween(one), Evidence::LostBetween(other))
        | (Evidence::MadeBetween(one), Evidence::MadeBetween(other)) => {
            (one.kind, one.from, one.to) == (other.kind, other.from, other.to)
        }
        (
            Evidence::KernelDroppedSegments { reason: one, netns: there, .. },
            Evidence::KernelDroppedSegments { reason: other, netns: elsewhere, .. },
        ) => (one, there) == (other, elsewhere),
        (_, _) => EvidenceCode::from(*known) == EvidenceCode::from(*new),
    }
}

fn is_same_exclusion(known: &RuledOut, new: &RuledOut) -> bool {
    known.cause == new.cause && is_same_evidence(&known.evidence, &new.evidence)
}

fn add_count<T: Copy, const N: usize>(
    known: &mut SmallVec<[(T, u64); N]>,
    new: T,
    attempts: u64,
    same: fn(&T, &T) -> bool,
) where
    [(T, u64); N]: smallvec::Array<Item = (T, u64)>,
{
    match known.iter_mut().find(|(known, _)| same(known, &new)) {
        Some((_, all)) => *all += attempts,
        None => known.push((new, attempts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{SegmentKind, SegmentLoss};
    use crate::kernel::{DropNetns, DropReason};
    use crate::packet::CapturePoint;

    #[test]
    fn segments_that_the_kernel_dropped_are_added_up_by_reason() {
        let dropped = |reason, segments| {
            [Evidence::KernelDroppedSegments { reason, segments, netns: DropNetns::Listener }]
        };
        let mut known: SmallVec<[(Evidence, u64); 4]> = SmallVec::new();
        for (reason, segments) in
            [(DropReason::NoSocket, 7), (DropReason::Paws, 1), (DropReason::NoSocket, 2)]
        {
            add_evidence(&mut known, &dropped(reason, segments), 1);
        }
        let sums = [(dropped(DropReason::NoSocket, 9)[0], 2), (dropped(DropReason::Paws, 1)[0], 1)];
        assert_eq!(known[..], sums);
    }

    #[test]
    fn losses_of_other_segments_rule_out_apart() {
        let [from, to] = ["near", "far"].map(CapturePoint::named);
        let loss = |kind, packets| {
            let loss = SegmentLoss { kind, packets, from, to, within_host: false };
            RuledOut { cause: Cause::SynLimited, evidence: Evidence::LostBetween(loss) }
        };
        let mut known: SmallVec<[(RuledOut, u64); 2]> = SmallVec::new();
        for (kind, packets) in [(SegmentKind::Syn, 1), (SegmentKind::SynAck, 1), (SegmentKind::Syn, 2)] {
            add_count(&mut known, loss(kind, packets), 1, is_same_exclusion);
        }
        let counts: Vec<u64> = known.iter().map(|&(_, attempts)| attempts).collect();
        assert_eq!(counts, [2, 1]);
    }
}
