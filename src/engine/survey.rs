//! Properties of the capture itself, as all packets show them: which flags occur, whether times are those of a clock.

use crate::handshake::{BY_TIME_ALONE, Offsets};
use crate::packet::{self, CaptureSet, Flags, Frame, Frames, Packet, Seq, Span, Timestamp};

/// The first SYNs of a capture that were answered: a sample, so that it is recognised what the clients of many do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct AnsweredSyns {
    sample: [Option<AnsweredSyn>; 16],
    /// Number of the sample whose client should have sent an ACK, since it did not ask again.
    unasked: u8,
    /// SYNs that were compared with those.
    compared: u16,
}

/// A SYN that was answered before the first bare ACK, and whose client should have acknowledged that: it did not reset the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AnsweredSyn {
    /// The number that the answer acknowledges.
    number: Seq,
    /// The time of the answer.
    at: Timestamp,
    /// The client repeated its SYN after the answer: it did not get that, or rejected it.
    is_asked_again: bool,
}

/// A segment that answers a SYN, or follows the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    SynAck,
    Syn,
    Rst,
}

impl AnsweredSyns {
    /// The step that a segment with these flags takes, if it matters.
    fn step(&mut self, flags: Flags) -> Option<Step> {
        /// Most SYNs that are compared: those of a flood all differ.
        const MAX_COMPARED: u16 = 2048;
        if flags.contains(Flags::RST) {
            return (self.unasked > 0).then_some(Step::Rst);
        }
        if !flags.contains(Flags::SYN) {
            return None;
        }
        if flags.contains(Flags::ACK) {
            return self.sample.iter().any(Option::is_none).then_some(Step::SynAck);
        }
        let may_ask = self.unasked > 0 && self.compared < MAX_COMPARED;
        self.compared += u16::from(may_ask);
        may_ask.then_some(Step::Syn)
    }

    /// Takes a step of the client whose SYN is acknowledged by this number.
    fn take(&mut self, step: Step, number: Seq, at: Timestamp) {
        let known = self.sample.iter_mut().find(|known| known.is_some_and(|known| known.number == number));
        match (step, known) {
            (Step::SynAck, None) => {
                if let Some(place) = self.sample.iter_mut().find(|known| known.is_none()) {
                    *place = Some(AnsweredSyn { number, at, is_asked_again: false });
                    self.unasked += 1;
                }
            }
            // Sooner it is the SYN itself, captured at a second point after its answer had passed the first.
            (Step::Syn, Some(Some(known))) if !known.is_asked_again && at.since(known.at) > BY_TIME_ALONE => {
                known.is_asked_again = true;
                self.unasked -= 1;
            }
            // The client's answer to the SYN-ACK: an ACK is not to be expected.
            (Step::Rst, Some(known)) => {
                let expected = known.take_if(|known| !known.is_asked_again).is_some();
                self.unasked -= u8::from(expected);
            }
            (_, _) => {}
        }
    }
}

/// Properties of the capture itself, as all packets together show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// Captures in which a segment with no flag but ACK occurs. Every completed handshake has one.
    pub bare_acks: CaptureSet,
    /// SYNs that were answered before the first bare ACK, by the place of the capture.
    pub(super) answered_syns: [AnsweredSyns; CaptureSet::PLACES],
    /// SYNs before the first segment or ICMP error that is none, up to [`Self::MANY_SYNS`], by the place of the capture.
    pub(super) syns: [u8; CaptureSet::PLACES],
    /// Captures in which such a segment or ICMP error occurs.
    pub(super) other_than_syns: CaptureSet,
    /// First and latest time of the packets before a capture's first bare ACK, by the place of the capture.
    pub(super) spans: [Option<(Timestamp, Timestamp)>; CaptureSet::PLACES],
    /// No packet's time has a fraction of a second; `None` before the first one.
    pub whole_seconds: Option<bool>,
    /// Times that went back by more than a second, or ahead without the next packet.
    pub clock_jumps: u64,
    /// SYNs that have another ISN at a second point.
    pub renumbered: u64,
    /// Differences of time between SYNs and their duplicates.
    pub offsets: Offsets,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            bare_acks: CaptureSet::NONE,
            answered_syns: Default::default(),
            syns: [0; CaptureSet::PLACES],
            other_than_syns: CaptureSet::NONE,
            spans: [None; CaptureSet::PLACES],
            whole_seconds: None,
            clock_jumps: 0,
            renumbered: 0,
            offsets: Offsets::default(),
        }
    }
}

impl Survey {
    /// Fewest SYNs without what should follow them that show a filter: one or two clients may end there by themselves.
    const MANY_SYNS: u8 = 3;

    /// The captures that have several answered SYNs and not one bare ACK.
    #[must_use]
    pub fn lacks_bare_acks(&self) -> CaptureSet {
        self.long_ones(|place| {
            let answered = self.answered_syns.get(place).is_some_and(|syns| syns.unasked >= Self::MANY_SYNS);
            answered && !self.bare_acks.has_place(place)
        })
    }

    /// The captures that have several SYNs, and no segment or ICMP error besides.
    #[must_use]
    pub fn lacks_answers(&self) -> CaptureSet {
        self.long_ones(|place| {
            let several = self.syns.get(place).is_some_and(|&syns| syns >= Self::MANY_SYNS);
            several && !self.other_than_syns.has_place(place)
        })
    }

    /// The captures that `lacks` finds and that are judged by themselves: a short part of a series may hold only the beginnings of
    /// handshakes.
    fn long_ones(&self, lacks: impl Fn(usize) -> bool) -> CaptureSet {
        const SHORTEST: Span = Span::from_secs(5);
        let several = self.spans.iter().flatten().count() > 1;
        CaptureSet::of(|place| {
            let span = self.spans.get(place).copied().flatten();
            let long = span.is_some_and(|(first, last)| last.since(first) >= SHORTEST);
            lacks(place) && (long || !several)
        })
    }

    /// Takes frames. Nearly always the first ones answer all that they can, and the others need not be looked at.
    #[inline(always)]
    pub(super) fn take(&mut self, frames: &Frames<'_>) {
        let known = frames.first().is_none_or(|frame| self.bare_acks.has(frame.frame));
        if !known || self.whole_seconds != Some(false) {
            self.look_at(frames);
        }
    }

    #[cold]
    fn look_at(&mut self, frames: &Frames<'_>) {
        let whole = frames.iter().all(|frame| frame.at.as_nanos() % 1_000_000_000 == 0);
        self.whole_seconds = Some(whole && self.whole_seconds != Some(false));
        let Some(place) = frames.first().map(|frame| CaptureSet::place(frame.frame)) else { return };
        if self.bare_acks.has_place(place) {
            return;
        }
        let times = || frames.iter().map(|frame| frame.at);
        if let (Some(span), Some(first), Some(last)) =
            (self.spans.get_mut(place), times().min(), times().max())
        {
            *span = Some(span.map_or((first, last), |(begin, end)| (begin.min(first), end.max(last))));
        }
        for frame in &**frames {
            let Some(packet) = surveyed(frame) else { continue };
            self.count_syn(place, packet);
            let SurveyedPacket::Segment(flags) = packet else { continue };
            if flags == Flags::ACK {
                self.bare_acks.add(place);
            }
            self.look_at_answers(place, flags, frame);
        }
    }

    /// Counts a SYN, or takes note that a segment or an ICMP error is none.
    fn count_syn(&mut self, place: usize, packet: SurveyedPacket) {
        let is_syn = match packet {
            SurveyedPacket::Segment(flags) => is_syn(flags),
            SurveyedPacket::IcmpError => false,
        };
        if !is_syn {
            self.other_than_syns.add(place);
        } else if let Some(syns) = self.syns.get_mut(place).filter(|_| !self.other_than_syns.has_place(place))
        {
            *syns = syns.saturating_add(1).min(Self::MANY_SYNS);
        }
    }

    /// Takes a segment that answers a SYN, or a client's to such an answer.
    fn look_at_answers(&mut self, place: usize, flags: Flags, frame: &Frame<'_>) {
        let Some(known) = self.answered_syns.get_mut(place) else { return };
        let Some(step) = known.step(flags) else { return };
        if let Ok(Packet::Segment(segment)) = packet::general(frame) {
            let number = match step {
                Step::SynAck => segment.ack,
                Step::Syn => segment.seq.plus(1),
                Step::Rst => segment.seq,
            };
            known.take(step, number, frame.at);
        }
    }
}

/// A packet as far as the survey looks at it.
#[derive(Debug, Clone, Copy)]
enum SurveyedPacket {
    Segment(Flags),
    IcmpError,
}

fn surveyed(frame: &Frame<'_>) -> Option<SurveyedPacket> {
    let glimpse = packet::glimpse_ipv4(frame).or_else(|| packet::glimpse_ipv6(frame));
    if let Some(glimpse) = glimpse {
        return Some(SurveyedPacket::Segment(glimpse.flags));
    }
    match packet::general(frame) {
        Ok(Packet::Segment(segment)) => Some(SurveyedPacket::Segment(segment.flags)),
        Ok(Packet::Unreachable(_)) => Some(SurveyedPacket::IcmpError),
        Err(_) => None,
    }
}

/// True for a client's SYN.
pub(super) fn is_syn(flags: Flags) -> bool {
    flags.contains(Flags::SYN) && !flags.intersects(Flags::ACK.union(Flags::RST))
}

/// The flags of a frame's segment.
pub(super) fn flags(frame: &Frame<'_>) -> Option<Flags> {
    match surveyed(frame)? {
        SurveyedPacket::Segment(flags) => Some(flags),
        SurveyedPacket::IcmpError => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a step of each of these clients; returns how many ACKs are missing then.
    fn missing(known: &mut AnsweredSyns, steps: &[Flags], clients: u32) -> u8 {
        for (seconds, &flags) in (0..).zip(steps) {
            let at = Timestamp::default().plus(Span::from_secs(seconds));
            for client in 0..clients {
                let step = known.step(flags);
                step.into_iter().for_each(|step| known.take(step, Seq(client * 1000), at));
            }
        }
        known.unasked
    }

    #[test]
    fn clients_that_repeat_or_reset_after_a_syn_ack_lack_no_ack_however_many_they_are() {
        const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);
        const RST_ACK: Flags = Flags::RST.union(Flags::ACK);
        let after = |steps: &[Flags]| missing(&mut AnsweredSyns::default(), steps, 300);
        assert!(after(&[Flags::SYN, SYN_ACK]) >= Survey::MANY_SYNS);
        assert_eq!(after(&[Flags::SYN, SYN_ACK, Flags::SYN, SYN_ACK, SYN_ACK]), 0);
        let mut known = AnsweredSyns::default();
        assert_eq!([1, 1, 1].map(|clients| missing(&mut known, &[SYN_ACK, RST_ACK], clients)), [0, 0, 0]);
    }
}
