//! What is tallied of one listener: constant in size, whatever the number of attempts.

use smallvec::SmallVec;
use strum::{EnumCount, IntoEnumIterator};

use super::answered_spans::AnsweredSpans;
use super::clients::Clients;
use super::kernel_history::KernelHistory;
use super::schedule::Schedule;
use super::size::BoundedLoad;
use super::times::Times;
use crate::handshake::{Attempt, Cause, Confidence, Context, Evidence, Fact, Retries, Vantage, Verdict};
use crate::packet::{Span, Timestamp};

/// How many attempts got which verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally([u64; Verdict::COUNT]);

impl Tally {
    /// Counts one.
    pub fn add(&mut self, verdict: Verdict) {
        self.0[verdict as usize] += 1;
    }

    /// How many got `verdict`.
    #[must_use]
    pub fn get(&self, verdict: Verdict) -> u64 {
        self.0[verdict as usize]
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Those that failed, stalled or lied.
    #[must_use]
    pub fn problems(&self) -> u64 {
        Verdict::iter().filter(|verdict| verdict.is_problem()).map(|verdict| self.get(verdict)).sum()
    }
}

/// Sums of [`Retries`] over attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetrySums {
    /// Repeated SYNs.
    pub syn: u64,
    /// Repeated SYN-ACKs.
    pub syn_ack: u64,
    /// Repeated SYN-ACKs after an ACK.
    pub after_ack: u64,
}

impl RetrySums {
    /// Adds one attempt's.
    pub fn add(&mut self, retries: Retries) {
        self.syn += u64::from(retries.syn);
        self.syn_ack += u64::from(retries.syn_ack);
        self.after_ack += u64::from(retries.after_ack);
    }
}

/// A stretch of time in which the listener's queue was seen to overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Episode {
    from: Timestamp,
    to: Timestamp,
    confidence: Confidence,
    /// The position of the attempt that showed it, while only one has.
    sole: Option<u64>,
}

impl Episode {
    /// Whether no more than `gap` lies between it and the time from `from` to `to`.
    fn is_within(&self, gap: Span, from: Timestamp, to: Timestamp) -> bool {
        self.from <= to.plus(gap) && from <= self.to.plus(gap)
    }

    fn stretch(&mut self, attempt: &Attempt, confidence: Confidence) {
        self.from = self.from.min(attempt.start);
        self.to = self.to.max(attempt.end);
        self.sole = self.sole.filter(|&sole| sole == attempt.ordinal);
        self.confidence = self.confidence.max(confidence);
    }
}

/// Overflows closer than this belong together: the longest pause between two facts of one overflow is
/// the 32 s between the last SYN-ACK repeats.
const SAME_EPISODE: Span = Span::from_secs(35);

/// Episodes kept per listener, possible ones and others; a further one stretches the last.
const EPISODES: usize = 64;

/// The attempts that one cause explains: by verdict, how surely, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CauseTally {
    pub(super) verdicts: Tally,
    pub(super) confidence: Option<Confidence>,
    pub(super) span: Option<(Timestamp, Timestamp)>,
}

/// Everything tallied of one listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Record {
    pub(super) verdicts: Tally,
    /// Completed attempts that nothing proves.
    pub(super) unproven: u64,
    pub(super) times: Times,
    pub(super) retries: RetrySums,
    /// Those that were inferred. Most listeners have one cause, if any.
    causes: SmallVec<[(Cause, CauseTally); 1]>,
    /// Overflowed attempts that show this `tcp_abort_on_overflow`: 0, or 1.
    pub(super) settings: [u64; 2],
    /// What `connect()` returned to the clients of overflowed attempts.
    pub(super) clients: Clients,
    /// Overflows that a `TCP_DEFER_ACCEPT` of one second looks like.
    pub(super) maybe_deferred: u64,
    pub(super) most_ignored: u32,
    pub(super) vantages: [u64; Vantage::COUNT],
    pub(super) schedule: Schedule,
    pub(super) load: BoundedLoad,
    pub(super) kernel: KernelHistory,
    /// Attempts that look like an overflow which the kernel denies.
    pub(super) denied: u64,
    /// Attempts of which the server, or a client that went on, has shown that it answers.
    pub(super) answered: u64,
    episodes: Vec<Episode>,
    answered_spans: AnsweredSpans,
}

impl Record {
    /// Half-open or client-reset attempts from which on they are "many".
    const MANY_HALF_OPEN: u64 = 50;
    const MANY_CLIENT_RESETS: u64 = 10;

    /// What this listener's record says to an attempt.
    pub(super) fn context(&self, attempt: &Attempt) -> Context {
        let (from, to) = (attempt.start, attempt.end);
        // An attempt is no witness for itself.
        let others = |e: &&Episode| e.sole != Some(attempt.ordinal);
        let overlap = |e: &&Episode| e.is_within(SAME_EPISODE, from, to) && others(e);
        let many = |verdict, least| {
            let count = self.verdicts.get(verdict);
            count >= least && count * 2 > self.verdicts.total()
        };
        Context {
            overflow: self.episodes.iter().filter(overlap).map(|episode| episode.confidence).max(),
            full: self.episodes.iter().filter(|e| self.is_full(e, from, to)).map(|e| e.confidence).max(),
            full_since_long: self
                .episodes
                .iter()
                .any(|e| e.to < from && !self.answered_spans.any_between(e.to, from)),
            answers: Some(self.answered > 0),
            refuses: self.verdicts.get(Verdict::Refused) > 0,
            many_half_open: many(Verdict::HalfOpen, Self::MANY_HALF_OPEN),
            many_client_reset: many(Verdict::ClientReset, Self::MANY_CLIENT_RESETS),
            capture_dropped: false,
            // It is among them once it is tallied.
            kernel: self
                .kernel
                .evidence_of(attempt, self.retries.after_ack.max(attempt.retries.after_ack.into())),
        }
    }

    /// Whether the queue that overflowed in `episode` was full when SYNs from `from` to `to` got no answer.
    fn is_full(&self, episode: &Episode, from: Timestamp, to: Timestamp) -> bool {
        /// One retry of a SYN, and slack.
        const CLOSE: Span = Span::from_secs(2);
        if episode.is_within(CLOSE, from, to) {
            return true;
        }
        // A queue that has answered somebody in between was not full all the time.
        let (before, after) = if episode.to < from { (episode.to, from) } else { (to, episode.from) };
        after.since(before) <= SAME_EPISODE && !self.answered_spans.any_between(before, after)
    }

    /// Notes what an attempt, settled or not, shows of the queue at its time.
    pub(super) fn witness(&mut self, attempt: &Attempt, settled: bool) {
        // A client that went on was answered, even where no answer is in the capture.
        let facts = attempt.facts;
        self.answered += u64::from(
            facts.has(Fact::SynAckSeen)
                || facts.has(Fact::ClientWentOn)
                || facts.has(Fact::ServerOutOfWindow),
        );
        // Until it is settled a SYN-ACK may follow and tell that the RST was a firewall's.
        let told = is_overflow(attempt) && (settled || attempt.verdict != Verdict::ResetAfterAck);
        let Some((inferred, most)) = attempt.inference.confidence.zip(attempt.witness()).filter(|_| told)
        else {
            if settled && attempt.facts.has(Fact::SynAckSeen) {
                // A SYN that was repeated got its answer at some time before the end.
                self.answered_spans.note(if attempt.retries.syn == 0 { attempt.start } else { attempt.end });
            }
            return;
        };
        // What the kernel says stands.
        let confidence = if inferred == Confidence::Confirmed { inferred } else { inferred.min(most) };
        self.note_overflow(attempt, confidence);
    }

    /// Notes that the queue overflowed at an attempt's time. What is only possible does not stretch what is more: it
    /// would last for as long as the path loses packets.
    fn note_overflow(&mut self, attempt: &Attempt, confidence: Confidence) {
        let (from, to) = (attempt.start, attempt.end);
        let likely = |confidence| confidence > Confidence::Possible;
        let alike = |e: &Episode| likely(e.confidence) == likely(confidence);
        let place = self.episodes.iter().rposition(|e| alike(e) && e.is_within(SAME_EPISODE, from, to));
        let place = place.or_else(|| {
            let full = self.episodes.iter().filter(|e| alike(e)).count() >= EPISODES;
            self.episodes.iter().rposition(|e| full && alike(e))
        });
        match place.and_then(|index| self.episodes.get_mut(index)) {
            Some(episode) => episode.stretch(attempt, confidence),
            None => self.episodes.push(Episode { from, to, confidence, sole: Some(attempt.ordinal) }),
        }
    }

    /// Tallies a settled attempt, its inference included.
    pub(super) fn add(&mut self, attempt: &Attempt) {
        self.verdicts.add(attempt.verdict);
        if matches!(attempt.verdict, Verdict::Completed | Verdict::CompletedLate) {
            self.kernel.count_completed();
        }
        self.unproven += u64::from(attempt.unproven.is_some());
        self.times.add(attempt);
        self.load.add(attempt);
        self.retries.add(attempt.retries);
        if let Some(vantage) = attempt.vantage {
            self.vantages[vantage as usize] += 1;
        }
        let inference = &attempt.inference;
        self.denied += u64::from(inference.evidence.contains(&Evidence::KernelDidNotOverflow));
        let Some(cause) = inference.cause else { return };
        let place = self.causes.iter().position(|&(known, _)| known == cause).unwrap_or_else(|| {
            self.causes.push((cause, CauseTally::default()));
            self.causes.len() - 1
        });
        let (_, tally) = &mut self.causes[place];
        tally.verdicts.add(attempt.verdict);
        tally.confidence = tally.confidence.max(inference.confidence);
        let (from, to) = tally.span.unwrap_or((attempt.start, attempt.end));
        tally.span = Some((from.min(attempt.start), to.max(attempt.end)));
        if is_overflow(attempt) {
            self.add_overflow(attempt);
        }
    }

    fn add_overflow(&mut self, attempt: &Attempt) {
        if let Some(abort) = attempt.inference.abort_on_overflow {
            self.settings[usize::from(abort)] += 1;
        }
        let recovered = attempt.established == Some(true);
        self.clients.add(attempt);
        if attempt.verdict == Verdict::SynackRetransmitted {
            self.most_ignored = self.most_ignored.max(attempt.retries.after_ack);
            self.maybe_deferred += u64::from(recovered && attempt.may_be_deferred());
            self.schedule.add(attempt);
        }
    }

    /// The attempts that `cause` explains.
    pub(super) fn tally_of(&self, cause: Cause) -> CauseTally {
        let found = self.causes.iter().find(|&&(known, _)| known == cause);
        found.map(|&(_, tally)| tally).unwrap_or_default()
    }

    /// The attempts that an overflow explains, by verdict.
    pub(super) fn overflowed(&self) -> Tally {
        self.tally_of(Cause::AcceptQueueOverflow).verdicts
    }

    /// Where most of its attempts say the capture was taken.
    pub(super) fn vantage(&self) -> Option<Vantage> {
        let most = Vantage::iter().max_by_key(|&vantage| self.vantages[vantage as usize])?;
        (self.vantages[most as usize] > 0).then_some(most)
    }
}

fn is_overflow(attempt: &Attempt) -> bool {
    attempt.inference.cause == Some(Cause::AcceptQueueOverflow)
}
