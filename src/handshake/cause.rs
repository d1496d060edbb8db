//! What a verdict means: causes, confidence and evidence (DOMAIN §5).

use std::fmt;

/// An inference from packets, and from the kernel where it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inference {
    /// `None` when there is nothing to infer.
    pub cause: Option<Cause>,
    /// What `net.ipv4.tcp_abort_on_overflow` must be, where the cause is an overflow that shows it.
    pub abort_on_overflow: Option<bool>,
    /// How sure; `None` exactly when `cause` is.
    pub confidence: Option<Confidence>,
    /// Why, and what else it could be.
    pub evidence: Vec<Evidence>,
}

/// What made an attempt fail, stall or lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The listener's accept queue was full.
    AcceptQueueOverflow,
    /// `TCP_DEFER_ACCEPT` made the listener ignore the bare ACK on purpose.
    DeferAccept,
    /// Something on the path answered the ACK with RST.
    FirewallReset,
    /// Nothing listens there.
    PortClosed,
    /// The host cannot be reached.
    HostUnreachable,
    /// Something drops or rejects the packets.
    Filtered,
    /// Many handshakes are begun and never finished.
    SynFlood,
    /// Many ports or many sources are probed and reset.
    SynScan,
    /// The application reset an accepted connection.
    ApplicationReset,
}

impl Cause {
    /// The name in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcceptQueueOverflow => "accept-queue-overflow",
            Self::DeferAccept => "defer-accept",
            Self::FirewallReset => "firewall-reset",
            Self::PortClosed => "port-closed",
            Self::HostUnreachable => "host-unreachable",
            Self::Filtered => "filtered",
            Self::SynFlood => "syn-flood",
            Self::SynScan => "syn-scan",
            Self::ApplicationReset => "application-reset",
        }
    }
}

/// How sure an inference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confidence {
    /// The packets leave a common alternative.
    Possible,
    /// The packets leave no common alternative.
    Likely,
    /// The kernel said so.
    Confirmed,
}

impl Confidence {
    /// The name in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Confirmed => "confirmed",
        }
    }
}

/// One reason for an inference, or one doubt about it. Its `Display` is a clause without a full stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// Placeholder until the inference lands.
    None,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
        }
    }
}
