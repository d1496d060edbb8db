//! Sightings of one attempt under two server addresses or ports, of which one answers or refuses (DOMAIN §3, §7).
//!
//! Owns the attempts that are held back for it: a NAT that is undone on one way only leaves a SYN without an answer at one
//! address, and at another the answer, which the client resets. Both have the client's port and ISN. Does not own what
//! that means (`hypotheses`).

use std::collections::{HashMap, HashSet, VecDeque};

use smallvec::SmallVec;

use super::latest::LatestMap;
use crate::handshake::{Attempt, Fact, Finding, Reason, Verdict};
use crate::packet::{Endpoint, Seeded, Seq, Span, Timestamp};

/// Holds back what may be the answer to another attempt's SYN.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    /// Attempts that may be the answer to another attempt's SYN, in order of arrival.
    held: VecDeque<Finding>,
    /// Attempts without an answer, held once the capture has ended.
    asked: Vec<Finding>,
    /// The keys of held answers, and of some that are held no more: most attempts are in none.
    answers: HashSet<SynKey, Seeded>,
    /// Answers that were passed on before the SYN's own attempt was settled, by port and ISN: the address; the latest.
    passed: LatestMap<SynKey, Endpoint, MAX_HELD>,
    /// Attempts that were joined, by port and ISN: the address that answered; the latest.
    joined: LatestMap<SynKey, Endpoint, MAX_HELD>,
    /// Servers that left SYNs of one port and ISN of held answers unanswered, [`MAX_SILENT`] at most: SYNs without timestamps, as
    /// programs make them.
    silent: LatestMap<SynKey, SmallVec<[Endpoint; MAX_SILENT]>, MAX_HELD>,
    /// Sightings that were not counted as attempts.
    absorbed: u64,
    ending: bool,
}

type SynKey = (u16, Seq);

/// Most findings held; further ones are passed on at once.
const MAX_HELD: usize = 4096;

/// Most servers kept of one port and ISN: two show a program, and the one that answered may leave a later SYN unanswered.
const MAX_SILENT: usize = 3;

/// Time after which a finding is no longer held: Linux gives up an unanswered SYN after 127 s.
const HOLD_TIME: Span = Span::from_secs(140);

impl Sightings {
    /// True if the finding may have to be held back, or may release others.
    #[must_use]
    pub fn concerns(&self, finding: &Finding) -> bool {
        let attempt = &finding.attempt;
        let has_answers = self.ending || !self.answers.is_empty() || !self.passed.is_empty();
        let may_join = has_answers && is_asked(attempt);
        finding.settled && (may_join || is_answer(attempt) || attempt.is_refusal_alone())
            || !self.held.is_empty()
    }

    /// Takes a finding; passes on those that are complete, in order.
    ///
    /// # Errors
    ///
    /// The errors of `pass`.
    pub fn take<E>(
        &mut self,
        finding: &mut Finding,
        mut pass: impl FnMut(&mut Finding) -> Result<(), E>,
    ) -> Result<(), E> {
        self.release(finding.at, &mut pass)?;
        if is_asked(&finding.attempt) {
            self.note_silent(&finding.attempt);
        }
        if !finding.settled {
            return pass(finding);
        }
        let key = key(&finding.attempt);
        if finding.attempt.is_refusal_alone() {
            self.passed.insert(key, finding.attempt.server);
            return Ok(());
        }
        if is_answer(&finding.attempt) && self.joined.get(&key) == Some(&finding.attempt.server) {
            self.absorbed += 1;
            return Ok(());
        }
        let full = self.held.len() + self.asked.len() >= MAX_HELD;
        if is_asked(&finding.attempt) {
            if self.ending && !full {
                self.asked.push(finding.clone());
                return Ok(());
            }
            self.join(&mut finding.attempt);
        }
        if full || !is_answer(&finding.attempt) {
            return pass(finding);
        }
        self.hold(finding);
        Ok(())
    }

    /// Takes note of a server that left the SYN of an answer unanswered, as it seems.
    fn note_silent(&mut self, asked: &Attempt) {
        let key = key(asked);
        if asked.client_clock.is_some() || !self.answers.contains(&key) {
            return;
        }
        let silent = self.silent.get_or_insert(key, SmallVec::new);
        if silent.len() < MAX_SILENT && !silent.contains(&asked.server) {
            silent.push(asked.server);
        }
    }

    /// True if SYNs of one port and ISN went to several servers besides the one that answers: a program sent equal ones, and each
    /// server answers for itself.
    fn are_of_program(&self, key: &SynKey, answer: &Attempt) -> bool {
        let others = || self.held.iter().map(|held| &held.attempt).filter(|other| key == &self::key(other));
        let besides = |silent: &SmallVec<_>| silent.iter().filter(|&&server| server != answer.server).count();
        self.silent.get(key).is_some_and(|silent| besides(silent) > 1)
            || answer.client_clock.is_none()
                && others().any(|other| other.server != answer.server && other.facts.has(Fact::SynSeen))
    }

    fn hold(&mut self, finding: &Finding) {
        if self.answers.len() >= 2 * MAX_HELD {
            self.answers = self.held.iter().map(|finding| key(&finding.attempt)).collect();
        }
        self.answers.insert(key(&finding.attempt));
        self.held.push_back(finding.clone());
    }

    /// The capture has ended: attempts without an answer are held, too, for an answer that is settled after them.
    pub fn end(&mut self) {
        self.ending = true;
    }

    /// Passes on the findings that are held: in a live capture the packet that would release them may take long.
    ///
    /// # Errors
    ///
    /// The errors of `pass`.
    pub fn drain<E>(&mut self, mut pass: impl FnMut(&mut Finding) -> Result<(), E>) -> Result<(), E> {
        for mut finding in std::mem::take(&mut self.held) {
            self.passed.insert(key(&finding.attempt), finding.attempt.server);
            pass(&mut finding)?;
        }
        Ok(())
    }

    /// Passes on everything that is held.
    ///
    /// # Errors
    ///
    /// The errors of `pass`.
    pub fn flush<E>(&mut self, mut pass: impl FnMut(&mut Finding) -> Result<(), E>) -> Result<(), E> {
        let mut all = std::mem::take(&mut self.asked);
        let several = self.asked_several(&all);
        let alone = all.iter_mut().filter(|finding| !several.contains(&key(&finding.attempt)));
        alone.for_each(|finding| self.join(&mut finding.attempt));
        all.extend(self.held.drain(..));
        // No two are of the same attempt.
        all.sort_unstable_by_key(|finding| (finding.at, finding.attempt.ordinal));
        all.iter_mut().try_for_each(&mut pass)
    }

    /// The keys of SYNs to several servers besides one that answered the same: a program sent equal ones, so that none is another's
    /// sighting.
    fn asked_several(&self, asked: &[Finding]) -> HashSet<SynKey, Seeded> {
        let answers = self.held.iter().map(|finding| &finding.attempt).filter(|answer| is_answer(answer));
        let answering: HashSet<(SynKey, Endpoint), Seeded> =
            answers.map(|answer| (key(answer), answer.server)).collect();
        let mut servers: HashMap<SynKey, Endpoint, Seeded> = HashMap::default();
        let asked = asked.iter().map(|finding| (key(&finding.attempt), finding.attempt.server));
        let silent = asked.filter(|silent| !answering.contains(silent));
        let others = silent.filter(|&(key, server)| *servers.entry(key).or_insert(server) != server);
        others.map(|(key, _)| key).collect()
    }

    /// Sightings that were joined with another.
    #[must_use]
    pub const fn absorbed(&self) -> u64 {
        self.absorbed
    }

    /// Gives an attempt without an answer the one that came from another address.
    fn join(&mut self, asked: &mut Attempt) {
        let key = key(asked);
        let answers = |finding: &Finding| {
            let answer = &finding.attempt;
            key == self::key(answer)
                && (is_elsewhere(answer.server, asked) || is_at_unasked_port(answer, asked))
                && is_answer(answer)
        };
        let of_program = |place: &usize| {
            self.held.get(*place).is_some_and(|answer| self.are_of_program(&key, &answer.attempt))
        };
        let held = || self.held.iter().position(answers).filter(|place| !of_program(place));
        let Some(place) = self.answers.contains(&key).then(held).flatten() else {
            asked.answered_from = self.passed.get(&key).copied().filter(|&from| is_elsewhere(from, asked));
            return;
        };
        let from = self.held.get(place).map(|finding| finding.attempt.server);
        asked.is_translated =
            self.held.get(place).is_some_and(|finding| finding.attempt.facts.has(Fact::SynSeen));
        let before = self.held.len();
        self.held.retain(|finding| {
            let is_other = Some(finding.attempt.server) != from || !is_answer(&finding.attempt);
            is_other || key != self::key(&finding.attempt)
        });
        self.absorbed += (before - self.held.len()) as u64;
        asked.answered_from = from;
        if let Some(from) = from {
            self.joined.insert(key, from);
        }
    }

    fn release<E>(
        &mut self,
        now: Timestamp,
        pass: &mut impl FnMut(&mut Finding) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.held.front().is_some_and(|finding| now.since(finding.at) > HOLD_TIME) {
            if let Some(mut finding) = self.held.pop_front() {
                pass(&mut finding)?;
            }
        }
        Ok(())
    }
}

/// True if this is another address than the one that was asked. Other ports of one host answer for themselves: a scanner may ask
/// all of them by one port and ISN.
fn is_elsewhere(from: Endpoint, asked: &Attempt) -> bool {
    from.ip() != asked.server.ip()
}

/// True if the answer left from a port of the same host to which its client sent no SYN. Programs that send equal SYNs to many
/// ports send no timestamps.
fn is_at_unasked_port(answer: &Attempt, asked: &Attempt) -> bool {
    answer.is_syn_missing()
        && asked.client_clock.is_some()
        && answer.client == asked.client
        && answer.server != asked.server
}

fn key(attempt: &Attempt) -> SynKey {
    (attempt.client.port(), attempt.client_isn)
}

/// True if the attempt may hold the answer to another one's SYN: its client reset or ignored the SYN-ACK.
fn is_answer(attempt: &Attempt) -> bool {
    matches!(attempt.verdict, Verdict::ClientReset | Verdict::HalfOpen)
}

/// True if the attempt's SYN has no answer at its own address, or none before the capture ends.
fn is_asked(attempt: &Attempt) -> bool {
    let cut = attempt.reason == Some(Reason::CaptureCut) && !attempt.facts.has(Fact::SynAckSeen);
    attempt.verdict == Verdict::Unanswered || cut
}
