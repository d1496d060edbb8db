//! What is left of a packet: the captured octets, and how many there were on the wire.

use etherparse::err::LenError;

use super::{Frame, Skip};

/// The undecoded rest of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a> {
    /// Captured octets; never more than `wire`.
    data: &'a [u8],
    /// Octets that the enclosing header says there are.
    wire: usize,
}

impl<'a> Bytes<'a> {
    /// All of a frame. A wire length below the captured one, which only a careless writer produces,
    /// is taken as the captured one.
    pub(super) fn of(frame: &Frame<'a>) -> Self {
        let wire = usize::try_from(frame.wire_len).unwrap_or(usize::MAX);
        Self { data: frame.data, wire: wire.max(frame.data.len()) }
    }

    /// The captured octets.
    pub(super) const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Octets on the wire.
    pub(super) const fn wire(&self) -> usize {
        self.wire
    }

    /// Why `needed` octets are not to be had: the snap length cut them off, or they never existed.
    pub(super) const fn lacking(&self, needed: usize) -> Skip {
        if needed <= self.wire { Skip::Truncated } else { Skip::Malformed }
    }

    /// As [`Self::lacking`], for what etherparse found too short at the start of these bytes.
    pub(super) const fn too_short(&self, error: &LenError) -> Skip {
        self.lacking(error.required_len)
    }

    /// The first `N` octets.
    pub(super) fn peek<const N: usize>(&self) -> Result<&'a [u8; N], Skip> {
        self.data.first_chunk().ok_or(self.lacking(N))
    }

    /// Removes and returns the first `N` octets.
    pub(super) fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Skip> {
        let taken = self.peek()?;
        self.skip(N)?;
        Ok(taken)
    }

    /// Removes the first `octets` octets.
    pub(super) fn skip(&mut self, octets: usize) -> Result<(), Skip> {
        self.data = self.data.get(octets..).ok_or(self.lacking(octets))?;
        self.wire = self.wire.saturating_sub(octets);
        Ok(())
    }

    /// Ends the packet after `octets` octets, as an inner length field says.
    ///
    /// The inner field is believed even where it says more than the wire length: padding makes the
    /// frame longer than the datagram, and tools that cut frames often adjust the wire length too.
    pub(super) fn limit(&mut self, octets: usize) {
        self.data = self.data.get(..octets).unwrap_or(self.data);
        self.wire = octets;
    }
}
