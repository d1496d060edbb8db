//! The conclusion in one sentence.

use std::io::{self, Write};

use super::header::HeaderCounts;
use super::paint::Emphasis;
use super::stream;
use super::style::TextStyle;
use super::words::wrap;
use crate::engine::{Limit, Summary, Undecoded};
use crate::handshake::{Cause, Unproven, Verdict};
use crate::listener::{Diagnosis, Listener};
use crate::packet::Span;
use crate::report::wording;
use crate::words::{count, number, verb};

/// Writes the conclusion, unless the only listener's block begins with it.
pub(super) fn write(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    summary: &Summary,
    counts: &HeaderCounts,
) -> io::Result<()> {
    if let [only] = summary.listeners.as_slice()
        && (only.cause.is_some() || only.problems() > 0)
    {
        return Ok(());
    }
    let (emphasis, text) = conclusion(style, summary, counts);
    for line in wrap(&text, style.width, "", "") {
        writeln!(out, "{}", style.paint.apply(emphasis, &line))?;
    }
    Ok(())
}

/// The conclusion, with how much it is to stand out.
pub(in crate::report) fn conclusion(
    style: &TextStyle<'_>,
    summary: &Summary,
    counts: &HeaderCounts,
) -> (Emphasis, String) {
    if summary.verdicts.total() == 0 {
        return (Emphasis::Warning, no_attempts(summary));
    }
    match summary.listeners.iter().map(Listener::problems).sum() {
        0 => without_problem(style, summary, counts),
        bad => with_problems(style, summary, counts, bad),
    }
}

fn without_problem(style: &TextStyle<'_>, summary: &Summary, counts: &HeaderCounts) -> (Emphasis, String) {
    let total = summary.verdicts.total();
    let full = |listener: &&Listener| listener.cause == Some(Cause::AcceptQueueOverflow);
    let full = summary.listeners.iter().filter(full).count() as u64;
    if full > 0 {
        let text = format!(
            "No attempt that can be judged went wrong, but by the kernel's count {} overflowed.",
            count(full, "accept queue")
        );
        return (style.cause_emphasis(Some(Cause::AcceptQueueOverflow)), text);
    }
    if let Some(oversized) = oversized(&summary.listeners) {
        return (Emphasis::Warning, oversized);
    }
    if let Some(waiting) = waiting(summary) {
        return (Emphasis::Warning, format!("No attempt failed, but {waiting}."));
    }
    let unusual = summary.verdicts.problems();
    if unusual > 0 {
        let share = format!("{} of {}", number(unusual), count(total, "attempt"));
        return (Emphasis::Note, format!("No attempt failed, but {share} took an unusual course."));
    }
    let judged = total - summary.verdicts.get(Verdict::Undetermined);
    if judged == 0 {
        return (Emphasis::Warning, format!("None of the {} can be judged.", count(total, "attempt")));
    }
    let attempts = count(judged, "attempt");
    if summary.limits().iter().any(Limit::is_of_clock) {
        let text = format!("{attempts} completed; without a usable clock nothing more can be told.");
        return (Emphasis::Warning, text);
    }
    if counts.reset() > 0 {
        let reset = counts.reset();
        let whom = if reset == judged { "and".to_owned() } else { format!("{} of them", number(reset)) };
        let were = verb(reset, "was", "were");
        let text = format!("{attempts} completed, {whom} {were} reset before the server had sent anything.");
        return (Emphasis::Warning, text);
    }
    let unproven: u64 = summary.listeners.iter().map(|listener| listener.unproven).sum();
    if unproven > 0 {
        return (Emphasis::Warning, format!("{}.", unproven_words(&attempts, judged, unproven, counts)));
    }
    if let Some((stalled, most)) = counts.stalls() {
        let text =
            format!("No attempt failed, but {} of {attempts} stalled, by up to {most}.", number(stalled));
        return (Emphasis::Warning, text);
    }
    if counts.unclear() > 0 {
        let unclear = number(counts.unclear());
        let text = format!("No attempt failed, but {unclear} of {attempts} may have connected late.");
        return (Emphasis::Warning, text);
    }
    if let Some((slow, most)) = counts.slow() {
        let text = format!(
            "No attempt failed, but {} of {attempts} took up to {most} to connect, not delayed by a retry.",
            number(slow)
        );
        return (Emphasis::Warning, text);
    }
    let repeats = repeats_before_ack(&summary.listeners);
    if repeats > 0 {
        let text = format!(
            "No attempt failed, but {} {} repeated before an ACK came: ACKs come late, or are lost on the way.",
            count(repeats, "SYN-ACK"),
            verb(repeats, "was", "were")
        );
        return (Emphasis::Warning, text);
    }
    let whom = match summary.listeners.as_slice() {
        [Listener { server: Some(server), .. }] => format!(" to {server}"),
        _ => String::new(),
    };
    if judged < total {
        (Emphasis::Warning, format!("Nothing wrong in the {attempts} that can be judged."))
    } else if total == 1 {
        (Emphasis::Good, format!("Nothing wrong: the only attempt{whom} completed."))
    } else {
        (Emphasis::Good, format!("Nothing wrong: all {attempts}{whom} completed."))
    }
}

/// `12 connections to 10.0.0.2:80 wait for accept(), for up to 4.1 s (nginx[71] stopped)`, of the listener whose connections wait
/// the longest by the kernel's word, if its application seems stuck.
fn waiting(summary: &Summary) -> Option<String> {
    let stuck = summary.listeners.iter().filter_map(|listener| {
        let kernel = listener.kernel.as_ref()?;
        let (connections, wait) = kernel.stuck()?;
        Some((wait, connections, listener.server?, kernel))
    });
    let (wait, connections, server, kernel) = stuck.max_by_key(|&(wait, ..)| wait)?;
    Some(format!(
        "{} to {server} {} for accept(), for up to {wait}{}",
        count(connections.into(), "connection"),
        verb(connections.into(), "waits", "wait"),
        stream::listener(kernel)
    ))
}

/// Servers whose data is too big for the path, if there is any.
fn oversized(listeners: &[Listener]) -> Option<String> {
    let of = |listener: &Listener| match listener.diagnosis {
        Diagnosis::Oversized { connections } => Some(connections),
        _ => None,
    };
    let all: Vec<u64> = listeners.iter().filter_map(of).collect();
    let connections = count(all.iter().sum(), "connection");
    let servers = count(all.len() as u64, "server");
    (!all.is_empty()).then(|| {
        format!("No attempt failed, but data of {servers} is too big for the path of {connections}.")
    })
}

/// SYN-ACKs that were repeated before the client's ACK came, of listeners whose clients never repeated a SYN: they had the
/// SYN-ACK.
fn repeats_before_ack(listeners: &[Listener]) -> u64 {
    let retries = listeners.iter().map(|listener| listener.retries).filter(|retries| retries.syn == 0);
    retries.map(|retries| retries.syn_ack.saturating_sub(retries.after_ack)).sum()
}

/// `15 attempts completed, unproven: the capture ends 300 ms later`.
fn unproven_words(attempts: &str, judged: u64, unproven: u64, counts: &HeaderCounts) -> String {
    let share = if unproven == judged { String::new() } else { format!("{} of them ", number(unproven)) };
    let reasons: Vec<String> = counts.unproven().map(|(why, _)| because(why, counts.silence())).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
    format!("{attempts} completed, {share}unproven{reasons}")
}

fn because(why: Unproven, silence: Span) -> String {
    match why {
        Unproven::CaptureEnds => format!("the capture ends {silence} later"),
        Unproven::DataUnacknowledged => "the client's data or FIN is not acknowledged".to_owned(),
        Unproven::ListenerOverflows => "the listener overflowed meanwhile".to_owned(),
        Unproven::ListenerDefers => "the listener waits for data".to_owned(),
    }
}

/// The servers and scans with problems, if there is any to tell them from: `, at 3 of 4 servers`.
fn places(listeners: &[Listener]) -> String {
    let bad = || listeners.iter().filter(|listener| listener.problems() > 0);
    let scans = bad().filter(|listener| listener.scan.is_some()).count() as u64;
    let servers = bad().filter(|listener| listener.server.is_some()).count() as u64;
    let folded = bad().count() as u64 > servers + scans;
    let all = listeners.len() as u64;
    let at = match (servers, folded) {
        (0, false) => String::new(),
        (0, true) => ", at servers that are not told apart".to_owned(),
        (_, true) => format!(", at {} and more", count(servers, "server")),
        (_, false) if scans > 0 => format!(", at {}", count(servers, "server")),
        (_, false) => format!(", at {} of {}", number(servers), count(all, "server")),
    };
    match scans {
        _ if all == 1 => String::new(),
        0 => at,
        _ if at.is_empty() => format!(", in {}", count(scans, "scan")),
        _ => format!("{at} and in {}", count(scans, "scan")),
    }
}

fn with_problems(
    style: &TextStyle<'_>,
    summary: &Summary,
    counts: &HeaderCounts,
    bad: u64,
) -> (Emphasis, String) {
    let total = summary.verdicts.total();
    let noun = if total == 1 { "attempt" } else { "attempts" };
    let share = format!("{} of {} {noun}", number(bad), number(total));
    let mut emphasis = Emphasis::Note;
    for listener in summary.listeners.iter().filter(|l| l.problems() > 0) {
        emphasis = style.graver(emphasis, style.cause_emphasis(listener.cause));
    }
    let place = places(&summary.listeners);
    if emphasis == Emphasis::Note {
        return (emphasis, format!("{share} took an unusual course{place}."));
    }
    let late = summary.verdicts.get(Verdict::CompletedLate);
    let by = counts
        .delays()
        .map(|(least, most)| format!(", {}", wording::by_range(least, most)))
        .unwrap_or_default();
    if late == bad {
        return (emphasis, format!("{share} connected late{by}{place}."));
    }
    let of_them = if late > 0 { format!(" ({} connected late{by})", number(late)) } else { String::new() };
    (emphasis, format!("{share} went wrong{of_them}{place}."))
}

fn no_attempts(summary: &Summary) -> String {
    let packets = &summary.packets;
    if packets.total == 0 {
        let read: u64 = summary.captures.iter().map(|capture| capture.packets).sum();
        return match read {
            0 => "No packets, so nothing to analyse.".to_owned(),
            1 => "The only packet does not pass the filter.".to_owned(),
            read => format!("None of the {} packets passes the filter.", number(read)),
        };
    }
    if summary.outside > 0 {
        return format!(
            "No attempt begins in the time given; {} {} outside of it.",
            number(summary.outside),
            verb(summary.outside, "begins", "begin")
        );
    }
    let most = packets.undecoded.first();
    if packets.midstream > 0 {
        let segments = count(packets.midstream, "TCP segment");
        let text = format!(
            "No handshakes: {segments} {} to connections whose SYNs are not in the capture",
            verb(packets.midstream, "belongs", "belong")
        );
        // Among few segments of TCP, the handshakes may be in the others.
        return match most.filter(|most| most.packets > packets.midstream) {
            Some(most) => format!("{text}; {} {}.", count(most.packets, "packet"), are_of(most)),
            None => format!("{text}."),
        };
    }
    let text = format!("No TCP handshakes in {}", count(packets.total, "packet"));
    match most {
        Some(most) => format!("{text}: {}.", share_of(most, packets.total)),
        None => format!("{text}."),
    }
}

/// The packets of a protocol among all: `997 of them are EtherType 0x8909, which is not decoded`.
fn share_of(undecoded: &Undecoded, total: u64) -> String {
    let share = match undecoded.packets {
        1 if total == 1 => "it".to_owned(),
        all if all == total => "all of them".to_owned(),
        n => format!("{} of them", number(n)),
    };
    format!("{share} {}", are_of(undecoded))
}

/// `are EtherType 0x8909, which is not decoded`, or `are UDP port 53 (DNS)`.
fn are_of(undecoded: &Undecoded) -> String {
    let are = verb(undecoded.packets, "is", "are");
    let because = if undecoded.protocol.name().is_none() { ", which is not decoded" } else { "" };
    format!("{are} {}{because}", wording::protocol(undecoded.protocol))
}
