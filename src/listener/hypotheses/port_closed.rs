//! Nothing listens there: RST answers the SYN (DOMAIN §5).

use super::{Case, Hypothesis, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, Fact, System, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::PortClosed,
    explains: VerdictSet::of(&[Verdict::Refused, Verdict::CompletedLate]),
    shown_by: "RST answers the SYN, also where a repeat of it is answered later",
    looks_like: "a firewall that rejects with a TCP reset, perhaps by an option of the SYN; a full accept queue of Windows",
    excluded_by: "nothing in the packets: a firewall that rejects with a TCP reset sends the same",
    surest: Confidence::Possible,
    confirmed_by: "its event of a dropped SYN: NO_SOCKET",
    example: "refused-server.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    let late = case.verdict() == Verdict::CompletedLate;
    if late && (!case.attempt.was_refused_first() || case.has(Fact::RefusedBeforeSynAck)) {
        return Weight::NotApplicable;
    }
    if super::syn_scan::is_knock(case) {
        return Weight::NotApplicable;
    }
    let others = (case.own.answered > 0).then_some(Evidence::ListenerAnswersOthers);
    // Windows refuses a SYN that finds the queue full (DOMAIN §2).
    let full =
        (case.own.system() == Some(System::Windows)).then_some(Evidence::CouldBe(Cause::AcceptQueueOverflow));
    let retried = case.has(Fact::SynRetriedAfterSynAck).then_some(Evidence::SynRetriedAfterSynAck);
    Weight::fits(std::iter::once(Evidence::RefusedByRst).chain(retried).chain(others).chain(full))
}
