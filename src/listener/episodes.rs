//! Stretches of trouble of one listener, of one kind each, bounded in number (DOMAIN §4).

use std::cmp::Reverse;

use super::episode::Episode;
use super::tally::{AlikeAttempts, Tally};
use crate::handshake::{Attempt, Cause, Confidence, Inference};
use crate::packet::{Span, Timestamp};

/// Time without problems after which an episode is over (DOMAIN §4).
pub(crate) const EPISODE_GAP: Span = Span::from_secs(10);

/// Most episodes kept per listener; past that the two of one kind that are closest become one. More than there are
/// causes, so that there always are two.
const MAX_EPISODES: usize = 32;

/// The episodes of one listener so far, in order of their start.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Episodes(Vec<ProblemSpan>);

/// A run of problems with one cause, at most [`EPISODE_GAP`] apart.
#[derive(Debug, Clone, PartialEq)]
struct ProblemSpan {
    cause: Option<Cause>,
    confidence: Option<Confidence>,
    from: Timestamp,
    until: Timestamp,
    verdicts: Tally,
}

impl ProblemSpan {
    fn touches(&self, other: &Self) -> bool {
        self.cause == other.cause
            && self.from <= other.until.plus(EPISODE_GAP)
            && other.from <= self.until.plus(EPISODE_GAP)
    }

    fn absorb(&mut self, other: &Self) {
        self.confidence = self.confidence.max(other.confidence);
        self.from = self.from.min(other.from);
        self.until = self.until.max(other.until);
        self.verdicts.merge(&other.verdicts);
    }
}

impl Episodes {
    /// Adds attempts like this one, with their inference, if that makes them a problem.
    pub(super) fn add(&mut self, attempt: &Attempt, inference: &Inference, alike: AlikeAttempts) {
        if !is_trouble(attempt, inference) {
            return;
        }
        let mut verdicts = Tally::default();
        verdicts.add_many(attempt.verdict, alike.attempts);
        self.join(ProblemSpan {
            cause: inference.cause,
            confidence: inference.confidence,
            from: alike.from,
            until: alike.until.max(alike.from),
            verdicts,
        });
    }

    /// Adds a stretch in which the kernel counted overflows of the accept queue, whatever the packets show.
    pub(super) fn add_counted(&mut self, from: Timestamp, until: Timestamp) {
        self.join(ProblemSpan {
            cause: Some(Cause::AcceptQueueOverflow),
            confidence: Some(Confidence::Confirmed),
            from,
            until: until.max(from),
            verdicts: Tally::default(),
        });
    }

    /// Adds those of another listener of the same scan.
    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|stretch| self.join(stretch.clone()));
    }

    /// Joins a stretch to those that it touches.
    fn join(&mut self, mut new: ProblemSpan) {
        // Most attempts of a flood belong to the latest stretch.
        if let Some(last) = self.0.last_mut()
            && last.from <= new.from
            && last.touches(&new)
        {
            return last.absorb(&new);
        }
        self.0.retain(|known| {
            let touches = known.touches(&new);
            if touches {
                new.absorb(known);
            }
            !touches
        });
        let place = self.0.partition_point(|known| known.from <= new.from);
        self.0.insert(place, new);
        if self.0.len() > MAX_EPISODES {
            self.join_closest();
        }
    }

    /// Joins the two stretches of one kind with the least time between them.
    fn join_closest(&mut self) {
        let mut closest: Option<(Span, usize, usize)> = None;
        for (place, stretch) in self.0.iter().enumerate() {
            let after = self.0.iter().enumerate().skip(place + 1);
            let next = after.into_iter().find(|(_, later)| later.cause == stretch.cause);
            if let Some((other, later)) = next {
                let gap = later.from.since(stretch.until);
                closest = Some(closest.map_or((gap, place, other), |known| known.min((gap, place, other))));
            }
        }
        if let Some((_, place, other)) = closest {
            let later = self.0.remove(other);
            if let Some(stretch) = self.0.get_mut(place) {
                stretch.absorb(&later);
            }
        }
    }

    /// The episodes, in order of their start, the surest first where that is the same; `end` is when the input ended.
    pub(super) fn list(&self, end: Option<Timestamp>) -> Vec<Episode> {
        let mut episodes: Vec<Episode> = self
            .0
            .iter()
            .map(|stretch| Episode {
                cause: stretch.cause,
                confidence: stretch.confidence,
                from: stretch.from,
                until: stretch.until,
                ongoing: end.is_some_and(|end| end < stretch.until.plus(EPISODE_GAP)),
                verdicts: stretch.verdicts,
            })
            .collect();
        episodes.sort_by_key(|episode| (episode.from, Reverse(episode.confidence)));
        episodes
    }
}

/// True if an attempt belongs to an episode: something broke it, or made it late. What is known to be no problem, a
/// health check or a deferral, does not.
pub(crate) fn is_trouble(attempt: &Attempt, inference: &Inference) -> bool {
    let sure = inference.confidence >= Some(Confidence::Likely);
    match inference.cause {
        Some(cause) => !(cause.is_harmless() && sure),
        None => attempt.verdict.is_problem() || attempt.is_late(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Verdict;
    use crate::report::samples;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(0).plus(Span::from_secs(seconds))
    }

    fn problem(from: i64, until: i64) -> Attempt {
        let unanswered = samples::overflow_mixed().1.into_iter().find(|a| a.verdict == Verdict::Unanswered);
        Attempt { start: at(from), end: at(until), ..unanswered.unwrap() }
    }

    fn add(episodes: &mut Episodes, attempt: &Attempt, inference: &Inference) {
        episodes.add(attempt, inference, AlikeAttempts::one(attempt));
    }

    fn because(cause: Option<Cause>, confidence: Option<Confidence>) -> Inference {
        Inference { cause, confidence, ..Inference::default() }
    }

    fn spans(episodes: &Episodes, end: i64) -> Vec<(i64, i64, bool, u64)> {
        let seconds = |time: Timestamp| time.since(at(0)).as_nanos() / 1_000_000_000;
        let listed = episodes.list(Some(at(end)));
        let spans = listed.iter().map(|episode| {
            (seconds(episode.from), seconds(episode.until), episode.ongoing, episode.verdicts.total())
        });
        spans.collect()
    }

    #[test]
    fn problems_ten_seconds_apart_are_one_episode_in_any_order() {
        let mut episodes = Episodes::default();
        for (from, until) in [(30, 31), (0, 1), (11, 12), (20, 21)] {
            add(&mut episodes, &problem(from, until), &because(None, None));
        }
        assert_eq!(spans(&episodes, 60), [(0, 31, false, 4)]);
        add(&mut episodes, &problem(42, 43), &because(None, None));
        assert_eq!(spans(&episodes, 50), [(0, 31, false, 4), (42, 43, true, 1)], "recovered for 11 s");
    }

    #[test]
    fn each_kind_has_episodes_of_its_own_and_growing_confidence_begins_none() {
        let mut episodes = Episodes::default();
        let overflow = Some(Cause::AcceptQueueOverflow);
        add(&mut episodes, &problem(0, 1), &because(overflow, Some(Confidence::Possible)));
        add(&mut episodes, &problem(2, 3), &because(Some(Cause::PortClosed), Some(Confidence::Likely)));
        episodes.add_counted(at(4), at(5));
        let listed = episodes.list(None);
        assert_eq!(
            listed.iter().map(|one| one.cause).collect::<Vec<_>>(),
            [overflow, Some(Cause::PortClosed)]
        );
        assert_eq!(listed[0].confidence, Some(Confidence::Confirmed));
        assert_eq!((listed[0].until, listed[0].verdicts.total(), listed[0].ongoing), (at(5), 1, false));
    }

    #[test]
    fn an_intended_cause_is_no_trouble() {
        let mut episodes = Episodes::default();
        add(&mut episodes, &problem(0, 1), &because(Some(Cause::HealthCheck), Some(Confidence::Likely)));
        let completed = Attempt { verdict: Verdict::Completed, ..problem(0, 1) };
        add(&mut episodes, &completed, &because(None, None));
        assert_eq!(episodes.list(None), []);
        add(&mut episodes, &problem(0, 1), &because(Some(Cause::HealthCheck), Some(Confidence::Possible)));
        assert_eq!(episodes.list(None).len(), 1, "it may as well be another thing");
    }

    #[test]
    fn episodes_are_bounded_and_the_closest_become_one() {
        let mut episodes = Episodes::default();
        for n in 0..100 {
            // The first two are 11 s apart, all others more.
            add(&mut episodes, &problem(if n == 1 { 11 } else { n * 30 }, n * 30), &because(None, None));
        }
        assert_eq!(episodes.0.len(), MAX_EPISODES);
        assert_eq!(episodes.list(None).iter().map(|one| one.verdicts.total()).sum::<u64>(), 100);
        assert!(episodes.0.is_sorted_by_key(|stretch| stretch.from));
    }
}
