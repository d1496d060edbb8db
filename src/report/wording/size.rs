//! The sentences about the size of an accept queue.

use super::causes::noun;
use crate::listener::size::{AcceptRate, Answer, ArrivalRates, Pace, QueueLimit, Size, Unknown};
use crate::packet::Span;
use crate::words::{count, number, verb};

/// Smallest rate that is written without a fraction.
const WHOLE: f64 = 10.0;

/// The answer in one line, with what it rests on.
#[must_use]
pub(in crate::report) fn size(size: &Size) -> String {
    let mut text = answer(size);
    match (size.answer, &size.accepts) {
        (Answer::Backlog { .. } | Answer::Outrun { .. }, Some(accepts)) => {
            text.push_str(&format!("; accepts: {}", accept_rate(accepts)));
            text.push_str(&format!("; arrivals: {}", arrivals(&size.arrivals)));
        }
        (Answer::Backlog { .. } | Answer::MoreThanLimit { .. }, None) => {
            text.push_str(&format!(
                "; {} met the full queue, which took too few meanwhile to show how fast it is emptied",
                count(size.turned_away, "client")
            ));
        }
        _ => {}
    }
    text
}

/// The answer alone.
#[must_use]
pub(in crate::report) fn answer(size: &Size) -> String {
    let each = size.sockets.filter(|&sockets| sockets > 1);
    let each = each.map_or_else(String::new, |sockets| format!(" at each of the {sockets} sockets"));
    match size.answer {
        Answer::Backlog { backlog, longest_wait } => {
            let mut text =
                format!("a backlog of {}{each} would have held all clients", number(backlog.into()));
            if let Some(limit) = size.limit {
                text.push_str(&format!(" (it was {})", limit_text(limit)));
            }
            if let Some(wait) = longest_wait {
                text.push_str(&format!("; the last would have waited {wait} for accept()"));
            }
            text
        }
        Answer::MoreThanLimit { more } => format!(
            "a backlog of {} more than it was{each} would have held all clients; what it was, these packets do not show \
             (ss -ltn: Send-Q)",
            number(more.into())
        ),
        Answer::NothingAccepted { watched } => {
            format!("nothing was accepted in {}: no backlog helps", these_seconds(watched))
        }
        Answer::Outrun { needed, over, held_by } => format!(
            "more clients arrived than were accepted, for {over}: no backlog helps for longer; {} accepts a second would \
             have kept up, or a backlog of {}{each} would have held them for that time",
            rate(needed),
            number(held_by.into())
        ),
        Answer::Unknown(Unknown::NoArrivals) => unknown(Unknown::NoArrivals),
        Answer::Unknown(Unknown::NoDrops) => {
            "no client met a full queue: it was large enough for what was seen".to_owned()
        }
        Answer::Unknown(reason) => format!("no size can be computed: {}", unknown(reason)),
    }
}

fn unknown(reason: Unknown) -> String {
    match reason {
        Unknown::NoArrivals => "no client reached a listening socket: nothing is known of its queue".to_owned(),
        Unknown::NoDrops => "no client met a full queue".to_owned(),
        Unknown::OneClientSide => "the capture was taken near the clients, and there are few of them: what others send is \
                                   not in it; capture near the server"
            .to_owned(),
        Unknown::OtherCause(cause) => {
            format!("the packets show {}, and not a full accept queue", noun(cause))
        }
        Unknown::TooShort { full } => format!(
            "nothing was accepted from the first drop to the last, but these are {full} apart: too short a time to say \
             that nothing ever is"
        ),
        Unknown::OneOfSeveralSockets => {
            "the same clients meet a full queue at each retry while others get in, as if one of several sockets on the \
             port (SO_REUSEPORT) were full: look at the process that holds it"
                .to_owned()
        }
        Unknown::StillFull => "the capture ends while clients arrive at a full queue".to_owned(),
        Unknown::TooFewDrops { drops, between: (least, most) } => format!(
            "{} {} too few, or too close together, to show the accept rate; a backlog of anything between {} and {} may \
             have been needed",
            count(drops, "dropped packet"),
            verb(drops, "is", "are"),
            number(least.into()),
            number(most.into())
        ),
    }
}

/// `16`, or `about 16`.
#[must_use]
pub(in crate::report) fn limit_text(limit: QueueLimit) -> String {
    let about = if limit.known { "" } else { "about " };
    format!("{about}{}", number(limit.value.into()))
}

/// `99 a second (96 to 103), seen while the queue was full, for 0.30 s`.
#[must_use]
pub(in crate::report) fn accept_rate(accepts: &AcceptRate) -> String {
    let AcceptRate { per_second, low, high, over, pace, .. } = accepts;
    let mut text = format!(
        "{} a second ({} to {}), seen while the queue was full, for {over}",
        rate(*per_second),
        rate(*low),
        rate(*high)
    );
    match pace {
        Pace::Even => {}
        Pace::InBursts { pause } => text.push_str(&format!(", in bursts, with pauses of up to {pause}")),
        Pace::Changing { first, second } => {
            text.push_str(&format!(", and changed from {} to {} a second", rate(*first), rate(*second)));
        }
    }
    text
}

/// `130 clients, 433 a second on average; at most 64 in 0.1 s, 130 in 1 s and in 10 s`.
#[must_use]
pub(in crate::report) fn arrivals(arrivals: &ArrivalRates) -> String {
    let within = |per_second: f64, seconds: f64| number((per_second * seconds).round() as u64);
    format!(
        "{}, {} a second on average; at most {} in 0.1 s, {} in 1 s, {} in 10 s",
        count(arrivals.clients, "client"),
        rate(arrivals.mean),
        within(arrivals.peak_tenth, 0.1),
        within(arrivals.peak_second, 1.0),
        within(arrivals.peak_ten, 10.0)
    )
}

/// A rate as people write it.
#[must_use]
pub(in crate::report) fn rate(per_second: f64) -> String {
    if per_second >= WHOLE || per_second == 0.0 {
        number(per_second.round() as u64)
    } else {
        format!("{per_second:.1}")
    }
}

/// `these 40 s`.
fn these_seconds(watched: Span) -> String {
    let seconds = watched.as_secs_f64();
    if seconds >= WHOLE { format!("these {seconds:.0} s") } else { format!("these {seconds:.1} s") }
}
