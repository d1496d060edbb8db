//! Attempts by verdict.

use serde::{Serialize, Serializer};
use strum::IntoEnumIterator;

use crate::handshake::Verdict;
use crate::listener::Tally;

/// Attempts by verdict, zeros included.
pub(in crate::report) struct VerdictCounts<'a>(pub(super) &'a Tally);

impl Serialize for VerdictCounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Verdict::iter().map(|verdict| (verdict.name(), self.0.get(verdict))))
    }
}
