//! Facts of a listener that its attempts show together, over time: the input of the hypotheses.
//!
//! Owns what is kept of them, bounded per listener. Does not own what it means (`hypotheses`). Findings come in the order
//! in which attempts are settled, so everything here takes times in any order.

mod clients;
mod closing;
mod drops;
mod features;
mod finishers;
mod floods;
mod knocks;
mod late_answers;
mod marks;
mod oversized;
mod per_second;
mod probes;
mod senders;
mod silence;
mod sizes;

pub(super) use closing::{AFTERMATH, Burst, Closing};
pub(super) use drops::{
    DropStretch, Drops, MIN_ATTEMPTS, TIME_WAIT, dropped_between, dropped_syns, has_dropped_syn,
};
pub(super) use features::Features;
pub(super) use finishers::{ActivePeriod, Finishers};
pub(super) use floods::{FloodKind, FloodSecond, Floods, is_abandoned};
pub(super) use knocks::{Knocks, is_in_vain};
pub(super) use late_answers::{LateAnswers, is_held_back};
pub(super) use marks::{MARK_GAP, Marks};
pub(super) use oversized::Oversized;
pub(super) use per_second::PerSecond;
pub(super) use probes::Probes;
pub(super) use senders::{Difference, Senders};
pub(super) use silence::{Silence, ignored_between};
pub(super) use sizes::{MAX_SMALL, Sizes, is_large};

use per_second::PARTS_OF_SECOND;
use strum::{EnumCount, IntoEnumIterator};

use crate::handshake::{Attempt, Fact, Passage, System, Vantage, Verdict};
use crate::packet::{Endpoint, Span, Timestamp};

/// Facts of one listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Observed {
    /// Times at which the queue was seen to be full.
    pub(super) marks: Marks,
    /// Times of SYNs that the listener left unanswered, and of those that it answered.
    pub(super) drops: Drops,
    /// First ACKs that the server accepted.
    pub(super) acks_accepted: PerSecond<PARTS_OF_SECOND>,
    /// SYN-ACKs that came long after the SYN which they answer, and handshakes that were slow.
    pub(super) late_answers: LateAnswers,
    /// Clients that sent nothing after their ACK, and those that sent at once.
    pub(super) silence: Silence,
    /// Sizes of data that was acknowledged, and that was not.
    pub(super) sizes: Sizes,
    /// RSTs, refusals, and the order in which connections were served.
    pub(super) closing: Closing,
    /// Events that a full queue would have counted: SYNs and ACKs that were not answered, RSTs.
    pub(super) overflow_like: PerSecond,
    /// SYNs that nobody finishes.
    pub(super) floods: Floods,
    /// Clients that reset the SYN-ACK.
    pub(super) probes: Probes,
    /// Connections that were reset right after the handshake.
    pub(super) senders: Senders,
    /// Clients that tried in vain.
    pub(super) knocks: Knocks,
    /// The lowest server address that clients were seen to use where it was translated on the way to this one.
    pub(super) published: Option<Endpoint>,
    /// Data of the server's that is too big for the path.
    pub(super) oversized: Oversized,
    /// Fate of SYNs by whether they ask for an optional feature.
    pub(super) features: Features,
    /// Shortest time from a SYN to the SYN-ACK that answered it.
    pub(super) least_round_trip: Option<Span>,
    /// Attempts of which the server, or a client that went on, has shown that it answers.
    pub(super) answered: u64,
    /// Attempts of one SYN to which an answer may be missing from the capture.
    pub(super) may_lack_answers: u64,
    /// Attempts that were answered at the first SYN.
    pub(super) prompt: u64,
    pub(super) refused: u64,
    /// Attempts whose SYN-ACK Linux has sent, and another known system of others.
    pub(super) linux: u64,
    pub(super) other_system: Option<System>,
    /// Attempts that were answered with other numbers, or from another address.
    pub(super) odd_answers: u64,
    /// Attempts that two hosts answered.
    pub(super) two_hosts: u64,
    vantages: [u64; Vantage::COUNT],
    /// Connections that were served whose SYN-ACK has the TTL of the server's later segments, and those where it has another.
    ttl_steady: u64,
    ttl_varied: u64,
    /// Attempts whose RST was a firewall's, as a SYN-ACK after it shows.
    pub(super) firewall_resets: u64,
    /// Attempts that ended with RST with ACK and an open window, as an application resets.
    pub(super) application_resets: u64,
    /// Client addresses that finished a handshake, and when.
    pub(super) finishers: Finishers,
    /// Attempts of which a segment of the server has a right checksum, and those of which a SYN-ACK has a wrong one.
    right_checksums: u64,
    wrong_checksums: u64,
    /// Attempts of which a segment of the client has a right checksum, and those whose SYN was answered although its own is wrong.
    client_checksums_right: u64,
    wrong_syns_answered: u64,
}

impl Observed {
    /// The system of the listener, if its SYN-ACKs show one; Linux, where one of several is.
    pub(super) fn system(&self) -> Option<System> {
        if self.linux > 0 { Some(System::Linux) } else { self.other_system }
    }

    /// The place of the capture, by most attempts.
    pub(super) fn vantage(&self) -> Option<Vantage> {
        let most = Vantage::iter().max_by_key(|&vantage| self.vantages[vantage as usize])?;
        (self.vantages[most as usize] > 0).then_some(most)
    }

    /// True if the capture was taken near the server, by most attempts.
    pub(super) fn is_captured_near_server(&self) -> bool {
        self.vantage().is_some_and(Vantage::is_near_server)
    }

    /// True if the capture was taken near the server as an attempt shows, and most others do not deny: without its first
    /// ACK an attempt looks so from the client's side, too.
    pub(super) fn is_near_server(&self, attempt: &Attempt) -> bool {
        attempt.vantage.is_some_and(Vantage::is_near_server) && !self.is_away_from_server()
    }

    /// True if most attempts show that the capture was not taken near the server: whatever single ones look like, whose first
    /// ACK was lost before it. Halfway to clients in the server's own network is near.
    pub(super) fn is_away_from_server(&self) -> bool {
        /// Longest round trip to a server that is near.
        const NEAR: Span = Span::from_millis(1);
        match self.vantage() {
            Some(Vantage::Client) => true,
            Some(Vantage::Middle) => self.least_round_trip.is_some_and(|least| least > NEAR),
            Some(Vantage::Server | Vantage::Local) | None => false,
        }
    }

    /// Round trip between the capture and the server: of the attempt, else the shortest of any.
    pub(super) fn round_trip(&self, attempt: &Attempt) -> Span {
        let nearest = attempt.passage.as_deref().and_then(Passage::server_round_trip);
        nearest.or(attempt.timing.syn_to_synack).or(self.least_round_trip).unwrap_or_default()
    }

    /// Attempts whose SYN-ACKs came at this moment although nothing drew them then, if they are several: the server, or the way to
    /// it, had stood still.
    pub(super) fn stood_still_until(&self, at: Timestamp) -> Option<u32> {
        self.late_answers.at_once(at, self.least_round_trip.unwrap_or_default())
    }

    /// True if the server's segments come by several ways, packet by packet, or from behind a proxy: their TTL varies, and that of an RST
    /// proves nothing.
    pub(super) fn ttl_varies(&self) -> bool {
        /// Fewest connections whose segments have several TTLs: a way may change once.
        const MIN_VARIED: u64 = 3;
        /// Connections whose segments have one TTL for each of those, at most.
        const MAX_STEADY: u64 = 10;
        self.ttl_varied >= MIN_VARIED && self.ttl_steady <= self.ttl_varied.saturating_mul(MAX_STEADY)
    }

    /// True if another machine answers for the server, and resets.
    fn has_foreign_resets(&self) -> bool {
        self.senders.are_foreign(self.ttl_varies())
    }

    /// True if the server's checksums are not offloaded where it was captured: more than a few of them are right. Of those
    /// that an interface fills in later one in 65,536 is right by chance.
    pub(super) fn has_server_checksums(&self) -> bool {
        /// Wrong ones for each right one at most.
        const MAX_WRONG: u64 = 10;
        self.right_checksums > 0 && self.wrong_checksums <= self.right_checksums.saturating_mul(MAX_WRONG)
    }

    /// True if a SYN with a wrong checksum is damaged though nothing else of its client is known: those of other clients are right, and
    /// none that an interface fills in later was answered.
    pub(super) fn has_client_checksums(&self) -> bool {
        /// Fewest clients: one or two may be right by chance.
        const MIN_RIGHT: u64 = 3;
        self.client_checksums_right >= MIN_RIGHT && self.wrong_syns_answered == 0
    }

    /// Takes an attempt that shows an overflow, or looks stuck, before it is settled.
    pub(super) fn see_provisional(&mut self, attempt: &Attempt) {
        if attempt.verdict == Verdict::ResetAfterAck {
            self.senders.see_reset(attempt);
        }
        // Until it is settled a SYN-ACK may follow and show that the RST was a firewall's.
        if attempt.verdict != Verdict::ResetAfterAck {
            self.marks.see_provisional(attempt);
        }
        self.floods.see_provisional(attempt, &self.finishers);
    }

    /// Takes a settled attempt.
    pub(super) fn see(&mut self, attempt: &Attempt) {
        let facts = attempt.facts;
        // A client that went on was answered, even where no answer is in the capture.
        let answered = facts.has(Fact::SynAckSeen) || facts.has(Fact::ClientWentOn);
        let answered = answered && attempt.verdict != Verdict::Refused;
        self.answered += u64::from(answered);
        self.may_lack_answers += u64::from(attempt.may_lack_answer());
        let prompt = facts.has(Fact::SynAckSeen) && attempt.retries.syn == 0;
        self.prompt += u64::from(prompt);
        if let Some(round_trip) = attempt.timing.syn_to_synack.filter(|_| prompt) {
            self.least_round_trip =
                Some(self.least_round_trip.map_or(round_trip, |least| least.min(round_trip)));
        }
        self.refused += u64::from(attempt.verdict == Verdict::Refused);
        if facts.has(Fact::SynAckSeen) {
            match attempt.system() {
                Some(System::Linux) => self.linux += 1,
                Some(other) => self.other_system = Some(other),
                None => {}
            }
        }
        let nearest = attempt.passage.as_deref().and_then(|passage| passage.sightings.first());
        if let Some(published) = nearest.map(|near| near.server).filter(|&server| server != attempt.server) {
            self.published = Some(self.published.map_or(published, |known| known.min(published)));
        }
        if let Some(vantage) = attempt.vantage {
            self.vantages[vantage as usize] += 1;
        }
        if attempt.established == Some(true) && attempt.reset.is_none() {
            let varied = facts.has(Fact::TtlDiffers);
            self.ttl_varied += u64::from(varied);
            self.ttl_steady += u64::from(!varied);
        }
        self.firewall_resets += u64::from(facts.has(Fact::SynAckAfterRst));
        let by_application = facts.has(Fact::ApplicationReset) && facts.has(Fact::RstWindowOpen);
        self.application_resets += u64::from(by_application);
        let odd = facts.has(Fact::ServerOutOfWindow) || attempt.answered_from.is_some();
        self.odd_answers += u64::from(odd);
        self.two_hosts += u64::from(facts.has(Fact::OtherHost));
        if attempt.verdict.is_completed() {
            self.finishers.see(attempt.client.ip(), attempt.acked.unwrap_or(attempt.start));
        }
        self.right_checksums += u64::from(facts.has(Fact::ServerChecksumRight));
        self.wrong_checksums += u64::from(facts.has(Fact::SynAckChecksumWrong));
        self.client_checksums_right += u64::from(facts.has(Fact::ClientChecksumRight));
        self.wrong_syns_answered += u64::from(answered && facts.has(Fact::SynChecksumWrong));
        self.marks.see(attempt);
        self.drops.see(attempt);
        if let Some(acked) =
            attempt.acked.filter(|_| facts.has(Fact::Established) && attempt.retries.after_ack == 0)
        {
            self.acks_accepted.add(acked);
        }
        self.late_answers.see(attempt);
        self.count_overflow_like(attempt);
        self.silence.see(attempt);
        self.sizes.see(attempt);
        self.closing.see(attempt);
        self.floods.see(attempt, &self.finishers);
        self.probes.see(attempt);
        self.senders.see(attempt);
        self.knocks.see(attempt);
        self.features.see(attempt);
    }
}

impl Observed {
    /// True if nothing is known of an attempt but one SYN, in a second in which many addresses send such SYNs.
    pub(super) fn is_of_flood(&self, attempt: &Attempt) -> bool {
        attempt.packets == 1
            && (attempt.verdict == Verdict::Unanswered || attempt.may_lack_answer())
            && self.floods.at(attempt.start).is_some_and(FloodSecond::is_of_many)
    }

    /// Takes an attempt of which nothing is known but one SYN of a flood. Like [`Self::see`], but that its client is no use.
    #[inline(always)]
    pub(super) fn see_flood_syn(&mut self, attempt: &Attempt) {
        if attempt.verdict == Verdict::Unanswered {
            self.drops.drop_at(attempt.start, attempt, None);
            self.overflow_like.add(attempt.start);
        } else {
            self.may_lack_answers += 1;
        }
        self.floods.see(attempt, &self.finishers);
    }

    fn count_overflow_like(&mut self, attempt: &Attempt) {
        dropped_syns(attempt).for_each(|at| self.overflow_like.add(at));
        if attempt.verdict == Verdict::SynackRetransmitted {
            let first = synack_time(attempt);
            let ignored = attempt.retry_at.iter().rev().take(attempt.retries.after_ack as usize);
            ignored.for_each(|&since| self.overflow_like.add(first.plus(since)));
        }
        if attempt.verdict == Verdict::ResetAfterAck {
            self.overflow_like.add(attempt.reset.unwrap_or(attempt.end));
        }
    }
}

/// Time of the attempt's first SYN-ACK; where no ACK shows that, the attempt's start.
pub(super) fn synack_time(attempt: &Attempt) -> Timestamp {
    let acked = attempt.acked.zip(attempt.timing.synack_to_ack);
    acked.map_or(attempt.start, |(acked, after)| acked.minus(after))
}
