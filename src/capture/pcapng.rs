//! pcapng files: sections, each with its byte order and interfaces, each with its link type and clock.
//!
//! Format: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>. The lengths of a block are checked here,
//! before `pcap-parser` decodes its body.

use pcap_parser::nom::IResult;
use pcap_parser::{
    EPB_MAGIC, IDB_MAGIC, ISB_MAGIC, InterfaceDescriptionBlock, InterfaceStatisticsBlock, OptionCode,
    PcapError, PcapNGOption, SHB_MAGIC, SPB_MAGIC, parse_enhancedpacketblock_be,
    parse_enhancedpacketblock_le, parse_interfacedescriptionblock_be, parse_interfacedescriptionblock_le,
    parse_interfacestatisticsblock_be, parse_interfacestatisticsblock_le, parse_sectionheaderblock,
    parse_simplepacketblock_be, parse_simplepacketblock_le,
};

use super::cooked::{self, interface_name};
use super::damage::{Damage, MAX_BLOCK, MAX_INTERFACES};
use super::input::Input;
use super::interface::{Interface, InterfaceClock};
use super::stream::Fill;
use super::walk::{CaptureTotals, FrameGroup, Stop, Walk, prefetch};
use crate::packet::{CapturePoint, Frame, FrameRef, Frames, LinkType, Shared, Timestamp};

/// The obsolete packet block, which `pcap-parser` leaves undecoded (draft-ietf-opsawg-pcapng,
/// appendix A).
const OPB_MAGIC: u32 = 0x0000_0002;

/// The block type of a section header, which is the same in either byte order.
const SECTION: [u8; 4] = SHB_MAGIC.to_le_bytes();

/// The byte-order mark of a little-endian section.
const LITTLE_ENDIAN: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];
const BIG_ENDIAN: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];

/// Length of a block's type and length fields.
const BLOCK_HEADER: usize = 8;

type Parsed<'i, B> = IResult<&'i [u8], B, PcapError<&'i [u8]>>;

/// Reads the blocks of a pcapng file.
#[derive(Debug)]
pub(super) struct PcapNgReader {
    big: bool,
    interfaces: Vec<Interface>,
    /// The points of the interfaces, where there are several.
    points: Vec<CapturePoint>,
    /// Bytes still to be skipped of a block that is of no interest and too large for a buffer.
    passing: u32,
    /// The time of the last packet, for simple packet blocks, which have none.
    last: Timestamp,
}

/// A block whose lengths were checked.
struct FramedBlock<'i> {
    kind: u32,
    whole: &'i [u8],
}

/// A packet from one of the three kinds of packet blocks.
struct Captured<'i> {
    at: Timestamp,
    interface: u32,
    link: LinkType,
    wire_len: u32,
    data: &'i [u8],
}

/// The next block in the view.
enum NextBlock<'i> {
    Framed(FramedBlock<'i>),
    /// A block to be skipped, of this length.
    Large(u32),
    /// Not whole in view: this many bytes of this part are needed.
    Need(usize, &'static str),
}

/// The reason why the inner loop stopped.
enum BlockHalt {
    Full,
    Limit(Timestamp),
    Large(u32),
    Need(usize, &'static str),
    Damage(Damage),
}

impl PcapNgReader {
    /// True if a file that begins with these bytes is a pcapng file.
    pub(super) fn recognises(magic: [u8; 4]) -> bool {
        magic == SECTION
    }

    pub(super) fn new() -> Self {
        Self {
            big: false,
            interfaces: Vec::new(),
            points: Vec::new(),
            passing: 0,
            last: Timestamp::default(),
        }
    }

    /// The points of the interfaces, where there are several.
    pub(super) fn points(&self) -> &[CapturePoint] {
        &self.points
    }

    /// Reads up to the first interface or packet, so that the first link type is known.
    pub(super) fn prime(&mut self, input: &mut Input, seen: &mut CaptureTotals) -> Result<(), Damage> {
        let mut none = |_: Frames<'_>| {};
        while self.interfaces.is_empty() {
            let limit = Timestamp::from_nanos(i64::MAX);
            let (point, prefix) = (CapturePoint::NONE, CapturePoint::NONE);
            let mut walk = Walk { capture: 0, point, prefix, left: 0, limit, sink: &mut none };
            match self.step(input, seen, &mut walk)? {
                None => {}
                Some(_) => break,
            }
        }
        Ok(())
    }

    /// Hands over frames until the input or the bounds of `walk` end.
    pub(super) fn walk(
        &mut self,
        input: &mut Input,
        seen: &mut CaptureTotals,
        walk: &mut Walk<'_>,
    ) -> Result<Stop, Damage> {
        loop {
            if let Some(stop) = self.step(input, seen, walk)? {
                return Ok(stop);
            }
        }
    }

    /// Reads all blocks in view, and then fills the view once.
    fn step(
        &mut self,
        input: &mut Input,
        seen: &mut CaptureTotals,
        walk: &mut Walk<'_>,
    ) -> Result<Option<Stop>, Damage> {
        if let Some(stop) = self.pass(input)? {
            return Ok(Some(stop));
        }
        let (used, halt) = self.blocks(input.view(), input.shared(), seen, walk);
        input.consume(used);
        let fill = match halt {
            BlockHalt::Full => return Ok(Some(Stop::Full)),
            BlockHalt::Limit(at) => return Ok(Some(Stop::Limit(at))),
            BlockHalt::Large(len) => {
                self.passing = len;
                return Ok(None);
            }
            BlockHalt::Need(need, part) => input.want(need, part)?,
            BlockHalt::Damage(damage) => {
                // A file that shrank reads as damage; the reason is the better message.
                let view = input.view().len();
                return Err(input.shrunk(view).map_or(damage, |size| Damage::Shrunk { size }));
            }
        };
        Ok(match fill {
            Fill::Ready => None,
            Fill::Starved => Some(Stop::Starved),
            Fill::End => Some(Stop::End),
        })
    }

    /// Skips the rest of a large block.
    fn pass(&mut self, input: &mut Input) -> Result<Option<Stop>, Damage> {
        while self.passing > 0 {
            let have = input.view().len().min(self.passing as usize);
            input.consume(have);
            self.passing -= have as u32;
            if self.passing == 0 {
                break;
            }
            match input.want(1, "block")? {
                Fill::Ready => {}
                Fill::Starved => return Ok(Some(Stop::Starved)),
                Fill::End => return Err(Damage::Cut { have: 0, need: self.passing as usize, part: "block" }),
            }
        }
        Ok(None)
    }

    /// The inner loop: reads the blocks that are whole in view. Returns their length.
    fn blocks(
        &mut self,
        view: &[u8],
        shared: Option<&Shared>,
        seen: &mut CaptureTotals,
        walk: &mut Walk<'_>,
    ) -> (usize, BlockHalt) {
        let mut rest = view;
        let mut group = FrameGroup::new(shared);
        let halt = loop {
            let block = match self.next(rest) {
                Ok(NextBlock::Framed(block)) => block,
                Ok(NextBlock::Large(len)) => break BlockHalt::Large(len),
                Ok(NextBlock::Need(need, part)) => break BlockHalt::Need(need, part),
                Err(damage) => break BlockHalt::Damage(damage),
            };
            let packet = match self.packet(&block) {
                Ok(packet) => packet,
                Err(damage) => break BlockHalt::Damage(damage),
            };
            match packet {
                Some(packet) => {
                    if walk.left == 0 {
                        break BlockHalt::Full;
                    }
                    if packet.at > walk.limit {
                        break BlockHalt::Limit(packet.at);
                    }
                    prefetch(rest.get(block.whole.len()..).unwrap_or_default(), packet.data.len() as u32);
                    self.last = packet.at;
                    let point = self.points.get(packet.interface as usize).copied().unwrap_or(walk.point);
                    let number =
                        if block.kind == SPB_MAGIC { seen.untimed() } else { seen.packet(packet.at) };
                    let frame = Frame {
                        at: packet.at,
                        frame: FrameRef::new(walk.capture, number).at_point(point),
                        link: packet.link,
                        wire_len: packet.wire_len,
                        data: packet.data,
                    };
                    group.push(frame, walk.sink);
                    walk.left -= 1;
                }
                None => {
                    if let Err(damage) = self.read_other(&block, seen) {
                        break BlockHalt::Damage(damage);
                    }
                    self.name_points(walk.prefix);
                }
            }
            rest = rest.get(block.whole.len()..).unwrap_or_default();
        };
        group.hand_over(walk.sink);
        (view.len() - rest.len(), halt)
    }

    /// The block at the front of `rest`, with its lengths checked.
    #[inline]
    fn next<'i>(&mut self, rest: &'i [u8]) -> Result<NextBlock<'i>, Damage> {
        let Some(&[a, b, c, d, e, f, g, h]) = rest.first_chunk() else {
            return Ok(NextBlock::Need(BLOCK_HEADER, "block header"));
        };
        let section = [a, b, c, d] == SECTION;
        let big = if section {
            match rest.get(8..).and_then(|r| r.first_chunk()) {
                None => return Ok(NextBlock::Need(12, "section header")),
                Some(&LITTLE_ENDIAN) => false,
                Some(&BIG_ENDIAN) => true,
                Some(&found) => return Err(Damage::ByteOrder { found }),
            }
        } else {
            self.big
        };
        let number = |bytes| if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let (kind, len) = (number([a, b, c, d]), number([e, f, g, h]));
        if (kind, len) == (0, 0) {
            return Err(Damage::Zeros { part: "block" });
        }
        let least = least(kind);
        if len < least || len % 4 != 0 {
            return Err(Damage::BlockLength { kind, found: len, least });
        }
        if len > MAX_BLOCK {
            // No block of interest is that long, except a packet with a damaged length.
            let passable = least == UNKNOWN;
            return if passable {
                Ok(NextBlock::Large(len))
            } else {
                Err(Damage::BlockTooLong { kind, found: len })
            };
        }
        let Some(whole) = rest.get(..len as usize) else { return Ok(NextBlock::Need(len as usize, "block")) };
        let tail = whole.last_chunk().copied().map_or(0, number);
        if tail != len {
            return Err(Damage::BlockTrailer { head: len, tail });
        }
        if section {
            self.big = big;
        }
        Ok(NextBlock::Framed(FramedBlock { kind, whole }))
    }

    /// The packet in `block`, if it is a packet block.
    #[inline]
    fn packet<'i>(&self, block: &FramedBlock<'i>) -> Result<Option<Captured<'i>>, Damage> {
        match block.kind {
            EPB_MAGIC => self.enhanced(block.whole).map(Some),
            SPB_MAGIC => self.simple(block.whole).map(Some),
            OPB_MAGIC => self.obsolete(block.whole).map(Some),
            _ => Ok(None),
        }
    }

    #[inline]
    fn enhanced<'i>(&self, whole: &'i [u8]) -> Result<Captured<'i>, Damage> {
        let parsed =
            if self.big { parse_enhancedpacketblock_be(whole) } else { parse_enhancedpacketblock_le(whole) };
        let Ok((_, block)) = parsed else { return Err(self.overrun(whole)) };
        let interface = self.interface(block.if_id)?;
        let units = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
        // `data` is padded to 32 bits.
        let data = block.data.get(..block.caplen as usize).unwrap_or(block.data);
        Ok(Captured {
            at: interface.clock.time(units),
            interface: block.if_id,
            link: interface.link,
            wire_len: block.origlen,
            data,
        })
    }

    /// A simple packet block. It belongs to the section's first interface, whose snap length may have cut it, and has
    /// no time: it gets that of the packet before it.
    fn simple<'i>(&self, whole: &'i [u8]) -> Result<Captured<'i>, Damage> {
        let parsed =
            if self.big { parse_simplepacketblock_be(whole) } else { parse_simplepacketblock_le(whole) };
        let (_, block) = parsed.map_err(|_| Damage::BlockMalformed { kind: SPB_MAGIC })?;
        let interface = self.interface(0)?;
        let captured = block.origlen.min(interface.snap_len);
        let data = block.data.get(..captured as usize);
        let overrun = || Damage::BlockOverrun { space: block.data.len(), found: captured };
        let data = data.ok_or_else(overrun)?;
        Ok(Captured { at: self.last, interface: 0, link: interface.link, wire_len: block.origlen, data })
    }

    fn obsolete<'i>(&self, whole: &'i [u8]) -> Result<Captured<'i>, Damage> {
        let word = |at: usize| {
            let bytes = whole.get(at..).and_then(|w| w.first_chunk()).copied().unwrap_or_default();
            if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        // Interface and drop count share a word, in the section's byte order.
        let index = if self.big { word(8) >> 16 } else { word(8) & 0xffff };
        let interface = self.interface(index)?;
        let units = u64::from(word(12)) << 32 | u64::from(word(16));
        let (captured, wire_len) = (word(20), word(24));
        let space = whole.get(28..whole.len() - 4).unwrap_or_default();
        let overrun = || Damage::BlockOverrun { space: space.len(), found: captured };
        let data = space.get(..captured as usize).ok_or_else(overrun)?;
        Ok(Captured {
            at: interface.clock.time(units),
            interface: index,
            link: interface.link,
            wire_len,
            data,
        })
    }

    /// The reason why an enhanced packet block cannot be decoded.
    #[cold]
    fn overrun(&self, whole: &[u8]) -> Damage {
        let bytes = whole.get(20..).and_then(|w| w.first_chunk()).copied().unwrap_or_default();
        let found = if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let space = whole.len() - ENHANCED as usize;
        if found as usize > space {
            Damage::BlockOverrun { space, found }
        } else {
            Damage::BlockMalformed { kind: EPB_MAGIC }
        }
    }

    #[inline]
    fn interface(&self, index: u32) -> Result<&Interface, Damage> {
        let declared = self.interfaces.len();
        self.interfaces.get(index as usize).ok_or(Damage::UndeclaredInterface { found: index, declared })
    }

    /// Reads a block that is no packet.
    #[cold]
    fn read_other(&mut self, block: &FramedBlock<'_>, seen: &mut CaptureTotals) -> Result<(), Damage> {
        match block.kind {
            SHB_MAGIC => self.section(block.whole),
            IDB_MAGIC => self.describe(block.whole, seen),
            ISB_MAGIC => self.statistics(block.whole, seen),
            _ => Ok(()),
        }
    }

    /// Names the points of the interfaces so far, if there are several, in a file that is `file` among others.
    fn name_points(&mut self, file: CapturePoint) {
        let several = self.interfaces.len() > 1;
        if !several || self.points.len() > self.interfaces.len() {
            self.points.clear();
        }
        if several {
            let unnamed = self.interfaces.iter().zip(0..).skip(self.points.len());
            let named = unnamed.map(|(interface, index)| match (index as usize) < cooked::MOST {
                true => CapturePoint::named(&interface_name(file, interface.name.as_deref(), index)),
                false => CapturePoint::OTHERS,
            });
            self.points.extend(named);
        }
    }

    fn section(&mut self, whole: &[u8]) -> Result<(), Damage> {
        let (_, section) =
            parse_sectionheaderblock(whole).map_err(|_| Damage::BlockMalformed { kind: SHB_MAGIC })?;
        if section.major_version != 1 {
            return Err(Damage::Version { major: section.major_version, minor: section.minor_version });
        }
        self.interfaces.clear();
        self.points.clear();
        Ok(())
    }

    fn describe(&mut self, whole: &[u8], seen: &mut CaptureTotals) -> Result<(), Damage> {
        let block = self.decode::<InterfaceDescriptionBlock<'_>>(
            parse_interfacedescriptionblock_le,
            parse_interfacedescriptionblock_be,
            whole,
            IDB_MAGIC,
        )?;
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(Damage::TooManyInterfaces);
        }
        let link = u16::try_from(block.linktype.0).map_or(LinkType::NULL, LinkType);
        // The crate reads `if_tsoffset` as little-endian in every section.
        let offset = self.number(&block.options, OptionCode::IfTsoffset).unwrap_or(0).cast_signed();
        self.interfaces.push(Interface {
            name: block.if_name().and_then(Result::ok).map(Into::into),
            link,
            snap_len: if block.snaplen == 0 { u32::MAX } else { block.snaplen },
            clock: InterfaceClock::new(block.if_tsresol, offset),
            dropped: None,
        });
        seen.link_type(link);
        Ok(())
    }

    /// Interface statistics. Drop counts are running totals of each interface, so the last one counts; of the times
    /// when capturing ended, the latest (draft-ietf-opsawg-pcapng §4.6).
    fn statistics(&mut self, whole: &[u8], seen: &mut CaptureTotals) -> Result<(), Damage> {
        let block = self.decode::<InterfaceStatisticsBlock<'_>>(
            parse_interfacestatisticsblock_le,
            parse_interfacestatisticsblock_be,
            whole,
            ISB_MAGIC,
        )?;
        let by_interface = self.number(&block.options, OptionCode::IsbIfDrop);
        let by_kernel = self.number(&block.options, OptionCode::IsbOsDrop);
        let ended = self.time(&block.options, OptionCode::IsbEndTime);
        // Statistics of an undeclared interface are ignored.
        let Some(interface) = self.interfaces.get_mut(block.if_id as usize) else { return Ok(()) };
        if let Some(units) = ended {
            seen.ended = seen.ended.max(Some(interface.clock.time(units)));
        }
        if by_interface.is_none() && by_kernel.is_none() {
            return Ok(());
        }
        let dropped = by_interface.unwrap_or(0).saturating_add(by_kernel.unwrap_or(0));
        let before = interface.dropped.replace(dropped).unwrap_or(0);
        let others = seen.dropped.unwrap_or(0).saturating_sub(before);
        seen.dropped = Some(others.saturating_add(dropped));
        Ok(())
    }

    fn decode<'i, B>(
        &self,
        little: fn(&'i [u8]) -> Parsed<'i, B>,
        big: fn(&'i [u8]) -> Parsed<'i, B>,
        whole: &'i [u8],
        kind: u32,
    ) -> Result<B, Damage> {
        let parse = if self.big { big } else { little };
        parse(whole).map(|(_, block)| block).map_err(|_| Damage::BlockMalformed { kind })
    }

    /// A 64-bit option in the section's byte order.
    fn number(&self, options: &[PcapNGOption<'_>], code: OptionCode) -> Option<u64> {
        let bytes = options.iter().find(|o| o.code == code)?.as_bytes().ok()?.try_into().ok()?;
        Some(if self.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// A time in an interface's units: two 32-bit words, the high one first in either byte order.
    fn time(&self, options: &[PcapNGOption<'_>], code: OptionCode) -> Option<u64> {
        let units = self.number(options, code)?;
        Some(if self.big { units } else { units.rotate_left(32) })
    }
}

/// Length of an enhanced packet block without packet and options.
const ENHANCED: u32 = 32;
/// Length of a block without a body.
const UNKNOWN: u32 = 12;

/// Least length of a block of type `kind`: its fixed fields with type and both lengths.
#[inline]
const fn least(kind: u32) -> u32 {
    match kind {
        EPB_MAGIC | OPB_MAGIC => ENHANCED,
        SPB_MAGIC => 16,
        SHB_MAGIC => 28,
        IDB_MAGIC => 20,
        ISB_MAGIC => 24,
        _ => UNKNOWN,
    }
}
