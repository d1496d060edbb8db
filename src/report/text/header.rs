//! The first lines: what was read, and what that cannot support.

use std::io::{self, Write};

use strum::{EnumCount, IntoEnumIterator};

use super::clock::length;
use super::paint::Emphasis;
use super::style::TextStyle;
use super::vantages::VantageCounts;
use super::words::wrap;
use crate::capture::CaptureInfo;
use crate::engine::{Limit, Summary, Undecoded};
use crate::handshake::{Attempt, Fact, Reason, Unproven, Verdict};
use crate::packet::{LinkType, Skip, Span, Timestamp};
use crate::printable::printable;
use crate::report::wording;
use crate::words::{count, number};

/// Counts of attempts that the header needs beside their verdicts.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct HeaderCounts {
    vantages: VantageCounts,
    capture_cut: u64,
    one_sided: u64,
    evicted: u64,
    no_bare_acks: u64,
    /// Completed attempts that nothing proves, by why, and the longest time from one's last packet to the capture's
    /// end.
    unproven: [u64; Unproven::COUNT],
    silence: Span,
    /// The shortest and the longest delay of those that connected late.
    delays: Option<(Span, Span)>,
    /// Attempts to which the server was late after the ACK, and the longest time of that.
    stalls: u64,
    longest_stall: Span,
    /// Attempts that took long to connect without a retry, and the longest time of that.
    slow: u64,
    slowest: Span,
    /// Attempts whose packets do not show whether they connected late.
    unclear: u64,
    /// Completed attempts that were reset before the server had sent anything.
    reset: u64,
}

/// Shortest connect time that counts as slow even without a retry: a client's first retry is due by then (RFC 6298
/// §2.1).
const MIN_SLOW: Span = Span::from_secs(1);

impl HeaderCounts {
    pub(in crate::report) fn add(&mut self, attempt: &Attempt) {
        self.vantages.add(attempt);
        if !attempt.verdict.is_completed() && attempt.reason.is_none() && attempt.timing.stall.is_none() {
            // All else is of those that connected, were stalled, or have a reason.
            return;
        }
        if let Some(unproven) = attempt.unproven {
            self.unproven[unproven as usize] += 1;
            self.silence = self.silence.max(attempt.silence.unwrap_or(Span::ZERO));
        }
        if let Some(delay) = attempt.timing.delay.filter(|_| attempt.verdict == Verdict::CompletedLate) {
            let (least, most) = self.delays.unwrap_or((delay, delay));
            self.delays = Some((least.min(delay), most.max(delay)));
        }
        if let Some(stall) = attempt.timing.stall {
            self.stalls += 1;
            self.longest_stall = self.longest_stall.max(stall);
        }
        let connect = attempt.timing.connect.filter(|&connect| connect >= MIN_SLOW);
        if let Some(connect) = connect.filter(|_| attempt.verdict == Verdict::Completed) {
            self.slow += 1;
            self.slowest = self.slowest.max(connect);
        }
        self.unclear += u64::from(attempt.is_delay_unclear());
        let is_reset = attempt.verdict.is_completed() && attempt.facts.has(Fact::ApplicationReset);
        self.reset += u64::from(is_reset);
        match (attempt.verdict, attempt.reason) {
            (Verdict::Undetermined, Some(Reason::CaptureCut)) => self.capture_cut += 1,
            (Verdict::Undetermined, Some(Reason::OneSided)) => self.one_sided += 1,
            (Verdict::Undetermined, Some(Reason::NoBareAcks)) => self.no_bare_acks += 1,
            (Verdict::Undetermined, Some(Reason::Evicted)) => self.evicted += 1,
            _ => {}
        }
    }

    /// Reasons why completed attempts are unproven, each with the number of attempts.
    pub(super) fn unproven(&self) -> impl Iterator<Item = (Unproven, u64)> {
        Unproven::iter().zip(self.unproven).filter(|&(_, n)| n > 0)
    }

    /// The longest time from an unproven attempt's last packet to the capture's end.
    pub(super) fn silence(&self) -> Span {
        self.silence
    }

    /// The shortest and the longest delay of the attempts that connected late.
    pub(super) fn delays(&self) -> Option<(Span, Span)> {
        self.delays
    }

    /// Attempts to which the server was late after the ACK, if there are any, and the longest time of that.
    pub(super) fn stalls(&self) -> Option<(u64, Span)> {
        (self.stalls > 0).then_some((self.stalls, self.longest_stall))
    }

    /// Attempts that took long to connect without a retry, if there are any, and the longest time of that.
    pub(super) fn slow(&self) -> Option<(u64, Span)> {
        (self.slow > 0).then_some((self.slow, self.slowest))
    }

    /// Attempts whose packets do not show whether they connected late.
    pub(super) fn unclear(&self) -> u64 {
        self.unclear
    }

    /// Completed attempts that were reset before the server had sent anything: by it, or by something on the way.
    pub(super) fn reset(&self) -> u64 {
        self.reset
    }

    /// Place of the capture, as most attempts show it.
    pub(in crate::report) fn vantage(&self) -> Option<String> {
        self.vantages.words()
    }
}

/// The earliest packet time of all captures.
pub(in crate::report) fn first(summary: &Summary) -> Option<Timestamp> {
    summary.captures.iter().filter_map(|capture| capture.first).min()
}

/// The input: two lines.
pub(super) fn write_input(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    summary: &Summary,
    counts: &HeaderCounts,
) -> io::Result<()> {
    for line in wrap(&input_facts(summary), style.width, "", "  ") {
        writeln!(out, "{line}")?;
    }
    let context: Vec<String> = [first(summary).map(|time| style.clock.date_and_zone(time)), counts.vantage()]
        .into_iter()
        .flatten()
        .collect();
    for line in wrap(&context.join(", "), style.width, "", "  ").iter().filter(|line| !line.is_empty()) {
        writeln!(out, "{}", style.paint.apply(Emphasis::Faint, line))?;
    }
    Ok(())
}

/// `server.pcap: 60 attempts in 574 packets, 40.3 s, Ethernet`.
pub(in crate::report) fn input_facts(summary: &Summary) -> String {
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
    format!("{name}: {facts}")
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
        Limit::NoBareAcks { .. } | Limit::OneDirection { .. } | Limit::Gaps { .. } => "incomplete",
        Limit::NoClock { .. } | Limit::CoarseClock | Limit::ClockJumps { .. } | Limit::TwoClocks { .. } => {
            "clock"
        }
        Limit::ClockCorrected { .. } | Limit::ClockUnknown { .. } | Limit::NotCompared { .. } => "clock",
        Limit::TwoPoints { .. } | Limit::Renumbered { .. } | Limit::AnsweredBetween { .. } => "points",
        Limit::NotDecoded { .. } => "not decoded",
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
        (counts.no_bare_acks, "no bare ACK is in it"),
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
    let words = |u: &Undecoded| format!("{} {}", number(u.packets), wording::protocol(u.protocol));
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
