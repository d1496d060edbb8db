//! Advice: commands to check with, changes to make.

use std::borrow::Cow;

use crate::listener::Advice;
use crate::packet::Endpoint;

/// One piece of advice for the listener on `server`, as a command with a note, or as a clause.
pub(in crate::report) fn advice(advice: Advice, server: Option<Endpoint>) -> Cow<'static, str> {
    let on_port = |options: &str, note: &str| {
        let port = server.map_or_else(String::new, |server| format!(" 'sport = :{}'", server.port()));
        Cow::Owned(format!("ss {options}{port}   ({note})"))
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
        Advice::CheckOverflowCounters => "nstat -az TcpExtListenOverflows TcpExtListenDrops   (rising)",
        Advice::AcceptFaster => {
            "accept() faster, or raise both the backlog given to listen() and net.core.somaxconn: the smaller of the two is the limit"
        }
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
            "nft list ruleset, iptables-save   (counters of rules that drop or reject)"
        }
        Advice::CaptureOnClient => "capture on the client too: do its ACKs arrive here?",
    })
}
