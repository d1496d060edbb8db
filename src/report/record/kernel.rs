//! Figures of the kernel: of one listener, and of a network namespace.

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::Seconds;
use crate::kernel::{Container, Counters, KernelStats, LimitFrom, Netns, Owner, Sysctls};

/// The figures of one listener between the first and the latest snapshot.
#[derive(Serialize)]
pub(super) struct KernelRecord<'a> {
    local: SocketAddr,
    sockets: usize,
    sockets_full: usize,
    listening: bool,
    seconds: Seconds,
    samples: u64,
    recv_q: u32,
    /// Null where it may not be read.
    send_q: Option<u32>,
    /// Null unless a queue was full.
    longest_wait: Option<Seconds>,
    recv_q_max: u32,
    full_seen: bool,
    drops: Option<u64>,
    limit_from: Option<&'static str>,
    somaxconn: Option<u32>,
    abort_on_overflow: Option<u8>,
    synack_retries: Option<u32>,
    netns: NetnsRecord<'a>,
    /// Null where it is not known.
    owner: Option<OwnerRecord<'a>>,
    namespace: CountersRecord<'a>,
}

impl<'a> From<&'a KernelStats> for KernelRecord<'a> {
    fn from(stats: &'a KernelStats) -> Self {
        Self {
            local: stats.local,
            sockets: stats.sockets,
            sockets_full: stats.sockets_full,
            listening: stats.listening,
            seconds: stats.span.into(),
            samples: stats.samples,
            recv_q: stats.recv_q,
            send_q: stats.send_q,
            longest_wait: stats.longest_wait.map(Seconds::from),
            recv_q_max: stats.recv_q_max,
            full_seen: stats.full_seen,
            drops: stats.drops,
            limit_from: stats.limit_from.map(limit_from),
            somaxconn: stats.somaxconn,
            abort_on_overflow: super::sysctl(stats.abort_on_overflow),
            synack_retries: stats.synack_retries,
            netns: (&stats.netns).into(),
            owner: stats.owner.as_ref().map(OwnerRecord::from),
            namespace: CountersRecord(&stats.namespace),
        }
    }
}

/// Name of the origin of a queue's limit.
pub(super) fn limit_from(limit: LimitFrom) -> &'static str {
    match limit {
        LimitFrom::Listen => "listen",
        LimitFrom::Somaxconn => "somaxconn",
    }
}

/// Counters by the kernel's names; null where this kernel lacks one.
pub(super) struct CountersRecord<'a>(pub(super) &'a Counters);

impl Serialize for CountersRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

/// The sysctls that accept queues depend on, without `net.ipv4.` and `net.core.`; null where this kernel lacks one.
pub(super) struct SysctlsRecord(Sysctls);

impl Serialize for SysctlsRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let short = |name: &'static str| name.rsplit_once('.').map_or(name, |(_, last)| last);
        serializer.collect_map(self.0.iter().map(|(name, value)| (short(name), value)))
    }
}

impl From<Sysctls> for SysctlsRecord {
    fn from(sysctls: Sysctls) -> Self {
        Self(sysctls)
    }
}

/// A network namespace.
#[derive(Serialize)]
pub(super) struct NetnsRecord<'a> {
    /// True for the one that the program runs in.
    own: bool,
    /// The number that `lsns` shows; null where it may not be read.
    inode: Option<u64>,
    /// The lowest process number in it.
    pid: Option<u32>,
    /// Name of the namespace in `ip netns`.
    name: Option<&'a str>,
}

impl<'a> From<&'a Netns> for NetnsRecord<'a> {
    fn from(netns: &'a Netns) -> Self {
        Self { own: netns.own, inode: netns.inode, pid: netns.pid, name: netns.name.as_deref() }
    }
}

/// A process that holds a socket.
#[derive(Serialize)]
pub(super) struct OwnerRecord<'a> {
    pid: i32,
    command: &'a str,
    state: &'static str,
    container: Option<ContainerRecord<'a>>,
    polls: bool,
}

/// The container or systemd unit of a process.
#[derive(Serialize)]
struct ContainerRecord<'a> {
    kind: &'static str,
    id: &'a str,
}

impl<'a> From<&'a Owner> for OwnerRecord<'a> {
    fn from(owner: &'a Owner) -> Self {
        let container =
            |container: &'a Container| ContainerRecord { kind: container.kind(), id: container.id() };
        Self {
            pid: owner.pid,
            command: &owner.command,
            state: owner.state.name(),
            container: owner.container.as_ref().map(container),
            polls: owner.polls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Span;

    #[test]
    fn a_listener_s_figures_have_stable_names() {
        let stats = KernelStats {
            local: "[::]:80".parse().unwrap(),
            published: None,
            sockets: 1,
            sockets_full: 1,
            sockets_full_max: 1,
            listening: true,
            span: Span::from_secs(2),
            samples: 2,
            recv_q: 5,
            send_q: Some(4),
            longest_wait: Some(Span::from_millis(4_100)),
            recv_q_max: 5,
            full_seen: true,
            overflowed_within: None,
            replaced: None,
            drops: Some(3),
            limit_from: Some(LimitFrom::Somaxconn),
            somaxconn: Some(4),
            abort_on_overflow: Some(true),
            synack_retries: None,
            syncookies: None,
            netns: Netns { own: true, ..Netns::default() },
            owner: None,
            namespace: Counters::parse("TcpExt: ListenOverflows\nTcpExt: 3\n", ""),
        };
        let mut record = serde_json::to_value(KernelRecord::from(&stats)).unwrap();
        let namespace = record["namespace"].take();
        let lacking = serde_json::Value::Null;
        assert_eq!((&namespace["ListenOverflows"], &namespace["OutRsts"]), (&3.into(), &lacking));
        let expected = serde_json::json!({
            "local": "[::]:80", "sockets": 1, "sockets_full": 1, "listening": true, "seconds": 2.0, "samples": 2,
            "recv_q": 5, "send_q": 4, "longest_wait": 4.1, "recv_q_max": 5, "full_seen": true, "drops": 3,
            "limit_from": "somaxconn", "somaxconn": 4, "abort_on_overflow": 1, "synack_retries": null,
            "netns": { "own": true, "inode": null, "pid": null, "name": null }, "owner": null, "namespace": null,
        });
        assert_eq!(record, expected);
    }
}
