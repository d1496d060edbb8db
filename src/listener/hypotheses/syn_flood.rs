//! Many handshakes are begun and never finished (DOMAIN §5).

use super::{Case, Counted, Hypothesis, Support, VerdictSet, Weight};
use crate::handshake::{Cause, Confidence, Evidence, EvidenceList, Fact, Verdict};
use crate::kernel::Counter;
use crate::listener::observed::{FloodSecond, is_abandoned};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynFlood,
    explains: VerdictSet::of(&[Verdict::Unanswered, Verdict::HalfOpen, Verdict::Undetermined]),
    shown_by: "a hundred SYNs a second and more, or twenty without options, from many sources, that nobody finishes or repeats",
    looks_like: "one program that begins many handshakes, answers that do not reach the clients, ACKs of known clients that are lost; where none is answered a full queue, too, whose clients give up within a second",
    excluded_by: "clients that repeat their SYN, or finish; for more than possible, as many clients that finish at other times and are missing in that second",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "flood-beside-overflow.pcap",
    weigh,
    counted,
};

fn weigh(case: &Case<'_>) -> Weight {
    let Some(flood) = flood(case) else { return Weight::NotApplicable };
    let mut evidence = EvidenceList::new();
    evidence.push(flood.rate());
    let crafted = case.has(Fact::SynWithoutOptions);
    evidence.extend(crafted.then_some(Evidence::SynWithoutOptions));
    let support = match (flood.is_of_many(), crafted) {
        (true, true) => Support::Proven,
        (true, false) => Support::Supported,
        (false, _) => Support::Fits,
    };
    let cut_off = !flood.is_crafted() && flood.replaces_clients(&case.own.acks_accepted);
    let doubt = match case.verdict() {
        Verdict::HalfOpen if cut_off => Some(Cause::SynackLost),
        _ if cut_off || may_wait(case, flood) => Some(Cause::AcceptQueueOverflow),
        _ => None,
    };
    evidence.extend(doubt.map(Evidence::CouldBe));
    let doubted = doubt.is_some() || flood.is_of_known() || is_of_known_client(case);
    Weight::Possible(support, evidence).doubted_if(doubted)
}

/// True if the SYNs may be those of clients that wait for less than a second, and so send one each: a full queue answers none of
/// them.
fn may_wait(case: &Case<'_>, flood: &FloodSecond) -> bool {
    let served_as_many = case.own.prompt >= flood.syns.into();
    !flood.is_crafted() && !case.own.floods.are_answered() && (!flood.is_beyond_clients() || served_as_many)
}

/// A flood fills the SYN queue, and so does a burst of real clients: that supports it only.
fn counted(case: &Case<'_>) -> Counted {
    let full = |counter| case.watched().and_then(|events| events.counter(counter)).is_some_and(|n| n > 0);
    if full(Counter::TcpReqQFullDoCookies) {
        Counted::Supports(Evidence::KernelSentCookies)
    } else if full(Counter::TcpReqQFullDrop) {
        Counted::Supports(Evidence::KernelSynQueueFull)
    } else {
        Counted::Nothing
    }
}

fn flood<'a>(case: &Case<'a>) -> Option<&'a FloodSecond> {
    *case.found.flood.get_or_init(|| {
        if case.limits.no_bare_acks || !is_abandoned(case.attempt) {
            return None;
        }
        let flood = case.own.floods.at(case.attempt.start)?;
        // Real clients, whose SYNs carry options, beside a flood whose SYNs carry none are its victims.
        (!flood.is_crafted() || case.has(Fact::SynWithoutOptions)).then_some(flood)
    })
}

/// True if the attempt is part of a flood, and so no victim of the overflow that the flood causes.
pub(super) fn is_part(case: &Case<'_>) -> bool {
    flood(case).is_some() && !is_of_known_client(case)
}

/// True if the client finished another handshake within a minute, and its SYN carries options: its address is no spoofed one, and
/// what it did not finish may have been lost.
fn is_of_known_client(case: &Case<'_>) -> bool {
    !case.has(Fact::SynWithoutOptions) && case.client_finished_another()
}
