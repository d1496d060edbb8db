//! Ways of packets from one capture point to the next, and the segments of an attempt that did not take them (DOMAIN §7).
//!
//! Owns what attempts that passed show of the points: the next one on the way to a server, and the time that each covers.
//! Does not own the comparison of an attempt's own points (`handshake`), nor what a loss means (`hypotheses`).

use std::net::IpAddr;

use indexmap::IndexMap;
use smallvec::SmallVec;
use strum::IntoEnumIterator;

use super::capture_limits::{CaptureLimits, LimitSets};
use super::latest::LatestMap;
use super::observed::PerSecond;
use crate::handshake::{Attempt, Passage, SegmentKind, SegmentLoss, Sighting, Verdict};
use crate::packet::{CapturePoint, Endpoint, FrameRef, Seeded, Span, Timestamp};

/// Ways that are kept; past it the oldest half is dropped.
const MOST: usize = 4096;

/// The ways of packets between points.
#[derive(Debug, Clone, Default)]
pub(super) struct PointRoutes {
    /// Ways to a server, by its address at the point before.
    servers: LatestMap<(CapturePoint, Endpoint), ServerWay, MOST>,
    /// The next point on the way to any port of a host, where its address is the same at both.
    hosts: LatestMap<(CapturePoint, IpAddr), NextPoint, MOST>,
    points: IndexMap<CapturePoint, PointCoverage, Seeded>,
    /// The longest times that segments took from one point to the next.
    delays: LatestMap<(CapturePoint, CapturePoint), LongestDelays, MOST>,
}

/// Time around an attempt in which connections of its server show whether all of them pass the next point.
const AROUND: Span = Span::from_secs(600);

const SECOND: Span = Span::from_secs(1);

/// Attempts without an answer of which the times are kept, per way: the first and the latest.
const MAX_STOPPED: usize = 16;

/// The way from a point to a server.
#[derive(Debug, Clone, Default)]
struct ServerWay {
    /// The next point. [`CapturePoint::OTHERS`] where there are several, as behind a balancer.
    next: Option<NextPoint>,
    /// The server has another address there, and so may have several.
    is_translated: bool,
    /// A SYN to that address was answered, whatever the server's address at the next point.
    is_answered: bool,
    /// Attempts whose SYN passed the next point.
    passed: PerSecond,
    /// Established connections that no point behind this one saw: they went another way, or came when it was not captured.
    bypassed: PerSecond,
    /// Seconds between the first and the last SYN of attempts without an answer.
    stopped: SmallVec<[(Timestamp, Timestamp); 1]>,
}

impl ServerWay {
    fn see_stopped(&mut self, times: (Timestamp, Timestamp)) {
        self.stopped.truncate(MAX_STOPPED - 1);
        self.stopped.push(times);
    }

    /// True if attempts between these times went another way: established connections; or, where a translation can choose between
    /// several servers, those of which no SYN was answered while SYNs of others passed.
    fn is_bypassed(&self, begin: Timestamp, end: Timestamp) -> bool {
        let by_choice = |&(from, to): &(Timestamp, Timestamp)| {
            from <= end && begin <= to && self.passed.between(from, to) > 0
        };
        self.bypassed.between(begin, end) > 0 || self.is_translated && self.stopped.iter().any(by_choice)
    }
}

/// The longest time that segments took between two points, and that of all other attempts: a single one may be misdated.
#[derive(Debug, Clone, Copy, Default)]
struct LongestDelays {
    longest: Span,
    /// The longest but one.
    usual: Span,
}

impl LongestDelays {
    fn add(&mut self, delay: Span) {
        self.usual = self.usual.max(delay.min(self.longest));
        self.longest = self.longest.max(delay);
    }
}

/// The time, and the kinds of segments, that a point was seen to capture.
#[derive(Debug, Clone, Copy)]
struct PointCoverage {
    /// One of its packets.
    frame: FrameRef,
    /// First and last time of handshakes.
    span: (Timestamp, Timestamp),
    /// Kinds of segments, as bits: a filter may leave others out.
    kinds: u8,
}

impl PointRoutes {
    /// Takes note of the points that an attempt passed.
    pub(super) fn see(&mut self, attempt: &Attempt) {
        let Some(passage) = attempt.passage.as_deref() else { return };
        for sighting in &passage.sightings {
            for kind in SegmentKind::iter() {
                let Some(span) = sighting.passed(kind).times else { continue };
                let first = PointCoverage { frame: sighting.frame, span, kinds: 0 };
                let coverage = self.points.entry(sighting.point).or_insert(first);
                coverage.span = (coverage.span.0.min(span.0), coverage.span.1.max(span.1));
                coverage.kinds |= 1 << kind as u8;
            }
        }
        if let Some(last) = passage.on_path().next_back() {
            if attempt.established == Some(true) && attempt.answered_between().is_none() {
                self.way(last).bypassed.add(attempt.start);
            }
            // SYNs of the same second may have come just before or after what drops them.
            let times =
                last.passed(SegmentKind::Syn).times.filter(|_| attempt.verdict == Verdict::Unanswered);
            let times = times.map(|(first, last)| (first.plus(SECOND), last.minus(SECOND)));
            if let Some(times) = times.filter(|(from, to)| from <= to) {
                self.way(last).see_stopped(times);
            }
        }
        for (near, far) in passage.neighbours().filter(|(near, far)| near.point != far.point) {
            let delays = self.delays.get_or_insert((near.point, far.point), LongestDelays::default);
            delays.add(passage.longest_transit);
            let within_host = near.frame.capture() == far.frame.capture();
            let next = NextPoint { point: far.point, within_host };
            let is_translated = far.server.ip() != near.server.ip();
            let way = self.way(near);
            way.next.get_or_insert(next).join(next);
            way.is_translated |= is_translated;
            way.is_answered |= near.has(SegmentKind::SynAck);
            way.passed.add(attempt.start);
            if !is_translated {
                self.hosts.get_or_insert((near.point, near.server.ip()), || next).join(next);
            }
        }
    }

    fn way(&mut self, near: &Sighting) -> &mut ServerWay {
        self.servers.get_or_insert((near.point, near.server), ServerWay::default)
    }

    /// An attempt's losses, as the points show them.
    pub(super) fn evidence(&self, attempt: &Attempt, limits: &LimitSets) -> PointEvidence {
        let passage = attempt.passage.as_deref();
        let answers_others = passage.is_some_and(|passage| self.answers_others(passage));
        let unknown = PointEvidence { is_ack_final: true, answers_others, ..PointEvidence::default() };
        let Some(passage) = passage else { return unknown };
        let behind = self.stopped(passage).and_then(|stopped| self.points.get(&stopped.to));
        let frames = passage.sightings.iter().map(|sighting| sighting.frame);
        let frames = || frames.clone().chain(behind.map(|behind| behind.frame));
        let all = |test: fn(CaptureLimits) -> bool| frames().all(|frame| test(limits.of(frame)));
        if !all(|limits| !limits.gaps && !limits.no_bare_acks && !limits.one_direction) {
            return unknown;
        }
        let answered_between = attempt.answered_between();
        let captures = || frames().map(FrameRef::capture);
        if captures().min() != captures().max() && !all(|limits| !limits.no_clock) {
            // Numbers tell a proxy's connection apart; all else needs times that can be compared.
            return PointEvidence {
                answer_made: answered_between,
                answers_others,
                ..PointEvidence::default()
            };
        }
        let counted = all(|limits| !limits.drops && !limits.uncounted);
        let for_good = |loss: SegmentLoss| {
            Some(loss)
                .filter(|loss| self.covers(passage, loss))
                .and_then(|loss| passage.lost_for_good(loss, self.delay(&loss)))
        };
        let lost = |kind| passage.lost(kind).and_then(for_good);
        let on_this_way = |loss: &SegmentLoss| !self.may_bypass(attempt, passage, loss);
        let stopped = self.stopped(passage).filter(on_this_way).and_then(for_good);
        let far = passage.on_path().next_back();
        // Client segments after the SYN at the server's point.
        let went_on = |far: &Sighting| {
            [SegmentKind::Ack, SegmentKind::Data, SegmentKind::ClientRst]
                .into_iter()
                .any(|kind| far.has(kind))
        };
        let made = |kind| passage.made_between(kind).or_else(|| made_before(passage, stopped?, kind));
        PointEvidence {
            syn: match attempt.verdict {
                Verdict::Unanswered | Verdict::Undetermined => stopped,
                _ => stopped.or_else(|| lost(SegmentKind::Syn).filter(on_this_way)),
            },
            synack: lost(SegmentKind::SynAck).filter(|_| attempt.answered_from.is_none()),
            ack: lost(SegmentKind::Ack),
            is_ack_final: passage.is_ack_final(self.longest_delay(passage)),
            is_ack_lost_for_good: far.is_some_and(|far| !went_on(far)),
            data: lost(SegmentKind::Data),
            reset_made: made(SegmentKind::ServerRst),
            answer_made: answered_between.or_else(|| self.answered_before(attempt, stopped?)),
            is_counted: counted,
            is_without_gap: all(|limits| !limits.some_gaps),
            answers_others,
        }
    }

    /// True if the last point saw the address answer others, which have another server behind it.
    fn answers_others(&self, passage: &Passage) -> bool {
        let last = passage.on_path().next_back();
        let way = last.and_then(|last| self.servers.get(&(last.point, last.server)));
        way.is_some_and(|way| way.is_answered)
    }

    /// The SYN's stop before the next point that others pass on their way to the same server.
    fn stopped(&self, passage: &Passage) -> Option<SegmentLoss> {
        let last = passage.on_path().next_back()?;
        let by_server = self.servers.get(&(last.point, last.server)).and_then(|way| way.next);
        let next = by_server.or_else(|| self.hosts.get(&(last.point, last.server.ip())).copied())?;
        let seen = |sighting: &Sighting| sighting.point == next.point;
        if passage.is_partial || passage.sightings.iter().any(seen) {
            return None;
        }
        let (kind, packets) = (SegmentKind::Syn, last.passed(SegmentKind::Syn).packets);
        let NextPoint { point: to, within_host } = next;
        Some(SegmentLoss { kind, packets, from: last.point, to, within_host })
    }

    /// The SYN-ACK that the last point saw although the SYN did not get any further, and neither did any that a server
    /// established.
    fn answered_before(&self, attempt: &Attempt, stopped: SegmentLoss) -> Option<SegmentLoss> {
        let passage = attempt.passage.as_deref()?;
        let last = passage.on_path().next_back()?;
        let way = self.servers.get(&(last.point, last.server));
        let may_be_elsewhere =
            attempt.established == Some(true) || way.is_some_and(|way| !way.bypassed.is_empty());
        made_before(passage, stopped, SegmentKind::SynAck).filter(|_| !may_be_elsewhere)
    }

    /// True if a SYN that did not reach the next point may have gone round it, or unseen by it: connections of the same server did, in
    /// the time that the point captured.
    fn may_bypass(&self, attempt: &Attempt, passage: &Passage, loss: &SegmentLoss) -> bool {
        let from = passage.on_path().rfind(|sighting| sighting.point == loss.from);
        let way = from.and_then(|from| self.servers.get(&(from.point, from.server)));
        let Some(way) = way else { return false };
        let (mut begin, mut end) = (attempt.start.minus(AROUND), attempt.end.plus(AROUND));
        if !loss.within_host {
            let is_behind = |point| if loss.to.is_single() { point == loss.to } else { point != loss.from };
            let behind = self.points.iter().filter(|(point, _)| is_behind(**point));
            let spans = || behind.clone().map(|(_, coverage)| coverage.span);
            begin = begin.max(spans().map(|(begin, _)| begin).min().unwrap_or(begin));
            end = end.min(spans().map(|(_, end)| end).max().unwrap_or(end).minus(self.delay(loss)));
        }
        way.is_bypassed(begin, end)
    }

    /// The longest time that segments usually take on the way of a loss.
    fn delay(&self, loss: &SegmentLoss) -> Span {
        let of = |from, to| self.delays.get(&(from, to)).map(|delays| delays.usual);
        of(loss.from, loss.to).or_else(|| of(loss.to, loss.from)).unwrap_or(Span::ZERO)
    }

    /// The same of all ways between neighbours on the attempt's path.
    fn longest_delay(&self, passage: &Passage) -> Span {
        let (mut path, next) = (passage.on_path(), passage.on_path().skip(1));
        let ways = next.filter_map(|far| self.delays.get(&(path.next()?.point, far.point)));
        ways.map(|delays| delays.usual).max().unwrap_or(Span::ZERO)
    }

    /// True if the point that the segments did not reach was captured when they passed the one before, and captures such
    /// segments at all.
    fn covers(&self, passage: &Passage, loss: &SegmentLoss) -> bool {
        if !loss.to.is_single() {
            return true;
        }
        let Some(coverage) = self.points.get(&loss.to) else { return false };
        let from = passage.sightings.iter().find(|sighting| sighting.point == loss.from);
        let passed = from.and_then(|from| from.passed(loss.kind).times);
        let (begin, end) = coverage.span;
        // A packet is on its way for a while: the point has captured for some time before the first one comes, and for as long as
        // any takes after the last.
        let to = passage.sightings.iter().find(|sighting| sighting.point == loss.to);
        let way = from.zip(to).map_or(Span::ZERO, |(from, to)| shortest_way(from, to));
        let longest = passage.longest_transit.max(self.delay(loss));
        let covered = |(first, last): (Timestamp, Timestamp)| {
            let sent = passage.lost_since(loss).unwrap_or(last);
            begin <= first.plus(way.scaled(2, 1)) && sent.plus(longest) <= end
        };
        // Interfaces of one capture are captured together.
        let in_time = loss.within_host || passed.is_some_and(covered);
        in_time && coverage.kinds & 1 << loss.kind as u8 != 0
    }
}

/// The time that a packet of the attempt took between two points: the shortest, since some were sent again.
fn shortest_way(one: &Sighting, other: &Sighting) -> Span {
    let first = |sighting: &Sighting, kind| sighting.passed(kind).times.map(|(first, _)| first);
    let between = |kind| Some(first(other, kind)?.since(first(one, kind)?).abs());
    SegmentKind::iter().filter_map(between).min().unwrap_or(Span::ZERO)
}

/// The next point on a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NextPoint {
    point: CapturePoint,
    /// Both are interfaces of one capture, and so of one host.
    within_host: bool,
}

impl NextPoint {
    /// Adds what another attempt passed next; several where it differs.
    fn join(&mut self, other: Self) {
        if self.point != other.point {
            self.point = CapturePoint::OTHERS;
            self.within_host &= other.within_host;
        }
    }
}

/// An answer that the last point saw although the SYN did not get any further.
fn made_before(passage: &Passage, stopped: SegmentLoss, kind: SegmentKind) -> Option<SegmentLoss> {
    let answered = passage.on_path().next_back().filter(|last| last.has(kind))?;
    let packets = answered.passed(kind).packets;
    Some(SegmentLoss { kind, packets, from: stopped.to, to: stopped.from, within_host: stopped.within_host })
}

/// Segments of an attempt that passed one point and not the next, by kind. Nothing where a capture has gaps, or lacks
/// bare ACKs or a direction.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PointEvidence {
    /// SYNs: those of an attempt without an answer only if no SYN passed.
    pub(super) syn: Option<SegmentLoss>,
    pub(super) synack: Option<SegmentLoss>,
    pub(super) ack: Option<SegmentLoss>,
    /// True if segments of the client's that had not reached the server's point when a SYN-ACK was repeated did not come later.
    pub(super) is_ack_final: bool,
    /// Nothing that the client sent after its SYN passed the server's point.
    pub(super) is_ack_lost_for_good: bool,
    pub(super) data: Option<SegmentLoss>,
    /// The server's RST that was seen at a point and not at the one before on its way: something between sent it.
    pub(super) reset_made: Option<SegmentLoss>,
    /// The same of the SYN-ACK: something between answered for the server.
    pub(super) answer_made: Option<SegmentLoss>,
    /// The captures counted what they dropped: nothing.
    pub(super) is_counted: bool,
    /// No attempt of the captures lacks a packet.
    pub(super) is_without_gap: bool,
    /// The address that the last point saw answered others, which have another server behind it.
    pub(super) answers_others: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_segment_does_not_count() {
        let mut delays = LongestDelays::default();
        for millis in [5, 9, 90_000, 7] {
            delays.add(Span::from_millis(millis));
        }
        assert_eq!(delays.usual, Span::from_millis(9));
    }
}
