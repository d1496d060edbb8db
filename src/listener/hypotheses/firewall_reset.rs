//! Something on the path sent the RST (DOMAIN §3).

use super::{Case, Hypothesis, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, EvidenceList, Fact, System, Verdict};
use crate::listener::observed::Difference;
use crate::packet::Span;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::FirewallReset,
    explains: VerdictSet::of(&[
        Verdict::ResetAfterAck,
        Verdict::SynackRetransmitted,
        Verdict::Completed,
        Verdict::CompletedLate,
        Verdict::ClientReset,
        Verdict::HalfOpen,
        Verdict::Refused,
    ]),
    shown_by: "the server repeats its SYN-ACK, or sends data, after the RST; the RST has another TTL than the SYN-ACK, comes \
               sooner than the server can answer, or before its SYN-ACK; the SYN-ACK before the RST differs from those of the client's \
               connections that were served; RSTs with different TTLs refuse one SYN; at possible, the client's SYN comes again after an \
               RST to its SYN-ACK, or RSTs with another TTL refuse it sooner than the server answers",
    looks_like: "a full queue with tcp_abort_on_overflow=1, a closing listener, the application; a path on which the server's TTL varies",
    excluded_by: "no SYN-ACK repeat although the capture goes on long enough for it",
    surest: Confidence::Likely,
    confirmed_by: "its event of a dropped ACK: NETFILTER_DROP; a point nearer to the server that the RST did not pass",
    example: "ack_firewalled_reset-server.pcap",
    weigh,
    counted: counted::nothing,
};

/// The SYN-ACK repeat that betrays a firewall is due by then on Linux from 3.1, and on any system.
const REPEAT_DUE: Span = Span::from_millis(1200);
const REPEAT_DUE_ANYWHERE: Span = Span::from_millis(3500);

fn weigh(case: &Case<'_>) -> Weight {
    match case.verdict() {
        Verdict::ResetAfterAck => after_ack(case),
        Verdict::SynackRetransmitted if case.has(Fact::SynAckAfterRst) => {
            Weight::proven([Evidence::SynAckAfterRst])
        }
        Verdict::Completed | Verdict::CompletedLate if case.attempt.reset.is_some() => after_handshake(case),
        Verdict::ClientReset | Verdict::Completed | Verdict::CompletedLate | Verdict::HalfOpen
            if case.has(Fact::RefusedBeforeSynAck) =>
        {
            before_synack(case)
        }
        Verdict::ClientReset if case.attempt.answered_from.is_none() => {
            case.outlives_reset().map_or(Weight::NotApplicable, |evidence| Weight::fits([evidence]))
        }
        Verdict::Refused if case.has(Fact::AnswersDiffer) && case.attempt.retries.syn == 0 => {
            Weight::proven([Evidence::RefusalsDiffer])
        }
        Verdict::Refused if case.is_refused_by_another() => {
            Weight::supported([Evidence::RstHasOtherTtl, Evidence::RstTooSoon])
        }
        _ => Weight::NotApplicable,
    }
}

fn after_ack(case: &Case<'_>) -> Weight {
    let proofs = proofs(case);
    if !proofs.is_empty() {
        return Weight::proven(proofs);
    }
    if case.own.firewall_resets > 0 {
        return Weight::supported([Evidence::OthersFirewalled]);
    }
    if let Some(evidence) = case.reset_by_another() {
        return Weight::supported([evidence]);
    }
    if case.is_reset_nearer() {
        return Weight::fits([Evidence::RstTooSoon]);
    }
    // `None` is longer than any repeat takes.
    let linux = case.attempt.system() == Some(System::Linux);
    let due = if linux { REPEAT_DUE } else { REPEAT_DUE_ANYWHERE };
    let silent = case.attempt.silence.is_none_or(|silence| silence >= due);
    if silent { Weight::Excluded(Evidence::NoSynAckAfterRst) } else { Weight::fits([]) }
}

fn after_handshake(case: &Case<'_>) -> Weight {
    let proofs = proofs(case);
    if !proofs.is_empty() {
        return Weight::proven(proofs);
    }
    if case.closing_burst().is_some_and(|burst| case.own.closing.has_aftermath(burst)) {
        return Weight::Excluded(Evidence::InClosingBurst);
    }
    // A filter that reads the first data may copy TTL and window.
    if case.has(Fact::ApplicationReset) && case.is_reset_after_data() {
        return Weight::fits([Evidence::RstAfterData]);
    }
    if case.has(Fact::ApplicationReset) && !case.has(Fact::RstWindowOpen) {
        return Weight::fits([]);
    }
    Weight::NotApplicable
}

fn before_synack(case: &Case<'_>) -> Weight {
    let of_rsts = case.has(Fact::AnswersDiffer) && !case.has(Fact::AckOutOfWindow);
    let differ = of_rsts.then_some(Evidence::RefusalsDiffer);
    Weight::proven(std::iter::once(Evidence::RefusalThenSynAck).chain(differ))
}

fn proofs(case: &Case<'_>) -> EvidenceList {
    let proofs = [
        (Fact::SynAckAfterRst, Evidence::SynAckAfterRst),
        (Fact::DataAfterRst, Evidence::DataAfterRst),
        (Fact::TtlDiffers, Evidence::RstHasOtherTtl),
        (Fact::RstTooSoon, Evidence::RstTooSoon),
    ];
    // Of two hosts that answer, either's TTL differs from the other's; the capture may lack one of their SYN-ACKs.
    let two = case.has(Fact::OtherHost) || case.own.two_hosts > 0;
    let shown = proofs.into_iter().filter(|&(fact, _)| case.has(fact) && !(two && fact == Fact::TtlDiffers));
    shown.map(|(_, evidence)| evidence).collect()
}

impl Case<'_> {
    /// The difference between the attempt's SYN-ACK and those of the same client's connections that were served, where nearly all resets
    /// of the listener follow such a SYN-ACK: another machine answered, and reset.
    fn sender_differs(&self) -> Option<Difference> {
        // Of two hosts that answer either's SYN-ACK differs from the other's.
        if self.own.two_hosts > 0 {
            return None;
        }
        self.own.senders.difference(self.attempt, self.own.ttl_varies())
    }

    /// Evidence that another machine answered for the server and reset: by what its SYN-ACK looks like.
    pub(super) fn reset_by_another(&self) -> Option<Evidence> {
        let other = self.sender_differs().filter(|found| found.is_of_traits(self.own.ttl_varies()));
        other.map(|_| Evidence::AnswerFromAnother)
    }

    /// True if the RST that refused the only SYN has another TTL than the server's SYN-ACKs to the client, and came in less than half of
    /// their time: systems may refuse with another TTL than they answer with, but no sooner.
    fn is_refused_by_another(&self) -> bool {
        self.attempt.retries.syn == 0
            && !self.own.ttl_varies()
            && self.paths.is_refused_otherwise(self.attempt)
    }

    /// True if nothing shows that but the round trip, which is less than half of the server's.
    pub(super) fn is_reset_nearer(&self) -> bool {
        self.sender_differs().is_some() && self.reset_by_another().is_none()
    }
}
