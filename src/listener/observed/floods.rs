//! SYNs that nobody finishes, by second: a flood is recognised by its rate in any stretch (DOMAIN §5).

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::finishers::Finishers;
use super::per_second::{PARTS_OF_SECOND, PerSecond};
use crate::handshake::{Attempt, Evidence, Fact, Reason, Verdict};
use crate::packet::{Span, Timestamp};

/// SYNs of one second that were never finished nor repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) struct FloodSecond {
    second: i64,
    pub(in crate::listener) syns: u32,
    without_options: u32,
    /// Number of these SYNs whose clients finished another handshake within a minute.
    known: u32,
    /// Number of these SYNs that were answered: half-open attempts.
    half_open: u32,
    /// A bit for each of 64 hashed source addresses.
    sources: u64,
}

/// The kind of a flood: SYNs of floods of one kind mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) struct FloodKind {
    is_of_many: bool,
    is_of_known: bool,
    is_crafted: bool,
    is_beyond_clients: bool,
}

impl FloodSecond {
    /// Source addresses, at least.
    pub(in crate::listener) const fn sources(&self) -> u32 {
        self.sources.count_ones()
    }

    /// True if the clients that finish at other times are missing in this second, as many as half of these SYNs and more: these may
    /// be theirs, cut off.
    pub(in crate::listener) fn replaces_clients(&self, accepted: &PerSecond<PARTS_OF_SECOND>) -> bool {
        const AROUND: Span = Span::from_secs(30);
        let at = Timestamp::from_nanos(self.second.saturating_mul(1_000_000_000));
        let most = accepted.most_in_second(at.minus(AROUND), at.plus(AROUND));
        most.saturating_sub(accepted.between_seconds(at, at)) >= self.syns.div_ceil(2)
    }

    /// The rate, as evidence.
    pub(in crate::listener) const fn rate(&self) -> Evidence {
        Evidence::FloodRate { per_second: self.syns, sources: self.sources() }
    }

    /// True if most of these SYNs carry no options.
    pub(in crate::listener) const fn is_crafted(&self) -> bool {
        self.without_options * 2 > self.syns
    }

    /// True if these SYNs are too many for clients that wait for an answer.
    const fn is_flood(&self) -> bool {
        let crafted = self.is_crafted() && self.is_of_many() && self.without_options >= MIN_CRAFTED;
        self.syns >= MIN_SYNS || crafted
    }

    /// Everything that the meaning of these SYNs depends on but their number.
    #[inline(always)]
    pub(in crate::listener) const fn kind(&self) -> FloodKind {
        FloodKind {
            is_of_many: self.is_of_many(),
            is_of_known: self.is_of_known(),
            is_crafted: self.is_crafted(),
            is_beyond_clients: self.is_beyond_clients(),
        }
    }

    /// True if these SYNs are more than clients of one service send in a second, unless it serves as many.
    pub(in crate::listener) const fn is_beyond_clients(&self) -> bool {
        self.syns >= MANY_SYNS
    }

    /// True if the sources are too many for one program ([`MIN_ADDRESSES`]).
    pub(in crate::listener) const fn is_of_many(&self) -> bool {
        self.sources() >= MIN_ADDRESSES
    }

    /// True if most of these SYNs come from addresses that finish handshakes, too.
    pub(in crate::listener) const fn is_of_known(&self) -> bool {
        self.known * 2 > self.syns
    }
}

/// The seconds of a listener with such SYNs.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Floods {
    settled: FloodSeconds,
    /// SYNs of attempts that look stuck in a live capture, and are settled up to two minutes later.
    provisional: FloodSeconds,
}

/// Seconds in order of time.
#[derive(Debug, Clone, PartialEq, Default)]
struct FloodSeconds(Vec<FloodSecond>);

/// Most seconds kept per listener; past that the calmest is dropped.
const MAX_SECONDS: usize = 128;

/// Fewest SYNs of a flood in one second: a real burst of clients repeats its SYNs.
const MIN_SYNS: u32 = 100;

/// Fewest SYNs without options, which no operating system sends, that are a flood in one second.
const MIN_CRAFTED: u32 = 20;

/// SYNs in one second that are more than most services' clients send.
const MANY_SYNS: u32 = 1_000;

/// Fewest of its SYNs that were answered: single clients lose their SYN-ACK, too.
const MIN_HALF_OPEN: u32 = 20;

/// Fewest addresses of a spoofed flood: one program may begin as many handshakes from its own address.
const MIN_ADDRESSES: u32 = 20;

impl Floods {
    pub(super) fn see(&mut self, attempt: &Attempt, finishers: &Finishers) {
        if is_abandoned(attempt) {
            self.settled.count(attempt, finishers);
        }
    }

    /// Takes an attempt that looks stuck: each is reported once before it is settled, if it was neither repeated nor
    /// finished.
    pub(super) fn see_provisional(&mut self, attempt: &Attempt, finishers: &Finishers) {
        if is_abandoned(attempt) {
            self.provisional.count(attempt, finishers);
        }
    }

    /// The flood of the second in which an attempt began, or of one next to it.
    pub(in crate::listener) fn at(&self, start: Timestamp) -> Option<&FloodSecond> {
        let both = [&self.settled, &self.provisional].into_iter();
        both.filter_map(|seconds| seconds.at(start)).max_by_key(|known| known.syns)
    }

    /// True if the listener answered some of these SYNs, as it does until its SYN queue is full.
    pub(in crate::listener) fn are_answered(&self) -> bool {
        let seconds = self.settled.0.iter().chain(&self.provisional.0);
        seconds.map(|known| known.half_open).sum::<u32>() >= MIN_HALF_OPEN
    }

    /// Half-open attempts in the second of an attempt.
    pub(in crate::listener) fn half_open_at(&self, start: Timestamp) -> u32 {
        self.settled.half_open_at(start).max(self.provisional.half_open_at(start))
    }
}

impl FloodSeconds {
    fn count(&mut self, attempt: &Attempt, finishers: &Finishers) {
        let second = attempt.start.second();
        let half_open = u32::from(attempt.verdict == Verdict::HalfOpen);
        let crafted = u32::from(attempt.facts.has(crate::handshake::Fact::SynWithoutOptions));
        let known = u32::from(finishers.has(attempt.client.ip(), attempt.start));
        match self.place(second) {
            Ok(place) => {
                let flood = &mut self.0[place];
                flood.syns += 1;
                flood.without_options += crafted;
                flood.known += known;
                flood.half_open += half_open;
                if flood.sources != u64::MAX {
                    flood.sources |= source(attempt);
                }
            }
            Err(place) => {
                let sources = source(attempt);
                self.0.insert(
                    place,
                    FloodSecond { second, syns: 1, without_options: crafted, known, half_open, sources },
                );
                if self.0.len() > MAX_SECONDS {
                    // Not the one that has just begun. Of equal ones the latest: its attempts have been judged.
                    let others = self.0.iter().enumerate().filter(|(_, known)| known.second != second);
                    let calmest = others.min_by_key(|(_, known)| (known.syns, Reverse(known.second)));
                    if let Some((place, _)) = calmest {
                        self.0.remove(place);
                    }
                }
            }
        }
    }

    /// The place of a second, or where it would be: nearly always the last.
    #[inline(always)]
    fn place(&self, second: i64) -> Result<usize, usize> {
        match self.0.last() {
            Some(last) if last.second == second => Ok(self.0.len() - 1),
            _ => self.0.binary_search_by_key(&second, |known| known.second),
        }
    }

    fn at(&self, start: Timestamp) -> Option<&FloodSecond> {
        let second = start.second();
        let first = self.0.len() - self.0.iter().rev().take_while(|known| known.second >= second - 1).count();
        let near = self.0.iter().skip(first).take_while(|known| known.second <= second + 1);
        near.max_by_key(|known| known.syns).filter(|busiest| busiest.is_flood())
    }

    fn half_open_at(&self, start: Timestamp) -> u32 {
        let second = start.second();
        self.0.iter().find(|known| known.second == second).map_or(0, |known| known.half_open)
    }
}

/// The bit of an attempt's source address.
fn source(attempt: &Attempt) -> u64 {
    let mut hasher = DefaultHasher::new();
    attempt.client.ip().hash(&mut hasher);
    1 << (hasher.finish() & 63)
}

/// True if the attempt's client sent one SYN, and nothing after it, as far as a capture of both directions shows.
pub(in crate::listener) fn is_abandoned(attempt: &Attempt) -> bool {
    let unfinished =
        matches!(attempt.verdict, Verdict::Unanswered | Verdict::HalfOpen | Verdict::Undetermined);
    let went_on = attempt.acked.is_some() || attempt.facts.has(Fact::ClientWentOn);
    let one_sided = attempt.reason == Some(Reason::OneSided) && !attempt.may_lack_answer();
    unfinished && attempt.retries.syn == 0 && !went_on && !one_sided
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Retries;
    use crate::packet::Endpoint;
    use crate::report::samples;

    #[test]
    fn a_flood_of_many_minutes_is_one_to_its_last_second() {
        let (_, attempts) = samples::overflow_mixed();
        let unanswered = attempts.iter().find(|attempt| attempt.verdict == Verdict::Unanswered).unwrap();
        let lone = |second| Attempt {
            start: unanswered.start.plus(Span::from_secs(second)),
            retries: Retries::default(),
            ..unanswered.clone()
        };
        let mut floods = Floods::default();
        for second in 0..300 {
            let attempt = lone(second);
            (0..MIN_SYNS).for_each(|_| floods.see(&attempt, &Finishers::default()));
            assert!(floods.at(attempt.start).is_some(), "in second {second}");
        }
        assert!(floods.at(lone(0).start).is_some(), "the first attempts are judged again at the end");
        assert!(floods.settled.0.len() <= MAX_SECONDS);
    }

    #[test]
    fn a_few_syns_without_options_are_a_flood_if_they_come_from_many_addresses() {
        let (_, attempts) = samples::overflow_mixed();
        let unanswered = attempts.iter().find(|attempt| attempt.verdict == Verdict::Unanswered).unwrap();
        let is_flood = |addresses: u8, is_crafted| {
            let mut floods = Floods::default();
            for n in 0..60 {
                let client = Endpoint::v4([192, 0, 2, n % addresses], 4000 + u16::from(n));
                let mut syn = Attempt { client, retries: Retries::default(), ..unanswered.clone() };
                syn.facts.add_if(Fact::SynWithoutOptions, is_crafted);
                floods.see(&syn, &Finishers::default());
            }
            floods.at(unanswered.start).is_some()
        };
        assert!(is_flood(60, true));
        assert!(!is_flood(60, false), "sixty clients may come in one second");
        assert!(!is_flood(3, true), "three programs may");
    }
}
