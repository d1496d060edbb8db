//! What the captures of an analysis cannot support.

use strum::{EnumCount, EnumDiscriminants, EnumIter, IntoStaticStr};

use super::summary::PacketCounts;
use crate::capture::CaptureInfo;
use crate::packet::{LinkType, Skip};

/// One limit of the captures, which the results must be read with. [`LimitCode`] has the codes.
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
        /// How many, as counted by whoever captured.
        packets: u64,
    },
    /// Packets have no time of their own.
    Untimed {
        /// The capture.
        path: String,
        /// How many.
        packets: u64,
    },
    /// Packets were cut before the end of their TCP header.
    Truncated {
        /// How many.
        packets: u64,
    },
    /// Packets have headers that contradict themselves.
    Malformed {
        /// How many.
        packets: u64,
    },
    /// Packets have a link type without a decoder.
    UnsupportedLinkType {
        /// How many.
        packets: u64,
        /// Those link types.
        link_types: Vec<LinkType>,
    },
}

impl Limit {
    /// The stable name of its kind in the machine-readable outputs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        LimitCode::from(self).into()
    }
}

/// The limits of these captures, in the order of the captures.
pub(super) fn limits(captures: &[CaptureInfo], packets: &PacketCounts) -> Vec<Limit> {
    let mut limits = Vec::new();
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
