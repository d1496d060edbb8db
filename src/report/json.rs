//! `--format json`: one document, written piece by piece, one attempt or listener per line.

use std::io::{self, Write};

use serde::Serialize;

use super::record::{AttemptRecord, ComparisonRecord, ListenerRecord, OverviewRecord};
use crate::engine::Summary;
use crate::handshake::Attempt;
use crate::listener::comparison::BaselineComparison;
use crate::report::serialize;

/// Writes the document. `attempts` come in the order they are to be listed.
///
/// # Errors
///
/// The errors of `out`.
pub(super) fn write(
    out: &mut impl Write,
    summary: &Summary,
    attempts: &[Attempt],
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
    list(out, "attempts", attempts.iter().map(AttemptRecord::from))?;
    out.write_all(b"}\n")
}

/// Writes `"name":value` and the comma that parts it from the next member.
fn member(out: &mut impl Write, name: &str, value: &impl Serialize) -> io::Result<()> {
    write!(out, "\"{name}\":")?;
    serialize::compact(&mut *out, value)?;
    out.write_all(b",\n ")
}

/// Writes `"name":[…]` with one element a line, so that no element needs more than itself in memory
/// and line-based tools can work on the document.
fn list<T: Serialize>(
    out: &mut impl Write,
    name: &str,
    elements: impl IntoIterator<Item = T>,
) -> io::Result<()> {
    write!(out, "\"{name}\":[")?;
    for (index, element) in elements.into_iter().enumerate() {
        out.write_all(if index == 0 { b"\n  " } else { b",\n  " })?;
        serialize::compact(&mut *out, &element)?;
    }
    out.write_all(b"]")
}
