//! Result of each connect: the client's calls joined to the packets.

use super::{Call, Packets};
use crate::handshake::{Attempt, Cause, Confidence, Verdict};
use crate::packet::{Span, Timestamp};

/// Result of a connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectResult {
    /// `connect()` succeeded, and the server has shown that it has the connection.
    Alive,
    /// `connect()` succeeded, and nothing shows whether the server has the connection: with SYN cookies and a full queue it
    /// has not, and sends nothing.
    Unproven,
    /// `connect()` succeeded although the server reset the handshake.
    DeadReset,
    /// `connect()` succeeded although the server ignored the ACK.
    DeadIgnored,
    /// `connect()` failed.
    Failed,
}

impl ConnectResult {
    /// All, the good one first.
    pub const ALL: [Self; 5] =
        [Self::Alive, Self::Unproven, Self::DeadReset, Self::DeadIgnored, Self::Failed];

    /// The name in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Unproven => "unproven",
            Self::DeadReset => "dead-reset",
            Self::DeadIgnored => "dead-ignored",
            Self::Failed => "failed",
        }
    }

    /// True if `connect()` succeeded and the server had not accepted.
    #[must_use]
    pub const fn is_dead(self) -> bool {
        matches!(self, Self::DeadReset | Self::DeadIgnored)
    }
}

/// A connect joined to its attempt.
#[derive(Debug, Clone, Copy)]
pub struct JoinedCall<'a> {
    /// Results of the client's calls.
    pub call: &'a Call,
    /// Attempt that the packets show; `None` without a capture that has it.
    pub attempt: Option<&'a Attempt>,
}

/// All connects of a race.
#[derive(Debug)]
pub struct Race {
    calls: Vec<Call>,
    packets: Option<Packets>,
}

impl Race {
    /// Joins calls to packets; without packets only the calls count.
    #[must_use]
    pub const fn new(calls: Vec<Call>, packets: Option<Packets>) -> Self {
        Self { calls, packets }
    }

    /// Every connect in order of its start.
    pub fn joined_calls(&self) -> impl Iterator<Item = JoinedCall<'_>> {
        self.calls.iter().map(|call| JoinedCall {
            call,
            attempt: self.packets.as_ref().and_then(|packets| packets.attempt(call)),
        })
    }

    /// The captured packets.
    #[must_use]
    pub const fn packets(&self) -> Option<&Packets> {
        self.packets.as_ref()
    }

    /// Number of connects with `result`.
    #[must_use]
    pub fn count(&self, result: ConnectResult) -> usize {
        self.joined_calls().filter(|joined| joined.result() == result).count()
    }
}

impl JoinedCall<'_> {
    /// Result of the connect, from the client's calls and the packets.
    #[must_use]
    pub fn result(&self) -> ConnectResult {
        if !self.call.succeeded() {
            return ConnectResult::Failed;
        }
        match self.attempt.map(|attempt| (attempt.verdict, attempt.established)) {
            Some((Verdict::ResetAfterAck, _)) => ConnectResult::DeadReset,
            Some((Verdict::SynackRetransmitted | Verdict::AckIgnored, established))
                if established != Some(true) =>
            {
                ConnectResult::DeadIgnored
            }
            // Without packets a reset is the only evidence; one by the application looks the same then.
            None if self.call.death().is_some() => ConnectResult::DeadReset,
            Some((_, Some(true))) => ConnectResult::Alive,
            // An application can reset only a connection that it has accepted.
            Some(_) if self.was_accepted() => ConnectResult::Alive,
            Some(_) | None if self.call.was_answered() => ConnectResult::Alive,
            Some(_) | None => ConnectResult::Unproven,
        }
    }

    /// True if an application had likely accepted it and then reset it.
    fn was_accepted(&self) -> bool {
        let inference = self.attempt.map(|attempt| &attempt.inference);
        inference.is_some_and(|inference| {
            inference.cause == Some(Cause::ApplicationReset)
                && inference.confidence > Some(Confidence::Possible)
        })
    }

    /// Duration of `connect()`.
    #[must_use]
    pub const fn latency(&self) -> Span {
        self.call.returned.since(self.call.started)
    }

    /// From the SYN-ACK to the return of `connect()`.
    #[must_use]
    pub fn wake_up(&self) -> Option<Span> {
        Some(self.call.returned.since(self.syn_ack()?))
    }

    /// From the return of `connect()` to the server's RST; negative when the RST came first.
    #[must_use]
    pub fn margin(&self) -> Option<Span> {
        let attempt = self.attempt.filter(|attempt| attempt.verdict == Verdict::ResetAfterAck)?;
        Some(self.syn_ack()?.plus(attempt.connect.window?).since(self.call.returned))
    }

    fn syn_ack(&self) -> Option<Timestamp> {
        let attempt = self.attempt?;
        Some(attempt.start.plus(attempt.timing.syn_to_synack?))
    }
}
