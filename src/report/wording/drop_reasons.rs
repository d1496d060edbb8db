//! Segments that the kernel of this machine dropped, each by its own event: reasons, places, and commands that show what
//! drops them.

use crate::handshake::Evidence;
use crate::kernel::{DropNetns, DropReason};
use crate::listener::{Listener, ListenerEvidence, Tally};
use crate::words::{count, number};

/// Clause for the kernel's reason of a drop.
pub(super) const fn clause(reason: DropReason) -> &'static str {
    match reason {
        DropReason::ListenOverflow => "because the accept queue was full",
        DropReason::NoSocket => "because no socket was there",
        DropReason::Paws => "because of a timestamp older than the connection's latest",
        DropReason::TimeWaitPaws => "because of a timestamp older than that of the connection in TIME-WAIT",
        DropReason::InvalidSyn => "because of a SYN that fits no handshake",
        DropReason::Checksum => "because of a wrong checksum",
        DropReason::Netfilter => "by a rule of nftables or iptables",
        DropReason::ReversePath => "because the way back to the sender is another (rp_filter)",
        DropReason::SocketFilter => "by a filter of the socket",
        DropReason::Xfrm => "by an IPsec policy",
        DropReason::BpfCgroupEgress => "by a BPF program of the sender's cgroup",
        DropReason::Qdisc => "because an interface's queue was full",
        DropReason::CpuBacklog => "because a CPU's packet queue was full",
    }
}

/// Clause for where the kernel dropped a segment; empty for the listener's own network namespace.
pub(super) fn netns(netns: DropNetns) -> String {
    match netns {
        DropNetns::Listener => String::new(),
        DropNetns::Own => ", in the network namespace of the capture, not the listener's".to_owned(),
        DropNetns::Other(inode) => format!(", in network namespace {inode} (lsns -t net)"),
    }
}

/// Commands that show what drops segments for this reason, in the namespace where it does; those of the listener's begin with
/// `inside`.
pub(super) fn commands(reason: DropReason, netns: DropNetns, inside: &str) -> String {
    let (commands, note): (&[&str], &str) = match reason {
        DropReason::Netfilter => (&["nft list ruleset", "iptables-save -c"], "the rule that drops them"),
        DropReason::ReversePath => (
            &["sysctl -a -r rp_filter", "ip route get CLIENT"],
            "rp_filter drops what comes in elsewhere than the way back leads",
        ),
        DropReason::SocketFilter => {
            (&["ss -ltnb", "bpftool cgroup tree"], "the filter of the socket, or of its cgroup")
        }
        DropReason::Xfrm => (&["ip xfrm policy", "ip -s xfrm state"], "the policy that forbids them"),
        DropReason::BpfCgroupEgress => {
            (&["bpftool cgroup tree"], "the egress program of the sender's cgroup")
        }
        DropReason::Checksum => (
            &["nstat -az TcpInCsumErrors", "ethtool -k INTERFACE"],
            "rising; checksum offload that a virtual interface or a tunnel does not do",
        ),
        DropReason::Qdisc => (&["tc -s qdisc"], "the queue that drops"),
        DropReason::CpuBacklog => (
            &["cat /proc/net/softnet_stat", "sysctl net.core.netdev_max_backlog"],
            "the second column counts drops",
        ),
        DropReason::ListenOverflow
        | DropReason::NoSocket
        | DropReason::Paws
        | DropReason::TimeWaitPaws
        | DropReason::InvalidSyn => (&["nstat -az"], reason.name()),
    };
    let (inside, place) = match netns {
        DropNetns::Listener => (inside, String::new()),
        DropNetns::Own => ("", ", in the network namespace of the capture".to_owned()),
        DropNetns::Other(inode) => ("", format!(", in network namespace {inode}: lsns -t net")),
    };
    format!("{}   ({note}{place})", in_netns(inside, commands))
}

/// Commands one after the other, each in the namespace that `inside` enters.
pub(super) fn in_netns(inside: &str, commands: &[&str]) -> String {
    let commands: Vec<String> = commands.iter().map(|command| format!("{inside}{command}")).collect();
    commands.join("; ")
}

/// The sentence about segments that this machine's kernel dropped, each by its own event, before a listener could judge them.
pub(super) fn sentence(name: &str, affected: &Tally, listener: &Listener) -> Option<String> {
    let dropped = || of(listener).filter(|(reason, _)| reason.is_before_listener());
    let attempts: u64 = dropped().map(|(_, attempts)| attempts).sum();
    let (reason, _) = dropped().max_by_key(|&(_, attempts)| attempts)?;
    let of = format!("{} of {}", number(attempts), count(listener.verdicts.total(), "attempt"));
    let others = match affected.total().saturating_sub(attempts) {
        0 => String::new(),
        others => format!("; {} more may have lost theirs to it", number(others)),
    };
    let reason = clause(reason);
    Some(format!(
        "The kernel of this machine, not the listener on {name}, dropped segments of {of}, {reason}{others}."
    ))
}

/// Reasons for which the kernel dropped segments of attempts, each with their number.
pub(super) fn of(listener: &Listener) -> impl Iterator<Item = (DropReason, u64)> {
    listener.evidence.iter().filter_map(|known| match *known {
        ListenerEvidence::OfAttempts {
            evidence: Evidence::KernelDroppedSegments { reason, .. },
            attempts,
        } => Some((reason, attempts)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis;
    use super::*;
    use crate::handshake::{Cause, Confidence, Verdict};
    use crate::listener::Diagnosis;
    use crate::report::samples;

    #[test]
    fn the_kernels_reason_stands_where_it_dropped_segments() {
        let (summary, _) = samples::overflow_mixed();
        let mut listener = summary.listeners.into_iter().next().unwrap();
        let mut affected = Tally::default();
        (0..4).for_each(|_| affected.add(Verdict::CompletedLate));
        listener.diagnosis = Diagnosis::Explained { affected, answers: true, possible: 0 };
        listener.confidence = Some(Confidence::Confirmed);
        let mut said = |cause, reason, attempts| {
            let evidence =
                Evidence::KernelDroppedSegments { reason, segments: 7, netns: DropNetns::Listener };
            listener.evidence = vec![ListenerEvidence::OfAttempts { evidence, attempts }];
            listener.cause = Some(cause);
            diagnosis(&listener)
        };
        let by_rule = "The kernel of this machine, not the listener on 10.9.0.2:7777, dropped segments of";
        let rule = "of 60 attempts, by a rule of nftables or iptables";
        assert_eq!(said(Cause::Filtered, DropReason::Netfilter, 4), format!("{by_rule} 4 {rule}."));
        assert_eq!(
            said(Cause::Filtered, DropReason::Netfilter, 3),
            format!("{by_rule} 3 {rule}; 1 more may have lost theirs to it.")
        );
        let restarted = said(Cause::PortClosed, DropReason::NoSocket, 4);
        assert!(restarted.ends_with("and answered others: it was restarted."), "{restarted}");
    }
}
