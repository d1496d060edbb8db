//! Monotonic packet clock, used for time-outs.
//!
//! Owns the steady time: packet time with what is uneven in it removed, such as a clock that was set back, two clocks in
//! one capture, or a packet with a time far ahead. Does not own the time-outs (`handshake`).

use crate::packet::{Span, Timestamp};

/// Largest difference that is taken for packets out of order; beyond it a clock was set, or there is another.
const MAX_REORDERING: Span = Span::from_secs(1);

/// Gives steady time: packet time plus a lag, so that it never goes back, and goes far ahead only when a second packet
/// confirms it.
///
/// Without that, one packet with a time an hour ahead would expire all deadlines, and a clock that is set back would
/// expire none for as long as it takes to catch up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PacketClock {
    /// The latest steady time.
    now: Option<Timestamp>,
    /// Time by which packet time is behind the steady time.
    lag: Span,
    /// The lag before the last change: that of another clock in the capture, if there are two.
    other: Span,
    /// The steady time of the previous packet, if it was far ahead.
    ahead: Option<Timestamp>,
    /// Number of times that packet time went back, or ahead without the next packet.
    jumps: u64,
}

impl PacketClock {
    /// Advances by several packets, of which these are the earliest and the latest time. Where they are uneven, does
    /// nothing and returns `false`: then call [`tick`](Self::tick) for each of them.
    pub(super) fn advance(&mut self, earliest: Timestamp, latest: Timestamp) -> bool {
        let (Some(now), None) = (self.now, self.ahead) else { return false };
        let (earliest, latest) = (earliest.plus(self.lag), latest.plus(self.lag));
        let even = now.since(earliest) <= MAX_REORDERING && latest.since(now) <= MAX_REORDERING;
        if even {
            self.now = Some(now.max(latest));
        }
        even
    }

    /// Advances by one packet. Gives the new lag, which applies from this packet on, if it changes.
    pub(super) fn tick(&mut self, at: Timestamp) -> Option<Span> {
        if self.advance(at, at) { None } else { self.leap(at) }
    }

    #[cold]
    fn leap(&mut self, at: Timestamp) -> Option<Span> {
        let now = *self.now.get_or_insert(at.plus(self.lag));
        let before = self.lag;
        // The smaller of the known lags for which the packet is not behind: the clock that is nearest to it.
        let fits = |lag: &Span| now.since(at.plus(*lag)) <= MAX_REORDERING;
        let known = [before.min(self.other), before.max(self.other)];
        self.lag = known.into_iter().find(fits).unwrap_or(now.since(at));
        if self.lag != before {
            self.other = before;
            self.jumps += u64::from(self.lag > before);
        }
        let steady = at.plus(self.lag);
        // The time of the previous packet is confirmed if this one does not go back from there.
        let doubted = self.ahead.take();
        let confirmed = doubted.filter(|&ahead| ahead.since(steady) <= MAX_REORDERING);
        self.jumps += u64::from(doubted.is_some() && confirmed.is_none());
        let now = confirmed.map_or(now, |ahead| now.max(ahead.min(steady)));
        self.now = Some(now);
        if steady.since(now) > MAX_REORDERING {
            self.ahead = Some(steady);
        } else {
            self.now = Some(now.max(steady));
        }
        (self.lag != before).then_some(self.lag)
    }

    /// True if the latest packet was so far ahead that only another one can confirm its time.
    pub(super) fn is_doubtful(&self) -> bool {
        self.ahead.is_some()
    }

    /// True if a packet at this time contradicts the one before, which was far ahead.
    pub(super) fn is_contradicted_by(&self, at: Timestamp) -> bool {
        let mut next = *self;
        next.tick(at);
        self.is_doubtful() && next.jumps > self.jumps
    }

    /// Number of times that packet time went back, or ahead without the next packet.
    pub(super) fn jumps(&self) -> u64 {
        self.jumps
    }

    /// The latest steady time that is certain.
    pub(super) fn now(&self) -> Option<Timestamp> {
        self.now
    }

    /// The latest steady time at the end of the input: no packet will come that could contradict the last one.
    pub(super) fn end(&self) -> Option<Timestamp> {
        self.now.max(self.ahead)
    }

    /// A packet time, or that of the source's own clock, as steady time.
    pub(super) fn steady(&self, at: Timestamp) -> Timestamp {
        at.plus(self.lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: f64) -> Timestamp {
        Timestamp::from_nanos((secs * 1e9) as i64)
    }

    /// The clock after each packet, and the steady time of the packet.
    fn run(times: &[f64]) -> Vec<(f64, f64)> {
        let mut clock = PacketClock::default();
        let shown = |time: Timestamp| time.as_nanos() as f64 / 1e9;
        let tick = |&at: &f64| {
            clock.tick(secs(at));
            (shown(clock.now().unwrap()), shown(clock.steady(secs(at))))
        };
        times.iter().map(tick).collect()
    }

    fn now(times: &[f64]) -> Vec<f64> {
        run(times).into_iter().map(|(now, _)| now).collect()
    }

    #[test]
    fn packets_out_of_order_do_not_set_it_back() {
        assert_eq!(now(&[5.0, 5.5, 5.2, 6.0]), [5.0, 5.5, 5.5, 6.0]);
    }

    #[test]
    fn silence_counts_once_a_second_packet_confirms_it() {
        assert_eq!(now(&[0.0, 10.0, 10.1]), [0.0, 0.0, 10.1]);
        // One packet every ten seconds: time is one behind.
        assert_eq!(now(&[0.0, 10.0, 20.0, 30.0]), [0.0, 0.0, 10.0, 20.0]);
        let mut clock = PacketClock::default();
        [0.0, 10.0].into_iter().for_each(|at| _ = clock.tick(secs(at)));
        assert_eq!(clock.end(), Some(secs(10.0)));
    }

    #[test]
    fn one_packet_far_ahead_moves_nothing() {
        assert_eq!(now(&[0.0, 3600.0, 0.1, 0.2, 3600.0, 0.3]), [0.0, 0.0, 0.1, 0.2, 0.2, 0.3]);
    }

    #[test]
    fn one_packet_far_behind_moves_nothing() {
        assert_eq!(run(&[50.0, 3.0, 50.1, 50.2]), [(50.0, 50.0), (50.0, 50.0), (50.1, 50.1), (50.2, 50.2)]);
    }

    #[test]
    fn a_clock_that_is_set_back_advances_from_there() {
        assert_eq!(now(&[100.0, 40.0, 40.5, 41.0, 41.5]), [100.0, 100.0, 100.5, 101.0, 101.5]);
    }

    #[test]
    fn two_clocks_in_turn_give_one_time() {
        let times = [100.0, 63.1, 100.2, 63.3, 63.4, 100.5, 100.6, 63.7];
        let steady: Vec<f64> = run(&times).into_iter().map(|(now, _)| (now * 10.0).round() / 10.0).collect();
        assert_eq!(steady, [100.0, 100.0, 100.2, 100.2, 100.3, 100.5, 100.6, 100.6]);
    }

    #[test]
    fn times_at_the_ends_of_the_range_do_not_overflow() {
        let ends = [i64::MIN, i64::MAX, i64::MIN, 0, i64::MAX, i64::MAX, i64::MIN, i64::MIN];
        let mut clock = PacketClock::default();
        let mut before = None;
        for at in ends.map(Timestamp::from_nanos) {
            clock.tick(at);
            assert!(clock.now() >= before);
            before = clock.now();
        }
    }
}
