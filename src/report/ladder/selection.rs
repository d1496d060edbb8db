//! The attempts whose ladders are shown.

use std::collections::BTreeMap;

use crate::handshake::{Attempt, Verdict};
use crate::listener::AttemptFilter;
use crate::packet::Endpoint;
use crate::report::text::{ListedAttempts, Offer};

/// The ladders that the user chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LadderOptions {
    /// Ladders at most.
    pub count: usize,
    /// Show the attempts of this client only, whatever their verdict.
    pub client: Option<Endpoint>,
}

impl LadderOptions {
    /// Default of [`Self::count`]: each takes up to a screen.
    pub const COUNT: usize = 3;

    /// Attempts of one client that are shown at most: it may use the same port again and again.
    pub const OF_CLIENT: usize = 20;
}

/// The worst attempts of each verdict, in bounded memory.
#[derive(Debug, Clone)]
pub struct Selection {
    wanted: AttemptFilter,
    client: Option<Endpoint>,
    /// Attempts of each verdict.
    limit: usize,
    kept: BTreeMap<Verdict, ListedAttempts>,
}

impl Selection {
    /// Selects up to `limit` attempts of each verdict among those that `wanted` lists; of a `client` any.
    #[must_use]
    pub fn new(limit: usize, wanted: AttemptFilter, client: Option<Endpoint>) -> Self {
        Self { wanted, client, limit, kept: BTreeMap::new() }
    }

    /// Offers a settled attempt. Returns what became of it, and of an attempt that had to leave.
    pub fn offer(&mut self, attempt: &Attempt) -> Offer {
        let fits = match self.client {
            Some(client) => attempt.client == client,
            None => self.wanted.lists(attempt),
        };
        if !fits {
            return Offer { kept: false, left: None };
        }
        let list = self.kept.entry(attempt.verdict).or_insert_with(|| ListedAttempts::new(self.limit));
        list.offer(attempt)
    }

    /// True if the attempt at this position of the input is selected.
    #[must_use]
    pub fn has(&self, ordinal: u64) -> bool {
        self.attempts().any(|attempt| attempt.ordinal == ordinal)
    }

    /// All selected attempts.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.kept.values().flat_map(ListedAttempts::kept)
    }

    /// Up to `count` of them, in order of first packet: the worst of each verdict, then the next worst of each.
    #[must_use]
    pub fn worst(&self, count: usize) -> Vec<&Attempt> {
        let rounds = (0..self.limit)
            .flat_map(|round| self.kept.values().filter_map(move |list| list.kept().get(round)));
        let mut worst: Vec<&Attempt> = rounds.take(count).collect();
        worst.sort_by_key(|attempt| attempt.ordinal);
        worst
    }
}
