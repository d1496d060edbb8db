//! Figures of all attempts for the charts, in bounded memory.

use crate::handshake::{Attempt, Fact};
use crate::packet::Span;

/// Retransmissions that are plotted at most.
const MAX_POINTS: usize = 2_000;

/// Figures that the charts show.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    /// Times from the first SYN to the SYN-ACK that the client took.
    pub(super) connect: TimeBins,
    /// The part of them that retries cost, where they cost any.
    pub(super) delay: TimeBins,
    /// Retransmissions of SYN-ACKs: number, from 1, and seconds since the first SYN-ACK.
    pub(super) retransmissions: Vec<(u32, f64)>,
    /// Retransmissions beyond those.
    pub(super) not_plotted: u64,
}

impl Figures {
    pub(super) fn add(&mut self, attempt: &Attempt) {
        self.connect.extend(attempt.timing.connect);
        self.delay.extend(attempt.timing.delay.filter(|delay| delay.as_nanos() > 0));
        // Without the SYN the first SYN-ACK of the capture may itself be a retransmission.
        if !attempt.facts.has(Fact::SynSeen) {
            return;
        }
        let points = (1..).zip(attempt.retry_at.iter().map(|span| span.as_secs_f64()));
        let free = MAX_POINTS.saturating_sub(self.retransmissions.len());
        self.not_plotted += attempt.retry_at.len().saturating_sub(free) as u64;
        self.retransmissions.extend(points.take(free));
    }
}

/// Numbers of times by size, in steps of 1, 2 and 5.
#[derive(Debug, Clone, Default)]
pub(super) struct TimeBins {
    /// Times up to each of [`TimeBins::EDGES`], and those beyond the last.
    counts: [u64; Self::EDGES.len() + 1],
}

impl TimeBins {
    /// Upper edges of the bins in microseconds.
    pub(super) const EDGES: [i64; 24] = [
        10,
        20,
        50,
        100,
        200,
        500,
        1_000,
        2_000,
        5_000,
        10_000,
        20_000,
        50_000,
        100_000,
        200_000,
        500_000,
        1_000_000,
        2_000_000,
        5_000_000,
        10_000_000,
        20_000_000,
        50_000_000,
        100_000_000,
        200_000_000,
        500_000_000,
    ];

    fn extend(&mut self, times: impl IntoIterator<Item = Span>) {
        for time in times {
            let bin = Self::EDGES.partition_point(|&edge| Span::from_micros(edge) < time);
            self.counts[bin] += 1;
        }
    }

    /// Times in all.
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The bins around those that are not empty: upper edge and number of times; no edge beyond the last.
    pub(super) fn bins(&self) -> Vec<(Option<Span>, u64)> {
        let is_used = |&count: &u64| count > 0;
        let Some(first) = self.counts.iter().position(is_used) else { return Vec::new() };
        let last = self.counts.iter().rposition(is_used).unwrap_or(first);
        // A single bar is not drawn: without neighbours it has no scale.
        let (first, last) = (first.saturating_sub(1), (last + 2).min(self.counts.len()));
        let edges = Self::EDGES.iter().map(|&edge| Some(Span::from_micros(edge))).chain([None]);
        edges.zip(self.counts).skip(first).take(last - first).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_at_an_edge_belongs_to_the_bin_below() {
        let mut histogram = TimeBins::default();
        histogram.extend([Span::from_micros(10), Span::from_micros(11), Span::from_secs(1_000)]);
        let bins = histogram.bins();
        assert_eq!(bins[..2], [(Some(Span::from_micros(10)), 1), (Some(Span::from_micros(20)), 1)]);
        assert_eq!(bins.last(), Some(&(None, 1)));
        assert_eq!(histogram.total(), 3);
        assert!(TimeBins::default().bins().is_empty());
    }
}
