//! Advice: commands to check with, changes to make.

use std::borrow::Cow;

use super::drop_reasons;
use super::knob::{LimitKnob, continue_process, find_why_one_worker_waits, raise_backlog};
use crate::kernel::KernelStats;
use crate::listener::Advice;
use crate::packet::Endpoint;

/// Advice for the listener on `server`, as a command with a note, or as a clause.
///
/// Commands are as they must be typed: where `kernel` has the listener's network namespace and its port there (behind
/// NAT another one), they run in that.
pub(in crate::report) fn advice(
    advice: Advice,
    server: Option<Endpoint>,
    kernel: Option<&KernelStats>,
) -> Cow<'static, str> {
    let inside = kernel.map_or_else(String::new, |kernel| kernel.netns.command_prefix());
    let port = kernel.map(|kernel| kernel.local.port()).or(server.map(|server| server.port()));
    let on_port = |options: &str, note: &str| {
        let port = port.map_or_else(String::new, |port| format!(" 'sport = :{port}'"));
        Cow::Owned(format!("{inside}ss {options}{port}   ({note})"))
    };
    Cow::Borrowed(match advice {
        Advice::CheckQueue => {
            return on_port("-ltnm", "Recv-Q above Send-Q; the d in skmem counts drops");
        }
        Advice::CheckQueueOnServer => {
            return on_port("-ltnm", "on the server: Recv-Q above Send-Q is a full queue");
        }
        Advice::CheckListening => {
            return on_port("-ltn", "on the server: is anything listening, and on which address?");
        }
        Advice::CheckListeningElsewhere => {
            "netstat -an   (on the server, which is not Linux: is anything listening, and on which address?)"
        }
        Advice::CheckOverflowCounters => {
            let command = "nstat -az TcpExtListenOverflows TcpExtListenDrops   (rising)";
            return Cow::Owned(format!("{inside}{command}"));
        }
        Advice::AcceptFaster => {
            let owner = kernel.and_then(|kernel| kernel.owner.as_ref());
            let limit = kernel.map_or_else(LimitKnob::default, |kernel| LimitKnob {
                limit: kernel.send_q,
                from: kernel.limit_from,
                somaxconn: kernel.somaxconn,
            });
            return Cow::Owned(format!("accept() faster, or {}", raise_backlog(owner, limit)));
        }
        Advice::ContinueProcess => {
            let owner = kernel.and_then(|kernel| kernel.owner.as_ref());
            let words = owner.and_then(continue_process);
            return words.map_or(Cow::Borrowed("let the stopped process go on"), Cow::Owned);
        }
        Advice::FindWhyOneWorkerWaits => {
            let full = kernel.filter(|kernel| kernel.sockets_full > 0);
            return Cow::Owned(find_why_one_worker_waits(full.and_then(|kernel| kernel.owner.as_ref())));
        }
        Advice::FindWhyNothingIsAccepted => "find out why the application accepts nothing",
        Advice::OnlyAcceptFaster => "accept() faster, or send some clients elsewhere: no backlog keeps up",
        Advice::DoNotAbort => {
            "net.ipv4.tcp_abort_on_overflow=0 lets short bursts recover instead of resetting them"
        }
        Advice::DeferOnlyWhereClientsSendFirst => {
            "nothing, if clients send first; else do not set TCP_DEFER_ACCEPT on this listener"
        }
        Advice::CaptureOnServer => "capture on the server too: the ACK does not arrive there",
        Advice::CheckRejectRules => "nft list ruleset, iptables-save   (reject with tcp reset)",
        Advice::CheckRoute => "ip route get, ip neigh   (on the host that sent the ICMP error)",
        Advice::CheckFilters => {
            "nft list ruleset, iptables-save, security groups   (on the way to the server)"
        }
        Advice::CheckCookieCounters => {
            "nstat -az TcpExtSyncookiesSent TcpExtTCPReqQFullDoCookies   (on the server)"
        }
        Advice::UseCookies => "net.ipv4.tcp_syncookies=1, and filter upstream",
        Advice::LeaveScans => "nothing on the listener: no connection is made",
        Advice::CheckServerLog => "the server's log: it closes with unread data, or with SO_LINGER 0",
        Advice::CheckRuleCounters => {
            let commands = drop_reasons::in_netns(&inside, &["nft list ruleset", "iptables-save -c"]);
            return Cow::Owned(format!("{commands}   (counters of rules that drop or reject)"));
        }
        Advice::CheckDropReason(reason, netns) => {
            return Cow::Owned(drop_reasons::commands(reason, netns, &inside));
        }
        Advice::CaptureOnClient => "capture on the client too: do its ACKs arrive here?",
        Advice::CheckFreeBsdQueue => "netstat -Lan   (on the server: the listen queue and its limit)",
        Advice::RaiseFreeBsdQueue => {
            "accept() faster, or raise both the backlog given to listen() and kern.ipc.soacceptqueue"
        }
        Advice::CheckAcceptsElsewhere => {
            "the listen queue of the server, which is not Linux, and how fast its program accepts"
        }
        Advice::CheckAcceptsAnywhere => {
            "the listen queue of the server, whose system the packets do not show, and how fast its program accepts"
        }
        Advice::AcceptFasterAnywhere => {
            "accept() faster, or raise the backlog given to listen() and the system's limit for it"
        }
        Advice::CheckRestart => {
            "the service's log and the age of its processes: was it restarted or reloaded then?"
        }
        Advice::MigrateRequests => {
            "let the old process accept until its queue is empty; or net.ipv4.tcp_migrate_req=1 where sockets share the port (SO_REUSEPORT, Linux 5.14)"
        }
        Advice::CheckConntrack => {
            "conntrack -S, nft list ruleset   (on the server: drop, insert_failed, a limit on SYNs)"
        }
        Advice::CheckSynQueueCounters => {
            "nstat -az TcpExtTCPReqQFullDrop TcpExtListenDrops   (on the server, rising)"
        }
        Advice::CheckOldConnections => {
            return on_port(
                "-tan",
                "on the server: older connections of these ports, and their state; nstat -az TcpExtTCPChallengeACK",
            );
        }
        Advice::CheckTimeWait => {
            "ss -tan state time-wait; nstat -az TcpExtPAWSPassive TcpExtPAWSActive; sysctl net.ipv4.tcp_tw_recycle   (on the server; the sysctl is Linux before 4.12); conntrack -L, ipvsadm -Lnc   (where one of them is before it)"
        }
        Advice::CheckNat => {
            "conntrack -L, nft list ruleset   (where addresses are translated: does the answer pass the same host?)"
        }
        Advice::CheckBalancer => {
            "which MAC addresses answer for that address (arping), and the balancer: does it send a SYN, or its repeat, to another backend?"
        }
        Advice::CaptureBothEnds => {
            "capture at both ends at the same time: which segment is missing at the other end?"
        }
        Advice::FindDropOnHost => {
            "what drops them on this host: nft list ruleset, conntrack -S, ip route get, and counters of drops (nstat, ip -s link)"
        }
        Advice::FindDropBetween => {
            "what lies between these points: firewalls, balancers, their rules and counters"
        }
        Advice::CheckOptionFilter => {
            "capture behind each middlebox: where do SYNs with the option or flags end?"
        }
        Advice::CheckPathMtu => {
            "tracepath to the other end; ping with -M do and large packets   (from the client)"
        }
        Advice::ProbeMtu => {
            "net.ipv4.tcp_mtu_probing=1 on the sender, or clamp the MSS on the way; let ICMP \"fragmentation needed\" pass, ICMPv6 \"packet too big\""
        }
        Advice::ClampMss => {
            "clamp the MSS on the way, or raise the MTU there; if the sender goes on with segments as large after the ICMP error, a filter on its host may drop that"
        }
        Advice::CheckClientTimeout => "the client's time-out for connects, and the round trip to this server",
        Advice::CheckServerCounters => "on the server: ss -ltnm and nstat, and a capture there",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{DropNetns, DropReason, ListenSocket, Netns};
    use crate::report::samples;

    #[test]
    fn commands_run_in_the_listeners_namespace() {
        let server = samples::overflow_mixed().1.remove(0).server;
        let here = advice(Advice::CheckQueue, Some(server), None);
        assert!(here.starts_with(&format!("ss -ltnm 'sport = :{}'", server.port())), "{here}");
        let local = "10.55.0.2:80".parse().unwrap();
        let socket = ListenSocket { recv_q: 5, ..ListenSocket::sample(local) };
        let stats = samples::kernel_stats(socket, Netns { pid: Some(71), ..Netns::default() });
        let inside = advice(Advice::CheckQueue, Some(server), Some(&stats));
        assert!(inside.starts_with("nsenter -t 71 -n ss -ltnm 'sport = :80'"), "{inside}");
        let counters = advice(Advice::CheckOverflowCounters, Some(server), Some(&stats));
        assert!(counters.starts_with("nsenter -t 71 -n nstat -az "), "{counters}");
        let rules = |netns| {
            let check = Advice::CheckDropReason(DropReason::Netfilter, netns);
            advice(check, Some(server), Some(&stats)).into_owned()
        };
        assert_eq!(
            [DropNetns::Listener, DropNetns::Other(40)].map(rules),
            [
                "nsenter -t 71 -n nft list ruleset; nsenter -t 71 -n iptables-save -c   (the rule that drops them)",
                "nft list ruleset; iptables-save -c   (the rule that drops them, in network namespace 40: lsns -t net)",
            ]
        );
    }
}
