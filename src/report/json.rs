//! `--format json`: one document, written piece by piece, one attempt or listener per line.

use std::io::{self, Write};

use serde::Serialize;

use super::record::{AttemptRecord, ComparisonRecord, ListenerRecord, OverviewRecord};
use crate::engine::Summary;
use crate::handshake::Attempt;
use crate::listener::comparison::BaselineComparison;
use crate::report::serialize;

/// Takes an attempt for the list.
pub(super) type ListAttempt<'a> = dyn FnMut(&Attempt) -> io::Result<()> + 'a;

/// Writes the document. `attempts` hands over the attempts in the order they are to be listed.
///
/// # Errors
///
/// The errors of `out`, and those of `attempts`.
pub(super) fn write(
    out: &mut impl Write,
    summary: &Summary,
    attempts: impl FnOnce(&mut ListAttempt<'_>) -> io::Result<()>,
    comparison: Option<&BaselineComparison<'_>>,
) -> io::Result<()> {
    let overview = OverviewRecord::from(summary);
    out.write_all(b"{")?;
    member(out, "schema", &overview.schema)?;
    member(out, "tool", &overview.tool)?;
    list(out, "captures", &overview.captures)?;
    out.write_all(b",\n ")?;
    list(out, "limits", &overview.limits)?;
    out.write_all(b",\n ")?;
    member(out, "packets", &overview.packets)?;
    member(out, "verdicts", &overview.verdicts)?;
    if let Some(comparison) = comparison {
        member(out, "comparison", &ComparisonRecord::from(comparison))?;
    }
    list(out, "listeners", summary.listeners.iter().map(ListenerRecord::from))?;
    out.write_all(b",\n ")?;
    let mut elements = Elements::begin(out, "attempts")?;
    attempts(&mut |attempt| elements.write(&AttemptRecord::from(attempt)))?;
    elements.end()?;
    out.write_all(b"}\n")
}

/// Writes `"name":value` and the comma that parts it from the next member.
fn member(out: &mut impl Write, name: &str, value: &impl Serialize) -> io::Result<()> {
    write!(out, "\"{name}\":")?;
    serialize::compact(&mut *out, value)?;
    out.write_all(b",\n ")
}

/// Writes `"name":[…]` of all elements.
fn list<T: Serialize>(
    out: &mut impl Write,
    name: &str,
    elements: impl IntoIterator<Item = T>,
) -> io::Result<()> {
    let mut list = Elements::begin(out, name)?;
    elements.into_iter().try_for_each(|element| list.write(&element))?;
    list.end()
}

/// `"name":[…]` with one element a line, so that no element needs more than itself in memory and line-based tools can
/// work on the document.
struct Elements<'a, W> {
    out: &'a mut W,
    is_first: bool,
}

impl<'a, W: Write> Elements<'a, W> {
    fn begin(out: &'a mut W, name: &str) -> io::Result<Self> {
        write!(out, "\"{name}\":[")?;
        Ok(Self { out, is_first: true })
    }

    fn write(&mut self, element: &impl Serialize) -> io::Result<()> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        self.out.write_all(if is_first { b"\n  " } else { b",\n  " })?;
        serialize::compact(&mut *self.out, element)
    }

    fn end(self) -> io::Result<()> {
        self.out.write_all(b"]")
    }
}
