//! One block per listener with a problem; the healthy ones in a line.

use std::io::{self, Write};

use strum::IntoEnumIterator;

use super::attempts::schedule;
use super::overview;
use super::paint::Emphasis;
use super::style::TextStyle;
use super::words::{columns, pad, wrap};
use crate::engine::Summary;
use crate::handshake::{Attempt, Cause, Verdict};
use crate::listener::{Diagnosis, Episode, Listener};
use crate::packet::Timestamp;
use crate::report::{display_filter, wording};
use crate::words::{count, number, verb};

/// Blocks written without `--all`: more would push the conclusion off the screen.
const BLOCKS: usize = 10;

/// Writes the blocks, worst first as the summary has them. `listed` are attempts to take an example
/// of a retry schedule from.
pub(super) fn write(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    summary: &Summary,
    listed: &[Attempt],
) -> io::Result<()> {
    let (bad, good): (Vec<&Listener>, Vec<&Listener>) =
        summary.listeners.iter().partition(|listener| listener.is_notable());
    let (alone, folded): (Vec<&Listener>, Vec<&Listener>) =
        bad.iter().partition(|listener| listener.server.is_some());
    overview::write(out, style, &bad)?;
    let blocks = if style.all { alone.len() } else { BLOCKS };
    for (place, listener) in alone.iter().enumerate().take(blocks) {
        write_block(out, style, summary, listener, listed)?;
        write_advice(out, style, listener, alone.get(..place).unwrap_or_default())?;
    }
    let rest = alone.len().saturating_sub(blocks) as u64;
    if rest > 0 {
        let more = format!("... {} more with problems: --all", count(rest, "server"));
        writeln!(out, "\n{}", style.paint.apply(Emphasis::Faint, &more))?;
    }
    // Always shown: it may cover most listeners.
    for listener in folded {
        write_block(out, style, summary, listener, listed)?;
        write_advice(out, style, listener, &[])?;
    }
    if bad.is_empty() && !style.verbose {
        // The conclusion stands in the header already.
        return Ok(());
    }
    write_healthy(out, style, &good)
}

/// Only headline and diagnosis, for `-q`.
pub(super) fn write_quiet(out: &mut impl Write, style: &TextStyle<'_>, summary: &Summary) -> io::Result<()> {
    for listener in &summary.listeners {
        // The kernel may know of an overflow that no attempt shows yet.
        if listener.is_notable() && style.cause_emphasis(listener.cause) != Emphasis::Note {
            write_headline(out, style, listener)?;
            write_diagnosis(out, style, listener)?;
        }
    }
    Ok(())
}

fn write_block(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    summary: &Summary,
    listener: &Listener,
    listed: &[Attempt],
) -> io::Result<()> {
    writeln!(out)?;
    write_headline(out, style, listener)?;
    write_diagnosis(out, style, listener)?;
    writeln!(out)?;
    write_share(out, style, listener)?;
    write_verdicts(out, style, listener, listed)?;
    write_episodes(out, style, &listener.episodes)?;
    if let Some(stall) = &listener.stall {
        let words = format!(
            "{}: the server's first answer came late, {}",
            count(listener.stalled, "connection"),
            wording::by_distribution(stall)
        );
        style.write_labelled(out, Emphasis::Strong, "  ", "stalled", &words)?;
    }
    let listens = wording::listens(listener, &summary.listeners);
    if !listens.is_empty() {
        style.write_labelled(out, Emphasis::Strong, "  ", "listens", &listens)?;
    }
    let mut label = "why";
    for evidence in &listener.evidence {
        style.write_labelled(out, Emphasis::Strong, "  ", label, &wording::listener_evidence(evidence))?;
        label = "";
    }
    for other in listener.causes.iter().filter(|other| Some(other.cause) != listener.cause) {
        let words = wording::other_cause(other);
        style.write_labelled(out, Emphasis::Strong, "  ", "also", &words)?;
    }
    if let Some(words) = wording::without_cause(listener) {
        style.write_labelled(out, Emphasis::Strong, "  ", "also", &words)?;
    }
    let mut label = "not";
    for &(ruled_out, attempts) in &listener.ruled_out {
        style.write_labelled(out, Emphasis::Strong, "  ", label, &wording::ruled_out(ruled_out, attempts))?;
        label = "";
    }
    let clients = wording::clients(&listener.clients);
    if !clients.is_empty() {
        style.write_labelled(out, Emphasis::Strong, "  ", "clients", &clients)?;
    }
    if let Some(size) = &listener.size {
        style.write_labelled(out, Emphasis::Strong, "  ", "size", &wording::size(size))?;
    }
    Ok(())
}

/// The advice, of what one of the blocks `above` has only its server; and what finds the attempts in Wireshark.
fn write_advice(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    listener: &Listener,
    above: &[&Listener],
) -> io::Result<()> {
    for (label, text) in wording::advice_below(listener, above) {
        style.write_labelled(out, Emphasis::Strong, "  ", label, &text)?;
    }
    if let Some(filter) = display_filter::of(listener) {
        let text = format!("{filter}   (Wireshark, tshark -2)");
        style.write_labelled(out, Emphasis::Strong, "  ", "filter", &text)?;
    }
    Ok(())
}

/// `10.9.0.2:7777  ACCEPT QUEUE OVERFLOWS, tcp_abort_on_overflow=0 (likely)`.
fn write_headline(out: &mut impl Write, style: &TextStyle<'_>, listener: &Listener) -> io::Result<()> {
    let headline = wording::full_headline(listener);
    let server = wording::server_name(listener);
    let emphasis = style.cause_emphasis(listener.cause);
    let fits = columns(&server) + 2 + columns(&headline) <= style.width;
    let server = style.paint.apply(Emphasis::Strong, &server);
    if fits {
        return writeln!(out, "{server}  {}", style.paint.apply(emphasis, &headline));
    }
    writeln!(out, "{server}")?;
    for line in wrap(&headline, style.width, "  ", "  ") {
        writeln!(out, "{}", style.paint.apply(emphasis, &line))?;
    }
    Ok(())
}

fn write_diagnosis(out: &mut impl Write, style: &TextStyle<'_>, listener: &Listener) -> io::Result<()> {
    for line in wrap(&wording::diagnosis(listener), style.width, "  ", "  ") {
        writeln!(out, "{}", style.paint.apply(Emphasis::Strong, &line))?;
    }
    Ok(())
}

/// `50 of 60 attempts went wrong, from 01:47:03.112 to 01:47:40.001`.
fn write_share(out: &mut impl Write, style: &TextStyle<'_>, listener: &Listener) -> io::Result<()> {
    let total = listener.verdicts.total();
    let bad = listener.problems();
    let noun = if total == 1 { "attempt" } else { "attempts" };
    let what = match (bad, style.cause_emphasis(listener.cause)) {
        (0, _) => return Ok(()),
        // The diagnosis above has the same numbers.
        (_, _) if listener.diagnosis == Diagnosis::Unexplained => return Ok(()),
        (_, Emphasis::Note) => verb(bad, "was unusual", "were unusual"),
        _ => "went wrong",
    };
    let mut text = format!("{} of {} {noun} {what}", number(bad), number(total));
    if let Some((from, to)) = trouble(listener) {
        let (from, to) = (style.clock.time(from), style.clock.time(to));
        text.push_str(&if from == to { format!(", at {from}") } else { format!(", from {from} to {to}") });
    }
    for line in wrap(&text, style.width, "  ", "    ") {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The time from the first problem of any cause to the last. Episodes of stalls alone are none: their attempts completed.
fn trouble(listener: &Listener) -> Option<(Timestamp, Timestamp)> {
    let of_cause = listener.since.zip(listener.until);
    let is_of_problems = |episode: &&Episode| {
        episode.verdicts.problems() > 0 || episode.cause.is_some_and(Cause::breaks_completed)
    };
    let episodes = listener.episodes.iter().filter(is_of_problems);
    let episodes = episodes.map(|episode| (episode.from, episode.until));
    of_cause.into_iter().chain(episodes).reduce(|(from, to), (start, end)| (from.min(start), to.max(end)))
}

/// A row per episode, where there are several: one is from the first problem to the last.
fn write_episodes(out: &mut impl Write, style: &TextStyle<'_>, episodes: &[Episode]) -> io::Result<()> {
    /// Rows written without `--all`, the latest.
    const ROWS: usize = 6;
    if episodes.len() < 2 {
        return Ok(());
    }
    let left_out = if style.all { 0 } else { episodes.len().saturating_sub(ROWS) };
    let mut label = "episodes";
    for episode in episodes.iter().skip(left_out) {
        let (from, until) = (style.clock.time(episode.from), style.clock.time(episode.until));
        let time = if from == until { format!("at {from}") } else { format!("{from} to {until}") };
        let attempts = match episode.verdicts.total() {
            0 => "counted by the kernel".to_owned(),
            attempts => count(attempts, "attempt"),
        };
        let ongoing = if episode.ongoing { ", may go on" } else { "" };
        let text =
            format!("{time}  {}: {attempts}{ongoing}", wording::episode(episode.cause, episode.confidence));
        style.write_labelled(out, Emphasis::Strong, "  ", label, &text)?;
        label = "";
    }
    if left_out > 0 {
        let more = format!("... {} earlier: --all", number(left_out as u64));
        style.write_labelled(out, Emphasis::Faint, "  ", "", &more)?;
    }
    Ok(())
}

/// A row per verdict: problems first, then the completed and the undetermined.
fn write_verdicts(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    listener: &Listener,
    listed: &[Attempt],
) -> io::Result<()> {
    let (problems, others): (Vec<Verdict>, Vec<Verdict>) = Verdict::iter()
        .filter(|verdict| listener.verdicts.get(*verdict) > 0)
        .partition(|verdict| verdict.is_problem());
    let rows = || problems.iter().chain(&others).copied();
    let counts = rows().map(|v| number(listener.verdicts.get(v)).len()).max().unwrap_or(0);
    let names = rows().map(|v| v.name().len()).max().unwrap_or(0);
    for verdict in rows() {
        let n = number(listener.verdicts.get(verdict));
        let first = format!("    {n:>counts$}  {}  ", pad(verdict.name(), names));
        let rest = " ".repeat(first.len());
        // On a narrow terminal too little is left beside the name.
        let beside = first.len() * 2 <= style.width;
        match meaning(verdict, listener, listed) {
            None => writeln!(out, "{}", first.trim_end())?,
            Some(text) if !beside => {
                writeln!(out, "{}", first.trim_end())?;
                for line in wrap(&text, style.width, "      ", "      ") {
                    writeln!(out, "{line}")?;
                }
            }
            Some(text) => {
                for line in wrap(&text, style.width, &first, &rest) {
                    writeln!(out, "{line}")?;
                }
            }
        }
    }
    Ok(())
}

/// A verdict in words, with how often and when packets were repeated.
fn meaning(verdict: Verdict, listener: &Listener, listed: &[Attempt]) -> Option<String> {
    let words = match verdict {
        Verdict::Completed if listener.broken > 0 => {
            return Some(format!("{} of them broke afterwards", number(listener.broken)));
        }
        Verdict::Completed => return None,
        Verdict::CompletedLate => "completed by a retry",
        Verdict::SynackRetransmitted => "SYN-ACK repeated although the ACK had come",
        Verdict::ResetAfterAck => "RST answered the ACK",
        Verdict::AckIgnored => "ACK and data got no answer",
        Verdict::Refused => "RST answered the SYN",
        Verdict::Unreachable => "an ICMP error answered the SYN",
        Verdict::Unanswered if listener.odd_answers > 0 => "no answer to the SYN that fits",
        Verdict::Unanswered => "nothing answered the SYN",
        Verdict::HalfOpen => "no valid ACK answered SYN-ACK",
        Verdict::ClientReset => "the client answered SYN-ACK with RST",
        Verdict::Undetermined => "the capture cannot say",
    };
    let mut text = words.to_owned();
    if let Some(delay) = listener.delay.filter(|_| verdict == Verdict::CompletedLate) {
        text.push_str(&format!(", late {}", wording::by_distribution(&delay)));
    }
    if let Some(times) = times(verdict, listener) {
        text.push_str(&format!(", {times}"));
    }
    if let Some(example) = example(verdict, listener, listed) {
        text.push_str(&format!(", {example}"));
    }
    Some(text)
}

/// `5 times each`, where the listener's sums are those of one verdict.
fn times(verdict: Verdict, listener: &Listener) -> Option<String> {
    let attempts = listener.verdicts.get(verdict);
    // Retransmissions after the ACK come with two verdicts only: with the other one absent, all are this one's.
    if verdict != Verdict::SynackRetransmitted || listener.verdicts.get(Verdict::ResetAfterAck) > 0 {
        return None;
    }
    let sum = listener.retries.after_ack;
    match (sum.checked_div(attempts)?, sum.checked_rem(attempts)?) {
        (1, 0) => Some("once each".to_owned()),
        (each, 0) => Some(format!("{} times each", number(each))),
        _ => Some(format!("{} times in all", number(sum))),
    }
}

/// `e.g. at 1.01 3.03 7.07 s`, of the listed attempt with the most repeats.
fn example(verdict: Verdict, listener: &Listener, listed: &[Attempt]) -> Option<String> {
    let attempt = listed
        .iter()
        .filter(|attempt| Some(attempt.server) == listener.server && attempt.verdict == verdict)
        .max_by_key(|attempt| (attempt.retry_at.len(), attempt.syn_retry_at.len()))?;
    let (what, times) = schedule(attempt)?;
    Some(match verdict {
        // The words for this verdict name the SYN-ACK already.
        Verdict::SynackRetransmitted => format!("e.g. at {times}"),
        _ => format!("{what} repeated e.g. at {times}"),
    })
}

fn write_healthy(out: &mut impl Write, style: &TextStyle<'_>, good: &[&Listener]) -> io::Result<()> {
    if good.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    if style.verbose {
        let widest = good.iter().map(|listener| wording::server_name(listener).len()).max().unwrap_or(0);
        for listener in good {
            writeln!(out, "{}  {}", pad(&wording::server_name(listener), widest), all_well(listener))?;
        }
        return Ok(());
    }
    let (unjudged, well): (Vec<_>, Vec<_>) = good.iter().copied().partition(|&one| is_unjudged(one));
    for (listeners, what) in [(well, "without problems"), (unjudged, "that cannot be judged")] {
        if !listeners.is_empty() {
            let attempts = listeners.iter().map(|listener| listener.verdicts.total()).sum();
            let servers = count(listeners.len() as u64, "other server");
            writeln!(out, "{servers} {what} ({})", count(attempts, "attempt"))?;
        }
    }
    Ok(())
}

/// True if none of the listener's attempts can be judged.
fn is_unjudged(listener: &Listener) -> bool {
    listener.verdicts.total() == listener.verdicts.get(Verdict::Undetermined)
}

fn all_well(listener: &Listener) -> String {
    let total = count(listener.verdicts.total(), "attempt");
    match listener.verdicts.get(Verdict::Undetermined) {
        0 => format!("{total}, completed"),
        n => format!("{total}, {} undetermined", number(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::Tally;
    use crate::packet::Span;
    use crate::report::samples;

    #[test]
    fn the_time_of_problems_is_that_of_all_causes_and_not_of_stalls() {
        let (summary, _) = samples::overflow_mixed();
        let mut listener = summary.listeners.into_iter().next().unwrap();
        let (since, until) = listener.since.zip(listener.until).unwrap();
        let episode = |verdict, from, until| {
            let mut verdicts = Tally::default();
            verdicts.add(verdict);
            Episode { cause: None, confidence: None, from, until, ongoing: false, verdicts }
        };
        let hour = Span::from_secs(3600);
        listener.episodes = vec![
            episode(Verdict::Completed, since.minus(hour), since),
            episode(Verdict::Unanswered, until, until.plus(hour)),
        ];
        assert_eq!(trouble(&listener), Some((since, until.plus(hour))));
    }
}
