//! Shared ownership of captured bytes.

use std::fmt;

use bytes::Bytes;

/// Bytes that contain frames, such as a memory-mapped part of a capture file.
///
/// Reference counted: the bytes stay valid and in place until the last clone is dropped, so a frame can
/// be decoded later, also by another thread, without a copy.
#[derive(Clone)]
pub struct Shared(Bytes);

impl Shared {
    /// Shares the bytes of `owner`.
    #[must_use]
    pub fn new(owner: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self(Bytes::from_owner(owner))
    }

    /// The bytes.
    #[must_use]
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// True if `part` lies in these bytes.
    #[must_use]
    pub(super) fn contains(&self, part: &[u8]) -> bool {
        let (whole, part) = (self.bytes().as_ptr_range(), part.as_ptr_range());
        whole.start <= part.start && part.end <= whole.end
    }

    /// True if both are the same bytes in memory.
    #[must_use]
    #[inline(always)]
    pub fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.bytes(), other.bytes())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.bytes().len()).finish()
    }
}
