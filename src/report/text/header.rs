//! The first lines: what was read, the conclusion in one sentence, and what limits it.

use std::io::{self, Write};

use strum::{EnumCount, IntoEnumIterator};

use super::TextStyle;
use super::clock::length;
use super::paint::Emphasis;
use super::words::wrap;
use crate::capture::CaptureInfo;
use crate::engine::{Limit, Summary, Undecoded};
use crate::handshake::{Cause, Reason, Vantage, Verdict};
use crate::listener::Listener;
use crate::packet::{LinkType, Protocol, Skip, Timestamp};
use crate::printable::printable;
use crate::report::wording;
use crate::words::{count, number, verb};

/// Counts of attempts that the header needs beside their verdicts.
#[derive(Clone, Debug, Default)]
pub(super) struct HeaderCounts {
    vantages: [u64; Vantage::COUNT],
    capture_cut: u64,
    one_sided: u64,
    evicted: u64,
}

impl HeaderCounts {
    pub(super) fn add(&mut self, vantage: Option<Vantage>, verdict: Verdict, reason: Option<Reason>) {
        if let Some(vantage) = vantage {
            self.vantages[vantage as usize] += 1;
        }
        match (verdict, reason) {
            (Verdict::Undetermined, Some(Reason::CaptureCut)) => self.capture_cut += 1,
            (Verdict::Undetermined, Some(Reason::OneSided)) => self.one_sided += 1,
            (Verdict::Undetermined, Some(Reason::Evicted)) => self.evicted += 1,
            _ => {}
        }
    }

    /// The capture point, if three in four attempts agree: with hosts at different
    /// distances, no single place is right.
    fn vantage(&self) -> Option<&'static str> {
        let total: u64 = self.vantages.iter().sum();
        let agreed = Vantage::iter()
            .find(|v| self.vantages[*v as usize] > 0 && self.vantages[*v as usize] >= total - total / 4)?;
        Some(match agreed {
            Vantage::Server => "captured near the server",
            Vantage::Client => "captured near the client",
            Vantage::Local => "captured on the host of both ends",
            Vantage::Middle => "captured between client and server",
        })
    }
}

/// The earliest packet time of all captures.
pub(super) fn first(summary: &Summary) -> Option<Timestamp> {
    summary.captures.iter().filter_map(|capture| capture.first).min()
}

/// The input: two lines.
pub(super) fn write_input(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    summary: &Summary,
    counts: &HeaderCounts,
) -> io::Result<()> {
    let name = match summary.captures.as_slice() {
        [one] if one.path == "-" => "standard input".to_owned(),
        [one] => printable(&one.path).into_owned(),
        many => count(many.len() as u64, "capture"),
    };
    let last = summary.captures.iter().filter_map(|capture| capture.last).max();
    let mut facts = format!(
        "{} in {}",
        count(summary.verdicts.total(), "attempt"),
        count(summary.packets.total, "packet")
    );
    if let (Some(first), Some(last)) = (first(summary), last) {
        facts.push_str(&format!(", {}", length(last.since(first))));
    }
    for link in link_types(&summary.captures) {
        facts.push_str(&format!(", {}", link_words(link)));
    }
    for line in wrap(&format!("{name}: {facts}"), style.width, "", "  ") {
        writeln!(out, "{line}")?;
    }
    let context: Vec<String> =
        [first(summary).map(|time| style.clock.date_and_zone(time)), counts.vantage().map(str::to_owned)]
            .into_iter()
            .flatten()
            .collect();
    for line in wrap(&context.join(", "), style.width, "", "  ").iter().filter(|line| !line.is_empty()) {
        writeln!(out, "{}", style.paint.apply(Emphasis::Faint, line))?;
    }
    Ok(())
}

/// The conclusion in one sentence.
pub(super) fn write_conclusion(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    summary: &Summary,
) -> io::Result<()> {
    if let [Listener { cause: Some(_), .. }] = summary.listeners.as_slice() {
        // The only listener's block begins with it.
        return Ok(());
    }
    let (emphasis, text) = conclusion(style, summary);
    for line in wrap(&text, style.width, "", "") {
        writeln!(out, "{}", style.paint.apply(emphasis, &line))?;
    }
    Ok(())
}

fn conclusion(style: &TextStyle<'_>, summary: &Summary) -> (Emphasis, String) {
    let total = summary.verdicts.total();
    let undetermined = summary.verdicts.get(Verdict::Undetermined);
    let bad = style.problems.count(&summary.verdicts);
    if total == 0 {
        return (Emphasis::Warning, no_attempts(summary));
    }
    let full = |listener: &&Listener| listener.cause == Some(Cause::AcceptQueueOverflow);
    let full = summary.listeners.iter().filter(full).count() as u64;
    if bad == 0 && full > 0 {
        let text = format!(
            "No attempt that can be judged went wrong, but by the kernel's count {} overflowed.",
            count(full, "accept queue")
        );
        return (style.cause_emphasis(Some(Cause::AcceptQueueOverflow)), text);
    }
    if bad == 0 && summary.captures.iter().any(|capture| capture.untimed > 0) {
        return (Emphasis::Warning, "Nothing wrong can be seen, but not all packets have a time.".to_owned());
    }
    if bad == 0 {
        let whom = match summary.listeners.as_slice() {
            [Listener { server: Some(server), .. }] => format!(" to {server}"),
            _ => String::new(),
        };
        return if undetermined > 0 {
            let judged = total - undetermined;
            if judged == 0 {
                return (
                    Emphasis::Warning,
                    format!("None of the {} can be judged.", count(total, "attempt")),
                );
            }
            (
                Emphasis::Warning,
                format!("Nothing wrong in the {} that can be judged.", count(judged, "attempt")),
            )
        } else if total == 1 {
            (Emphasis::Good, format!("Nothing wrong: the only attempt{whom} completed."))
        } else {
            (Emphasis::Good, format!("Nothing wrong: all {}{whom} completed.", count(total, "attempt")))
        };
    }
    let noun = if total == 1 { "attempt" } else { "attempts" };
    let share = format!("{} of {} {noun}", number(bad), number(total));
    let (mut emphasis, mut folded, mut places) = (Emphasis::Note, 0, 0);
    for listener in summary.listeners.iter().filter(|l| style.problems.count(&l.verdicts) > 0) {
        places += 1;
        folded += u64::from(listener.server.is_none());
        emphasis = style.graver(emphasis, style.cause_emphasis(listener.cause));
    }
    if emphasis == Emphasis::Note {
        return (emphasis, format!("No attempt failed, but {share} took an unusual course."));
    }
    let place = match (places, summary.listeners.as_slice()) {
        (1, [_]) | (0, _) => String::new(),
        _ if folded == places => ", at servers that are not told apart".to_owned(),
        _ if folded > 0 => format!(", at {} and more", count(places - folded, "server")),
        (_, all) => format!(", at {} of {}", number(places), count(all.len() as u64, "server")),
    };
    (emphasis, format!("{share} went wrong{place}."))
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
    let most = packets.undecoded.first();
    if packets.midstream > 0 {
        let segments = count(packets.midstream, "TCP segment");
        let text = format!(
            "No handshakes: {segments} {} to connections that began before the capture",
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
    format!("{are} {}{because}", protocol_words(undecoded.protocol))
}

/// `UDP port 53 (DNS)`, or the number alone.
fn protocol_words(protocol: Protocol) -> String {
    match protocol.name() {
        Some(name) => format!("{protocol} ({name})"),
        None => protocol.to_string(),
    }
}

/// Limits of the results. One line each; none where there is none.
pub(super) fn write_limits(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    summary: &Summary,
    counts: &HeaderCounts,
) -> io::Result<()> {
    let mut limits: Vec<(&str, String)> =
        summary.limits().iter().map(|limit| (label(limit), wording::limit(limit))).collect();
    limits.extend(undetermined(summary, counts).map(|text| ("unclear", text)));
    for (label, text) in limits {
        style.write_labelled(out, Emphasis::Warning, "", label, &text)?;
    }
    Ok(())
}

fn label(limit: &Limit) -> &'static str {
    match limit {
        Limit::Damaged { .. } => "damaged",
        Limit::NotRead { .. } => "not read",
        Limit::Dropped { .. } => "dropped",
        Limit::Untimed { .. } => "untimed",
        Limit::Truncated { .. } | Limit::Malformed { .. } | Limit::UnsupportedLinkType { .. } => "skipped",
    }
}

fn undetermined(summary: &Summary, counts: &HeaderCounts) -> Option<String> {
    let total = summary.verdicts.get(Verdict::Undetermined);
    let parts: Vec<String> = [
        (counts.capture_cut, "the capture ends too soon"),
        (counts.one_sided, "only one direction is in it"),
        (counts.evicted, "given up to bound memory, see --max-attempts"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, why)| if n == total { why.to_owned() } else { format!("{}: {why}", number(n)) })
    .collect();
    (total > 0).then(|| format!("{} undetermined ({})", count(total, "attempt"), parts.join("; ")))
}

/// The lines that `-v` adds: packets by use, and each capture.
pub(super) fn write_packets(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    summary: &Summary,
) -> io::Result<()> {
    let packets = &summary.packets;
    writeln!(out)?;
    if let [_, _, ..] = summary.captures.as_slice() {
        for (index, capture) in summary.captures.iter().enumerate() {
            style.write_labelled(
                out,
                Emphasis::Strong,
                "",
                &format!("capture {index}"),
                &capture_words(capture),
            )?;
        }
    }
    let mut text = format!("{} in all, {} TCP", number(packets.total), number(packets.tcp));
    match packets.copies {
        0 => {}
        1 => text.push_str(", 1 copy of another"),
        n => text.push_str(&format!(", {} copies of others", number(n))),
    }
    if packets.midstream > 0 {
        text.push_str(&format!(", {} of connections without a handshake here", number(packets.midstream)));
    }
    style.write_labelled(out, Emphasis::Strong, "", "packets", &text)?;
    let skipped: Vec<String> =
        skips(summary).map(|(reason, n)| format!("{} {}", number(n), reason.name())).collect();
    let text = if skipped.is_empty() { "none".to_owned() } else { skipped.join(", ") };
    style.write_labelled(out, Emphasis::Strong, "", "skipped", &text)?;
    if packets.undecoded.is_empty() {
        return Ok(());
    }
    let words = |u: &Undecoded| format!("{} {}", number(u.packets), protocol_words(u.protocol));
    let undecoded: Vec<String> = packets.undecoded.iter().map(words).collect();
    style.write_labelled(out, Emphasis::Strong, "", "not TCP", &undecoded.join(", "))
}

fn capture_words(capture: &CaptureInfo) -> String {
    let mut text = format!("{}: {}", printable(&capture.path), count(capture.packets, "packet"));
    if let (Some(first), Some(last)) = (capture.first, capture.last) {
        text.push_str(&format!(", {}", length(last.since(first))));
    }
    text
}

/// The reasons that occurred, with how often.
fn skips(summary: &Summary) -> impl Iterator<Item = (Skip, u64)> {
    Skip::iter().zip(summary.packets.skipped).filter(|(_, n)| *n > 0)
}

/// The link types of all captures, each once, in order of appearance.
fn link_types(captures: &[CaptureInfo]) -> impl Iterator<Item = LinkType> {
    let mut links: Vec<LinkType> = Vec::new();
    for link in captures.iter().flat_map(|capture| &capture.link_types) {
        if !links.contains(link) {
            links.push(*link);
        }
    }
    links.into_iter()
}

fn link_words(link: LinkType) -> String {
    match link {
        LinkType::ETHERNET => "Ethernet".to_owned(),
        LinkType::LINUX_SLL => "Linux cooked v1".to_owned(),
        LinkType::LINUX_SLL2 => "Linux cooked v2".to_owned(),
        LinkType::NULL | LinkType::LOOP => "loopback".to_owned(),
        LinkType::RAW_12 | LinkType::RAW_14 | LinkType::RAW => "raw IP".to_owned(),
        other => other.to_string(),
    }
}
