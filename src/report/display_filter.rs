//! A Wireshark display filter that finds a listener's problem attempts.

use std::net::IpAddr;

use strum::IntoEnumIterator;

use crate::handshake::Verdict;
use crate::listener::Listener;

/// The filter; `None` where there is no problem, or no single listener.
pub(super) fn of(listener: &Listener) -> Option<String> {
    let server = listener.server;
    let present = Verdict::iter().filter(|&verdict| listener.verdicts.get(verdict) > 0);
    let port = server.map_or(0, |server| server.port());
    let conditions: Vec<String> = present.filter_map(|verdict| condition(verdict, port)).collect();
    if conditions.is_empty() {
        return None;
    }
    let ends = match (server, listener.scan) {
        (Some(server), _) => format!("{} && tcp.port == {port}", address(server.ip())),
        (None, Some(scan)) => {
            let host = scan.host.map(|host| format!(" && {}", address(host))).unwrap_or_default();
            format!("{}{host}", address(scan.client))
        }
        (None, None) => return None,
    };
    Some(format!("{ends} && ({})", conditions.join(" || ")))
}

/// The condition that one end has this address.
fn address(ip: IpAddr) -> String {
    let field = match ip {
        IpAddr::V4(_) => "ip.addr",
        IpAddr::V6(_) => "ipv6.addr",
    };
    format!("{field} == {ip}")
}

/// The condition that only packets of attempts with this verdict meet; `None` where there is no problem to find.
///
/// `tcp.completeness` (Wireshark 3.6 and later) sums up a connection: 1 SYN, 2 SYN-ACK, 4 ACK, 8 data, 16 FIN, 32 RST.
/// tshark has it in its second pass only (`-2 -Y`).
fn condition(verdict: Verdict, port: u16) -> Option<String> {
    Some(match verdict {
        Verdict::SynackRetransmitted => {
            "(tcp.flags.syn == 1 && tcp.flags.ack == 1 && tcp.analysis.retransmission)".to_owned()
        }
        // The bare RST of a kernel that has no connection for the ACK.
        Verdict::ResetAfterAck => format!("(tcp.srcport == {port} && tcp.flags == 4 && tcp.seq == 1)"),
        Verdict::AckIgnored => {
            format!("(tcp.dstport == {port} && tcp.completeness == 15 && tcp.analysis.retransmission)")
        }
        Verdict::CompletedLate => {
            "(tcp.flags.syn == 1 && tcp.completeness & 4 && tcp.analysis.retransmission)".to_owned()
        }
        // RST with ACK, or without.
        Verdict::Refused => "tcp.completeness == 37 || tcp.completeness == 33".to_owned(),
        Verdict::Unreachable => "icmp || icmpv6".to_owned(),
        Verdict::Unanswered => "tcp.completeness == 1".to_owned(),
        Verdict::HalfOpen => "tcp.completeness == 3".to_owned(),
        Verdict::ClientReset => "tcp.completeness == 35".to_owned(),
        Verdict::Completed | Verdict::Undetermined => return None,
    })
}
