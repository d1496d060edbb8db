//! The sentences below the table: full queues, who waits in them, advice, and what could not be read.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use super::line::{LineTone, QueueLine, labelled};
use super::{QueueRow, Queues, QueuesOptions};
use crate::kernel::{Netns, Owner};
use crate::printable::printable;
use crate::report::wording;
use crate::words::{count, verb};

/// Most full listeners that are explained one by one; the others are in the table. On a screen one stands for all: the
/// table needs the lines.
const EXPLAINED: usize = 3;
const EXPLAINED_ON_SCREEN: usize = 1;

/// Most waiting connections listed for a listener; all are counted.
const MAX_LISTED: usize = 5;

/// Explanations of full queues, with advice, and remarks on what could not be read.
pub(super) fn explanations(queues: &Queues<'_>, options: &QueuesOptions) -> Vec<QueueLine> {
    let explained = if options.screen.is_some() { EXPLAINED_ON_SCREEN } else { EXPLAINED };
    let mut lines = Vec::new();
    for row in queues.rows.iter().filter(|row| row.socket.is_full()).take(explained) {
        lines.push((LineTone::Plain, String::new()));
        lines.extend(title(row, options.width).into_iter().map(|line| (LineTone::Alarm, line)));
        lines.extend(labelled("now", &meaning(row), options.width));
        if !row.waiting.0.is_empty() {
            lines.extend(labelled("wait", &waiting(row, options.verbose), options.width));
        }
        lines.extend(labelled("check", &check(row), options.width));
        lines.extend(labelled("fix", &advice(row), options.width));
    }
    if options.verbose {
        lines.extend(all_waiting(queues, options));
    }
    for note in notes(queues) {
        lines.push((LineTone::Plain, String::new()));
        let wrapped = textwrap::wrap(&note, options.width);
        lines.extend(wrapped.into_iter().map(|line| (LineTone::Plain, line.into_owned())));
    }
    lines
}

/// Of the queues that are not full, whose connections wait.
fn all_waiting(queues: &Queues<'_>, options: &QueuesOptions) -> Vec<QueueLine> {
    let mut lines = Vec::new();
    let mut shown = BTreeSet::new();
    for row in queues.rows.iter().filter(|row| !row.waiting.0.is_empty()) {
        // Once for all sockets of an address, of which the full ones come first.
        if !shown.insert((row.netns.id, row.address())) || row.socket.is_full() {
            continue;
        }
        lines.push((LineTone::Plain, String::new()));
        lines.push((LineTone::Plain, named(row)));
        lines.extend(labelled("wait", &waiting(row, true), options.width));
    }
    lines
}

/// The listener's address, with its namespace where that is not the own one.
fn named(row: &QueueRow<'_>) -> String {
    if row.netns.own { row.address() } else { format!("{} in {}", row.address(), place(row.netns)) }
}

/// `the network namespace of PID 71`, `network namespace blue`.
fn place(netns: &Netns) -> String {
    match (&netns.name, netns.pid) {
        (None, Some(pid)) => format!("the network namespace of PID {pid}"),
        _ => format!("network namespace {netns}"),
    }
}

/// The listener and its trouble, on a line each where one is too short for both.
fn title(row: &QueueRow<'_>, width: usize) -> Vec<String> {
    let name = named(row);
    let trouble = if row.is_one_of_several() {
        let worker = row.worker().map_or_else(String::new, |worker| {
            format!(": worker PID {} ({})", worker.pid, worker.state.name())
        });
        format!("{} OF {} ACCEPT QUEUES FULL{worker}", row.sharing.full, row.sharing.sockets)
    } else {
        "ACCEPT QUEUE FULL".to_owned()
    };
    if name.chars().count() + trouble.chars().count() + 3 > width {
        let options = textwrap::Options::new(width).subsequent_indent("    ");
        let lines = [name, format!("  {trouble}")];
        let wrapped = lines.iter().flat_map(|line| textwrap::wrap(line, &options));
        return wrapped.map(Cow::into_owned).collect();
    }
    vec![format!("{name}   {trouble}")]
}

fn meaning(row: &QueueRow<'_>) -> String {
    let (waiting, limit) = (row.socket.recv_q, limit_of(row));
    let wait = if waiting == 1 { "connection waits" } else { "connections wait" };
    let handshake = match row.watch.latest().sysctls.abort_on_overflow() {
        Some(true) => {
            "tcp_abort_on_overflow=1: handshakes that were under way are reset, after connect() may have succeeded"
        }
        Some(false) => {
            "tcp_abort_on_overflow=0: the last ACK of handshakes that were under way is ignored, while their clients \
             believe that they are connected"
        }
        None => "handshakes that were under way are ignored or reset",
    };
    let clients = if row.is_one_of_several() {
        format!(
            "about {} in {} new clients is hashed to this queue and its SYN gets no answer, while the other sockets of \
             the address serve theirs",
            row.sharing.full, row.sharing.sockets
        )
    } else {
        "SYNs of new clients get no answer".to_owned()
    };
    format!(
        "{waiting} {wait} for accept(), more than the limit of {limit}. {}. {handshake}.",
        sentence(&clients)
    )
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn limit_of(row: &QueueRow<'_>) -> String {
    row.socket.send_q.map_or_else(|| "?".to_owned(), |limit| limit.to_string())
}

/// `17 connections, for 0.3 to 12.5 s; 3 have sent data; 1 was closed by its client`, and the longest of them.
fn waiting(row: &QueueRow<'_>, listed: bool) -> String {
    let (waiting, sockets) = (&row.waiting, row.sharing.sockets);
    let found = waiting.0.len() as u64;
    let mut text = count(found, "connection");
    if sockets > 1 {
        text += &format!(" in {sockets} queues");
    }
    if let (Some(shortest), Some(longest)) = (waiting.shortest(), waiting.longest()) {
        let (shortest, longest) = (seconds(shortest), seconds(longest));
        text += &match shortest == longest {
            true => format!(", for {longest} s"),
            false => format!(", for {shortest} to {longest} s"),
        };
    }
    if waiting.unread() > 0 {
        text += &format!("; {} sent data that nobody reads", waiting.unread());
    }
    if waiting.closed() > 0 {
        let closed = waiting.closed();
        text += &format!(
            "; {closed} {} closed by {}",
            verb(closed, "was", "were"),
            verb(closed, "its client", "their clients")
        );
    }
    // In the queue, and in no table of the kernel.
    if let Some(unlisted @ 1..) = row.sharing.waiting.checked_sub(found) {
        text += &format!(
            "; {unlisted} more, reset by {} or accepted meanwhile",
            verb(unlisted, "its client", "their clients")
        );
    }
    if listed {
        let clients = waiting.longest_first().into_iter().take(MAX_LISTED).map(|waiting| {
            let since = waiting.waited.map_or_else(String::new, |waited| format!(" {} s", seconds(waited)));
            let unread = if waiting.unread > 0 {
                format!(" {}", count(waiting.unread.into(), "byte"))
            } else {
                String::new()
            };
            let closed = if waiting.closed { " closed" } else { "" };
            format!("{}{since}{unread}{closed}", waiting.client)
        });
        text += &format!("; longest: {}", clients.collect::<Vec<_>>().join(", "));
        if waiting.0.len() > MAX_LISTED {
            text += &format!(" and {} more", waiting.0.len() - MAX_LISTED);
        }
    }
    text
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

/// The command that shows the queue, as it must be typed.
fn check(row: &QueueRow<'_>) -> String {
    format!("{}ss -ltnm 'sport = :{}'", row.netns.command_prefix(), row.socket.local.port())
}

fn advice(row: &QueueRow<'_>) -> String {
    let owner = row.owner.and_then(<[Owner]>::first);
    if let Some(words) = owner.and_then(wording::continue_process) {
        return words;
    }
    if row.is_one_of_several() {
        return wording::find_why_one_worker_waits(owner);
    }
    let who = owner.map_or_else(|| "the program".into(), |owner| printable(&owner.command));
    let limit = wording::LimitKnob {
        limit: row.socket.send_q,
        from: row.limit_from,
        somaxconn: row.watch.latest().sysctls.somaxconn,
    };
    let raise = wording::raise_backlog(owner, limit);
    format!("make {who} accept faster; or, if it only falls behind for moments, {raise}.")
}

/// Remarks on earlier drops and on what may not be read.
fn notes(queues: &Queues<'_>) -> Vec<String> {
    let dropped =
        queues.rows.iter().filter(|row| !row.socket.is_full() && row.socket.drops > Some(0)).count();
    let mut notes = Vec::new();
    if dropped > 0 && queues.span().is_none() {
        let who = if dropped == 1 { "1 listener that is" } else { "listeners that are" };
        notes.push(format!(
            "DROPS: {who} not full now counted drops earlier (a SYN is one, an ignored ACK two); a queue that is full for moments \
             does that. `hsanalyze listeners --watch` shows whether it still happens."
        ));
    }
    if queues.rows.iter().any(|row| row.owner.is_none()) {
        let processes = queues.owners.unreadable();
        let plural = if processes == 1 { "" } else { "es" };
        notes.push(format!(
            "OWNER: the files of {processes} process{plural} are not ours to see; run as root (or with CAP_SYS_PTRACE) to name \
             them."
        ));
    }
    let partial = queues.namespaces.iter().filter(|of| !of.complete).count();
    if partial > 0 {
        notes.push(format!(
            "SEND-Q and DROPS of {} may not be read; run as root (or with CAP_SYS_ADMIN) to see them.",
            count(partial as u64, "other network namespace")
        ));
    }
    if queues.unreadable > 0 {
        notes.push(format!(
            "{} could not be read; run as root (or with CAP_SYS_ADMIN).",
            count(queues.unreadable as u64, "network namespace")
        ));
    }
    notes
}
