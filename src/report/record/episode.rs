//! Records of episodes: of a listener, and as a live capture reports them.

use std::net::IpAddr;

use serde::Serialize;

use super::kernel::KernelRecord;
use super::verdict_counts::VerdictCounts;
use super::{Displayed, Rfc3339};
use crate::handshake::{Cause, Confidence};
use crate::listener::{Episode, EpisodeReport};
use crate::packet::Endpoint;

/// An episode of a listener.
#[derive(Serialize)]
pub(super) struct EpisodeRecord<'a> {
    cause: Option<&'static str>,
    confidence: Option<&'static str>,
    from: Displayed<Rfc3339>,
    until: Displayed<Rfc3339>,
    ongoing: bool,
    attempts: u64,
    verdicts: VerdictCounts<'a>,
}

impl<'a> From<&'a Episode> for EpisodeRecord<'a> {
    fn from(episode: &'a Episode) -> Self {
        Self {
            cause: episode.cause.map(Cause::name),
            confidence: episode.confidence.map(Confidence::name),
            from: Displayed(Rfc3339(episode.from)),
            until: Displayed(Rfc3339(episode.until)),
            ongoing: episode.ongoing,
            attempts: episode.verdicts.total(),
            verdicts: VerdictCounts(&episode.verdicts),
        }
    }
}

/// An episode of a live capture as it begins, goes on or ends.
#[derive(Serialize)]
pub(in crate::report) struct EpisodeReportRecord<'a> {
    state: &'static str,
    server: Displayed<Endpoint>,
    server_ip: IpAddr,
    server_port: u16,
    /// Null but for a scan.
    scanner: Option<IpAddr>,
    #[serde(flatten)]
    episode: EpisodeRecord<'a>,
    drops: Option<u64>,
    drops_per_second: Option<f64>,
    kernel: Option<KernelRecord<'a>>,
}

impl<'a> From<&'a EpisodeReport> for EpisodeReportRecord<'a> {
    fn from(report: &'a EpisodeReport) -> Self {
        Self {
            state: report.state.name(),
            server: Displayed(report.server),
            server_ip: report.server.ip(),
            server_port: report.server.port(),
            scanner: report.scanner,
            episode: (&report.episode).into(),
            drops: report.drops,
            drops_per_second: report.drops_per_second,
            kernel: report.kernel.as_ref().map(KernelRecord::from),
        }
    }
}
