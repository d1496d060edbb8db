//! The book of listeners: every finding goes through it, gets its inference, and is tallied.

use indexmap::IndexMap;

use super::record::Record;
use super::{Listener, Tally, diagnosis};
use crate::handshake::{Attempt, Context, Finding, Inference, Vantage, Verdict, infer};
use crate::packet::Endpoint;

/// All listeners of an analysis, bounded in number.
#[derive(Debug)]
pub struct Book {
    records: IndexMap<Endpoint, Record, foldhash::quality::RandomState>,
    limit: usize,
    /// The tallies of all listeners past the limit.
    rest: Record,
    verdicts: Tally,
    vantages: [u64; Vantage::ALL.len()],
    evicted: u64,
    dropped: bool,
}

impl Book {
    /// Listeners kept apart unless told otherwise. A port scan has a million of them; at about 1 KiB each
    /// these take 8 MiB.
    pub const DEFAULT_LIMIT: usize = 8192;

    /// An empty book that keeps at most `limit` listeners apart.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            records: IndexMap::default(),
            limit,
            rest: Record::default(),
            verdicts: Tally::default(),
            vantages: [0; Vantage::ALL.len()],
            evicted: 0,
            dropped: false,
        }
    }

    /// Notes that the capture lost packets: from now on absence proves less.
    pub fn capture_dropped(&mut self) {
        self.dropped = true;
    }

    /// Infers what the finding means, as known by now, and tallies it.
    pub fn enter(&mut self, finding: &mut Finding) {
        let (attempt, decided) = match finding {
            Finding::Decided(attempt) => (attempt, true),
            Finding::Provisional(attempt) => (attempt, false),
        };
        let full = self.records.len() >= self.limit;
        let place = self.records.get_index_of(&attempt.server);
        let record = place.and_then(|place| self.records.get_index(place)).map(|(_, record)| record);
        attempt.inference = self.infer_by(record, attempt);
        let record = match place.and_then(|place| self.records.get_index_mut(place)) {
            Some((_, record)) => record,
            None if full => &mut self.rest,
            None => self.records.entry(attempt.server).or_default(),
        };
        record.witness(attempt);
        if decided {
            record.add(attempt);
            self.add(attempt);
        }
    }

    fn add(&mut self, attempt: &Attempt) {
        self.verdicts.add(attempt.verdict);
        if let Some(vantage) = attempt.vantage {
            self.vantages[vantage as usize] += 1;
        }
        self.evicted += u64::from(attempt.reason == Some(crate::handshake::Reason::Evicted));
    }

    /// What an attempt means by all that is known now.
    #[must_use]
    pub fn infer(&self, attempt: &Attempt) -> Inference {
        self.infer_by(self.records.get(&attempt.server), attempt)
    }

    fn infer_by(&self, record: Option<&Record>, attempt: &Attempt) -> Inference {
        let context = match record {
            Some(record) => record.context(attempt.start, attempt.end),
            None if self.records.len() >= self.limit => Context::default(),
            None => Context { answers: Some(attempt.signs.synack_seen), ..Context::default() },
        };
        infer(attempt, &Context { capture_dropped: self.dropped, ..context })
    }

    /// Attempts by verdict.
    #[must_use]
    pub fn verdicts(&self) -> Tally {
        self.verdicts
    }

    /// Where most attempts say the capture was taken.
    #[must_use]
    pub fn vantage(&self) -> Option<Vantage> {
        let most = Vantage::ALL.into_iter().max_by_key(|&vantage| self.vantages[vantage as usize])?;
        (self.vantages[most as usize] > 0).then_some(most)
    }

    /// How many attempts were evicted undecided.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// All listeners, the worst first: those whose cause is known, by how many attempts it explains; then by
    /// problems; then by address. The folded line comes last.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listener> {
        let mut listeners: Vec<Listener> =
            self.records.iter().map(|(&server, record)| diagnosis::listener(Some(server), record)).collect();
        listeners.sort_by_cached_key(|listener| {
            let overflow = listener.cause.map_or(u8::MAX, |cause| cause as u8);
            let problems = listener.verdicts.problems();
            (problems == 0 && listener.cause.is_none(), overflow, u64::MAX - problems, listener.server)
        });
        if self.rest.verdicts.total() > 0 {
            listeners.push(diagnosis::listener(None, &self.rest));
        }
        listeners
    }

    /// Whether any attempt got one of these verdicts.
    #[must_use]
    pub fn any(&self, verdicts: &[Verdict]) -> bool {
        verdicts.iter().any(|&verdict| self.verdicts.get(verdict) > 0)
    }
}
