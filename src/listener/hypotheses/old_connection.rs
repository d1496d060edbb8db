//! The server, or a tracker before it, holds an older connection of the same ports (DOMAIN §3, §5).

use super::{Case, Hypothesis, Weight};
use crate::handshake::{Cause, Evidence, Fact, Verdict};
use crate::packet::Span;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::OldConnection,
    shown_by: "the server answers with other numbers, the client resets that and repeats its SYN; or only attempts that use \
               ports again go unanswered at first",
    excluded_by: "an answer whose numbers fit",
    example: "time-wait.pcap",
    weigh,
};

/// A connection in TIME-WAIT, or in a tracker's table, is gone after this.
const HELD: Span = Span::from_secs(120);

fn weigh(case: &Case<'_>) -> Weight {
    let stuck = matches!(
        case.verdict(),
        Verdict::Unanswered | Verdict::CompletedLate | Verdict::ClientReset | Verdict::Undetermined
    );
    if !stuck || case.attempt.answered_from.is_some() {
        return Weight::Silent;
    }
    if case.has(Fact::ServerOutOfWindow) && !case.has(Fact::RstWrongAck) {
        let reset = case.has(Fact::OutOfWindowReset).then_some(Evidence::OlderNumbersReset);
        return Weight::proven(std::iter::once(Evidence::OlderNumbers).chain(reset));
    }
    if case.has(Fact::OutOfWindowReset) {
        return Weight::proven([Evidence::OlderNumbersReset]);
    }
    let late = matches!(case.verdict(), Verdict::Unanswered | Verdict::CompletedLate);
    let before = case.attempt.ports_used_before.filter(|&before| late && before <= HELD);
    before.map_or(Weight::Silent, |before| Weight::supported([Evidence::PortsUsedBefore(before)]))
}
