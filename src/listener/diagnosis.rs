//! A listener's record in words: cause, one plain sentence and what to do. Does not own the reasons (`evidence`).

use super::Listener;
use super::evidence::evidence;
use super::record::Record;
use crate::handshake::{Cause, Confidence, KernelEvidence, Verdict};
use crate::kernel::KernelStats;
use crate::packet::Endpoint;
use crate::words::{count, number};

/// The listener as the outputs show it.
pub(super) fn listener(server: Option<Endpoint>, record: &Record) -> Listener {
    let kernel = kernel_on_overflow(record);
    let cause = main_cause(record).filter(|&cause| !(is_overflow(cause) && denies(kernel)));
    // What got no answer explains itself once the kernel has counted an overflow.
    let silent = cause == Some(Cause::Filtered) && record.filtered.get(Verdict::Unreachable) == 0;
    let unseen = (cause.is_none() || silent) && kernel_alone(record);
    let cause = if unseen { Some(Cause::AcceptQueueOverflow) } else { cause };
    let tally = cause.map(|cause| *record.tally_of(cause)).unwrap_or_default();
    let confirmed =
        unseen || cause.is_some_and(is_overflow) && kernel.is_some_and(|kernel| kernel.overflowed);
    let name = server.map_or_else(|| "other servers".to_owned(), |server| server.to_string());
    Listener {
        server,
        verdicts: record.verdicts,
        retries: record.retries,
        cause,
        abort_on_overflow: cause.filter(|&cause| is_overflow(cause)).and(abort(record)),
        confidence: if confirmed { Some(Confidence::Confirmed) } else { tally.confidence },
        evidence: evidence(cause, record),
        diagnosis: diagnosis(cause, &name, tally.attempts, server.is_some() && record.answered > 0, record),
        clients: clients(record),
        advice: advice(cause, server, record),
        problem_span: tally.span,
        kernel: record.kernel.word().cloned(),
    }
}

pub(super) fn is_overflow(cause: Cause) -> bool {
    cause == Cause::AcceptQueueOverflow
}

/// What the kernel says of the time in which the attempts show an overflow.
pub(super) fn kernel_on_overflow(record: &Record) -> Option<KernelEvidence> {
    let (from, to) = record.tally_of(Cause::AcceptQueueOverflow).span?;
    record.kernel.evidence(from, to, record.retries.after_ack)
}

/// Whether the kernel counted overflows of this queue, of which no attempt tells: their clients are still waiting, or
/// are not in the capture.
fn kernel_alone(record: &Record) -> bool {
    record.tally_of(Cause::AcceptQueueOverflow).attempts == 0
        && record.kernel.word().and_then(KernelStats::overflowed) == Some(true)
}

fn denies(kernel: Option<KernelEvidence>) -> bool {
    kernel.is_some_and(|kernel| !kernel.overflowed)
}

/// How many attempts look like an overflow which the kernel denies.
pub(super) fn denied(record: &Record) -> u64 {
    let undone = if denies(kernel_on_overflow(record)) {
        record.tally_of(Cause::AcceptQueueOverflow).attempts
    } else {
        0
    };
    record.denied + undone
}

/// The cause that matters most: an overflow wherever there is one, else the most frequent.
fn main_cause(record: &Record) -> Option<Cause> {
    let overflow = record.tally_of(Cause::AcceptQueueOverflow);
    let defer = record.tally_of(Cause::DeferAccept);
    // A few lone repeats beside a crowd of deferred accepts are not what ails the listener.
    if overflow.attempts > 0
        && (overflow.confidence > Some(Confidence::Possible) || overflow.attempts >= defer.attempts)
    {
        return Some(Cause::AcceptQueueOverflow);
    }
    let causes = Cause::ALL.into_iter().filter(|&cause| cause != Cause::Filtered || is_filtered(record));
    let frequent = causes.max_by_key(|&cause| record.tally_of(cause).attempts)?;
    (record.tally_of(frequent).attempts > 0).then_some(frequent)
}

/// Whether what got no answer is still to be called filtered: not from silence alone, once somebody was answered.
fn is_filtered(record: &Record) -> bool {
    !has_answered(record) || record.filtered.get(Verdict::Unreachable) > 0
}

/// Whether anybody got an answer to a SYN, if only RST.
fn has_answered(record: &Record) -> bool {
    record.answered + record.verdicts.get(Verdict::Refused) > 0
}

/// Which `tcp_abort_on_overflow` the overflows show; `None` where they show neither, or both.
fn abort(record: &Record) -> Option<bool> {
    let [ignored, reset] = record.settings.map(|attempts| attempts > 0);
    if !ignored && !reset {
        // SYN drops and SYN cookies look the same with either setting.
        if kernel_alone(record) {
            return record.kernel.word()?.abort_on_overflow;
        }
        return kernel_on_overflow(record).filter(|kernel| kernel.overflowed)?.abort_on_overflow;
    }
    (ignored != reset).then_some(reset)
}

/// `answers`: it answered others; of many servers nobody knows whether the same did.
fn diagnosis(cause: Option<Cause>, name: &str, affected: u64, answers: bool, record: &Record) -> String {
    let total = record.verdicts.total();
    let of = format!("{} of {}", number(affected), count(total, "attempt"));
    match cause {
        Some(Cause::AcceptQueueOverflow) => overflow(name, &of, record),
        Some(Cause::DeferAccept) if possible(Cause::DeferAccept, record) => format!(
            "{name} may use TCP_DEFER_ACCEPT: in {of} it ignored the bare ACK for as long as such a period takes, and was not seen to accept the connection."
        ),
        Some(Cause::DeferAccept) => format!(
            "{name} uses TCP_DEFER_ACCEPT: in {of} it ignored the bare ACK on purpose until data came or the period ended; this is no overflow."
        ),
        Some(Cause::FirewallReset) if possible(Cause::FirewallReset, record) => format!(
            "Something on the path to {name} may have answered the client's ACK with RST in {of}: look for a firewall or load balancer."
        ),
        Some(Cause::FirewallReset) => format!(
            "Something on the path to {name}, not the server, answered the client's ACK with RST in {of}: look for a firewall or load balancer."
        ),
        Some(Cause::PortClosed) if record.verdicts.get(Verdict::Refused) == 0 => format!(
            "A firewall rejects connections to {name}, or its port is closed: ICMP \"port unreachable\" answered {of}; Linux itself would send RST."
        ),
        Some(Cause::PortClosed) if answers => format!(
            "{name} refused {of} and answered others: it was restarted, or something resets SYNs under load."
        ),
        Some(Cause::PortClosed) => {
            format!("Nothing listens on {name}, or a firewall rejects with a TCP reset: {of} refused.")
        }
        Some(Cause::HostUnreachable) if answers => {
            format!(
                "{name} cannot always be reached: ICMP errors answered {of}, and others were answered by it."
            )
        }
        Some(Cause::HostUnreachable) => format!("{name} cannot be reached: ICMP errors answered {of}."),
        Some(Cause::Filtered) if record.filtered.get(Verdict::Unreachable) > 0 => {
            let of = format!(
                "{} of {}",
                number(record.filtered.get(Verdict::Unreachable)),
                count(total, "attempt")
            );
            let silent = match record.filtered.get(Verdict::Unanswered) {
                0 => String::new(),
                silent => format!(", nothing {}", number(silent)),
            };
            format!("A firewall rejects connections to {name}: ICMP \"prohibited\" answered {of}{silent}.")
        }
        Some(Cause::Filtered) => format!(
            "{name} answered nobody: {of} got nothing back. A filter drops the packets, the host is down, or its accept queue was full from before the capture."
        ),
        Some(Cause::SynFlood) => format!(
            "{of} to {name} were begun and never finished: a SYN flood, or answers that do not reach the clients."
        ),
        Some(Cause::SynScan) if possible(Cause::SynScan, record) => format!(
            "{of} to {name} were reset by the client at the SYN-ACK: a SYN scan, or health checks that go no further."
        ),
        Some(Cause::SynScan) => {
            format!("{of} to {name} were reset by the client at the SYN-ACK: a SYN scan.")
        }
        Some(Cause::ApplicationReset) if possible(Cause::ApplicationReset, record) => format!(
            "{name} may accept and then reset: {of} got RST with ACK right after the handshake, from the application or from something on the path."
        ),
        Some(Cause::ApplicationReset) => format!(
            "{name} accepts and then resets: {of} got RST with ACK right after the handshake, from the application and not from a full queue."
        ),
        None => without_cause(name, record),
    }
}

/// Whether a cause is inferred nowhere with more than a possibility.
pub(super) fn possible(cause: Cause, record: &Record) -> bool {
    record.tally_of(cause).confidence <= Some(Confidence::Possible)
}

fn overflow(name: &str, of: &str, record: &Record) -> String {
    if kernel_alone(record) {
        let of = |verdict| record.verdicts.get(verdict);
        let attempts = count(record.verdicts.total(), "attempt");
        let clients = match (of(Verdict::Unanswered), of(Verdict::Undetermined)) {
            (0, 0) => "no attempt in the capture shows it".to_owned(),
            (0, waiting) => format!("{} of {attempts} cannot be judged yet", number(waiting)),
            (unanswered, _) => format!("{} of {attempts} got no answer", number(unanswered)),
        };
        return format!("The accept queue of {name} overflowed by the kernel's own count; {clients}.");
    }
    let possible = possible(Cause::AcceptQueueOverflow, record)
        && !kernel_on_overflow(record).is_some_and(|kernel| kernel.overflowed);
    let verb = if possible { "may have overflowed" } else { "overflowed" };
    let setting = match (abort(record), possible) {
        (Some(false), false) => {
            " with tcp_abort_on_overflow=0: the kernel ignored ACKs that finished the handshake"
        }
        (Some(false), true) => {
            ": it looks as if ACKs that finished the handshake were ignored, as with tcp_abort_on_overflow=0"
        }
        (Some(true), false) => {
            " with tcp_abort_on_overflow=1: the kernel reset connections whose clients had just finished the handshake"
        }
        (Some(true), true) if record.racers == 0 => {
            ": connections were reset some time after the handshake, as with tcp_abort_on_overflow=1"
        }
        (Some(true), true) => {
            ": connections were reset whose clients had just finished the handshake, as with tcp_abort_on_overflow=1"
        }
        (None, _) => "",
    };
    format!("The accept queue of {name} {verb}{setting} ({of}).")
}

fn without_cause(name: &str, record: &Record) -> String {
    let problems = record.verdicts.problems();
    let denied = denied(record);
    if denied > 0 {
        return format!(
            "{} of {} to {name} look like an overflow, but the kernel counted none: {}",
            number(denied),
            count(record.verdicts.total(), "attempt"),
            if record.verdicts.get(Verdict::ResetAfterAck) > 0 {
                "a firewall or middlebox interferes, or the listener was closed."
            } else {
                "ACKs were lost or filtered before they reached the listener."
            }
        );
    }
    if problems == 0 {
        let undetermined = record.verdicts.get(Verdict::Undetermined);
        if undetermined > 0 {
            return format!("The capture cannot say how {} to {name} ended.", count(undetermined, "attempt"));
        }
        return format!("{name} completed every handshake.");
    }
    if left_some(record) {
        return format!(
            "{name} left {} of {} without an answer and answered others: its accept queue was full, a filter drops some packets, or the host was down for a while.",
            number(record.verdicts.get(Verdict::Unanswered)),
            count(record.verdicts.total(), "attempt"),
        );
    }
    format!(
        "{} of {} to {name} did not complete; the packets do not tell why.",
        number(problems),
        count(record.verdicts.total(), "attempt")
    )
}

/// Whether most of its problems are SYNs that got no answer, while others did.
fn left_some(record: &Record) -> bool {
    let unanswered = record.verdicts.get(Verdict::Unanswered);
    has_answered(record) && unanswered > 0 && unanswered * 2 >= record.verdicts.problems()
}

/// What the clients believe of overflowed attempts.
fn clients(record: &Record) -> String {
    let mut parts = Vec::new();
    let mut say = |clients: u64, one: &str, many: &str| {
        if clients > 0 {
            parts.push(format!("{} {}", number(clients), if clients == 1 { one } else { many }));
        }
    };
    say(record.believers, "believes it is connected and is not", "believe they are connected and are not");
    say(
        record.unsure,
        "believes it is connected and may not be",
        "believe they are connected and may not be",
    );
    say(
        record.racers,
        "was reset just after, or while, connect() returned",
        "were reset just after, or while, connect() returned",
    );
    say(record.recovered, "was accepted late", "were accepted late");
    say(record.waiting, "is still waiting", "are still waiting");
    say(record.timed_out, "timed out", "timed out");
    if let Some((least, most)) = record.race_window.filter(|_| record.racers > 0) {
        let window = if least == most { least.to_string() } else { format!("{least} to {most}") };
        parts.push(format!("RST {window} after the SYN-ACK"));
    }
    parts.join(", ")
}

fn advice(cause: Option<Cause>, server: Option<Endpoint>, record: &Record) -> Vec<(&'static str, String)> {
    let port = server.map_or_else(String::new, |server| format!(" 'sport = :{}'", server.port()));
    let check = |what: &str| ("check", what.to_owned());
    let mend = |what: &str| ("mend", what.to_owned());
    let queue = ("check", format!("ss -ltnm{port}   (Recv-Q above Send-Q; the d in skmem counts drops)"));
    let drops = check("nstat -az TcpExtListenOverflows TcpExtListenDrops   (rising)");
    match cause {
        Some(Cause::AcceptQueueOverflow) => {
            let mut advice = vec![
                queue,
                drops,
                mend(
                    "accept() faster, or raise both the backlog given to listen() and net.core.somaxconn: the smaller of the two is the limit",
                ),
            ];
            if record.overflowed.get(Verdict::ResetAfterAck) > 0 {
                advice.push(mend(
                    "net.ipv4.tcp_abort_on_overflow=0 lets short bursts recover instead of resetting them",
                ));
            }
            advice
        }
        Some(Cause::DeferAccept) => {
            vec![mend("nothing, if clients send first; else do not set TCP_DEFER_ACCEPT on this listener")]
        }
        Some(Cause::FirewallReset) => vec![
            check("capture on the server too: the ACK does not arrive there"),
            check("nft list ruleset, iptables-save   (reject with tcp reset)"),
        ],
        Some(Cause::PortClosed) => vec![(
            "check",
            format!("ss -ltn{port}   (on the server: is anything listening, and on which address?)"),
        )],
        Some(Cause::HostUnreachable) => {
            vec![check("ip route get, ip neigh   (on the host that sent the ICMP error)")]
        }
        Some(Cause::Filtered) => vec![
            check("nft list ruleset, iptables-save, security groups   (on the way to the server)"),
            ("check", format!("ss -ltnm{port}   (on the server: Recv-Q above Send-Q is a full queue)")),
        ],
        Some(Cause::SynFlood) => vec![
            check("nstat -az TcpExtSyncookiesSent TcpExtTCPReqQFullDoCookies   (on the server)"),
            mend("net.ipv4.tcp_syncookies=1, and filter upstream"),
        ],
        Some(Cause::SynScan) => vec![mend("nothing on the listener: no connection is made")],
        Some(Cause::ApplicationReset) => {
            vec![check("the server's log: it closes with unread data, or with SO_LINGER 0")]
        }
        None if denied(record) > 0 => vec![
            check("nft list ruleset, iptables-save   (counters of rules that drop or reject)"),
            check("capture on the client too: do its ACKs arrive here?"),
        ],
        None if left_some(record) => vec![queue, drops],
        None => Vec::new(),
    }
}
