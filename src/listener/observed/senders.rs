//! SYN-ACKs of connections that were reset right after the handshake, beside those of the same clients' connections that were
//! served: a machine on the path that answers for the server and resets, as a filter does to try whether a client is real, has a
//! TTL, a window, options or a round trip of its own.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::finishers::{may_hold, tag};
use crate::handshake::{Attempt, SynAckTraits, Verdict};
use crate::packet::Span;

/// Connections that were reset; the latest [`MAX_RESETS`].
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Senders {
    resets: VecDeque<ResetConnection>,
    /// A number for the client of each of them: a client that was not reset nearly always differs from all.
    tags: VecDeque<u32>,
    /// Number of those whose difference is known.
    compared: usize,
}

/// Most resets kept per listener.
const MAX_RESETS: usize = 64;

/// Fewest resets that another machine made: one or two clients may have had a detour.
const MIN_RESETS: usize = 3;

/// Resets by another machine for each of the server's own, at least.
const MIN_RATIO: usize = 10;

/// Shortest round trip that can be told from a shorter one.
const MIN_ROUND_TRIP: Span = Span::from_millis(2);

#[derive(Debug, Clone, Copy, PartialEq)]
struct ResetConnection {
    ordinal: u64,
    client: IpAddr,
    answer: SynAckForm,
    /// The difference from every SYN-ACK to the client whose connection was served; `None` until one was.
    difference: Option<Difference>,
}

/// A SYN-ACK as far as senders differ by it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct SynAckForm {
    traits: SynAckTraits,
    /// The client sent timestamps: without them a server's options are others.
    is_stamped: bool,
    round_trip: Option<Span>,
}

/// A way in which a SYN-ACK differs from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) struct Difference {
    ttl: bool,
    /// The window or the options differ.
    form: bool,
    /// Less than half of the time from the SYN to it.
    sooner: bool,
}

impl SynAckForm {
    fn of(attempt: &Attempt) -> Self {
        Self {
            traits: attempt.synack,
            is_stamped: attempt.client_clock.is_some(),
            round_trip: attempt.timing.syn_to_synack,
        }
    }

    fn difference_from(&self, served: &Self) -> Difference {
        let same_ttl = SynAckTraits { ttl: served.traits.ttl, ..self.traits };
        let round_trips = self.round_trip.zip(served.round_trip);
        Difference {
            ttl: self.traits.ttl != served.traits.ttl,
            form: !same_ttl.are_of_sender(served.traits),
            sooner: round_trips
                .is_some_and(|(own, served)| served >= MIN_ROUND_TRIP && own.scaled(2, 1) <= served),
        }
    }
}

impl Difference {
    /// True if the SYN-ACK is of another form, or has another TTL where the server's does not vary.
    pub(in crate::listener) const fn is_of_traits(self, ttl_varies: bool) -> bool {
        self.form || self.ttl && !ttl_varies
    }
}

impl Senders {
    /// Takes a connection that was reset, settled or not: the client's next ones may be settled sooner.
    pub(super) fn see_reset(&mut self, attempt: &Attempt) {
        if self.resets.iter().rev().any(|reset| reset.ordinal == attempt.ordinal) {
            return;
        }
        if self.resets.len() >= MAX_RESETS {
            let gone = self.resets.pop_front();
            self.tags.pop_front();
            self.compared -= usize::from(gone.is_some_and(|gone| gone.difference.is_some()));
        }
        let Attempt { ordinal, client, .. } = *attempt;
        let answer = SynAckForm::of(attempt);
        self.resets.push_back(ResetConnection { ordinal, client: client.ip(), answer, difference: None });
        self.tags.push_back(tag(client.ip()));
    }

    /// Takes a settled attempt.
    pub(super) fn see(&mut self, attempt: &Attempt) {
        if attempt.verdict == Verdict::ResetAfterAck {
            return self.see_reset(attempt);
        }
        if !may_hold(&self.tags, attempt.client.ip()) {
            return;
        }
        // An attempt taken before it was settled may have been no such reset.
        self.resets.retain(|reset| reset.ordinal != attempt.ordinal);
        self.tags = self.resets.iter().map(|reset| tag(reset.client)).collect();
        if attempt.established == Some(true) && attempt.reset.is_none() {
            self.compare(attempt);
        }
        self.compared = self.resets.iter().filter(|reset| reset.difference.is_some()).count();
    }

    /// Compares the SYN-ACK of a connection that was served with those of the same client's that were reset.
    fn compare(&mut self, attempt: &Attempt) {
        let served = SynAckForm::of(attempt);
        for reset in &mut self.resets {
            if reset.client == attempt.client.ip() && reset.answer.is_stamped == served.is_stamped {
                let Difference { ttl, form, sooner } = reset.answer.difference_from(&served);
                let known = reset.difference.unwrap_or(Difference { ttl: true, form: true, sooner: true });
                let [ttl, form, sooner] = [known.ttl && ttl, known.form && form, known.sooner && sooner];
                reset.difference = Some(Difference { ttl, form, sooner });
            }
        }
    }

    /// The difference between this attempt's SYN-ACK and all to the same client whose connections were served, if nearly all resets of
    /// the listener have one.
    pub(in crate::listener) fn difference(&self, attempt: &Attempt, ttl_varies: bool) -> Option<Difference> {
        if self.compared < MIN_RESETS {
            return None;
        }
        let differs = |found: &Difference| found.is_of_traits(ttl_varies) || found.sooner;
        let own = self.resets.iter().find(|reset| reset.ordinal == attempt.ordinal)?.difference;
        let own = own.filter(differs)?;
        self.are_of_another(differs).then_some(own)
    }

    /// True if nearly all resets of the listener whose SYN-ACK can be compared follow one of another sender.
    pub(super) fn are_foreign(&self, ttl_varies: bool) -> bool {
        self.are_of_another(|found| found.is_of_traits(ttl_varies))
    }

    fn are_of_another(&self, differs: impl Fn(&Difference) -> bool) -> bool {
        if self.compared < MIN_RESETS {
            return false;
        }
        let compared = self.resets.iter().filter_map(|reset| reset.difference);
        let (foreign, own): (Vec<Difference>, Vec<Difference>) = compared.partition(differs);
        foreign.len() >= MIN_RESETS && foreign.len() >= own.len() * MIN_RATIO
    }
}
