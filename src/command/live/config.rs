//! Configuration of a live capture.

#[cfg(feature = "metrics")]
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use crate::capture::{LiveOptions, Rotation};
use crate::command::analyse::AnalyseConfig;
use crate::kernel::NetnsChoice;

/// Configuration of a live capture and of its analysis.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveConfig {
    /// Configuration of the analysis; without files.
    pub analyse: AnalyseConfig,
    /// The source of packets.
    pub input: LiveInput,
    /// Show a screen.
    #[cfg(feature = "tui")]
    pub screen: bool,
    /// Serve metrics at this address.
    #[cfg(feature = "metrics")]
    pub metrics: Option<SocketAddr>,
    /// End after so long.
    pub duration: Option<Duration>,
    /// End after so many packets.
    pub count: Option<NonZeroU64>,
    /// Keep the packets.
    pub save: Option<SaveConfig>,
    /// The user to become.
    pub user: Option<String>,
    /// The network namespaces whose listeners are read from the kernel.
    pub netns: NetnsChoice,
    /// Load the BPF program for the kernel's events of dropped segments, where that is permitted.
    pub with_bpf: bool,
}

/// The source of packets.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveInput {
    /// An interface, with filter and buffer.
    Interface(LiveOptions),
    /// A capture file to which another program is writing.
    File(PathBuf),
}

/// Files that the packets are kept in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveConfig {
    /// The file, or the beginning of the files' names.
    pub path: PathBuf,
    /// Conditions for beginning the next file.
    pub rotation: Rotation,
}
