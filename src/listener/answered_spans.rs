//! When a listener answered SYNs: its accept queue had answered_spans then.

use crate::packet::{Span, Timestamp};

/// Stretches of time in which SYNs were answered, in order: constant in size.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct AnsweredSpans {
    stretches: Vec<(Timestamp, Timestamp)>,
}

/// Stretches kept per listener; past that the two that are closest become one, so that an overflow is rather
/// taken for over than for lasting.
const STRETCHES: usize = 32;

/// Answers that are closer than this are one stretch.
const GAP: Span = Span::from_secs(1);

impl AnsweredSpans {
    /// Notes that a SYN was answered at `at`; in no particular order.
    pub(super) fn note(&mut self, at: Timestamp) {
        let next = self.stretches.partition_point(|&(from, _)| from <= at);
        let joins_next = self.stretches.get(next).is_some_and(|&(from, _)| from.since(at) <= GAP);
        let previous = next.checked_sub(1);
        let joins_previous = previous
            .is_some_and(|previous| self.stretches.get(previous).is_some_and(|&(_, to)| at.since(to) <= GAP));
        match (previous, joins_previous, joins_next) {
            (Some(previous), true, true) => self.join(previous),
            (Some(previous), true, false) => {
                if let Some((_, to)) = self.stretches.get_mut(previous) {
                    *to = at.max(*to);
                }
            }
            (_, _, true) => {
                if let Some((from, _)) = self.stretches.get_mut(next) {
                    *from = at;
                }
            }
            (_, _, false) => self.stretches.insert(next, (at, at)),
        }
        if self.stretches.len() > STRETCHES {
            let gaps = self.stretches.windows(2).enumerate().filter_map(|(index, pair)| match pair {
                [(_, to), (from, _)] => Some((from.since(*to), index)),
                _ => None,
            });
            if let Some((_, index)) = gaps.min() {
                self.join(index);
            }
        }
    }

    /// Makes the stretch at `index` and the next one.
    fn join(&mut self, index: usize) {
        let Some(&(_, to)) = self.stretches.get(index + 1) else { return };
        if let Some(stretch) = self.stretches.get_mut(index) {
            stretch.1 = to;
            self.stretches.remove(index + 1);
        }
    }

    /// Whether a SYN was answered after `from` and before `to`.
    pub(super) fn any_between(&self, from: Timestamp, to: Timestamp) -> bool {
        self.stretches.iter().any(|&(begin, end)| begin < to && from < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(0).plus(Span::from_secs(seconds))
    }

    fn answered_spans(answers: &[i64]) -> AnsweredSpans {
        let mut answered_spans = AnsweredSpans::default();
        answers.iter().for_each(|&answer| answered_spans.note(at(answer)));
        answered_spans
    }

    #[test]
    fn answers_in_any_order_make_the_same_stretches() {
        let expected = vec![(at(1), at(3)), (at(7), at(8))];
        for answers in [[1, 2, 3, 7, 8], [8, 3, 1, 7, 2], [3, 1, 2, 8, 7]] {
            assert_eq!(answered_spans(&answers).stretches, expected, "{answers:?}");
        }
    }

    #[test]
    fn only_answers_in_between_count() {
        let answered_spans = answered_spans(&[1, 2, 3, 10]);
        assert!(answered_spans.any_between(at(0), at(2)));
        assert!(answered_spans.any_between(at(2), at(20)));
        assert!(answered_spans.any_between(at(4), at(11)));
        assert!(!answered_spans.any_between(at(4), at(9)));
        assert!(!answered_spans.any_between(at(3), at(10)), "the ends do not count");
        assert!(!AnsweredSpans::default().any_between(at(0), at(100)));
    }

    #[test]
    fn stretches_are_bounded() {
        let answers: Vec<i64> = (0..1000).map(|n| n * 10).collect();
        let answered_spans = answered_spans(&answers);
        assert_eq!(answered_spans.stretches.len(), STRETCHES);
        assert_eq!(answered_spans.stretches.first().map(|stretch| stretch.0), Some(at(0)));
        assert_eq!(answered_spans.stretches.last().map(|stretch| stretch.1), Some(at(9990)));
    }
}
