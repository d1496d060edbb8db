//! Per-listener tallies, causes that need more than one attempt, and the diagnosis.
//!
//! Takes decided attempts; does not own how they were decided (`handshake`) nor what the kernel says
//! of its queues (`kernel`).

use crate::handshake::{Cause, Confidence, Retries, Verdict};
use crate::packet::{Endpoint, Timestamp};

/// How many attempts got which verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally([u64; Verdict::ALL.len()]);

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

/// What all attempts to one server address and port say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its address; `None` for the line that folds listeners past the bound.
    pub server: Option<Endpoint>,
    /// How many listeners this record stands for: 1, or more on the folded line.
    pub folded: u64,
    /// Verdicts.
    pub verdicts: Tally,
    /// Retries, summed.
    pub retries: RetrySums,
    /// The cause that explains most of its problems.
    pub cause: Option<Cause>,
    /// As the attempts show it.
    pub abort_on_overflow: Option<bool>,
    /// How sure.
    pub confidence: Option<Confidence>,
    /// Why, in words, strongest first.
    pub evidence: Vec<String>,
    /// One plain sentence.
    pub diagnosis: String,
    /// What to do about it: labelled advice such as `("check", "ss -ltnm …")`, `("mend", "…")`.
    pub advice: Vec<(&'static str, String)>,
    /// First and last time the problem showed.
    pub problem_span: Option<(Timestamp, Timestamp)>,
}
