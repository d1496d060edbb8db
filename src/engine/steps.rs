//! Steps of time, for when much is settled by its passing alone: after a flood the next packets come seconds later, and
//! a million attempts are due. In steps, their findings are delivered as time advances, and not held together.
//!
//! Owns where the steps are. Decisions and their order are the same with and without steps, but lingering attempts
//! leave sooner; so whether there are steps depends on the last check of the bounds and on nothing else.

use crate::packet::{Span, Timestamp};

/// The length of a step: a flood of a million SYNs a second decides at most four batches in it.
const STEP: Span = Span::from_millis(8);

/// The time after which nothing that was undecided before is still undecided.
const ALL_DECIDED: Span = Span::from_secs(275);

/// Times between two others, in order.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steps {
    last: Timestamp,
    end: Timestamp,
}

impl Steps {
    /// Steps from `before` to `now`, where both are known; neither is one of them.
    pub(super) fn between(before: Option<Timestamp>, now: Option<Timestamp>) -> Self {
        let Some((before, now)) = before.zip(now) else { return Self::default() };
        Self { last: before, end: now.min(before.plus(ALL_DECIDED)) }
    }
}

impl Iterator for Steps {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        self.last = self.last.plus(STEP);
        (self.last < self.end).then_some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lie_between_two_times_and_are_bounded() {
        let at = |millis| Some(Timestamp::default().plus(Span::from_millis(millis)));
        let steps = |before, now| Steps::between(before, now).collect::<Vec<_>>();
        assert_eq!(steps(at(100), at(117)).into_iter().map(Some).collect::<Vec<_>>(), [at(108), at(116)]);
        for (before, now) in
            [(at(100), at(108)), (at(100), at(100)), (at(100), at(7)), (None, at(9)), (at(9), None)]
        {
            assert_eq!(steps(before, now), []);
        }
        let never = Timestamp::from_nanos(i64::MAX);
        assert_eq!(steps(at(0), Some(never)).len(), 34_374);
        assert_eq!(steps(Some(never), Some(never)), []);
    }
}
