//! Stretches of trouble.

use std::net::IpAddr;

use strum::IntoStaticStr;

use super::tally::Tally;
use crate::handshake::{Cause, Confidence};
use crate::kernel::KernelStats;
use crate::packet::{Endpoint, Timestamp};

/// A stretch of time in which a listener had one kind of trouble.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// Cause of the trouble; `None` where nothing explains it.
    pub cause: Option<Cause>,
    /// Confidence in the cause; `None` exactly where `cause` is.
    pub confidence: Option<Confidence>,
    /// Start of its first problem.
    pub from: Timestamp,
    /// End of its last problem so far.
    pub until: Timestamp,
    /// True if a further problem may still extend the episode.
    pub ongoing: bool,
    /// Attempts of the episode, by verdict.
    pub verdicts: Tally,
}

/// State of an episode at the moment of an [`EpisodeReport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum EpisodeState {
    /// Just begun.
    Begun,
    /// Still going on; or its cause has become known, or confirmed.
    Ongoing,
    /// Over.
    Ended,
}

impl EpisodeState {
    /// The name in every output.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// An episode of a live capture as it begins, goes on and ends.
#[derive(Debug, Clone, PartialEq)]
pub struct EpisodeReport {
    /// State of the episode.
    pub state: EpisodeState,
    /// The listener as clients address it; the address that its socket is bound to, where no client was seen. Of a scan,
    /// which has many servers, the first of them.
    pub server: Endpoint,
    /// The client whose scan it is; `None` for anything else.
    pub scanner: Option<IpAddr>,
    /// The episode so far. Its attempts include undecided ones that look stuck.
    pub episode: Episode,
    /// Packets that the listener dropped since it began, by the kernel's count; `None` where the kernel does not count, or
    /// is another's.
    pub drops: Option<u64>,
    /// The same, a second, since the report before this one.
    pub drops_per_second: Option<f64>,
    /// Kernel stats of the listener, where it runs on this machine.
    pub kernel: Option<KernelStats>,
}
