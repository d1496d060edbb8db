//! From bytes to [`Packet`].

use super::{FrameRef, LinkType, Packet, Skip, Timestamp};

/// A captured frame, still bytes.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// When it was captured.
    pub at: Timestamp,
    /// Which packet of which capture it is.
    pub frame: FrameRef,
    /// How `data` begins.
    pub link: LinkType,
    /// Octets on the wire; `data` may be shorter (snap length).
    pub wire_len: u32,
    /// The captured octets.
    pub data: &'a [u8],
}

/// Decodes one frame.
///
/// # Errors
///
/// The reason why the analysis cannot use the frame.
pub fn decode(frame: &Frame<'_>) -> Result<Packet, Skip> {
    let _ = frame;
    Err(Skip::UnsupportedLinkType)
}
