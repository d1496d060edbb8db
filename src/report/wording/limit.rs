//! Limits of the captures.

use crate::engine::Limit;
use crate::printable::printable;
use crate::words::{count, verb};

/// One limit, as a clause without a full stop. Safe for a terminal.
pub(in crate::report) fn limit(limit: &Limit) -> String {
    match limit {
        Limit::Damaged { message, cut } => {
            format!("{}{}", printable(message), if *cut { " (the rest was not read)" } else { "" })
        }
        Limit::NotRead { message } => printable(message).into_owned(),
        Limit::Dropped { path, packets } => format!(
            "{} of {} {} lost while capturing: an answer that seems missing may have been there",
            count(*packets, "packet"),
            printable(path),
            verb(*packets, "was", "were")
        ),
        Limit::Untimed { path, packets } => format!(
            "{} of {} {} no time: without it a repeat looks like a copy, and silence cannot be seen",
            count(*packets, "packet"),
            printable(path),
            verb(*packets, "has", "have")
        ),
        Limit::Truncated { packets } => format!("{} cut by the snap length", count(*packets, "packet")),
        Limit::Malformed { packets } => format!("{} malformed", count(*packets, "packet")),
        Limit::UnsupportedLinkType { packets, link_types } => {
            let link_types: Vec<String> = link_types.iter().map(ToString::to_string).collect();
            let packets = count(*packets, "packet");
            format!("{packets} of a link type without a decoder ({})", link_types.join(", "))
        }
    }
}
