//! Counts over the attempts of a listener: by verdict, and of retries.

use strum::{EnumCount, IntoEnumIterator};

use crate::handshake::{Attempt, Retries, Verdict};
use crate::packet::Timestamp;

/// The number of attempts that are alike, and their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AlikeAttempts {
    pub(super) attempts: u64,
    /// Start of the first.
    pub(super) from: Timestamp,
    /// End of the last.
    pub(super) until: Timestamp,
}

impl AlikeAttempts {
    #[inline(always)]
    pub(super) fn one(attempt: &Attempt) -> Self {
        Self { attempts: 1, from: attempt.start, until: attempt.end }
    }

    /// The sum of both.
    #[inline(always)]
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            attempts: self.attempts + other.attempts,
            from: self.from.min(other.from),
            until: self.until.max(other.until),
        }
    }
}

/// Number of attempts by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally([u64; Verdict::COUNT]);

impl Tally {
    /// Counts an attempt.
    pub fn add(&mut self, verdict: Verdict) {
        self.add_many(verdict, 1);
    }

    /// Counts this many attempts.
    pub(crate) fn add_many(&mut self, verdict: Verdict, attempts: u64) {
        self.0[verdict as usize] += attempts;
    }

    /// Adds the counts of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }

    /// Takes one back: an attempt that was counted before it was settled.
    pub(crate) fn remove(&mut self, verdict: Verdict) {
        self.0[verdict as usize] = self.0[verdict as usize].saturating_sub(1);
    }

    /// Number of attempts with `verdict`.
    #[must_use]
    pub fn get(&self, verdict: Verdict) -> u64 {
        self.0[verdict as usize]
    }

    /// Number of all attempts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Number of attempts that failed, stalled or lied.
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
    /// Adds those of another.
    pub(crate) const fn merge(&mut self, other: &Self) {
        self.syn += other.syn;
        self.syn_ack += other.syn_ack;
        self.after_ack += other.after_ack;
    }

    /// Adds one attempt's.
    pub fn add(&mut self, retries: Retries) {
        self.syn += u64::from(retries.syn);
        self.syn_ack += u64::from(retries.syn_ack);
        self.after_ack += u64::from(retries.after_ack);
    }
}
