//! Clients whose attempts overflowed a listener's queue, by what `connect()` returned to them.

use super::schedule::has_run_out;
use crate::handshake::{Attempt, Confidence, ConnectOutcome, Inference, Verdict};
use crate::packet::Span;

/// Counts of clients. One client is one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clients {
    /// `connect()` succeeded, and the server has no connection.
    pub believe_connected: u64,
    /// `connect()` succeeded, and the packets do not show whether the server has the connection.
    pub unsure: u64,
    /// Reset just after, or while, `connect()` returned.
    pub reset: u64,
    /// Accepted by the server in the end.
    pub late: u64,
    /// Still in `connect()` when the capture ended.
    pub waiting: u64,
    /// `connect()` failed, having waited in vain.
    pub timed_out: u64,
    /// Shortest and longest time between SYN-ACK and RST at those that were reset, where the packets show it.
    pub reset_after: Option<(Span, Span)>,
}

impl Clients {
    /// Adds an attempt that overflowed.
    pub(super) fn add(&mut self, attempt: &Attempt, inference: &Inference) {
        let accepted = attempt.established == Some(true) || attempt.verdict == Verdict::CompletedLate;
        self.late += u64::from(accepted);
        match attempt.connect.outcome {
            // The RST has reached the client.
            ConnectOutcome::Succeeded if accepted || attempt.was_reset() => {}
            ConnectOutcome::Succeeded if may_be_accepted(attempt, inference) => self.unsure += 1,
            ConnectOutcome::Succeeded => self.believe_connected += 1,
            ConnectOutcome::Raced => self.reset += 1,
            ConnectOutcome::Pending => self.waiting += 1,
            ConnectOutcome::Failed => self.timed_out += 1,
            ConnectOutcome::Unknown => {}
        }
        if let Some(window) = attempt.connect.window {
            let (least, most) = self.reset_after.unwrap_or((window, window));
            self.reset_after = Some((least.min(window), most.max(window)));
        }
    }
}

/// True if the server may have the connection although no captured segment shows it: the overflow is only `possible`,
/// or one ACK was ignored and the next one, which answers the repeated SYN-ACK, may have been accepted.
fn may_be_accepted(attempt: &Attempt, inference: &Inference) -> bool {
    let once = attempt.verdict == Verdict::SynackRetransmitted && attempt.retries.after_ack == 1;
    inference.confidence == Some(Confidence::Possible) || once && !has_run_out(attempt)
}
