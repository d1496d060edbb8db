//! The parts of the page that need no script: conclusion, diagnosis, listeners, charts, and the frame of the rest.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::figures::{Figures, TimeBins};
use super::{charts, policy};
use crate::engine::Summary;
use crate::handshake::Cause;
use crate::listener::Listener;
use crate::printable::printable;
use crate::report::MAX_LISTED;
use crate::report::text::{Emphasis, TextStyle, length};
use crate::report::{TOOL, wording};
use crate::words::{count, number};

/// Servers with problems whose diagnosis is shown in full.
const CARDS: usize = 20;

/// Rows of the table of servers.
const SERVERS: usize = 500;

/// Everything that the parts before the data are made from.
pub(super) struct Page<'a> {
    pub(super) style: &'a TextStyle<'a>,
    pub(super) summary: &'a Summary,
    pub(super) conclusion: (Emphasis, &'a str),
    pub(super) vantage: Option<String>,
    pub(super) figures: &'a Figures,
    pub(super) listed: usize,
    /// The user chose the attempts to list by verdict or cause.
    pub(super) is_restricted: bool,
    pub(super) left_out: u64,
}

/// The end of the page.
pub(super) fn after_data() -> Markup {
    html! {
        (PreEscaped("</script>\n<script>"))
        (PreEscaped(policy::SCRIPT))
        (PreEscaped("</script>\n</body>\n</html>\n"))
    }
}

impl Page<'_> {
    /// The page up to the place of its data.
    pub(super) fn before_data(&self) -> Markup {
        html! {
            (DOCTYPE)
            (PreEscaped("<html lang=\"en\">\n"))
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy::policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(TOOL);
                title { (self.title()) }
                style { (PreEscaped(policy::STYLE)) }
            }
            (PreEscaped("<body>\n"))
            a.skip href="#attempts-heading" { "To the attempts" }
            header.page {
                div { h1 { (self.title()) } p.facts { (self.facts()) } }
                button #theme .plain .scripted type="button" hidden { "Light or dark" }
            }
            main.page {
                (self.conclusion())
                (self.diagnoses())
                (self.timeline())
                (self.servers())
                (self.charts())
                (self.attempts())
                (self.footer())
            }
            (attempt_dialog())
            (PreEscaped("<script type=\"application/json\" id=\"data\">"))
        }
    }

    fn title(&self) -> String {
        match self.summary.captures.as_slice() {
            [one] if one.path == "-" => "TCP connection attempts in standard input".to_owned(),
            [one] => format!("TCP connection attempts in {}", printable(&one.path)),
            many => format!("TCP connection attempts in {}", count(many.len() as u64, "capture")),
        }
    }

    fn facts(&self) -> String {
        let captures = &self.summary.captures;
        let first = captures.iter().filter_map(|capture| capture.first).min();
        let last = captures.iter().filter_map(|capture| capture.last).max();
        let mut facts = vec![
            count(self.summary.verdicts.total(), "attempt"),
            count(self.summary.packets.total, "packet"),
        ];
        facts.extend(first.zip(last).map(|(first, last)| length(last.since(first))));
        facts.extend(first.map(|first| format!("from {}", self.style.clock.date_and_zone(first))));
        facts.extend(self.vantage.clone());
        facts.join(" · ")
    }

    fn conclusion(&self) -> Markup {
        let (emphasis, sentence) = self.conclusion;
        let limits = self.summary.limits();
        html! {
            p class=(format!("verdictline tone-{}", tone(emphasis))) { (sentence) }
            @if !limits.is_empty() {
                section.limits aria-label="Limits of the capture" {
                    h2.sr { "Limits of the capture" }
                    ul { @for limit in &limits { li { (wording::limit(limit)) } } }
                }
            }
        }
    }

    fn diagnoses(&self) -> Markup {
        let notable: Vec<&Listener> =
            self.summary.listeners.iter().filter(|listener| listener.is_notable()).collect();
        html! {
            @if !notable.is_empty() {
                section aria-labelledby="diagnosis" {
                    h2 #diagnosis .sr { "Diagnosis" }
                    @for (place, listener) in notable.iter().enumerate().take(CARDS) {
                        (self.card(listener, notable.get(..place).unwrap_or_default()))
                    }
                    @if notable.len() > CARDS {
                        p.soft { (count((notable.len() - CARDS) as u64, "more server")) " with problems: see the table below." }
                    }
                }
            }
        }
    }

    /// A listener with a problem, below those `above`, whose advice is not given again.
    fn card(&self, listener: &Listener, above: &[&Listener]) -> Markup {
        let tone = tone(self.style.cause_emphasis(listener.cause));
        html! {
            article class=(format!("card {tone}")) {
                h3 {
                    span.mono { (wording::server_name(listener)) }
                    span class=(format!("headline tone-{tone}")) { (wording::full_headline(listener)) }
                }
                p { b { (wording::diagnosis(listener)) } }
                div.columns {
                    (self.card_figures(listener))
                    @if !listener.advice.is_empty() {
                        div.todo {
                            h4 { "What to do" }
                            ul { @for (label, advice) in wording::advice_below(listener, above) {
                                li { (label) ": " (command(&advice)) }
                            } }
                        }
                    }
                }
                (reasons(listener))
            }
        }
    }

    fn card_figures(&self, listener: &Listener) -> Markup {
        let clock = self.style.clock;
        let clients = wording::clients(&listener.clients);
        let listens = wording::listens(listener, &self.summary.listeners);
        let size = listener.size.as_ref();
        let is_overflow = listener.cause == Some(Cause::AcceptQueueOverflow);
        html! {
            dl.figures {
                @if let Some((since, until)) = listener.since.zip(listener.until) {
                    dt { "Since" } dd { (clock.time(since)) ", to " (clock.time(until)) }
                }
                @if let Some(confidence) = listener.confidence {
                    dt { "How sure" } dd { (wording::confidence(confidence)) }
                }
                dt { "Attempts" }
                dd {
                    (number(listener.verdicts.total())) ", of which " (number(listener.failed)) " failed and "
                    (number(listener.late)) " were late"
                }
                @if !listens.is_empty() { dt { "Listens" } dd { (listens) } }
                @if !clients.is_empty() { dt { "Clients" } dd { (clients) } }
                @if let Some(size) = size {
                    dt { "Queue size" } dd { (wording::size(size)) }
                } @else if is_overflow {
                    dt { "Queue size" } dd { "the packets do not show how large it should be" }
                }
                @if listener.episodes.len() > 1 {
                    dt { "Episodes" }
                    dd { (count(listener.episodes.len() as u64, "episode")) ", marked in the timeline" }
                }
                @for other in listener.causes.iter().filter(|other| Some(other.cause) != listener.cause) {
                    dt { "Also" } dd { (wording::other_cause(other)) }
                }
                @if let Some(words) = wording::without_cause(listener) { dt { "Also" } dd { (words) } }
                @if let Some(filter) = crate::report::display_filter::of(listener) {
                    dt { "Wireshark" } dd { code { (filter) } }
                }
            }
        }
    }

    fn timeline(&self) -> Markup {
        let has_episodes = self.summary.listeners.iter().any(|listener| !listener.episodes.is_empty());
        html! {
            section aria-labelledby="timeline-heading" {
                h2 #timeline-heading { "Attempts over time" }
                @if self.is_restricted {
                    p.limits {
                        "The timeline and the table below have only the attempts with the verdicts and causes that were asked for ("
                        code { "--verdict" } ", " code { "--cause" } "); the counts, servers and other charts are of all."
                    }
                }
                noscript { p { "The timeline, and the table of attempts, need JavaScript. Everything else on this page does without." } }
                div.scripted hidden {
                    fieldset #verdicts { legend.sr { "Verdicts to show" } }
                    div.controls {
                        button #zoom-in .plain type="button" { "Zoom in" }
                        button #zoom-out .plain type="button" { "Zoom out" }
                        button #earlier .plain type="button" { "Earlier" }
                        button #later .plain type="button" { "Later" }
                        button #zoom-all .plain type="button" { "All" }
                        span #most .soft {}
                    }
                    div #timeline-box .timeline role="group" tabindex="0"
                        aria-label="Timeline. Arrow keys move, plus and minus zoom, Home shows all; drag to choose a time." {
                        (PreEscaped("<svg id=\"timeline\" viewBox=\"0 0 1000 170\" preserveAspectRatio=\"none\" aria-hidden=\"true\"></svg>"))
                        div #ticks .ticks aria-hidden="true" {}
                    }
                    p.soft {
                        span.by-hand { "Drag across the timeline to choose a time; the table below follows." }
                        @if has_episodes { " Shaded: episodes, stretches in which a server had one kind of trouble." }
                    }
                }
            }
        }
    }

    fn servers(&self) -> Markup {
        let listeners = &self.summary.listeners;
        html! {
            section aria-labelledby="servers-heading" {
                h2 #servers-heading { "Servers" }
                div.scroll role="region" aria-label="Table of servers" tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { "Server" } th.number scope="col" { "Attempts" } th.number scope="col" { "Failed" }
                            th.number scope="col" { "Late" } th scope="col" { "Cause" }
                            th.optional scope="col" { "Since" } th.number.optional scope="col" { "Connect p50" }
                            th.number.optional scope="col" { "p99" } th.number.optional scope="col" { "Longest delay" }
                        } }
                        tbody { @for listener in listeners.iter().take(SERVERS) { (self.server_row(listener)) } }
                    }
                }
                @if listeners.len() > SERVERS {
                    p.soft { (count((listeners.len() - SERVERS) as u64, "more server")) ", without worse problems than these: " code { "--format json" } " lists all." }
                }
            }
        }
    }

    fn server_row(&self, listener: &Listener) -> Markup {
        let span =
            |span: Option<crate::packet::Span>| span.map_or_else(|| "–".to_owned(), |span| span.to_string());
        let cause = match (listener.cause, listener.confidence) {
            (Some(cause), Some(confidence)) => format!("{} ({})", wording::noun(cause), confidence.name()),
            _ if listener.is_notable() => "none found".to_owned(),
            _ => "–".to_owned(),
        };
        html! {
            tr {
                th.mono scope="row" { (wording::server_name(listener)) }
                td.number { (number(listener.verdicts.total())) }
                td.number { (number(listener.failed)) }
                td.number { (number(listener.late)) }
                td { (cause) }
                td.time.optional { (listener.since.map_or_else(|| "–".to_owned(), |since| self.style.clock.time(since))) }
                td.number.optional { (span(listener.connect_time.map(|times| times.p50))) }
                td.number.optional { (span(listener.connect_time.map(|times| times.p99))) }
                td.number.optional { (span(listener.delay.map(|times| times.max))) }
            }
        }
    }

    fn charts(&self) -> Markup {
        let figures = self.figures;
        let queues = self.summary.listeners.iter().filter_map(|listener| {
            let size = listener.size.as_ref()?;
            let chart = charts::queue(size.series.as_ref()?, size.limit)?;
            Some((listener, size, chart))
        });
        let queues: Vec<_> = queues.take(CARDS).collect();
        html! {
            section aria-labelledby="charts-heading" {
                h2 #charts-heading { "Times" }
                div.charts {
                    @for (listener, size, chart) in &queues {
                        figure {
                            figcaption { b { "Queue of " (wording::server_name(listener)) } (wording::size_answer(size)) }
                            (PreEscaped(chart))
                            div.key {
                                span.s1 { "— " span { "connections that would wait if none were turned away" } }
                                @if let Some(limit) = size.limit {
                                    span.s2 { "— " span { "limit of the queue, " @if !limit.known { "about " } (number(limit.value.into())) } }
                                }
                                @if let Some(series) = &size.series {
                                    span { "0 s is " (self.style.clock.time(series.from)) }
                                }
                            }
                        }
                    }
                    @if let Some(chart) = charts::schedule(&figures.retransmissions) {
                        figure {
                            figcaption {
                                b { "SYN-ACK retransmissions" }
                                "Time since the first SYN-ACK, by number, and the times of a Linux kernel's timer."
                                @if figures.not_plotted > 0 { " " (number(figures.not_plotted)) " more are not drawn." }
                            }
                            (PreEscaped(chart))
                            div.key { span.s1 { "○ " span { "seen" } } span.s2 { "× " span { "Linux's schedule: 1, 3, 7, 15, 31 s" } } }
                        }
                    }
                    (times("Connect time", "From the first SYN to the SYN-ACK that the client took.", &figures.connect))
                    (times("Delay", "The part of the connect time that retries cost, where they cost any.", &figures.delay))
                }
            }
        }
    }

    fn attempts(&self) -> Markup {
        let columns = [
            (0, "Start", ""),
            (1, "Client", ""),
            (2, "Server", "optional"),
            (3, "Verdict", ""),
            (4, "Cause", "optional"),
            (6, "Retries", "optional"),
            (7, "Connect time", "number optional"),
            (9, "connect()", "optional"),
        ];
        html! {
            section aria-labelledby="attempts-heading" {
                h2 #attempts-heading tabindex="-1" { "Attempts" }
                @if self.left_out > 0 {
                    p.limits {
                        "The page lists " (number(self.listed as u64)) " attempts and leaves out " (number(self.left_out))
                        ", completed ones first. It shows at most " (number(MAX_LISTED as u64))
                        "; the counts, servers and charts above are of all. " code { "--format json" } " lists all."
                    }
                }
                div.scripted hidden {
                    div.controls {
                        label for="search" { "Search" } input #search type="search" autocomplete="off" spellcheck="false" placeholder="address, verdict, cause";
                        label for="server" { "Server" } select #server { option value="-1" { "all" } }
                    }
                    p #status .soft role="status" {}
                    div.scroll role="region" aria-label="Table of attempts" tabindex="0" {
                        table #attempts-table {
                            thead { tr { @for (column, name, class) in columns {
                                th class=(class) scope="col" data-sort=(column) { button type="button" { (name) } }
                            } } }
                            tbody #rows {}
                        }
                    }
                    div.controls {
                        button #previous .plain type="button" { "Previous" }
                        button #next .plain type="button" { "Next" }
                        span.soft { "A click on an attempt shows its messages." }
                    }
                }
            }
        }
    }

    fn footer(&self) -> Markup {
        let packets = &self.summary.packets;
        html! {
            footer {
                p {
                    (count(packets.total, "packet")) ", " (number(packets.tcp)) " of TCP, "
                    (number(packets.midstream)) " of connections whose SYNs are not in the capture."
                    @if self.summary.captures.len() > 1 {
                        " Captures: "
                        @for (place, capture) in self.summary.captures.iter().enumerate() {
                            @if place > 0 { ", " } (printable(&capture.path))
                        }
                    }
                }
                p { "Written by " (TOOL) ". The page loads nothing from any network." }
            }
        }
    }
}

fn reasons(listener: &Listener) -> Markup {
    html! {
        @if !listener.evidence.is_empty() || !listener.ruled_out.is_empty() {
            details open {
                summary { "Why, and what it is not" }
                div.columns {
                    @if !listener.evidence.is_empty() {
                        div { h4 { "Why" } ul { @for evidence in &listener.evidence { li { (wording::listener_evidence(evidence)) } } } }
                    }
                    @if !listener.ruled_out.is_empty() {
                        div { h4 { "What it is not" } ul { @for &(other, attempts) in &listener.ruled_out { li { (wording::ruled_out(other, attempts)) } } } }
                    }
                }
            }
        }
    }
}

fn times(title: &str, meaning: &str, histogram: &TimeBins) -> Markup {
    html! {
        @if let Some(chart) = charts::histogram(histogram) {
            figure {
                figcaption { b { (title) } (meaning) " " (count(histogram.total(), "attempt")) "." }
                (PreEscaped(chart))
                details {
                    summary { "As a table" }
                    table {
                        thead { tr { th scope="col" { "Up to" } th.number scope="col" { "Attempts" } } }
                        tbody { @for (edge, count) in histogram.bins() { tr {
                            td { (edge.map_or_else(|| "longer".to_owned(), |edge| edge.to_string())) }
                            td.number { (number(count)) }
                        } } }
                    }
                }
            }
        }
    }
}

/// A command that can be typed is set as code, up to its note.
fn command(advice: &str) -> Markup {
    match advice.split_once("   ") {
        Some((command, note)) => html! { code { (command) } " " (note) },
        None if advice.starts_with("nstat") || advice.starts_with("ss ") => html! { code { (advice) } },
        None => html! { (advice) },
    }
}

fn attempt_dialog() -> Markup {
    html! {
        dialog #attempt aria-labelledby="attempt-title" {
            div.dialog-head { h2 #attempt-title .mono {} button #close .plain type="button" { "Close" } }
            div #attempt-body .dialog-body tabindex="0" role="region" aria-label="Messages of the attempt" {}
        }
    }
}

const fn tone(emphasis: Emphasis) -> &'static str {
    match emphasis {
        Emphasis::Alarm => "alarm",
        Emphasis::Warning => "warning",
        Emphasis::Note | Emphasis::Strong | Emphasis::Faint => "note",
        Emphasis::Good => "good",
    }
}
