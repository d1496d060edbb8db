//! Time in steps, where much may be decided by its passing alone: when a flood ends, the next packets come seconds later,
//! and a million attempts are due. Their findings would be held together; in steps they are told as time goes.
//!
//! Owns where the steps are. What is decided, and in which order it is told, is the same with and without; but what
//! lingers leaves sooner, so that whether there are steps depends on what was ruled last, and on nothing else.

use crate::packet::{Span, Timestamp};

/// A step: in a flood of a million SYNs a second as many as four batches decide at most.
const STEP: Span = Span::from_millis(8);

/// After so much time nothing that was undecided before is still so.
const LONG: Span = Span::from_secs(275);

/// Times between two others, in order.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steps {
    then: Timestamp,
    end: Timestamp,
}

impl Steps {
    /// Steps from `then` to `now`, where both are known; neither is one of them.
    pub(super) fn between(then: Option<Timestamp>, now: Option<Timestamp>) -> Self {
        let Some((then, now)) = then.zip(now) else { return Self::default() };
        Self { then, end: now.min(then.plus(LONG)) }
    }
}

impl Iterator for Steps {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        self.then = self.then.plus(STEP);
        (self.then < self.end).then_some(self.then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lie_between_two_times_and_are_bounded() {
        let at = |millis| Some(Timestamp::default().plus(Span::from_millis(millis)));
        let steps = |then, now| Steps::between(then, now).collect::<Vec<_>>();
        assert_eq!(steps(at(100), at(117)).into_iter().map(Some).collect::<Vec<_>>(), [at(108), at(116)]);
        for (then, now) in
            [(at(100), at(108)), (at(100), at(100)), (at(100), at(7)), (None, at(9)), (at(9), None)]
        {
            assert_eq!(steps(then, now), []);
        }
        let never = Timestamp::from_nanos(i64::MAX);
        assert_eq!(steps(at(0), Some(never)).len(), 34_374);
        assert_eq!(steps(Some(never), Some(never)), []);
    }
}
