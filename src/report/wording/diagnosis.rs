//! A listener's diagnosis: one sentence.

use super::causes::acks_came_late;
use super::evidence::data_or_fins;
use super::{by_distribution, drop_reasons};
use crate::handshake::{Cause, Confidence, Evidence, EvidenceCode, SegmentKind, Verdict};
use crate::kernel::DropReason;
use crate::listener::{Diagnosis, Listener, ListenerEvidence, Tally};
use crate::words::{count, number};

/// A listener's address, or what to call those past the bound.
pub(in crate::report) fn server_name(listener: &Listener) -> String {
    if let Some(scan) = listener.scan {
        return match scan.host {
            Some(host) => format!("{} of {host}", count(scan.servers, "port")),
            None => count(scan.servers, "server"),
        };
    }
    listener.server.map_or_else(|| "other servers".to_owned(), |server| server.to_string())
}

/// The sentence of a listener. Its numbers are those of the listener's tallies.
pub(in crate::report) fn diagnosis(listener: &Listener) -> String {
    let name = server_name(listener);
    let of = |verdict| listener.verdicts.get(verdict);
    let total = count(listener.verdicts.total(), "attempt");
    match listener.diagnosis {
        Diagnosis::Explained { affected, answers, possible } => match listener.cause {
            Some(cause) => {
                explained(cause, &name, &affected, answers, listener)
                    + &mostly_possible(&affected, possible, listener)
            }
            // A listener without a cause has another diagnosis.
            None => String::new(),
        },
        Diagnosis::CountedByKernel => {
            let clients = match (of(Verdict::Unanswered), of(Verdict::Undetermined)) {
                (0, 0) => "no attempt in the capture shows it".to_owned(),
                (0, waiting) => format!("{} of {total} cannot be judged yet", number(waiting)),
                (unanswered, _) => format!("{} of {total} got no answer", number(unanswered)),
            };
            format!("The accept queue of {name} overflowed by the kernel's own count; {clients}.")
        }
        Diagnosis::Oversized { connections } => format!(
            "Data that {name} sends is too big for the path (path MTU): on {} ICMP errors said so again and again of the same segment.",
            count(connections, "connection")
        ),
        Diagnosis::DeniedByKernel { attempts } => {
            let instead = if of(Verdict::ResetAfterAck) > 0 {
                "a firewall or middlebox interferes, or the listener was closed"
            } else {
                "ACKs were lost or filtered before they reached the listener"
            };
            let attempts = number(attempts);
            format!(
                "{attempts} of {total} to {name} look like an overflow, but the kernel counted none: {instead}."
            )
        }
        Diagnosis::PartlyUnanswered { throughout } => {
            let (others, why) = match throughout {
                true => (
                    "others all the while",
                    "the path loses packets, its accept queue was full now and then, or a filter drops some packets",
                ),
                false => (
                    "others",
                    "its accept queue was full, a filter drops some packets, or the host was down for a while",
                ),
            };
            let unanswered = number(of(Verdict::Unanswered));
            format!("{name} left {unanswered} of {total} without an answer and answered {others}: {why}.")
        }
        Diagnosis::Unexplained => unexplained(listener, &name, &total),
        Diagnosis::Undetermined => {
            let undetermined = count(of(Verdict::Undetermined), "attempt");
            format!("The capture cannot say how {undetermined} to {name} ended.")
        }
        Diagnosis::Healthy if listener.late > 0 => {
            let by = listener.stall.map(|stall| format!(", {}", by_distribution(&stall))).unwrap_or_default();
            format!(
                "{name} completed every handshake, and answered {} of {total} late after it{by}.",
                number(listener.late)
            )
        }
        Diagnosis::Healthy if listener.unproven > 0 => {
            let unproven = number(listener.unproven);
            format!("{name} completed every handshake, but nothing proves {unproven} of {total}.")
        }
        Diagnosis::Healthy => format!("{name} completed every handshake."),
    }
}

/// Sentence to add where the cause is likely, and of most of its attempts only possible.
fn mostly_possible(affected: &Tally, possible: u64, listener: &Listener) -> String {
    if listener.confidence != Some(Confidence::Likely) || possible * 2 <= affected.total() {
        return String::new();
    }
    let likely = number(affected.total().saturating_sub(possible));
    format!(" That is likely of {likely} of them, and only possible of the others.")
}

fn unexplained(listener: &Listener, name: &str, total: &str) -> String {
    let problems = listener.verdicts.problems();
    let late = listener.verdicts.get(Verdict::CompletedLate);
    let by = listener.delay.map(|delay| format!(", {}", by_distribution(&delay))).unwrap_or_default();
    let what = match late {
        0 => "went wrong".to_owned(),
        all if all == problems => format!("connected late{by}"),
        some => format!("went wrong, {} of them connected late{by}", number(some)),
    };
    let why = match places(listener, is_answer_made).next() {
        Some(place) => place,
        None => "the packets do not show why".to_owned(),
    };
    format!("{} of {total} to {name} {what}; {why}.", number(problems))
}

/// Something between two points answered for the server. That is no cause by itself.
fn is_answer_made(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::MadeBetween(made) if made.kind == SegmentKind::SynAck)
}

/// Clauses about the places that evidence of this kind names.
fn places(listener: &Listener, wanted: impl Fn(&Evidence) -> bool) -> impl Iterator<Item = String> {
    listener.evidence.iter().filter_map(move |known| match *known {
        ListenerEvidence::OfAttempts { evidence, .. } if wanted(&evidence) => {
            super::evidence::place(evidence)
        }
        _ => None,
    })
}

/// The sentence about segments that passed one point of the capture and not the next, if that is the evidence.
fn between_points(name: &str, of: &str, listener: &Listener) -> Option<String> {
    let mut places = places(listener, |evidence| !is_answer_made(evidence));
    let place = places.next()?;
    let more = match places.count() {
        0 => String::new(),
        others => format!(", and at {}", count(others as u64, "other place")),
    };
    Some(format!("{place}{more} ({of} to {name})."))
}

fn explained(cause: Cause, name: &str, affected: &Tally, answers: bool, listener: &Listener) -> String {
    let possible = listener.confidence == Some(Confidence::Possible);
    let total = count(listener.verdicts.total(), "attempt");
    let of = format!("{} of {total}", number(affected.total()));
    let are = if possible { "may be" } else { "are" };
    let answered = if affected.get(Verdict::ResetAfterAck) > 0 { "ACK" } else { "segments" };
    if let Some(sentence) =
        between_points(name, &of, listener).or_else(|| drop_reasons::sentence(name, affected, listener))
    {
        return sentence;
    }
    let without_socket = drop_reasons::of(listener).filter(|&(reason, _)| reason == DropReason::NoSocket);
    let is_without_socket = without_socket.map(|(_, attempts)| attempts).sum::<u64>() >= affected.total();
    let is_replaced = listener.evidence.iter().any(|one| matches!(one, ListenerEvidence::SocketReplaced(_)));
    match cause {
        Cause::AcceptQueueOverflow => overflow(name, &of, affected, listener),
        Cause::DeferAccept if possible => format!(
            "{name} may use TCP_DEFER_ACCEPT: in {of} it ignored the bare ACK for as long as such a period takes."
        ),
        Cause::DeferAccept => format!(
            "{name} uses TCP_DEFER_ACCEPT: in {of} it ignored the bare ACK on purpose until data came or the period ended; this is no overflow."
        ),
        Cause::ListenerClosed if possible => format!(
            "The listening socket on {name} may have been closed: {of} were reset, most of them at one instant."
        ),
        Cause::ListenerClosed => {
            let waited = affected.get(Verdict::Completed) + affected.get(Verdict::CompletedLate);
            let under_way = affected.total() - waited;
            let whom = match (waited, under_way) {
                (_, 0) => "those that waited in its queue at one instant".to_owned(),
                (0, _) => "whose handshakes were under way".to_owned(),
                (_, _) => format!(
                    "{} that waited in its queue at one instant, and {} whose {} under way",
                    number(waited),
                    number(under_way),
                    if under_way == 1 { "handshake was" } else { "handshakes were" }
                ),
            };
            format!(
                "The listening socket on {name} was closed (a restart or a reload): {of} were reset, {whom}."
            )
        }
        Cause::SynQueueOverflow => format!(
            "The SYN queue of {name} may have been full, with SYN cookies off: the SYNs of {of} were dropped."
        ),
        Cause::SynLimited => format!(
            "The host of {name} may drop SYNs to several listeners at once ({of}): a full connection table, or a limit on SYNs."
        ),
        Cause::OldConnection => older_connections(name, possible, affected.total(), listener),
        Cause::NatMismatch => {
            let (asked, translated) = match possible {
                true => ("may have asked", "as where addresses are translated"),
                false => ("asked", "addresses are translated"),
            };
            let another = match listener.published {
                Some(published) => format!("{published}, which is not the one that answered"),
                None => "another address or port than the one that answered".to_owned(),
            };
            format!("The clients of {of} to {name} {asked} {another}: {translated} on one way only.")
        }
        Cause::TwoAnswers => {
            let answered = if possible { "may have answered" } else { "answered" };
            let or = match listener.retries.syn {
                0 => "something on the way doubles SYNs",
                _ => "a balancer sends a repeated SYN to another one",
            };
            format!("Two machines {answered} {of} to {name}: both have that address, or {or}.")
        }
        Cause::SynLost => {
            let others = match () {
                () if shows(listener, EvidenceCode::WrongChecksum) => ": their checksums are wrong",
                () if shows(listener, EvidenceCode::OtherHostsFailed) => ", as those to other hosts",
                () if shows(listener, EvidenceCode::DropsSpread) => ", as to other listeners of this client",
                () => "",
            };
            format!("SYNs to {name} {are} lost on the way ({of}){others}.")
        }
        Cause::SynackLost => {
            let not = if possible { "may not" } else { "do not" };
            format!("The SYN-ACKs of {name} {not} reach the client, or it rejects them: {of}.")
        }
        Cause::AckLost if acks_came_late(listener) => {
            format!("ACKs to {name} come late: the server repeated its SYN-ACK before it had those of {of}.")
        }
        Cause::AckLost => format!("ACKs to {name} {are} lost on the way: {of}."),
        Cause::OptionBlocked => {
            let drops = if possible { "may drop" } else { "drops" };
            format!(
                "Something on the path to {name} {drops} SYNs that carry an option or flags (MPTCP, Fast Open, ECN): {of} were answered only without."
            )
        }
        Cause::PathMtu if affected.get(Verdict::Unreachable) > 0 => {
            let syns = number(affected.get(Verdict::Unreachable));
            format!(
                "Even the SYNs of {syns} of {total} to {name} are too big for the way (path MTU), as ICMP errors say."
            )
        }
        Cause::PathMtu => {
            format!("Large packets to {name} {are} lost on the way and small ones are not (path MTU): {of}.")
        }
        Cause::HealthCheck => format!(
            "{of} to {name} {are} health checks: few addresses, at a steady period, that go no further."
        ),
        Cause::ClientGaveUp => {
            let had = if possible { "may have" } else { "had" };
            format!("The clients of {of} to {name} {had} given up before the SYN-ACK came.")
        }
        Cause::FirewallReset if possible => format!(
            "Something on the path to {name} may have answered the client's {answered} with RST in {of}: look for a firewall or load balancer."
        ),
        Cause::FirewallReset => format!(
            "Something on the path to {name}, not the server, answered the client's {answered} with RST in {of}: look for a firewall or load balancer."
        ),
        Cause::PortClosed if answers => {
            let later = until_retry(affected);
            let full =
                if may_be(listener, Cause::AcceptQueueOverflow) { ", its accept queue was full" } else { "" };
            let or = match is_without_socket || is_replaced {
                true => "",
                false if may_be(listener, Cause::OptionBlocked) => {
                    ", or something resets SYNs with an option"
                }
                false => ", or something refuses some clients or some SYNs",
            };
            format!("{name} refused {of}{later}, and answered others: it was restarted{full}{or}.")
        }
        Cause::PortClosed if is_replaced => format!("{name} refused {of}: it was restarted."),
        Cause::PortClosed => {
            let or = if is_without_socket { "" } else { ", or a firewall rejects with a TCP reset" };
            format!("Nothing listens on {name}{or}: {of} refused.")
        }
        Cause::HostUnreachable if answers => format!(
            "{name} cannot always be reached: ICMP errors answered {of}{}, and others were answered by it.",
            until_retry(affected)
        ),
        Cause::HostUnreachable => format!("{name} cannot be reached: ICMP errors answered {of}."),
        Cause::Filtered if is_rejecting(affected, listener) => {
            let late =
                if shows(listener, EvidenceCode::Icmp) { affected.get(Verdict::CompletedLate) } else { 0 };
            let answers = [
                (affected.get(Verdict::Unreachable) + late, "its ICMP errors answered"),
                (affected.get(Verdict::Refused), "its RSTs answered"),
                (affected.get(Verdict::Unanswered), "nothing answered"),
            ];
            let answers = answers.into_iter().filter(|&(attempts, _)| attempts > 0);
            let answers: Vec<String> =
                answers.map(|(attempts, answered)| format!("{answered} {}", number(attempts))).collect();
            let later = until_retry(affected);
            format!("A firewall rejects connections to {name}: {} of {total}{later}.", listed(&answers))
        }
        Cause::Filtered => format!(
            "{name} answered no client: {of} got nothing back. A filter drops the packets, the host is down, or its accept queue was full from before the capture."
        ),
        Cause::SynFlood => {
            let or = match (possible, affected.get(Verdict::HalfOpen)) {
                (false, _) => "",
                (true, 0) => ", or one program that begins many connections",
                (true, _) => ", or answers that do not reach the clients",
            };
            format!("{of} to {name} were begun and never finished: a SYN flood{or}.")
        }
        Cause::SynScan if listener.scan.is_some() => {
            let client = listener.scan.map_or_else(String::new, |scan| scan.client.to_string());
            let or = if possible { ", or ports that are closed to it" } else { "" };
            format!("{client} knocked at {name} and went on with none: a scan{or} ({of}).")
        }
        Cause::SynScan if possible => {
            format!("{of} to {name} went no further than the SYN: a scan, or health checks.")
        }
        Cause::SynScan => format!("{of} to {name} went no further than the SYN: a scan."),
        Cause::ApplicationReset => {
            let after = match attempts_with(listener, EvidenceCode::RstAfterData) {
                0 => "right after the handshake",
                all if all >= affected.total() => "after the client's data",
                _ => "right after the handshake or the client's data",
            };
            let (accepts, from) = match possible {
                true => ("may accept and then reset", "from the application or from something on the path"),
                false => ("accepts and then resets", "from the application and not from a full queue"),
            };
            format!("{name} {accepts}: {of} got RST with ACK {after}, {from}.")
        }
    }
}

/// The sentence about attempts that met an older connection of their ports, or whose timestamps were older than another one's.
fn older_connections(name: &str, possible: bool, affected: u64, listener: &Listener) -> String {
    let of = format!("{} of {}", number(affected), count(listener.verdicts.total(), "attempt"));
    let by_stamps = attempts_with(listener, EvidenceCode::OlderStampsDropped).min(affected);
    let drops = if possible { "may drop" } else { "drops" };
    let older = "whose timestamp is older than that of another connection from the same address";
    if by_stamps == affected {
        return format!("{name} {drops} SYNs {older}: {of}.");
    }
    let (holds, met) = if possible { ("may still hold", "may have met") } else { ("still holds", "met") };
    let met = format!(
        "{name}, or a tracker before it, {holds} older connections of the same ports: {of} {met} one"
    );
    match by_stamps {
        0 => format!("{met}."),
        _ => format!("{met}, or had a SYN {older}."),
    }
}

/// True if ICMP errors or RSTs answered attempts to a listener that is filtered.
fn is_rejecting(affected: &Tally, listener: &Listener) -> bool {
    let answered = affected.get(Verdict::Unreachable) + affected.get(Verdict::Refused);
    answered > 0 || shows(listener, EvidenceCode::Icmp)
}

/// Clause with the number of these attempts that a retry completed.
fn until_retry(affected: &Tally) -> String {
    match affected.get(Verdict::CompletedLate) {
        0 => String::new(),
        all if all == affected.total() => ", until a retry".to_owned(),
        late => format!(", {} of them until a retry", number(late)),
    }
}

/// True if attempts of the listener's cause have evidence of this kind.
fn shows(listener: &Listener, code: EvidenceCode) -> bool {
    attempts_with(listener, code) > 0
}

/// True if attempts of the listener's cause, which is another, may have this one.
fn may_be(listener: &Listener, cause: Cause) -> bool {
    let evidence = listener.evidence.iter().filter_map(|evidence| match evidence {
        ListenerEvidence::OfAttempts { evidence, .. } => Some(*evidence),
        _ => None,
    });
    evidence.into_iter().any(|evidence| evidence == Evidence::CouldBe(cause))
}

/// Attempts of the listener's cause that have evidence of this kind.
fn attempts_with(listener: &Listener, code: EvidenceCode) -> u64 {
    let of_kind = listener.evidence.iter().map(|evidence| match *evidence {
        ListenerEvidence::OfAttempts { evidence, attempts } if EvidenceCode::from(evidence) == code => {
            attempts
        }
        _ => 0,
    });
    of_kind.sum()
}

/// `The accept queue of 10.9.0.2:7777 was full (tcp_abort_on_overflow=0): 3 ACKs were ignored and 47 SYNs dropped (50
/// of 60 attempts).`
fn overflow(name: &str, of: &str, affected: &Tally, listener: &Listener) -> String {
    let possible = listener.confidence == Some(Confidence::Possible);
    let setting = match (listener.abort_on_overflow.map(u8::from), possible) {
        (Some(setting), false) => format!(" (tcp_abort_on_overflow={setting})"),
        (Some(setting), true) => format!(", as with tcp_abort_on_overflow={setting}"),
        (None, _) => String::new(),
    };
    let when = if listener.clients.reset > 0 { "reset right after the handshake" } else { "reset" };
    let of_verdict = |verdict| affected.get(verdict);
    let (ignored, reset) = (of_verdict(Verdict::SynackRetransmitted), of_verdict(Verdict::ResetAfterAck));
    // Of a completed one, until the queue had room.
    let silent = of_verdict(Verdict::AckIgnored) + of_verdict(Verdict::Completed);
    let fins = listener.evidence.iter().find_map(|known| match known {
        ListenerEvidence::DataIgnored { fins, .. } => Some(*fins),
        _ => None,
    });
    let what = data_or_fins(silent, fins.unwrap_or_default());
    let dropped = of_verdict(Verdict::Unanswered);
    let late = of_verdict(Verdict::CompletedLate);
    let effects = [
        (ignored, format!("the ACKs of {}", count(ignored, "attempt")), false, "ignored"),
        (reset, count(reset, "connection"), reset == 1, when),
        (silent, format!("the {what} of {}", count(silent, "client")), what != "FINs", "ignored"),
        (dropped, format!("the SYNs of {}", count(dropped, "attempt")), false, "dropped"),
        (late, format!("the first SYNs of {}", count(late, "late connect")), false, "dropped"),
    ];
    let mut parts: Vec<String> = Vec::new();
    let mut said = "";
    for (_, subject, singular, participle) in effects.into_iter().filter(|&(attempts, ..)| attempts > 0) {
        let verb = if singular { "was " } else { "were " };
        // "3 ACKs were ignored and 47 SYNs dropped": the same verb is not repeated.
        parts.push(format!("{subject} {}{participle}", if said == verb { "" } else { verb }));
        said = verb;
    }
    let was = if possible { "may have been full" } else { "was full" };
    format!("The accept queue of {name} {was}{setting}: {} ({of}).", listed(&parts))
}

/// `a`, `a and b`, `a, b and c`.
fn listed(parts: &[String]) -> String {
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    /// The listener of a full queue, with another diagnosis.
    fn worded(diagnosed: Diagnosis, cause: Option<Cause>) -> String {
        let (summary, _) = samples::overflow_mixed();
        let mut listener = summary.listeners.into_iter().next().unwrap();
        (listener.diagnosis, listener.cause) = (diagnosed, cause);
        diagnosis(&listener)
    }

    #[test]
    fn the_numbers_of_a_full_queue_add_up() {
        let (summary, _) = samples::overflow_mixed();
        assert_eq!(
            diagnosis(&summary.listeners[0]),
            "The accept queue of 10.9.0.2:7777 was full (tcp_abort_on_overflow=0): the ACKs of 3 attempts were ignored and the SYNs of 47 attempts dropped (50 of 60 attempts)."
        );
        let (summary, _) = samples::ipv6();
        let sentence = diagnosis(&summary.listeners[0]);
        assert!(
            sentence.ends_with(
                " may have been full, as with tcp_abort_on_overflow=1: 2 connections were reset right after the handshake (2 of 3 attempts)."
            ),
            "{sentence}"
        );
    }

    #[test]
    fn verbs_agree_with_what_they_follow() {
        let mut affected = Tally::default();
        for verdict in
            [Verdict::SynackRetransmitted, Verdict::AckIgnored, Verdict::Unanswered, Verdict::Unanswered]
        {
            affected.add(verdict);
        }
        let sentence = worded(
            Diagnosis::Explained { affected, answers: true, possible: 0 },
            Some(Cause::AcceptQueueOverflow),
        );
        assert!(
            sentence.contains("the ACKs of 1 attempt were ignored, the data of 1 client was ignored and the SYNs of 2 attempts were dropped"),
            "{sentence}"
        );
    }

    #[test]
    fn a_likely_cause_of_few_attempts_is_said_to_be_one() {
        let mut affected = Tally::default();
        (0..22).for_each(|_| affected.add(Verdict::SynackRetransmitted));
        let said = |possible| {
            let explained = Diagnosis::Explained { affected, answers: true, possible };
            worded(explained, Some(Cause::AcceptQueueOverflow))
        };
        assert!(
            said(21).ends_with(" That is likely of 1 of them, and only possible of the others."),
            "{}",
            said(21)
        );
        assert!(!said(11).contains("possible"), "{}", said(11));
    }

    #[test]
    fn counts_of_the_kernel_alone_are_written_with_what_the_packets_show() {
        let sentence = worded(Diagnosis::CountedByKernel, Some(Cause::AcceptQueueOverflow));
        assert!(
            sentence.ends_with("by the kernel's own count; 47 of 60 attempts got no answer."),
            "{sentence}"
        );
        let sentence = worded(Diagnosis::DeniedByKernel { attempts: 3 }, None);
        assert!(sentence.contains("3 of 60 attempts to 10.9.0.2:7777 look like an overflow"), "{sentence}");
    }
}
