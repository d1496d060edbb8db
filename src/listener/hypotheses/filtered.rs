//! Something drops or rejects the packets (DOMAIN §5).

use super::{Case, Hypothesis, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, Fact, Verdict};
use crate::packet::{IcmpError, Span};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::Filtered,
    explains: VerdictSet::of(&[Verdict::Unreachable, Verdict::Unanswered, Verdict::CompletedLate]),
    shown_by: "an ICMP error that only filters send; or the listener answers no attempt, and each was repeated or waited long",
    looks_like: "a host that is down, a queue full since before the capture",
    excluded_by: "any answer of the listener",
    surest: Confidence::Likely,
    confirmed_by: "its event of a dropped segment: NETFILTER_DROP, IP_RPFILTER, SOCKET_FILTER, XFRM_POLICY or BPF_CGROUP_EGRESS",
    example: "filtered-server.pcap",
    weigh,
    counted: counted::nothing,
};

/// Shortest silence after which an attempt without a retry counts as unanswered.
const MIN_WAIT: Span = Span::from_secs(3);

fn weigh(case: &Case<'_>) -> Weight {
    match case.verdict() {
        Verdict::Unreachable | Verdict::CompletedLate => match case.attempt.icmp {
            Some(answer) if is_sent_by_filter(answer.error) => Weight::proven([Evidence::Icmp(answer.error)]),
            Some(_) | None => Weight::NotApplicable,
        },
        Verdict::Unanswered => silent(case),
        _ => Weight::NotApplicable,
    }
}

fn silent(case: &Case<'_>) -> Weight {
    if case.own.may_lack_answers > 0 || case.has_odd_answer() || super::syn_scan::is_knock(case) {
        return Weight::NotApplicable;
    }
    if case.own.answered > 0 || case.points.answers_others {
        return Weight::Excluded(Evidence::ListenerAnswersOthers);
    }
    if case.own.refused > 0 {
        return Weight::Excluded(Evidence::RefusesOthers);
    }
    let waited =
        case.attempt.retries.syn > 0 || case.attempt.silence.is_none_or(|silence| silence >= MIN_WAIT);
    if waited && !case.has(Fact::ServerOutOfWindow) {
        Weight::fits([Evidence::NeverAnswers])
    } else {
        Weight::NotApplicable
    }
}

/// ICMP codes that routers and hosts do not send but for a rule: prohibited, and "port unreachable", which is what
/// netfilter's `reject` sends (a host without a listener sends RST).
pub(super) const fn is_sent_by_filter(icmp: IcmpError) -> bool {
    matches!((icmp.v6, icmp.kind, icmp.code), (false, 3, 3 | 9 | 10 | 13) | (true, 1, 1 | 4 | 5 | 6))
}
