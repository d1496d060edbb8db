//! Clients that try a listener in vain again and again: they want its service, where a scan knocks once (DOMAIN §3).

use std::net::IpAddr;

use smallvec::SmallVec;

use super::finishers::tag;
use crate::handshake::{Attempt, Fact, Verdict};

/// Attempts in vain, by the tag of the client's address.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Knocks(SmallVec<[(u32, u32); 2]>);

/// Most clients kept per listener: the first.
const MAX_CLIENTS: usize = 8;

/// Fewest attempts of a client that is no scan: scanners try twice, in case that a packet was lost.
const MIN_KNOCKS: u32 = 3;

impl Knocks {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        if !is_in_vain(attempt) || attempt.facts.has(Fact::SynWithoutOptions) {
            return;
        }
        let tag = tag(attempt.client.ip());
        if let Some((_, knocks)) = self.0.iter_mut().find(|(client, _)| *client == tag) {
            *knocks += 1;
        } else if self.0.len() < MAX_CLIENTS {
            self.0.push((tag, 1));
        }
    }

    /// True if the client tried in vain again and again, with SYNs as an operating system sends them.
    pub(in crate::listener) fn are_repeated(&self, client: IpAddr) -> bool {
        let tag = tag(client);
        self.0.iter().any(|&(client, knocks)| client == tag && knocks >= MIN_KNOCKS)
    }
}

/// True if one SYN of a client came to nothing.
pub(in crate::listener) fn is_in_vain(attempt: &Attempt) -> bool {
    matches!(attempt.verdict, Verdict::Refused | Verdict::Unanswered | Verdict::ClientReset)
        && attempt.retries.syn == 0
}
