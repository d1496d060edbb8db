//! The undecoded rest of a packet: captured bytes and length on the wire.

use etherparse::err::LenError;

use crate::packet::{Frame, Skip};

/// The undecoded rest of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a> {
    /// Captured bytes; never more than `wire`.
    data: &'a [u8],
    /// Length in bytes by the enclosing header.
    wire: usize,
}

impl<'a> Bytes<'a> {
    /// All bytes of a frame. Some writers give a wire length below the captured one; it is raised to that.
    pub(super) fn of(frame: &Frame<'a>) -> Self {
        let wire = usize::try_from(frame.wire_len).unwrap_or(usize::MAX);
        Self { data: frame.data, wire: wire.max(frame.data.len()) }
    }

    /// The captured bytes.
    pub(super) const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Length on the wire.
    pub(super) const fn wire(&self) -> usize {
        self.wire
    }

    /// The reason for the lack of `needed` bytes: the snap length cut them off, or they never existed.
    pub(super) const fn lacking(&self, needed: usize) -> Skip {
        if needed <= self.wire { Skip::Truncated } else { Skip::Malformed }
    }

    /// True if the snap length cut off some of the first `length` bytes.
    pub(super) fn is_cut_within(&self, length: usize) -> bool {
        self.data.len() < self.wire.min(length)
    }

    /// As [`Self::lacking`], for a length error of etherparse at the start of these bytes.
    pub(super) const fn too_short(&self, error: &LenError) -> Skip {
        self.lacking(error.required_len)
    }

    /// The first `N` bytes.
    pub(super) fn peek<const N: usize>(&self) -> Result<&'a [u8; N], Skip> {
        self.data.first_chunk().ok_or(self.lacking(N))
    }

    /// Removes and returns the first `N` bytes.
    pub(super) fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Skip> {
        let taken = self.peek()?;
        self.skip(N)?;
        Ok(taken)
    }

    /// Removes the first `length` bytes.
    pub(super) fn skip(&mut self, length: usize) -> Result<(), Skip> {
        self.data = self.data.get(length..).ok_or(self.lacking(length))?;
        self.wire = self.wire.saturating_sub(length);
        Ok(())
    }

    /// Ends the packet after `length` bytes, from an inner length field.
    ///
    /// The inner field counts even if it exceeds the wire length: padding makes the frame longer than
    /// the datagram, and tools that cut frames often adjust the wire length too.
    pub(super) fn limit(&mut self, length: usize) {
        self.data = self.data.get(..length).unwrap_or(self.data);
        self.wire = length;
    }

    /// Marks the first of several fragments: the packet's end is unknown, so missing bytes count as truncated.
    pub(super) const fn continue_in_other_fragments(&mut self) {
        self.wire = u16::MAX as usize;
    }
}
