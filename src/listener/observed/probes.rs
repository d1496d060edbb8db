//! Clients that reset the SYN-ACK: scanners, health checks, and programs that had given up.

use std::net::IpAddr;

use crate::handshake::{Attempt, Verdict};
use crate::packet::{Span, Timestamp};

/// The probes of one client address.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Prober {
    client: IpAddr,
    count: u32,
    first: Timestamp,
    last: Timestamp,
    /// The shortest and the longest time between two of them.
    gaps: Option<(Span, Span)>,
}

/// Client-reset attempts of a listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Probes {
    probers: Vec<Prober>,
    /// Addresses past [`MAX_PROBERS`] have such attempts, too.
    more: bool,
    pub(in crate::listener) count: u32,
}

/// Most addresses kept per listener: checks come from few.
const MAX_PROBERS: usize = 16;

/// Fewest checks of one address before their period is judged.
const MIN_CHECKS: u32 = 4;

/// Shortest time over which an address checks: a burst of clients that give up is as even for a second or two.
const MIN_CHECKING: Span = Span::from_secs(5);

impl Probes {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        if attempt.verdict != Verdict::ClientReset {
            return;
        }
        self.count += 1;
        let (client, at) = (attempt.client.ip(), attempt.start);
        let full = self.probers.len() >= MAX_PROBERS;
        match self.probers.iter_mut().find(|prober| prober.client == client) {
            Some(prober) => {
                let gap = at.since(prober.last).abs();
                let (least, most) = prober.gaps.unwrap_or((gap, gap));
                prober.gaps = Some((least.min(gap), most.max(gap)));
                prober.count += 1;
                prober.first = at.min(prober.first);
                prober.last = at.max(prober.last);
            }
            None if !full => {
                self.probers.push(Prober { client, count: 1, first: at, last: at, gaps: None });
            }
            None => self.more = true,
        }
    }

    /// The steady period at which an address checks, and how many addresses check.
    pub(in crate::listener) fn steady(&self, client: IpAddr) -> Option<(Span, u32)> {
        let prober = self.probers.iter().find(|prober| prober.client == client)?;
        let (least, most) = prober.gaps.filter(|_| prober.count >= MIN_CHECKS && !self.more)?;
        let steady =
            least >= Span::from_millis(200) && most <= least.scaled(3, 2).plus(Span::from_millis(100));
        let lasting = prober.last.since(prober.first) >= MIN_CHECKING;
        (steady && lasting).then_some((least, self.probers.len() as u32))
    }
}
