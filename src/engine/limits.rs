//! Limits of the captures of an analysis: what they cannot support.

use strum::{EnumCount, EnumDiscriminants, EnumIter, IntoStaticStr};

use super::packet_counts::PacketCounts;
use super::survey::Survey;
use super::undecoded::Undecoded;
use crate::capture::{CaptureInfo, ClockDoubt, ClockShift};
use crate::listener::{Coverages, LimitSets};
use crate::packet::{CaptureSet, LinkType, Skip, Span};

/// A limit of the captures, to be considered when the results are read. [`LimitCode`] has the codes.
#[derive(Debug, Clone, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(
    name(LimitCode),
    doc = "The kind of a [`Limit`], without its figures; its name is the `code` of the outputs.",
    derive(EnumCount, EnumIter, IntoStaticStr),
    strum(serialize_all = "kebab-case"),
    allow(missing_docs, reason = "see Limit")
)]
pub enum Limit {
    /// A capture is damaged.
    Damaged {
        /// File, place and reason.
        message: String,
        /// The rest of the capture was not read.
        cut: bool,
    },
    /// A file is missing, or no capture.
    NotRead {
        /// File and reason.
        message: String,
    },
    /// Packets were lost while capturing.
    Dropped {
        /// The capture.
        path: String,
        /// Number of lost packets, as the kernel or the interface counted them.
        packets: u64,
    },
    /// SYN-ACKs are in the capture, and no bare ACK: it was filtered by flags.
    NoBareAcks {
        /// The capture, where there are several.
        path: Option<String>,
    },
    /// Only one direction is in a capture.
    OneDirection {
        /// The capture, where there are several.
        path: Option<String>,
        /// True if it is the client's.
        from_client: bool,
    },
    /// Packets are missing within connections: gaps, or sampling.
    Gaps {
        /// The capture, where there are several.
        path: Option<String>,
        /// Attempts with gaps.
        attempts: u64,
        /// All of them.
        of: u64,
    },
    /// All packets of a capture have the same time.
    NoClock {
        /// The capture.
        path: String,
    },
    /// All times are whole seconds.
    CoarseClock,
    /// Times jump, as when a clock is set.
    ClockJumps {
        /// Number of jumps.
        jumps: u64,
    },
    /// The same packets were captured by two clocks.
    TwoClocks {
        /// The difference between them.
        offset: Span,
        /// SYNs that show it.
        syns: u64,
    },
    /// A capture's times were corrected, because another clock made them.
    ClockCorrected {
        /// The capture.
        path: String,
        /// The capture whose clock counts.
        reference: String,
        /// The correction.
        shift: ClockShift,
    },
    /// The clocks of two points could not be compared.
    ClockUnknown {
        /// The capture.
        path: String,
        /// The capture that it was compared with.
        reference: String,
        /// The reason.
        doubt: ClockDoubt,
    },
    /// A capture beside others was read once, so that its clock was not compared with theirs.
    NotCompared {
        /// The capture.
        path: String,
    },
    /// The same packets were captured at two points of their path.
    TwoPoints {
        /// The time that a packet takes between them.
        apart: Span,
        /// SYNs that show it.
        syns: u64,
    },
    /// Connections have other sequence numbers at another point, and are counted at each.
    Renumbered {
        /// SYNs that show it.
        syns: u64,
    },
    /// Something between two points answers SYNs for the server, and connects to it itself.
    AnsweredBetween {
        /// Attempts that show it.
        attempts: u64,
    },
    /// Packets have no time of their own.
    Untimed {
        /// The capture.
        path: String,
        /// Number of these packets.
        packets: u64,
    },
    /// Packets were cut before the end of their TCP header.
    Truncated {
        /// Number of these packets.
        packets: u64,
    },
    /// Packets have headers that contradict themselves.
    Malformed {
        /// Number of these packets.
        packets: u64,
    },
    /// Packets have a link type without a decoder.
    UnsupportedLinkType {
        /// Number of these packets.
        packets: u64,
        /// Link types of these packets.
        link_types: Vec<LinkType>,
    },
    /// Many packets are of a protocol without a decoder.
    NotDecoded {
        /// The protocol, with its number of packets.
        most: Undecoded,
        /// All packets.
        of: u64,
    },
}

impl Limit {
    /// The stable name of its kind in the machine-readable outputs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        LimitCode::from(self).into()
    }
}

/// SYNs and their duplicates that show a second clock: fewer may share their timestamps by chance (DOMAIN §7).
const SYNS_OF_TWO_CLOCKS: u64 = 3;

/// Packets that show that times have no fraction of a second; fewer may be on the second by chance.
const WHOLE_SECONDS: u64 = 10;

/// Jumps from which on the clock is not usable. One packet with a wrong time, or a clock that was set, leaves the others.
const JUMPS: u64 = 3;

/// Limits of the captures as far as packets and attempts show them. Lost packets are not among them: the source counts
/// those.
pub(super) fn known_limits(survey: &Survey, coverage: &Coverages) -> LimitSets {
    let two_clocks = two_clocks(survey).is_some();
    let jumps = survey.clock_jumps >= JUMPS && !two_clocks;
    LimitSets {
        no_bare_acks: survey.lacks_bare_acks(),
        one_direction: coverage.one_direction(),
        gaps: coverage.gaps(),
        // The attempts show them; see `Listeners::set_limits`.
        some_gaps: CaptureSet::NONE,
        drops: CaptureSet::NONE,
        no_clock: if jumps { CaptureSet::ALL } else { CaptureSet::NONE },
        // The source knows; see `Listeners::set_uncounted`.
        uncounted: CaptureSet::ALL,
        two_clocks,
    }
}

/// Captures of which nobody counted what they dropped.
pub(super) fn uncounted(captures: &[CaptureInfo]) -> CaptureSet {
    CaptureSet::of(|place| captures.get(place).is_some_and(|capture| capture.dropped.is_none()))
}

/// Limits in the form that inference uses: for each kind the captures that have it.
pub(super) fn capture_limits(captures: &[CaptureInfo], limits: &[Limit]) -> LimitSets {
    let has = |test: fn(&Limit) -> bool| {
        let found = limits.iter().filter(|&limit| test(limit));
        found.fold(CaptureSet::NONE, |set, limit| set.union(limit.captures(captures)))
    };
    LimitSets {
        no_bare_acks: has(|limit| matches!(limit, Limit::NoBareAcks { .. })),
        one_direction: has(|limit| matches!(limit, Limit::OneDirection { .. })),
        gaps: has(|limit| matches!(limit, Limit::Gaps { .. })),
        // The attempts show them; see `Listeners::set_limits`.
        some_gaps: CaptureSet::NONE,
        drops: has(|limit| matches!(limit, Limit::Dropped { .. })),
        no_clock: has(Limit::is_of_clock),
        uncounted: uncounted(captures),
        two_clocks: limits.iter().any(|limit| matches!(limit, Limit::TwoClocks { .. })),
    }
}

impl Limit {
    /// The captures that have the limit.
    fn captures(&self, captures: &[CaptureInfo]) -> CaptureSet {
        let named = match self {
            Self::NoBareAcks { path } | Self::OneDirection { path, .. } | Self::Gaps { path, .. } => {
                path.as_ref()
            }
            Self::Dropped { path, .. }
            | Self::NoClock { path }
            | Self::ClockUnknown { path, .. }
            | Self::NotCompared { path }
            | Self::Untimed { path, .. } => Some(path),
            Self::Damaged { .. }
            | Self::NotRead { .. }
            | Self::CoarseClock
            | Self::ClockJumps { .. }
            | Self::TwoClocks { .. }
            | Self::ClockCorrected { .. }
            | Self::TwoPoints { .. }
            | Self::Renumbered { .. }
            | Self::AnsweredBetween { .. }
            | Self::Truncated { .. }
            | Self::Malformed { .. }
            | Self::UnsupportedLinkType { .. }
            | Self::NotDecoded { .. } => None,
        };
        let Some(named) = named else { return CaptureSet::ALL };
        let mut set = CaptureSet::NONE;
        let places = captures.iter().enumerate().filter(|(_, capture)| capture.path == *named);
        places.for_each(|(place, _)| set.add(place));
        set
    }

    /// True if, by this limit, times prove nothing: neither silence nor round trips nor their order.
    #[must_use]
    pub const fn is_of_clock(&self) -> bool {
        matches!(
            self,
            Self::NoClock { .. }
                | Self::CoarseClock
                | Self::ClockJumps { jumps: JUMPS.. }
                | Self::ClockUnknown { .. }
                | Self::Untimed { .. }
        )
    }
}

fn two_clocks(survey: &Survey) -> Option<Limit> {
    let (offset, syns) = survey.offsets.clocks().filter(|&(_, syns)| syns >= SYNS_OF_TWO_CLOCKS)?;
    Some(Limit::TwoClocks { offset, syns })
}

/// Two points of one path on one clock. They are no limit: one may have the packets that the other lacks.
fn two_points(survey: &Survey) -> Option<Limit> {
    let (apart, syns) = survey.offsets.points().filter(|&(_, syns)| syns >= SYNS_OF_TWO_CLOCKS)?;
    Some(Limit::TwoPoints { apart, syns })
}

/// The limits of the clocks of all captures together.
fn of_clocks(captures: &[CaptureInfo], packets: &PacketCounts) -> Vec<Limit> {
    let survey = &packets.survey;
    let still =
        |capture: &&CaptureInfo| capture.packets > 1 && capture.untimed == 0 && capture.first == capture.last;
    let mut limits: Vec<Limit> =
        captures.iter().filter(still).map(|capture| Limit::NoClock { path: capture.path.clone() }).collect();
    if limits.is_empty() && survey.whole_seconds == Some(true) && packets.total >= WHOLE_SECONDS {
        limits.push(Limit::CoarseClock);
    }
    if let Some(clocks) = two_clocks(survey) {
        limits.push(clocks);
    } else if survey.clock_jumps > 0 {
        limits.push(Limit::ClockJumps { jumps: survey.clock_jumps });
    }
    let corrected = captures.iter().filter_map(|capture| {
        let shift = capture.shift?;
        let reference = captures.get(usize::from(shift.reference))?.path.clone();
        Some(Limit::ClockCorrected { path: capture.path.clone(), reference, shift })
    });
    limits.extend(corrected);
    limits.extend(captures.iter().filter_map(|capture| {
        let doubt = capture.clock_doubt?;
        let reference = captures.get(usize::from(doubt.reference))?.path.clone();
        Some(Limit::ClockUnknown { path: capture.path.clone(), reference, doubt })
    }));
    let read_once = captures.iter().filter(|capture| capture.read_once && capture.clock_doubt.is_none());
    limits.extend(read_once.map(|capture| Limit::NotCompared { path: capture.path.clone() }));
    limits.extend(two_points(survey));
    limits.extend((survey.renumbered > 0).then_some(Limit::Renumbered { syns: survey.renumbered }));
    limits
}

/// The limits of what was captured: of its completeness, and of what is decoded.
fn of_packets(captures: &[CaptureInfo], packets: &PacketCounts, coverage: &Coverages) -> Vec<Limit> {
    let several = captures.len() > 1;
    let path = |place: usize| captures.get(place).filter(|_| several).map(|capture| capture.path.clone());
    let mut limits: Vec<Limit> = packets
        .survey
        .lacks_bare_acks()
        .places()
        .map(|place| Limit::NoBareAcks { path: path(place) })
        .collect();
    limits.extend(coverage.one_direction().places().filter_map(|place| {
        let from_client = coverage.at(place).one_direction()?;
        Some(Limit::OneDirection { path: path(place), from_client })
    }));
    limits.extend(coverage.gaps().places().filter_map(|place| {
        let (attempts, of) = coverage.at(place).gaps()?;
        Some(Limit::Gaps { path: path(place), attempts, of })
    }));
    let unknown = packets.undecoded.iter().find(|undecoded| undecoded.protocol.may_carry_tcp());
    // A tenth may carry as many handshakes.
    let many = unknown.filter(|unknown| unknown.packets * 10 >= packets.total && packets.tcp > 0);
    limits.extend(many.map(|&most| Limit::NotDecoded { most, of: packets.total }));
    limits
}

/// The limits of these captures: of all together, then in the order of the captures.
pub(super) fn limits(captures: &[CaptureInfo], packets: &PacketCounts, coverage: &Coverages) -> Vec<Limit> {
    let mut limits = of_packets(captures, packets, coverage);
    limits.extend(of_clocks(captures, packets));
    let attempts = coverage.answered_between();
    limits.extend((attempts > 0).then_some(Limit::AnsweredBetween { attempts }));
    for capture in captures {
        let path = || capture.path.clone();
        limits.extend(capture.damaged.clone().map(|message| match capture.format {
            Some(_) => Limit::Damaged { message, cut: capture.cut },
            None => Limit::NotRead { message },
        }));
        let dropped = capture.dropped.filter(|&packets| packets > 0);
        limits.extend(dropped.map(|packets| Limit::Dropped { path: path(), packets }));
        if capture.untimed > 0 {
            limits.push(Limit::Untimed { path: path(), packets: capture.untimed });
        }
    }
    let skipped = |skip| Some(packets.skipped[skip as usize]).filter(|&packets| packets > 0);
    limits.extend(skipped(Skip::Truncated).map(|packets| Limit::Truncated { packets }));
    limits.extend(skipped(Skip::Malformed).map(|packets| Limit::Malformed { packets }));
    limits.extend(skipped(Skip::UnsupportedLinkType).map(|packets| {
        let mut link_types: Vec<LinkType> = Vec::new();
        for &link in captures.iter().flat_map(|capture| &capture.link_types) {
            if !link.is_decoded() && !link_types.contains(&link) {
                link_types.push(link);
            }
        }
        Limit::UnsupportedLinkType { packets, link_types }
    }));
    limits
}
