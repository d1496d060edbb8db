//! What became of each connect: the client's word joined to the packets'.

use super::{Call, Packets};
use crate::handshake::{Attempt, Cause, Confidence, Verdict};
use crate::packet::{Span, Timestamp};

/// What became of a connect.
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

    /// `connect()` said success, and the server had not accepted.
    #[must_use]
    pub const fn is_dead(self) -> bool {
        matches!(self, Self::DeadReset | Self::DeadIgnored)
    }
}

/// One connect with its attempt, where there was a capture that shows it.
#[derive(Debug, Clone, Copy)]
pub struct Runner<'a> {
    /// The client's word.
    pub call: &'a Call,
    /// The packets'.
    pub attempt: Option<&'a Attempt>,
}

/// All connects of a race.
#[derive(Debug)]
pub struct Race {
    calls: Vec<Call>,
    packets: Option<Packets>,
}

impl Race {
    /// Joins calls to packets; without packets, only the client's word counts.
    #[must_use]
    pub const fn new(calls: Vec<Call>, packets: Option<Packets>) -> Self {
        Self { calls, packets }
    }

    /// Every connect in order of its start.
    pub fn runners(&self) -> impl Iterator<Item = Runner<'_>> {
        self.calls.iter().map(|call| Runner {
            call,
            attempt: self.packets.as_ref().and_then(|packets| packets.attempt(call)),
        })
    }

    /// What was captured.
    #[must_use]
    pub const fn packets(&self) -> Option<&Packets> {
        self.packets.as_ref()
    }

    /// How many connects had `fate`.
    #[must_use]
    pub fn count(&self, fate: ConnectResult) -> usize {
        self.runners().filter(|runner| runner.fate() == fate).count()
    }
}

impl Runner<'_> {
    /// What became of it.
    #[must_use]
    pub fn fate(&self) -> ConnectResult {
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
            // Without packets a reset is the only sign; one by the application looks the same then.
            None if self.call.death().is_some() => ConnectResult::DeadReset,
            Some((_, Some(true))) => ConnectResult::Alive,
            // What an application resets it has accepted.
            Some(_) if self.was_accepted() => ConnectResult::Alive,
            Some(_) | None if self.call.was_answered() => ConnectResult::Alive,
            Some(_) | None => ConnectResult::Unproven,
        }
    }

    /// Whether the packets make it likely that an application had accepted it and reset it then.
    fn was_accepted(&self) -> bool {
        let inference = self.attempt.map(|attempt| &attempt.inference);
        inference.is_some_and(|inference| {
            inference.cause == Some(Cause::ApplicationReset)
                && inference.confidence > Some(Confidence::Possible)
        })
    }

    /// How long `connect()` took.
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
