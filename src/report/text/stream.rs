//! Lines of a live capture: one per attempt as it is reported, and one per listener that starts to overflow.

use std::io::{self, Write};

use super::attempts::{cause, connect, retries};
use super::clock::Clock;
use super::paint::{Emphasis, Painter};
use crate::handshake::{Attempt, Cause};
use crate::kernel::KernelStats;
use crate::packet::Timestamp;
use crate::printable::printable;
use crate::report::ReportOptions;
use crate::words::count;

/// Writes lines such as
/// `01:47:03.130  10.9.0.1:35210 > 10.9.0.2:7777  synack-retransmitted, syn-ack 5, accept-queue-overflow (likely); connect() succeeded`.
#[derive(Debug)]
pub struct AttemptLines {
    clock: Clock,
    paint: Painter,
}

impl AttemptLines {
    /// Lines with times of the zone in `options`, and the date where it is not that of `now`.
    #[must_use]
    pub fn new(options: &ReportOptions, now: Timestamp) -> Self {
        let clock = Clock::new(options.zone.clone()).on_day_of(Some(now));
        Self { clock, paint: Painter::new(options.colour) }
    }

    /// The line of a decided attempt.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub fn decided(&self, out: &mut impl Write, attempt: &Attempt) -> io::Result<()> {
        self.line(out, attempt, "")
    }

    /// The line of an attempt that may still change.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub fn provisional(&self, out: &mut impl Write, attempt: &Attempt) -> io::Result<()> {
        self.line(out, attempt, "so far ")
    }

    /// The line of a listener that has begun to overflow by the kernel's own count, whatever the packets show so far.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub fn overflow(&self, out: &mut impl Write, now: Timestamp, word: &KernelStats) -> io::Result<()> {
        let what = self
            .paint
            .apply(super::style::emphasis_of(Some(Cause::AcceptQueueOverflow)), "accept queue overflows");
        let dropped = word.drops.map_or_else(String::new, |n| format!(", {} dropped", count(n, "packet")));
        let limit = word.send_q.map_or_else(String::new, |limit| format!(" where {limit} may"));
        let wait = word.longest_wait.map_or_else(String::new, |wait| format!(" for up to {wait}"));
        writeln!(
            out,
            "{}  {}{}  {what} by the kernel's count (confirmed): {} waiting{limit}{wait}{dropped}",
            self.clock.time(now),
            word.local,
            listener(word),
            word.recv_q,
        )
    }

    fn line(&self, out: &mut impl Write, attempt: &Attempt, so_far: &str) -> io::Result<()> {
        let emphasis = match (attempt.verdict.is_problem(), attempt.inference.cause) {
            (true, cause) => super::style::emphasis_of(cause),
            (false, _) => Emphasis::Good,
        };
        let mut words = vec![self.paint.apply(emphasis, attempt.verdict.name())];
        words.extend(Some(retries(attempt.retries)).filter(|retries| retries != "-"));
        words.extend(cause(attempt));
        writeln!(
            out,
            "{}  {} > {}  {so_far}{}; connect() {}",
            self.clock.time(attempt.start),
            attempt.client,
            attempt.server,
            words.join(", "),
            connect(attempt.connect)
        )
    }
}

/// ` (nginx[71] stopped in docker 3f2a1b0c9d8e, 1 of 4 sockets)`, as far as known.
fn listener(stats: &KernelStats) -> String {
    let mut parts = Vec::new();
    if let Some(owner) = &stats.owner {
        let state = if owner.state.is_halted() { format!(" {}", owner.state.name()) } else { String::new() };
        let container =
            owner.container.as_ref().map_or_else(String::new, |container| format!(" in {container}"));
        parts.push(printable(&format!("{}[{}]{state}{container}", owner.command, owner.pid)).into_owned());
    }
    if !stats.netns.own {
        parts.push(format!("network namespace {}", stats.netns));
    }
    if stats.sockets > 1 {
        parts.push(format!("{} of {} sockets", stats.sockets_full, stats.sockets));
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}
