//! Classic pcap files: microseconds or nanoseconds, either byte order, and Kuznetzov's variant.
//!
//! Format: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>. Record headers are decoded by
//! `pcap-parser`.

use pcap_parser::{
    LegacyPcapBlock, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};

use super::damage::{Damage, MAX_CAPTURED};
use super::input::Input;
use super::stream::Fill;
use super::walk::{CaptureTotals, FrameGroup, Stop, Walk, prefetch};
use crate::packet::{Frame, FrameRef, LinkType, Timestamp};

/// Length of the file header.
pub(super) const FILE_HEADER: usize = 24;

/// The bits of its field that are the link type; the upper ones describe the frame check sequence
/// (draft-ietf-opsawg-pcap §4).
const LINK_TYPE_MASK: i32 = 0xffff;

/// The layout of record headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PcapLayout {
    Little,
    Big,
    /// Kuznetzov's variant: 8 bytes more, always little-endian here.
    Modified,
}

impl PcapLayout {
    const fn header(self) -> usize {
        match self {
            Self::Little | Self::Big => 16,
            Self::Modified => 24,
        }
    }
}

/// Reads the records of a classic pcap file.
#[derive(Debug)]
pub(super) struct PcapReader {
    layout: PcapLayout,
    /// Nanoseconds in a unit of the sub-second field.
    unit: i64,
    link: LinkType,
}

/// The reason why the inner loop stopped.
enum RecordHalt {
    Full,
    Limit(Timestamp),
    /// The next record is not whole in view, or its length is not plausible.
    Record,
}

impl PcapReader {
    /// True if a file that begins with this magic number is a classic pcap file.
    pub(super) fn recognises(magic: [u8; 4]) -> bool {
        matches!(
            u32::from_le_bytes(magic),
            0xa1b2_c3d4 | 0xd4c3_b2a1 | 0xa1b2_3c4d | 0x4d3c_b2a1 | 0xa1b2_cd34
        )
    }

    /// A reader for the records after this file header, whose magic number [`Self::recognises`].
    ///
    /// # Errors
    ///
    /// The version, if it is not 2.x.
    pub(super) fn new(header: &[u8; FILE_HEADER]) -> Result<Self, (u16, u16)> {
        let Ok((_, header)) = parse_pcap_header(header) else { return Err((0, 0)) };
        // Version 2.4 is also taken with swapped bytes: some writers swap those of the version, and nothing else.
        let (major, minor) = (header.version_major, header.version_minor);
        if major != 2 && (major.swap_bytes(), minor.swap_bytes()) != (2, 4) {
            return Err((major, minor));
        }
        let layout = if header.is_modified_format() {
            PcapLayout::Modified
        } else if header.is_bigendian() {
            PcapLayout::Big
        } else {
            PcapLayout::Little
        };
        let unit = if header.is_nanosecond_precision() { 1 } else { 1_000 };
        let link = u16::try_from(header.network.0 & LINK_TYPE_MASK).map_or(LinkType::NULL, LinkType);
        Ok(Self { layout, unit, link })
    }

    pub(super) fn link(&self) -> LinkType {
        self.link
    }

    /// Hands over frames until the input or the bounds of `walk` end.
    pub(super) fn walk(
        &self,
        input: &mut Input,
        seen: &mut CaptureTotals,
        walk: &mut Walk<'_>,
    ) -> Result<Stop, Damage> {
        loop {
            let (used, halt) = match self.layout {
                PcapLayout::Little => self.records(input, seen, walk, |i| parse_pcap_frame(i).ok()),
                PcapLayout::Big => self.records(input, seen, walk, |i| parse_pcap_frame_be(i).ok()),
                PcapLayout::Modified => {
                    self.records(input, seen, walk, |i| parse_pcap_frame_modified(i).ok())
                }
            };
            input.consume(used);
            match halt {
                RecordHalt::Full => return Ok(Stop::Full),
                RecordHalt::Limit(at) => return Ok(Stop::Limit(at)),
                RecordHalt::Record => match self.complete(input)? {
                    Fill::End => return Ok(Stop::End),
                    Fill::Starved => return Ok(Stop::Starved),
                    Fill::Ready => {}
                },
            }
        }
    }

    /// The inner loop: hands over the records that are whole in view. Returns their length.
    #[inline(always)]
    fn records<'i>(
        &self,
        input: &'i Input,
        seen: &mut CaptureTotals,
        walk: &mut Walk<'_>,
        parse: impl Fn(&'i [u8]) -> Option<(&'i [u8], LegacyPcapBlock<'i>)>,
    ) -> (usize, RecordHalt) {
        let view = input.view();
        let mut rest = view;
        let mut group = FrameGroup::new(input.shared());
        let mut halt = None;
        while halt.is_none() && walk.left > 0 {
            let mut frames = 0;
            let before = FrameRef::new(walk.capture, seen.packets).at_point(walk.point);
            let (mut first, mut last) = CaptureTotals::NO_TIMES;
            for place in group.places(walk.left) {
                let Some((after, record)) = parse(rest) else {
                    halt = Some(RecordHalt::Record);
                    break;
                };
                // A single comparison finds lengths of 0 and lengths that are too large, since 0 - 1 wraps to the
                // largest number.
                if record.caplen.wrapping_sub(1) >= MAX_CAPTURED {
                    let (ahead, time) = (view.len() - after.len(), record.ts_sec | record.ts_usec);
                    if !plausible(input, ahead, time, record.caplen, record.origlen) {
                        halt = Some(RecordHalt::Record);
                        break;
                    }
                }
                prefetch(after, record.caplen);
                // At most 2^32 s and 2^32 µs: no overflow.
                let nanos = i64::from(record.ts_sec) * 1_000_000_000 + i64::from(record.ts_usec) * self.unit;
                let at = Timestamp::from_nanos(nanos);
                if at > walk.limit {
                    halt = Some(RecordHalt::Limit(at));
                    break;
                }
                (first, last) = (first.min(at), last.max(at));
                frames += 1;
                let frame = before.plus(frames as u64);
                *place = Frame { at, frame, link: self.link, wire_len: record.origlen, data: record.data };
                rest = after;
            }
            seen.packets(frames, (first, last));
            walk.left -= frames;
            group.fill(frames, walk.sink);
        }
        (view.len() - rest.len(), halt.unwrap_or(RecordHalt::Full))
    }

    /// Brings the whole record at the front into view.
    #[cold]
    fn complete(&self, input: &mut Input) -> Result<Fill, Damage> {
        let header = self.layout.header();
        let fill = input.want(header, "record header")?;
        if fill != Fill::Ready {
            return Ok(fill);
        }
        let Some(&[a, b, c, d]) = input.view().get(8..12).and_then(|l| l.first_chunk()) else {
            return Ok(fill);
        };
        let captured = match self.layout {
            PcapLayout::Big => u32::from_be_bytes([a, b, c, d]),
            PcapLayout::Little | PcapLayout::Modified => u32::from_le_bytes([a, b, c, d]),
        };
        if let Some(size) = input.shrunk(header) {
            return Err(Damage::Shrunk { size });
        }
        // A record with neither a time nor a length.
        if input
            .view()
            .get(..PcapLayout::Little.header())
            .is_some_and(|fields| fields.iter().all(|&byte| byte == 0))
        {
            return Err(Damage::Zeros { part: "record" });
        }
        if captured > MAX_CAPTURED {
            return Err(Damage::TooLong { found: captured });
        }
        input.want(header + captured as usize, "record")
    }
}

/// True if a record without data, or with too much, is one that the file really has. An empty record is legal, but a
/// file that shrinks under its map reads as zeros, too. `ahead` is the position of its end in the view; `time` is not 0
/// if either field of it is not.
///
/// Takes numbers and no record, which would have to be in memory for it.
#[cold]
#[inline(never)]
fn plausible(input: &Input, ahead: usize, time: u32, captured: u32, wire_len: u32) -> bool {
    if captured != 0 {
        return false;
    }
    // The length on the wire is the end of the header, and a file that shrinks ends in zeros.
    wire_len != 0 || time != 0 && input.shrunk(ahead).is_none()
}
