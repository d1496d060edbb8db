//! Verdicts, reasons, vantage points and `connect()`'s outcomes: closed sets, with their names (DOMAIN §4, §6).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use strum::{EnumCount, EnumIter, EnumString, IntoStaticStr};

use crate::packet::Span;

/// Verdict on an attempt: what its packets show. The order is that of the outputs.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    EnumCount,
    EnumIter,
    EnumString,
    IntoStaticStr,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownVerdict, parse_err_fn = unknown_verdict)]
pub enum Verdict {
    /// The client's ACK was seen at the first try and nothing contradicts it.
    Completed,
    /// The client's ACK was seen, and a retry of the SYN, or a retransmission of the SYN-ACK, was needed.
    CompletedLate,
    /// The server repeated SYN-ACK after an ACK that it should have had by then.
    SynackRetransmitted,
    /// A bare RST from the server answers the client's valid ACK.
    ResetAfterAck,
    /// The client repeated data or FIN and the server never answered.
    AckIgnored,
    /// RST answers the SYN.
    Refused,
    /// An ICMP error quotes the SYN.
    Unreachable,
    /// SYN, and nothing from the server.
    Unanswered,
    /// SYN-ACK, and nothing more from the client.
    HalfOpen,
    /// The client's RST answers the SYN-ACK.
    ClientReset,
    /// The capture does not show it; [`Reason`] has why.
    Undetermined,
}

impl Verdict {
    /// The name in every output and option.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// True if the verdict is a problem: any but `completed` and `undetermined`.
    #[must_use]
    pub const fn is_problem(self) -> bool {
        !matches!(self, Self::Completed | Self::Undetermined)
    }

    /// True if the client's handshake ended well, late or not.
    #[must_use]
    pub const fn is_completed(self) -> bool {
        matches!(self, Self::Completed | Self::CompletedLate)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown verdict '{0}'")]
pub struct UnknownVerdict(pub String);

fn unknown_verdict(name: &str) -> UnknownVerdict {
    UnknownVerdict(name.to_owned())
}

/// Reason why an attempt is `undetermined`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, EnumCount, EnumIter, IntoStaticStr, Serialize, Deserialize,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// The capture ends less than a second after the first packet of the unfinished stage.
    CaptureCut,
    /// Only one direction is in the capture.
    OneSided,
    /// No bare ACK is in the whole capture: it was filtered by flags.
    NoBareAcks,
    /// The attempt was dropped undecided to bound memory.
    Evicted,
}

impl Reason {
    /// The name in every output.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Reason why nothing proves that a completed attempt is established at the server.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, EnumCount, EnumIter, IntoStaticStr, Serialize, Deserialize,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Unproven {
    /// The capture ends before the server's next retransmission would be due.
    CaptureEnds,
    /// The client's data or FIN is not acknowledged.
    DataUnacknowledged,
    /// The listener's queue overflowed at that time.
    ListenerOverflows,
    /// The listener defers accepting, and the period is not over.
    ListenerDefers,
}

impl Unproven {
    /// The name in every output.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Place on the path where the capture was taken (DOMAIN §5).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, EnumCount, EnumIter, IntoStaticStr, Serialize, Deserialize,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Vantage {
    /// Near the server: its answers come much sooner than the client's.
    Server,
    /// Near the client.
    Client,
    /// Both ends on the capturing host.
    Local,
    /// Somewhere between.
    Middle,
}

impl Vantage {
    /// The place that the server-side round trip and the client's show, of a connection between these addresses: near the end
    /// whose round trip is much the shorter. Both ends are on one host where the addresses say so: racks have round trips of
    /// 20 µs, too. `None` where a round trip is unknown, or packets have no time at all.
    pub(super) fn by_round_trips(
        server: Option<Span>,
        client: Option<Span>,
        ends: [IpAddr; 2],
    ) -> Option<Self> {
        /// "Much shorter" is a quarter.
        const MUCH: i64 = 4;
        let in_order = |span: Option<Span>| span.filter(|&span| span >= Span::ZERO);
        let (server, client) = (in_order(server)?, in_order(client)?);
        let [one, other] = ends;
        if server == Span::ZERO && client == Span::ZERO {
            None
        } else if one == other || one.is_loopback() && other.is_loopback() {
            Some(Self::Local)
        } else if server.scaled(MUCH, 1) <= client {
            Some(Self::Server)
        } else if client.scaled(MUCH, 1) <= server {
            Some(Self::Client)
        } else {
            Some(Self::Middle)
        }
    }

    /// True near the server, or on its host: packets in the capture have reached the server, or come from it.
    #[must_use]
    pub const fn is_near_server(self) -> bool {
        matches!(self, Self::Server | Self::Local)
    }

    /// The name in every output.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Result of the client's `connect()` (DOMAIN §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// The outcome of the call.
    pub outcome: ConnectOutcome,
    /// The error, where the outcome is `failed`.
    pub errno: Option<Errno>,
    /// Time between SYN-ACK and RST at the client, where the outcome is `raced`.
    pub window: Option<Span>,
}

/// Outcome of a `connect()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "kebab-case")]
pub enum ConnectOutcome {
    /// The call returned 0.
    Succeeded,
    /// The call failed with an errno.
    Failed,
    /// Success or ECONNRESET, decided by the scheduler.
    Raced,
    /// Not ended when the capture did.
    Pending,
    /// The packets do not show it.
    Unknown,
}

impl ConnectOutcome {
    /// The name in every output.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The errors a `connect()` can end with, by name: numbers differ between systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "UPPERCASE")]
#[expect(missing_docs, reason = "they are errno's own names")]
pub enum Errno {
    Econnrefused,
    Ehostdown,
    Ehostunreach,
    Enetunreach,
    Enonet,
    Enoprotoopt,
    Eopnotsupp,
    Eacces,
    Eproto,
    Etimedout,
}

impl Errno {
    /// The name as in `errno.h`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}
