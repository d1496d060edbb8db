//! Writes pcapng files, with comments.
//!
//! Owns the four block types that this takes. Written here and not by a library: pcap-parser's serialiser would bring the
//! whole futures family into the build, and pcap-file's current version is a release candidate.

use std::io::{self, Write};

use super::Recording;
use crate::packet::{Frame, LinkType, Timestamp};

/// Section header, interface description, interface statistics, enhanced packet (draft-ietf-opsawg-pcapng §4).
const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
/// Marks the byte order.
const BYTE_ORDER: u32 = 0x1A2B_3C4D;
/// Options: a comment, the writing program, an interface's name, the resolution of its time stamps, when its capture ended.
const COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const ISB_ENDTIME: u16 = 3;
/// `if_tsresol` for nanoseconds.
const NANOSECONDS: u8 = 9;

/// Writes one section of a pcapng file.
pub struct PcapngWriter<W> {
    out: W,
    interfaces: u32,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins the section, with a comment if there is one.
    ///
    /// # Errors
    ///
    /// The output's.
    pub fn new(mut out: W, comment: Option<&str>) -> io::Result<Self> {
        let mut section = BlockBuilder::new(SECTION);
        section.u32(BYTE_ORDER);
        section.u16(1); // version 1.0
        section.u16(0);
        section.bytes(&(-1_i64).to_le_bytes()); // section length not given
        section.comment(comment);
        section.option(SHB_USERAPPL, concat!("hsanalyze ", env!("CARGO_PKG_VERSION")));
        section.end_options();
        section.write(&mut out)?;
        Ok(Self { out, interfaces: 0 })
    }

    /// Adds an interface; returns its number.
    ///
    /// # Errors
    ///
    /// The output's.
    pub fn interface(&mut self, name: &str, link: LinkType) -> io::Result<u32> {
        let mut interface = BlockBuilder::new(INTERFACE);
        interface.u16(link.0);
        interface.u16(0);
        interface.u32(0); // no snap length
        interface.option(IF_NAME, name);
        interface.option_bytes(IF_TSRESOL, &[NANOSECONDS]);
        interface.end_options();
        interface.write(&mut self.out)?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Adds a packet of an interface, with a comment if there is one.
    ///
    /// # Errors
    ///
    /// The output's.
    pub fn packet(&mut self, interface: u32, frame: &Frame<'_>, comment: Option<&str>) -> io::Result<()> {
        let at = frame.at.as_nanos().cast_unsigned();
        let mut block = BlockBuilder::new(PACKET);
        block.u32(interface);
        block.u32((at >> 32) as u32);
        block.u32((at & u64::from(u32::MAX)) as u32);
        block.u32(u32::try_from(frame.data.len()).unwrap_or(u32::MAX));
        block.u32(frame.wire_len);
        block.bytes(frame.data);
        if comment.is_some() {
            block.comment(comment);
            block.end_options();
        }
        block.write(&mut self.out)
    }

    /// Ends the capture of an interface at `at`: a flow that is silent until then was silent indeed.
    ///
    /// # Errors
    ///
    /// The output's.
    pub fn end(&mut self, interface: u32, at: Timestamp) -> io::Result<()> {
        let at = at.as_nanos().cast_unsigned().rotate_left(32).to_le_bytes();
        let mut block = BlockBuilder::new(STATISTICS);
        block.u32(interface);
        block.bytes(&at);
        block.option_bytes(ISB_ENDTIME, &at);
        block.end_options();
        block.write(&mut self.out)
    }
}

/// Writes recordings as interfaces of one section, their frames in time order.
///
/// # Errors
///
/// The output's.
pub fn write_pcapng(recordings: &[&Recording], out: &mut dyn Write) -> io::Result<()> {
    let mut writer = PcapngWriter::new(out, None)?;
    let mut frames: Vec<(u32, Frame<'_>)> = Vec::new();
    for recording in recordings {
        let interface = writer.interface(recording.name(), recording.link())?;
        frames.extend(recording.frames().map(|frame| (interface, frame)));
    }
    // Stable: frames of the same nanosecond keep the order of the capture points.
    frames.sort_by_key(|(_, frame)| frame.at);
    frames.iter().try_for_each(|(interface, frame)| writer.packet(*interface, frame, None))?;
    for (interface, recording) in (0..).zip(recordings) {
        if let Some(at) = recording.closed() {
            writer.end(interface, at)?;
        }
    }
    Ok(())
}

/// A block under construction, little-endian.
struct BlockBuilder {
    kind: u32,
    body: Vec<u8>,
}

impl BlockBuilder {
    const fn new(kind: u32) -> Self {
        Self { kind, body: Vec::new() }
    }

    fn u16(&mut self, value: u16) {
        self.body.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.body.extend_from_slice(&value.to_le_bytes());
    }

    /// Padded to 32 bits, as all variable parts are.
    fn bytes(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }

    fn comment(&mut self, comment: Option<&str>) {
        if let Some(comment) = comment {
            self.option(COMMENT, comment);
        }
    }

    /// An option of text; what is beyond its longest length is left out.
    fn option(&mut self, code: u16, text: &str) {
        let most = (0..=text.len().min(usize::from(u16::MAX))).rev().find(|&end| text.is_char_boundary(end));
        self.option_bytes(code, text.get(..most.unwrap_or(0)).unwrap_or_default().as_bytes());
    }

    /// An option of at most 65,535 bytes.
    fn option_bytes(&mut self, code: u16, value: &[u8]) {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.u16(code);
        self.u16(length);
        self.bytes(value.get(..usize::from(length)).unwrap_or(value));
    }

    fn end_options(&mut self) {
        self.u32(0);
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        /// Type, and the total length in front and behind.
        const FRAME: usize = 12;
        let length = u32::try_from(self.body.len() + FRAME)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a pcapng block above 4 GiB"))?
            .to_le_bytes();
        out.write_all(&self.kind.to_le_bytes())?;
        out.write_all(&length)?;
        out.write_all(&self.body)?;
        out.write_all(&length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_parser::traits::PcapReaderIterator;
    use pcap_parser::{Block as Parsed, OptionCode, PcapBlockOwned, PcapError, PcapNGReader};

    #[test]
    fn another_reader_finds_interfaces_frames_and_nanoseconds() {
        let mut client = Recording::new("client", LinkType::RAW);
        let mut server = Recording::new("server", LinkType::RAW);
        client.push(Timestamp::from_nanos(1_795_475_053_844_173_471), 7, b"abc");
        server.push(Timestamp::from_nanos(1_795_475_053_844_173_470), 4, b"defg");
        client.close(Timestamp::from_nanos(1_795_475_053_844_173_472));
        let mut file = Vec::new();
        write_pcapng(&[&client, &server], &mut file).unwrap();

        let mut reader = PcapNGReader::new(65_536, file.as_slice()).unwrap();
        let mut seen = Vec::new();
        loop {
            match reader.next() {
                Ok((used, block)) => {
                    let PcapBlockOwned::NG(block) = block else { panic!("not pcapng") };
                    seen.push(match block {
                        Parsed::SectionHeader(_) => "section".to_owned(),
                        Parsed::InterfaceDescription(i) => format!("{} {}", i.linktype.0, i.if_tsresol),
                        Parsed::EnhancedPacket(p) => format!(
                            "{} {} {:?} of {}",
                            p.if_id,
                            (u64::from(p.ts_high) << 32) | u64::from(p.ts_low),
                            std::str::from_utf8(&p.data[..p.caplen as usize]).unwrap(),
                            p.origlen
                        ),
                        Parsed::InterfaceStatistics(s) => {
                            assert_eq!(s.options[0].code, OptionCode::IsbEndTime);
                            format!("{} ends {}", s.if_id, (u64::from(s.ts_high) << 32) | u64::from(s.ts_low))
                        }
                        other => panic!("{other:?}"),
                    });
                    reader.consume(used);
                }
                Err(PcapError::Eof) => break,
                Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(
            seen,
            [
                "section",
                "101 9",
                "101 9",
                "1 1795475053844173470 \"defg\" of 4",
                "0 1795475053844173471 \"abc\" of 7",
                "0 ends 1795475053844173472"
            ]
        );
    }
}
