//! Clients that try a listener in vain again and again: they want its service, where a scan knocks once (DOMAIN §3).

use std::net::IpAddr;

use smallvec::SmallVec;

use super::finishers::tag;
use crate::handshake::{Attempt, Fact, Verdict};

/// Attempts in vain of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Knocker {
    /// The tag of its address.
    tag: u32,
    refused: u16,
    /// Unanswered, or reset by the client itself.
    others: u16,
}

/// Clients that tried in vain.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Knocks(SmallVec<[Knocker; 2]>);

/// Most clients kept per listener: the first.
const MAX_CLIENTS: usize = 8;

/// Fewest refusals of a client that is no scan: a scan learns from the first what it wants.
const MIN_REFUSED: u16 = 2;

/// Fewest of its other attempts: scanners try twice, in case that a packet was lost.
const MIN_OTHERS: u16 = 3;

impl Knocks {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        if !is_in_vain(attempt) || attempt.facts.has(Fact::SynWithoutOptions) {
            return;
        }
        let tag = tag(attempt.client.ip());
        let place = self.0.iter().position(|knocker| knocker.tag == tag).unwrap_or(self.0.len());
        if place == self.0.len() && place < MAX_CLIENTS {
            self.0.push(Knocker { tag, refused: 0, others: 0 });
        }
        if let Some(knocker) = self.0.get_mut(place) {
            let refused = attempt.verdict == Verdict::Refused;
            let knocks = if refused { &mut knocker.refused } else { &mut knocker.others };
            *knocks = knocks.saturating_add(1);
        }
    }

    /// True if the client tried in vain again and again, with SYNs as an operating system sends them.
    pub(in crate::listener) fn are_repeated(&self, client: IpAddr) -> bool {
        let tag = tag(client);
        let known = self.0.iter().find(|knocker| knocker.tag == tag);
        known.is_some_and(|known| known.refused >= MIN_REFUSED || known.others >= MIN_OTHERS)
    }
}

/// True if one SYN of a client came to nothing, as far as the capture shows.
pub(in crate::listener) fn is_in_vain(attempt: &Attempt) -> bool {
    let ended = match attempt.verdict {
        Verdict::Refused | Verdict::Unanswered => true,
        Verdict::Undetermined => attempt.may_lack_answer(),
        _ => false,
    };
    attempt.retries.syn == 0 && (ended || attempt.was_reset_at_synack())
}
