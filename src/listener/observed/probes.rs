//! Clients that reset the SYN-ACK: scanners, health checks, and programs that had given up.

use std::net::IpAddr;

use crate::handshake::Attempt;
use crate::packet::{Span, Timestamp};

/// The probes of one client address.
#[derive(Debug, Clone, PartialEq)]
struct Prober {
    client: IpAddr,
    count: u32,
    first: Timestamp,
    last: Timestamp,
    /// Times between two of them, the latest [`MAX_GAPS`].
    gaps: Vec<Span>,
}

/// Attempts of a listener whose client reset the first SYN-ACK.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Probes {
    probers: Vec<Prober>,
    /// Addresses past [`MAX_PROBERS`] have such attempts, too.
    more: bool,
    pub(in crate::listener) count: u32,
}

/// Most addresses kept per listener: checks come from few.
const MAX_PROBERS: usize = 16;

/// Most gaps kept per address.
const MAX_GAPS: usize = 64;

/// Gaps of one period for each longer one, at least: now and then a check is not answered, or not captured.
const MIN_EVEN_SHARE: usize = 4;

/// Fewest checks of one address before their period is judged.
const MIN_CHECKS: u32 = 4;

/// Shortest time over which an address checks: a burst of clients that give up is as even for a second or two.
const MIN_CHECKING: Span = Span::from_secs(5);

impl Probes {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        if !attempt.was_reset_at_synack() {
            return;
        }
        self.count += 1;
        let (client, at) = (attempt.client.ip(), attempt.start);
        let full = self.probers.len() >= MAX_PROBERS;
        match self.probers.iter_mut().find(|prober| prober.client == client) {
            Some(prober) => {
                let gap = at.since(prober.last).abs();
                if prober.gaps.len() < MAX_GAPS {
                    prober.gaps.push(gap);
                } else if let Some(earlier) = prober.gaps.get_mut(prober.count as usize % MAX_GAPS) {
                    *earlier = gap;
                }
                prober.count += 1;
                prober.first = at.min(prober.first);
                prober.last = at.max(prober.last);
            }
            None if !full => {
                self.probers.push(Prober { client, count: 1, first: at, last: at, gaps: Vec::new() });
            }
            None => self.more = true,
        }
    }

    /// Attempts of which this address reset the SYN-ACK.
    pub(in crate::listener) fn of(&self, client: IpAddr) -> u32 {
        self.probers.iter().find(|prober| prober.client == client).map_or(0, |prober| prober.count)
    }

    /// The steady period at which an address checks, and how many addresses check.
    pub(in crate::listener) fn steady(&self, client: IpAddr) -> Option<(Span, u32)> {
        let prober = self.probers.iter().find(|prober| prober.client == client)?;
        let lasting = prober.last.since(prober.first) >= MIN_CHECKING;
        if !lasting || prober.count < MIN_CHECKS || self.more {
            return None;
        }
        Some((period(&prober.gaps)?, self.probers.len() as u32))
    }
}

/// The shortest of the gaps, if they are of one period, or of a few times that where checks between were not answered.
fn period(gaps: &[Span]) -> Option<Span> {
    let least = gaps.iter().copied().min().filter(|&least| least >= Span::from_millis(200))?;
    let most = least.scaled(3, 2).plus(Span::from_millis(100));
    let even = gaps.iter().filter(|&&gap| gap <= most);
    let (count, sum) =
        even.fold((0, 0_i64), |(count, sum), gap| (count + 1, gap.as_nanos().saturating_add(sum)));
    let mean = sum / i64::try_from(count).ok().filter(|&count| count > 0)?;
    // Within an eighth of the period.
    let is_multiple = |gap: &Span| {
        let beyond = gap.as_nanos().rem_euclid(mean);
        beyond.min(mean - beyond) <= mean / 8
    };
    let longer = gaps.len() - count;
    let steady = longer * MIN_EVEN_SHARE <= count && gaps.iter().all(|gap| *gap <= most || is_multiple(gap));
    steady.then_some(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_with_a_few_checks_missing_is_steady() {
        let of = |millis: &[i64]| period(&millis.iter().map(|&n| Span::from_millis(n)).collect::<Vec<_>>());
        let period = Some(Span::from_millis(2_000));
        assert_eq!(of(&[2_000, 2_010, 2_000]), period);
        assert_eq!(of(&[2_000, 2_000, 10_000, 2_000, 2_010]), period);
        assert_eq!(of(&[2_000, 2_000, 2_000, 2_000, 4_900]), None);
        assert_eq!(of(&[2_000, 4_000, 2_000, 6_000]), None);
        assert_eq!(of(&[]), None);
    }
}
