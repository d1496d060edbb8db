//! A set of verdicts: those that a hypothesis explains, or that `--verdict` names.

use strum::{EnumCount, IntoEnumIterator};

use super::Tally;
use crate::handshake::Verdict;

/// A set of verdicts, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictSet(u16);

impl VerdictSet {
    /// No verdict.
    pub const EMPTY: Self = Self(0);
    /// Every verdict.
    pub const ALL: Self = Self((1 << Verdict::COUNT) - 1);

    /// The verdicts of attempts that failed, stalled or lied ([`Verdict::is_problem`]).
    #[must_use]
    pub fn problems() -> Self {
        Verdict::iter().filter(|v| v.is_problem()).collect()
    }

    /// A set of these verdicts.
    #[must_use]
    pub const fn of(verdicts: &[Verdict]) -> Self {
        let mut set = Self::EMPTY;
        let mut at = 0;
        while at < verdicts.len() {
            set.0 |= 1 << verdicts[at] as u16;
            at += 1;
        }
        set
    }

    /// True if `verdict` is in the set.
    #[must_use]
    pub const fn contains(self, verdict: Verdict) -> bool {
        self.has_place(verdict as usize)
    }

    /// True if the verdict at this place in their order is in the set.
    pub(super) const fn has_place(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }

    /// Number of attempts in `tally` with a verdict of this set.
    #[must_use]
    pub fn count(self, tally: &Tally) -> u64 {
        Verdict::iter().filter(|v| self.contains(*v)).map(|v| tally.get(v)).sum()
    }
}

impl FromIterator<Verdict> for VerdictSet {
    fn from_iter<I: IntoIterator<Item = Verdict>>(verdicts: I) -> Self {
        let mut set = Self::EMPTY;
        set.extend(verdicts);
        set
    }
}

impl Extend<Verdict> for VerdictSet {
    fn extend<I: IntoIterator<Item = Verdict>>(&mut self, verdicts: I) {
        for verdict in verdicts {
            self.0 |= 1 << verdict as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_only_its_own_verdicts() {
        let mut tally = Tally::default();
        for verdict in [Verdict::Completed, Verdict::Refused, Verdict::Refused, Verdict::Undetermined] {
            tally.add(verdict);
        }
        assert_eq!(VerdictSet::ALL.count(&tally), 4);
        assert_eq!(VerdictSet::EMPTY.count(&tally), 0);
        assert_eq!(VerdictSet::problems().count(&tally), 2);
        assert_eq!(VerdictSet::from_iter([Verdict::Undetermined]).count(&tally), 1);
    }
}
