//! 802.11 data frames (IEEE 802.11-2020 §9.3.2).

use super::{Layer, Skip, llc};
use crate::packet::decode::bytes::Bytes;

/// Removes the header of a data frame.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &control = bytes.peek()?;
    data_frame(control, false, bytes)
}

/// As [`decode`], if the adapter padded the header to a multiple of four bytes.
pub(super) fn padded(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &control = bytes.peek()?;
    data_frame(control, true, bytes)
}

/// As [`decode`], for devices that swap the two bytes of the frame control field.
pub(super) fn with_swapped_control(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[flags, kind] = bytes.peek()?;
    data_frame([kind, flags], false, bytes)
}

/// Of an aggregate (A-MSDU) only the first frame is decoded.
fn data_frame([kind, flags]: [u8; 2], padded: bool, bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    /// Version 0, type data.
    const TYPE_MASK: u8 = 0x0f;
    const DATA: u8 = 0x08;
    /// Subtypes with this bit carry no data.
    const NULL: u8 = 0x40;
    const QOS: u8 = 0x80;
    const TO_DS: u8 = 0x01;
    const FROM_DS: u8 = 0x02;
    const PROTECTED: u8 = 0x40;
    const HT_CONTROL: u8 = 0x80;
    const AGGREGATE: u8 = 0x80;
    if kind & TYPE_MASK != DATA || kind & NULL != 0 || flags & PROTECTED != 0 {
        return Ok(Layer::Unknown);
    }
    let &[.., sequence, _] = bytes.take::<24>()?;
    let mut length = 24_usize;
    if flags & TO_DS != 0 && flags & FROM_DS != 0 {
        // The fourth address.
        bytes.skip(6)?;
        length += 6;
    }
    let mut aggregate = false;
    if kind & QOS != 0 {
        let &[qos, _] = bytes.take()?;
        aggregate = qos & AGGREGATE != 0;
        length += 2;
        if flags & HT_CONTROL != 0 {
            bytes.skip(4)?;
            length += 4;
        }
    }
    if padded {
        bytes.skip(length.next_multiple_of(4) - length)?;
    }
    if sequence & 0x0f != 0 {
        return Err(Skip::Fragment);
    }
    if aggregate {
        // Addresses and length of the first frame.
        bytes.skip(14)?;
    }
    llc::decode(bytes)
}
