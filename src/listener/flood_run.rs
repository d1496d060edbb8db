//! SYNs of one flood and one second that are all alike: one of them is weighed, and stands for all.
//!
//! Owns which SYNs are alike, and their number. Does not own what makes a flood (`observed::floods`) nor what it means
//! (`hypotheses`).

use super::capture_limits::LimitSets;
use super::observed::{FloodKind, FloodSecond};
use super::tally::AlikeAttempts;
use super::totals::Totals;
use crate::handshake::{Attempt, Cause, Evidence, Inference, SharedInference, Verdict};

/// Alike SYNs of a flood, the latest of a listener.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FloodRun {
    /// The first, with its meaning.
    example: Box<Attempt>,
    /// Limits of the captures when it was weighed.
    limits: LimitSets,
    /// The flood so far, its kind, and the SYNs a second that the example tells.
    flood: Option<FloodSecond>,
    kind: Option<FloodKind>,
    told: u32,
    /// Number and time of all after the first.
    more: Option<AlikeAttempts>,
}

/// A rate that is higher by less than one in so many is told as the same.
const SAME_RATE: u32 = 8;

impl FloodRun {
    /// A run that begins with an attempt that was weighed, if that is a flood's SYN and has nothing of its own.
    pub(super) fn begin(attempt: &Attempt, limits: LimitSets) -> Option<Self> {
        let mut rates = attempt.inference.evidence.iter();
        let told = rates.find_map(|evidence| match *evidence {
            Evidence::FloodRate { per_second, .. } => Some(per_second),
            _ => None,
        })?;
        let begins = attempt.inference.cause == Some(Cause::SynFlood) && is_bare(attempt);
        begins.then(|| Self {
            example: Box::new(attempt.clone()),
            limits,
            flood: None,
            kind: None,
            told,
            more: None,
        })
    }

    /// True if an attempt began in the second in which all of the run came.
    fn has_second_of(&self, attempt: &Attempt) -> bool {
        attempt.start.second() == self.example.start.second()
    }

    /// True if the run goes on in the second of an attempt, so that it must not make room for another kind of SYN.
    pub(super) fn is_under_way(&self, attempt: &Attempt) -> bool {
        self.more.is_some() && self.has_second_of(attempt)
    }

    /// True if an attempt is like those of the run, but for its client.
    #[inline(always)]
    pub(super) fn is_like(&self, attempt: &Attempt, limits: &LimitSets) -> bool {
        is_bare(attempt)
            && attempt.facts == self.example.facts
            && (attempt.verdict, attempt.reason) == (self.example.verdict, self.example.reason)
            && self.has_second_of(attempt)
            && attempt.frame.capture() == self.example.frame.capture()
            && self.limits == *limits
    }

    /// Counts one more, of a flood that is known so well by then; false if that has become another flood, whose SYNs mean
    /// something else, so that the run ends.
    #[inline(always)]
    pub(super) fn count(&mut self, attempt: &Attempt, flood: Option<&FloodSecond>) -> bool {
        let alike = AlikeAttempts::one(attempt);
        self.more = Some(self.more.map_or(alike, |more| more.and(alike)));
        let Some(&flood) = flood else { return true };
        self.flood = Some(flood);
        let before = self.kind.replace(flood.kind());
        if flood.syns >= self.told + self.told / SAME_RATE {
            self.told = flood.syns;
            self.example.inference = self.inference_by_now().into();
        }
        before.is_none_or(|before| Some(before) == self.kind)
    }

    /// The meaning of all, with the latest rate.
    fn inference_by_now(&self) -> Inference {
        let mut inference = Inference::clone(&self.example.inference);
        let rates = inference.evidence.iter_mut().filter(|one| matches!(one, Evidence::FloodRate { .. }));
        if let Some(flood) = self.flood {
            rates.for_each(|rate| *rate = flood.rate());
        }
        inference
    }

    /// The meaning of each, which they share: with a rate that the flood had not long before.
    #[inline(always)]
    pub(super) fn inference(&self) -> &SharedInference {
        &self.example.inference
    }

    /// Adds all after the first to the totals, which have the first.
    pub(super) fn add_to(&self, totals: &mut Totals) {
        if let Some(more) = self.more {
            totals.add_alike(&self.example, &self.inference_by_now(), more);
        }
    }
}

/// True if an attempt is one SYN, and nothing is known of it that is not known of others.
#[inline(always)]
fn is_bare(attempt: &Attempt) -> bool {
    attempt.packets == 1
        && (attempt.verdict == Verdict::Unanswered || attempt.may_lack_answer())
        && attempt.vantage.is_none()
        && attempt.passage.is_none()
        && attempt.answered_from.is_none()
        && attempt.ports_before.is_none()
        && !attempt.has_older_stamp
        && !attempt.is_translated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{Confidence, Fact, Facts, Finding, Reason};
    use crate::listener::{Listener, ListenerEvidence, Listeners};
    use crate::packet::{Endpoint, Span};
    use crate::report::samples;

    /// A SYN of a flood, from an address that only it has.
    fn syn(number: u32, facts: Facts) -> Attempt {
        let unanswered =
            samples::overflow_mixed().1.into_iter().find(|attempt| attempt.verdict == Verdict::Unanswered);
        let template = unanswered.unwrap();
        let start = template.start.plus(Span::from_micros(i64::from(number) * 100));
        let [_, b, c, d] = number.to_be_bytes();
        Attempt {
            client: Endpoint::v4([16, b, c, d], 999),
            start,
            end: start,
            packets: 1,
            retries: crate::handshake::Retries::default(),
            syn_retry_at: crate::handshake::RetryTimes::new(),
            vantage: None,
            facts,
            ordinal: number.into(),
            ..template
        }
    }

    fn flood(count: u32) -> Vec<Attempt> {
        let facts = Facts::of(&[Fact::SynSeen, Fact::SynWithoutOptions]);
        (0..count).map(|number| syn(number, facts)).collect()
    }

    fn record(listeners: &mut Listeners, attempt: Attempt) -> Attempt {
        let mut finding = Finding { at: attempt.end, settled: true, attempt };
        listeners.record(&mut finding);
        finding.attempt
    }

    fn only_listener(listeners: &Listeners) -> Listener {
        let all = listeners.listeners(None);
        let [listener] = &all[..] else { panic!("{all:?}") };
        listener.clone()
    }

    #[test]
    fn all_syns_of_a_flood_are_counted_in_every_sum() {
        const SYNS: u32 = 22_000;
        let mut listeners = Listeners::new(8);
        let recorded: Vec<Attempt> =
            flood(SYNS).into_iter().map(|attempt| record(&mut listeners, attempt)).collect();
        let listener = only_listener(&listeners);
        assert_eq!(listener.verdicts.get(Verdict::Unanswered), u64::from(SYNS));
        assert_eq!(listeners.verdicts().total(), u64::from(SYNS));
        assert_eq!((listener.cause, listener.confidence), (Some(Cause::SynFlood), Some(Confidence::Likely)));
        let [cause] = &listener.causes[..] else { panic!("{:?}", listener.causes) };
        assert_eq!(cause.verdicts.total(), u64::from(SYNS));
        let [episode] = &listener.episodes[..] else { panic!("{:?}", listener.episodes) };
        assert_eq!(episode.verdicts.total(), u64::from(SYNS));
        let (first, last) = (&recorded[0], &recorded[SYNS as usize - 1]);
        assert_eq!((episode.from, episode.until), (first.start, last.end));
        let rate = |attempt: &Attempt| match attempt.inference.evidence.first() {
            Some(&Evidence::FloodRate { per_second, .. }) => per_second,
            other => panic!("{other:?}"),
        };
        let rates: Vec<u32> = recorded[5_000..9_000].iter().map(rate).collect();
        assert!(rates.is_sorted() && rates.first() < rates.last(), "each has the rate by then");
        let highest = listener.evidence.iter().find_map(|evidence| match *evidence {
            ListenerEvidence::OfAttempts { evidence: Evidence::FloodRate { per_second, .. }, attempts } => {
                Some((per_second, attempts))
            }
            _ => None,
        });
        assert_eq!(highest, Some((10_000, u64::from(SYNS))), "the rate of a whole second");
    }

    #[test]
    fn an_attempt_of_which_more_is_known_is_weighed_by_itself() {
        let mut listeners = Listeners::new(8);
        let options = Facts::of(&[Fact::SynSeen]);
        let all: Vec<Attempt> = (0..8_000).map(|number| syn(number, options)).collect();
        let verdict = |number| if number < 20 { Verdict::HalfOpen } else { Verdict::Unanswered };
        all[..6_000].iter().zip(0..).for_each(|(attempt, number)| {
            record(&mut listeners, Attempt { verdict: verdict(number), ..attempt.clone() });
        });
        let known = all[6_000].clone();
        let finished = Attempt {
            verdict: Verdict::Completed,
            facts: Facts::of(&[Fact::SynSeen, Fact::SynAckSeen, Fact::Established]),
            established: Some(true),
            acked: Some(known.start),
            ..known.clone()
        };
        record(&mut listeners, finished);
        let client = known.client;
        let victim = record(
            &mut listeners,
            Attempt { client, start: known.start.plus(Span::from_millis(1)), ..known },
        );
        let other = record(&mut listeners, all[7_000].clone());
        assert_eq!(other.inference.confidence, Some(Confidence::Likely), "{:?}", other.inference);
        assert_ne!(victim.inference.confidence, Some(Confidence::Likely), "{:?}", victim.inference);
        // As many as were recorded, whatever interrupted the run.
        assert_eq!(only_listener(&listeners).verdicts.get(Verdict::Unanswered), 5_982);
        assert_eq!(
            only_listener(&listeners).causes.iter().map(|cause| cause.verdicts.total()).sum::<u64>(),
            6_002
        );
    }

    #[test]
    fn syns_to_which_answers_may_be_missing_are_a_run_of_their_own() {
        let unanswered = syn(0, Facts::of(&[Fact::SynSeen]));
        let reason = Some(Reason::OneSided);
        let unheard = Attempt { verdict: Verdict::Undetermined, reason, ..unanswered.clone() };
        let run = |attempt: &Attempt| FloodRun {
            example: Box::new(attempt.clone()),
            limits: LimitSets::default(),
            flood: None,
            kind: None,
            told: 0,
            more: None,
        };
        let is_like = |one: &Attempt, other: &Attempt| run(one).is_like(other, &LimitSets::default());
        assert!(is_like(&unheard, &unheard) && is_like(&unanswered, &unanswered));
        assert!(!is_like(&unheard, &unanswered) && !is_like(&unanswered, &unheard));
    }

    #[test]
    fn a_run_ends_where_another_flood_begins() {
        let mut listeners = Listeners::new(8);
        let options = Facts::of(&[Fact::SynSeen]);
        let with_options = |number| syn(number, options);
        (0..5_000).for_each(|number| {
            record(&mut listeners, with_options(number));
        });
        let one = record(&mut listeners, with_options(5_000));
        assert_eq!(one.inference.cause, Some(Cause::SynFlood));
        // Twice as many without options in the same second: those with options are victims of that flood.
        let crafted = Facts::of(&[Fact::SynSeen, Fact::SynWithoutOptions]);
        for number in 0..10_002 {
            record(
                &mut listeners,
                Attempt { start: one.start, end: one.end, ..syn(100_000 + number, crafted) },
            );
        }
        record(&mut listeners, with_options(5_001));
        let victim = record(&mut listeners, with_options(5_002));
        assert_ne!(victim.inference.cause, Some(Cause::SynFlood), "{:?}", victim.inference);
    }

    #[test]
    fn a_flood_hides_no_scan() {
        let mut listeners = Listeners::new(64);
        let scanner = Endpoint::v4([10, 30, 1, 1], 999);
        let knock = |port: u16, template: &Attempt| Attempt {
            client: scanner,
            server: Endpoint::v4([10, 20, 0, 5], port),
            verdict: Verdict::Refused,
            ..template.clone()
        };
        let all = flood(20_000);
        for (port, template) in (0..40).zip(&all) {
            record(&mut listeners, knock(port, template));
        }
        for attempt in &all {
            record(&mut listeners, attempt.clone());
        }
        let one_more = record(&mut listeners, knock(40, &all[19_999]));
        assert_eq!(one_more.inference.cause, Some(Cause::SynScan), "{:?}", one_more.inference);
    }
}
