//! An attempt with the facts known of its listener and its host: the input of every hypothesis.

use std::cell::OnceCell;

use crate::handshake::{Attempt, Cause, Evidence, Fact, Passage, SegmentLoss, SegmentStep, Verdict};
use crate::listener::capture_limits::CaptureLimits;
use crate::listener::dropped_segments::DroppedByKernel;
use crate::listener::kernel_history::{KernelEvents, KernelEvidence, KernelHistory};
use crate::listener::observed::{
    Burst, DropStretch, FloodSecond, MIN_ATTEMPTS, Observed, dropped_between, dropped_syns, ignored_between,
    is_held_back,
};
use crate::listener::paths::{Paths, failed_since};
use crate::listener::point_routes::PointEvidence;
use crate::packet::{Span, Timestamp};

/// Odds, one in so many, below which a difference between two kinds of attempts is not put down to chance.
pub(super) const RARE_ODDS: u64 = 20;

/// An attempt to be explained.
pub(in crate::listener) struct Case<'a> {
    pub(in crate::listener) attempt: &'a Attempt,
    pub(in crate::listener) own: &'a Observed,
    /// Facts about clients and ways that go beyond the listener.
    pub(in crate::listener) paths: &'a Paths,
    /// Gives the SYNs that other listeners of the host left unanswered when this one did. Computed on demand: few hypotheses
    /// need it.
    pub(in crate::listener) siblings_dropping: &'a dyn Fn() -> SiblingDrops,
    pub(in crate::listener) limits: CaptureLimits,
    /// The kernel's figures of the listener over time.
    pub(in crate::listener) kernel_history: &'a KernelHistory,
    /// Evidence from the kernel's counts of the listener at the attempt's time.
    pub(in crate::listener) kernel: Option<KernelEvidence>,
    /// Events that the kernel counted in the intervals which touch that time.
    pub(in crate::listener) kernel_events: Option<KernelEvents>,
    /// Meaning of its segments that the kernel dropped, by the kernel's own events.
    pub(in crate::listener) dropped: Option<DroppedByKernel>,
    /// Segments that passed one point of the capture and not the next.
    pub(in crate::listener) points: PointEvidence,
    pub(in crate::listener) found: SharedFacts<'a>,
}

/// SYNs of other listeners of one host meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::listener) struct SiblingDrops {
    /// Number of listeners that left some unanswered in the same stretch.
    pub(in crate::listener) listeners: u32,
    /// Number of those that began and ended together with it, and left about the same share unanswered.
    pub(in crate::listener) together: u32,
    /// True if one of them left those of several clients unanswered.
    pub(in crate::listener) clustered: bool,
    /// SYNs that any other listener answered at once.
    pub(in crate::listener) answered: u32,
}

/// Facts of a case that several hypotheses need, each looked up once.
#[derive(Default)]
pub(in crate::listener) struct SharedFacts<'a> {
    /// The flood that the attempt is part of.
    pub(super) flood: OnceCell<Option<&'a FloodSecond>>,
    stretch: OnceCell<Option<&'a DropStretch>>,
    siblings: OnceCell<SiblingDrops>,
    cluster: OnceCell<Option<Evidence>>,
    others_overflowed: OnceCell<Option<bool>>,
    located: OnceCell<Option<(Cause, Evidence)>>,
}

impl<'a> Case<'a> {
    pub(in crate::listener) fn verdict(&self) -> Verdict {
        self.attempt.verdict
    }

    /// True if the attempt has the fact, and the listener's other attempts do not contradict it.
    pub(in crate::listener) fn has(&self, fact: Fact) -> bool {
        self.attempt.facts.has(fact)
            && match fact {
                Fact::RstTooSoon => !self.is_round_trip_stretched(),
                Fact::TtlDiffers | Fact::AnswersDiffer => !self.own.ttl_varies(),
                _ => true,
            }
    }

    /// True if the SYN-ACK came late, compared with the listener's others, and the RST after the ACK is no sooner than
    /// those allow: it may answer the ACK, too, where data has followed that.
    fn is_round_trip_stretched(&self) -> bool {
        let (timing, window) = (&self.attempt.timing, self.attempt.connect.window);
        let after_ack = window.zip(timing.synack_to_ack).map(|(window, ack)| window.minus(ack));
        let known = self.own.least_round_trip.zip(timing.syn_to_synack).zip(after_ack.max(timing.ack_to_rst));
        known.is_some_and(|((least, own), reset)| own >= least.scaled(2, 1) && reset >= least.scaled(1, 4))
    }

    /// True if the capture was taken near the server: packets in it have reached the server, or come from it.
    pub(in crate::listener) fn is_near_server(&self) -> bool {
        self.own.is_near_server(self.attempt)
    }

    /// Evidence that this segment of the handshake had a wrong checksum on the way, and not because its sender leaves them to
    /// the interface: others of the sender are right.
    pub(super) fn wrong_checksum(&self, step: SegmentStep) -> Option<Evidence> {
        let (wrong, filled_in) = match step {
            SegmentStep::Syn => {
                let right = self.has(Fact::ClientChecksumRight) || self.own.has_client_checksums();
                (Fact::SynChecksumWrong, right)
            }
            SegmentStep::SynAck => (Fact::SynAckChecksumWrong, self.own.has_server_checksums()),
            SegmentStep::Ack => (Fact::AckChecksumWrong, self.has(Fact::ClientChecksumRight)),
        };
        (self.has(wrong) && filled_in).then_some(Evidence::WrongChecksum(step))
    }

    /// The same of all ACKs that the server ignored: none of them reached its TCP.
    pub(super) fn only_wrong_acks(&self) -> Option<Evidence> {
        let others = self.has(Fact::RightAckIgnored) || self.has(Fact::DataIgnored);
        self.wrong_checksum(SegmentStep::Ack).filter(|_| !others)
    }

    /// True if each ACK that the server ignored was captured at one point of its way and not at the next, which the SYN
    /// had passed, and so did the segment that established the connection: a filter of the capture leaves out all of
    /// them.
    pub(in crate::listener) fn is_ack_missing_between_points(&self) -> bool {
        self.has(Fact::AckAtOnePoint) && !self.has(Fact::AckAtSecondPoint) && self.has(Fact::Established)
    }

    /// The same, and none of them came later than segments take on the way.
    pub(in crate::listener) fn is_ack_lost_between_points(&self) -> bool {
        self.is_ack_missing_between_points() && self.points.is_ack_final
    }

    /// The cause that the points of the capture prove, with the segments that passed one and not the next.
    pub(in crate::listener) fn located(&self) -> Option<(Cause, Evidence)> {
        *self.found.located.get_or_init(|| self.locate())
    }

    fn locate(&self) -> Option<(Cause, Evidence)> {
        let lost = |cause, loss: Option<SegmentLoss>| Some((cause, Evidence::LostBetween(loss?)));
        let points = &self.points;
        match self.verdict() {
            Verdict::Unanswered => lost(Cause::SynLost, points.syn),
            Verdict::HalfOpen => lost(Cause::SynackLost, points.synack),
            Verdict::CompletedLate if self.has(Fact::FirstSynAnswered) => {
                lost(Cause::SynackLost, points.synack)
            }
            // All retries are explained.
            Verdict::CompletedLate => {
                let packets = |loss: Option<SegmentLoss>| loss.map_or(0, |loss| u32::from(loss.packets));
                let [syns, answers] = [points.syn, points.synack].map(packets);
                let retries = self.attempt.retries.syn;
                lost(Cause::SynLost, points.syn.filter(|_| syns >= retries))
                    .or_else(|| lost(Cause::SynackLost, points.synack.filter(|_| syns + answers >= retries)))
            }
            Verdict::SynackRetransmitted if self.has(Fact::SynAckAfterRst) => None,
            Verdict::SynackRetransmitted => {
                let at_one_point = self.is_ack_lost_between_points();
                let known = at_one_point.then_some((Cause::AckLost, Evidence::AckAtOnePoint));
                let vanished = at_one_point || points.is_ack_lost_for_good;
                lost(Cause::AckLost, points.ack.filter(|_| vanished)).or(known)
            }
            Verdict::AckIgnored => lost(Cause::AckLost, points.data),
            Verdict::Refused => Some((Cause::FirewallReset, Evidence::MadeBetween(points.reset_made?))),
            Verdict::ResetAfterAck => Some((Cause::FirewallReset, Evidence::MadeBetween(points.reset_made?))),
            Verdict::Undetermined | Verdict::Completed | Verdict::Unreachable | Verdict::ClientReset => None,
        }
    }

    /// True if the server's RST came after the client's first data, as the point nearest to the server saw them.
    pub(in crate::listener) fn is_reset_after_data(&self) -> bool {
        let passage = self.attempt.passage.as_deref();
        self.has(Fact::RstAfterData) && !passage.is_some_and(Passage::is_reset_before_data)
    }

    /// True if the client's address finished another handshake with the listener within a minute.
    pub(super) fn client_finished_another(&self) -> bool {
        self.own.finishers.has(self.attempt.client.ip(), self.attempt.start)
    }

    /// True if the client's address finished another handshake with any listener of the host within a minute: it is real, and
    /// reached. For an attempt that is half-open.
    pub(super) fn client_is_reached(&self) -> bool {
        self.client_finished_another()
            || self.attempt.client_finishes
            || self.paths.has_finisher(self.attempt)
    }

    /// True if it did so after the SYN-ACK of the attempt: it had not gone by then.
    pub(super) fn client_finished_later(&self) -> bool {
        let at = self.attempt.first_synack.unwrap_or(self.attempt.start);
        self.own.finishers.has_later(self.attempt.client.ip(), at)
            || self.paths.has_later_finisher(self.attempt, at)
    }

    /// Evidence that the client had not given up, nor meant to probe: its SYN came again after the RST to the SYN-ACK.
    pub(super) fn outlives_reset(&self) -> Option<Evidence> {
        self.paths.outlives_reset(self.attempt).then_some(Evidence::SynRetriedAfterSynAck)
    }

    /// The burst of RSTs that ended the attempt's connection, if it is that of a closing listener.
    pub(super) fn closing_burst(&self) -> Option<&'a Burst> {
        self.own.closing.burst_of(self.attempt.acked, self.attempt.reset?)
    }

    /// True if something on the way answered for the server, which never saw this handshake: what followed is not the server's.
    pub(in crate::listener) fn answered_on_way(&self) -> bool {
        self.points.answer_made.is_some() && self.attempt.answered_between().is_none()
    }

    /// True if the kernel's evidence was recorded.
    pub(in crate::listener) fn has_kernel_evidence(&self) -> bool {
        self.kernel.is_some() || self.kernel_events.is_some() || self.dropped.is_some()
    }

    /// The time between the attempt's first packet and its last.
    pub(in crate::listener) fn span(&self) -> (Timestamp, Timestamp) {
        (self.attempt.start, self.attempt.end)
    }

    /// Others than this attempt that showed a full queue meanwhile: whether any did, and surely.
    pub(in crate::listener) fn others_overflowed(&self) -> Option<bool> {
        *self
            .found
            .others_overflowed
            .get_or_init(|| self.own.marks.others(self.own, self.attempt, self.span()))
    }

    /// Evidence of that.
    pub(in crate::listener) fn others_evidence(&self) -> Option<Evidence> {
        self.others_overflowed().map(|sure| match sure {
            true => Evidence::OthersOverflowed,
            false => Evidence::OthersMayHaveOverflowed,
        })
    }

    /// True if an answer of the server does not fit the SYN: it has other numbers, or came from another address.
    pub(in crate::listener) fn has_odd_answer(&self) -> bool {
        self.has(Fact::ServerOutOfWindow)
            || self.has(Fact::RstWrongAck)
            || self.attempt.answered_from.is_some()
    }

    /// True if the path worked between the first and the last ignored ACK.
    pub(in crate::listener) fn path_worked(&self) -> bool {
        self.attempt.path_worked || self.paths.worked_through(self.attempt)
    }

    /// True if the server's only RST came after the client's FIN. A listener that resets the ACK, or was closed before
    /// it, resets both.
    pub(in crate::listener) fn is_answer_to_fin(&self) -> bool {
        let attempt = self.attempt;
        self.has(Fact::ClientClosedFirst) && attempt.server_rsts <= 1 && attempt.rst_answers_segment >= 2
    }

    /// True if SYNs were refused when the server's RST came: nobody listened.
    pub(super) fn is_reset_among_refusals(&self) -> bool {
        self.attempt.reset.is_some_and(|reset| self.own.closing.refused_around(reset))
    }

    /// Other hosts that failed the client in the same second, seen from its side: queues of several hosts do not fill
    /// together.
    pub(in crate::listener) fn other_hosts_failed(&self) -> u32 {
        if self.is_near_server() {
            return 0;
        }
        let Attempt { client, server, start, .. } = *self.attempt;
        match failed_since(self.attempt) {
            Some(since) => self.paths.failed_together(client, server, since, false),
            None if self.was_cut_off() => self.paths.failed_together(client, server, start, true),
            None => 0,
        }
    }

    /// True if a retry completed the attempt, and several of the listener's went unanswered meanwhile and none was answered: of a
    /// queue each accept() lets one in.
    fn was_cut_off(&self) -> bool {
        self.verdict() == Verdict::CompletedLate
            && self.stretch().is_some_and(|stretch| {
                stretch.attempts >= MIN_ATTEMPTS && self.own.drops.answered_within(stretch) == 0
            })
    }

    /// Evidence of them.
    pub(super) fn others_failed(&self) -> Option<Evidence> {
        Some(self.other_hosts_failed()).filter(|&others| others > 0).map(Evidence::OtherHostsFailed)
    }

    /// Evidence that the path to several hosts failed: [`Self::other_hosts_failed`], if there are enough of them.
    pub(in crate::listener) fn way_failed(&self) -> Option<Evidence> {
        /// Fewest other hosts that count: a single one may fail by itself.
        const MIN_HOSTS: u32 = 2;
        let others = self.other_hosts_failed();
        (others >= MIN_HOSTS).then_some(Evidence::OtherHostsFailed(others))
    }

    /// Evidence that the server, or the way to it, had stood still until the last SYN-ACK that followed an ignored ACK: at that moment
    /// it answered several SYNs as well, long after they had come.
    pub(super) fn stood_still(&self) -> Option<Evidence> {
        let (_, last) = ignored_between(self.attempt)?;
        self.own.stood_still_until(last).map(Evidence::AnsweredAtOnce)
    }

    /// Time in which the SYNs of a client that reset the answer to a later one went unanswered.
    fn waited_in_vain(&self) -> Option<(Timestamp, Timestamp)> {
        let asked_again = self.verdict() == Verdict::ClientReset && !self.has(Fact::FirstSynAnswered);
        let answered = self.attempt.answered_syn_after().filter(|_| asked_again)?;
        let last = self.attempt.syn_retry_at.iter().rev().find(|&&since| since < answered);
        let start = self.attempt.start;
        (answered > Span::ZERO).then(|| (start, last.map_or(start, |&last| start.plus(last))))
    }

    /// Evidence that the listener's queue may have been full while it left the SYNs of this client unanswered, which gave up.
    pub(super) fn waited_for_queue(&self) -> Option<Evidence> {
        self.waited_in_vain()?;
        self.others_evidence().or_else(|| self.drops_cluster())
    }

    /// The stretch of unanswered SYNs that the attempt is part of, or in which its client waited.
    pub(in crate::listener) fn stretch(&self) -> Option<&'a DropStretch> {
        *self.found.stretch.get_or_init(|| {
            let (first, last) = dropped_between(self.attempt).or_else(|| self.waited_in_vain())?;
            self.own.drops.at(first, last)
        })
    }

    /// True if segments that seem lost may have been late: the way held back those of other handshakes meanwhile, or the attempt's
    /// own.
    pub(super) fn is_held_back(&self) -> bool {
        /// Time before and after the attempt: delays grow and fall in some seconds.
        const AROUND: Span = Span::from_secs(5);
        let Attempt { start, end, first_synack, .. } = *self.attempt;
        let (from, to) = (start.minus(AROUND), first_synack.unwrap_or(end).plus(AROUND));
        let answered = self.own.drops.answered_between(from, to);
        let client = self.paths.client_round_trip(self.attempt);
        is_held_back(self.attempt, self.own.least_round_trip, client)
            || self.own.late_answers.is_way_slow(from, to, answered)
    }

    /// True if the attempt's ACKs may be dropped by their ports alone, as by a firewall that one of several ways passes, seen from the
    /// client's side: no repeat succeeded while first ACKs of others did, and no SYN went unanswered meanwhile, as it does
    /// while a queue is full. So of another one that failed at the same time.
    pub(super) fn fails_by_ports(&self) -> bool {
        /// Fewest others: one or two get in between two accepts.
        const MIN_OTHERS: u32 = 3;
        /// Just after the first ACK and before the last repeat the queue may have had room.
        const MARGIN: Span = Span::from_millis(125);
        let Some(own) = ignored_between(self.attempt).filter(|_| !self.is_near_server()) else {
            return false;
        };
        let others_accepted = |(first, last): (Timestamp, Timestamp)| {
            self.own.drops.at(first, last).is_none()
                && self.own.acks_accepted.between(first.plus(MARGIN), last.minus(MARGIN)) >= MIN_OTHERS
        };
        // Without SYNs in the capture none of them can go unanswered.
        self.has(Fact::SynSeen)
            && !self.has(Fact::Established)
            && self.own.drops.at(own.0, own.1).is_none()
            && std::iter::once(own).chain(self.own.silence.in_vain_with(own)).any(others_accepted)
    }

    /// True if the attempt's SYNs went unanswered together with those of several others of its listener, and no fewer of them
    /// than were answered: that is no loss here and there on a path.
    pub(in crate::listener) fn dropped_in_crowd(&self) -> bool {
        self.stretch().is_some_and(|stretch| {
            stretch.attempts >= MIN_ATTEMPTS
                && self.own.drops.are_most(stretch, dropped_syns(self.attempt).next())
        })
    }

    /// SYNs of other listeners of the host when this one left some unanswered.
    pub(in crate::listener) fn siblings(&self) -> SiblingDrops {
        *self.found.siblings.get_or_init(self.siblings_dropping)
    }

    /// True if this listener left but few SYNs unanswered while another one of the host left those of several clients
    /// unanswered: whatever explains those explains these as well.
    pub(in crate::listener) fn drops_with_sibling(&self) -> bool {
        let alone = self.others_overflowed().is_none() && self.drops_cluster().is_none();
        alone && self.own.prompt > 0 && self.siblings().clustered
    }

    /// True if no listener of the host answered a SYN in the stretch of the attempt's: the host, or the way to it, may have stood
    /// still.
    pub(in crate::listener) fn host_is_silent(&self) -> bool {
        self.stretch().is_some_and(|stretch| {
            let own = self.own.drops.answered_between(stretch.from, stretch.to);
            own + self.siblings().answered == 0
        })
    }

    /// Evidence that the attempt's SYNs went unanswered in one stretch with those of several others, while the listener
    /// answered at other times (DOMAIN §5.1); `None` where they did not.
    pub(in crate::listener) fn drops_cluster(&self) -> Option<Evidence> {
        *self.found.cluster.get_or_init(|| self.find_cluster())
    }

    fn find_cluster(&self) -> Option<Evidence> {
        self.cluster_of(self.stretch()?, dropped_syns(self.attempt).next())
    }

    /// Evidence that SYNs of others went unanswered in one stretch while ACKs of the attempt were ignored, and whether the way lived: if
    /// it did not, they may all have been lost (DOMAIN §3).
    pub(super) fn ignored_in_crowd(&self) -> Option<(Evidence, bool)> {
        let (first, last) = ignored_between(self.attempt)?;
        let cluster = self.cluster_of(self.own.drops.at(first, last)?, Some(first))?;
        let lived = matches!(cluster, Evidence::DropsCluster { answered: 1.., .. }) || self.path_worked();
        Some((cluster, lived))
    }

    fn cluster_of(&self, stretch: &DropStretch, at: Option<Timestamp>) -> Option<Evidence> {
        // SYNs of a flood are no clients that the queue turned away.
        if self.own.floods.at(self.attempt.start).is_some() {
            return None;
        }
        let answered = self.own.drops.answered_in_cluster(stretch, at)?;
        let (attempts, clients) = (stretch.attempts, stretch.clients.count());
        Some(Evidence::DropsCluster { attempts, clients, answered })
    }
}
