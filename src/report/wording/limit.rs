//! Limits of the captures.

use std::borrow::Cow;

use crate::engine::Limit;
use crate::packet::Protocol;
use crate::printable::printable;
use crate::words::{count, number, verb};

/// Clause for a limit of the capture, without a full stop. Safe for a terminal.
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
        Limit::NoBareAcks { path } => format!(
            "no bare ACK is in {}, as when it is filtered by TCP flags: a handshake can be seen to end only where data follows, and none is called half-open",
            capture(path.as_deref())
        ),
        Limit::OneDirection { path, from_client } => {
            let (seen, unseen) = if *from_client { ("clients", "servers") } else { ("servers", "clients") };
            format!(
                "only what {seen} sent is in {}: what {unseen} answered is unknown",
                capture(path.as_deref())
            )
        }
        Limit::Gaps { path, attempts, of } => format!(
            "packets are missing in {} of {}{} (gaps, or sampling): an answer that seems missing may have been there",
            number(*attempts),
            count(*of, "attempt"),
            path.as_ref().map(|path| format!(" of {}", printable(path))).unwrap_or_default()
        ),
        Limit::NoClock { path } => format!(
            "all packets of {} have the same time, so there is no usable clock: neither silence nor delays can be seen",
            printable(path)
        ),
        Limit::CoarseClock => {
            "all times are whole seconds: delays and round trips cannot be measured".to_owned()
        }
        Limit::ClockJumps { jumps: 1 } => {
            "packet times jump once by more than a second: delays and silence may be wrong".to_owned()
        }
        Limit::ClockJumps { jumps } => format!(
            "packet times jump {} by more than a second: delays and silence may be wrong",
            count(*jumps, "time")
        ),
        Limit::TwoClocks { offset, syns } => format!(
            "{} {} captured twice, by two clocks that are {} apart: duplicates are not counted as retries, and delays may be \
             wrong by as much",
            count(*syns, "SYN"),
            verb(*syns, "was", "were"),
            offset.abs()
        ),
        Limit::ClockCorrected { path, reference, shift } => format!(
            "the clocks of {} and {} are {} apart{}: the times of the former are corrected{} ({})",
            printable(path),
            printable(reference),
            shift.by.abs(),
            if shift.drift == 0 {
                String::new()
            } else {
                format!(" and drift by {:.1} ppm", shift.drift.abs() as f64 / 1e3)
            },
            shift.error.map_or_else(
                || ", the way between them included".to_owned(),
                |error| format!(", to within {error}")
            ),
            count(shift.syns, "common SYN")
        ),
        Limit::ClockUnknown { path, reference, doubt } => format!(
            "{} {} and {}{}: nothing is concluded from the time between them",
            count(doubt.syns, "SYN"),
            format_args!("{} common to {}", verb(doubt.syns, "is", "are"), printable(path)),
            printable(reference),
            match doubt.is_disordered {
                true =>
                    ", but many segments would have arrived before they were sent: one of the clocks was set",
                false => ", too few to compare their clocks",
            }
        ),
        Limit::NotCompared { path } => format!(
            "{} can be read once only: its clock is not compared with that of the other captures, and a SYN of it is joined with \
             theirs only if it comes within 130 s",
            printable(path)
        ),
        Limit::TwoPoints { apart, syns } => format!(
            "{} {} captured at more than one point of the way, {} apart: each attempt is counted once",
            count(*syns, "SYN"),
            verb(*syns, "was", "were"),
            apart
        ),
        Limit::Renumbered { syns } => format!(
            "{} {} another sequence number at another point: something between rewrites it, and each such connection is counted at both",
            count(*syns, "SYN"),
            verb(*syns, "has", "have"),
        ),
        Limit::AnsweredBetween { attempts } => format!(
            "something between two points answers the SYNs of {} for the server, and connects to it itself: the verdicts are those of \
             the clients' connections",
            count(*attempts, "attempt")
        ),
        Limit::NotDecoded { most, of } => format!(
            "{} of {} packets {} {}, which is not decoded and may carry handshakes",
            number(most.packets),
            number(*of),
            verb(most.packets, "is", "are"),
            protocol(most.protocol)
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

/// The name of a capture, or `the capture` where there is only one.
fn capture(path: Option<&str>) -> Cow<'_, str> {
    path.map_or(Cow::Borrowed("the capture"), printable)
}

/// `UDP port 53 (DNS)`, or the number alone.
pub(in crate::report) fn protocol(protocol: Protocol) -> String {
    match protocol.name() {
        Some(name) => format!("{protocol} ({name})"),
        None => protocol.to_string(),
    }
}
