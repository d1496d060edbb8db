//! Both capture points of an experiment as one pcapng file with two interfaces.
//!
//! Owns the four block types that takes. Written here and not by pcap-parser's serialiser, because that
//! one would bring the whole futures family into the build.

use std::io::{self, Write};

use crate::capture::Recording;
use crate::packet::{Frame, Timestamp};

/// Section header, interface description, interface statistics, enhanced packet (draft-ietf-opsawg-pcapng §4).
const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
/// Marks the byte order.
const BYTE_ORDER: u32 = 0x1A2B_3C4D;
/// Options: the writing program, an interface's name, the resolution of its time stamps, when
/// its capture ended.
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const ISB_ENDTIME: u16 = 3;
/// `if_tsresol` for nanoseconds.
const NANOSECONDS: u8 = 9;

/// Writes the recordings as interfaces of one section, their frames in time order.
///
/// # Errors
///
/// The output's.
pub fn write(recordings: &[&Recording], out: &mut dyn Write) -> io::Result<()> {
    let mut section = BlockBuilder::new(SECTION);
    section.u32(BYTE_ORDER);
    section.u16(1); // version 1.0
    section.u16(0);
    section.bytes(&(-1_i64).to_le_bytes()); // section length not given
    section.option(SHB_USERAPPL, concat!("hsanalyze ", env!("CARGO_PKG_VERSION")).as_bytes())?;
    section.end_options();
    section.write(out)?;
    for recording in recordings {
        let mut interface = BlockBuilder::new(INTERFACE);
        interface.u16(recording.link().0);
        interface.u16(0);
        interface.u32(0); // no snap length
        interface.option(IF_NAME, recording.name().as_bytes())?;
        interface.option(IF_TSRESOL, &[NANOSECONDS])?;
        interface.end_options();
        interface.write(out)?;
    }
    let mut frames: Vec<(u32, Frame<'_>)> = Vec::new();
    for (interface, recording) in (0..).zip(recordings) {
        frames.extend(recording.frames().map(|frame| (interface, frame)));
    }
    // Stable: frames of the same nanosecond keep the order of the capture points.
    frames.sort_by_key(|(_, frame)| frame.at);
    frames.iter().try_for_each(|(interface, frame)| packet(*interface, frame).write(out))?;
    for (interface, recording) in (0..).zip(recordings) {
        if let Some(at) = recording.closed() {
            end(interface, at)?.write(out)?;
        }
    }
    Ok(())
}

/// Writes the end of the capture: a flow that is silent until `at` was silent indeed.
fn end(interface: u32, at: Timestamp) -> io::Result<BlockBuilder> {
    let at = at.as_nanos().cast_unsigned().rotate_left(32).to_le_bytes();
    let mut block = BlockBuilder::new(STATISTICS);
    block.u32(interface);
    block.bytes(&at);
    block.option(ISB_ENDTIME, &at)?;
    block.end_options();
    Ok(block)
}

fn packet(interface: u32, frame: &Frame<'_>) -> BlockBuilder {
    let at = frame.at.as_nanos().cast_unsigned();
    let mut block = BlockBuilder::new(PACKET);
    block.u32(interface);
    block.u32((at >> 32) as u32);
    block.u32((at & u64::from(u32::MAX)) as u32);
    block.u32(u32::try_from(frame.data.len()).unwrap_or(u32::MAX));
    block.u32(frame.wire_len);
    block.bytes(frame.data);
    block
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

    fn option(&mut self, code: u16, value: &[u8]) -> io::Result<()> {
        let length = u16::try_from(value.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a pcapng option above 65,535 bytes"))?;
        self.u16(code);
        self.u16(length);
        self.bytes(value);
        Ok(())
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
    use crate::packet::LinkType;
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
        write(&[&client, &server], &mut file).unwrap();

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
