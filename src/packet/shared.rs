//! Octets that outlive whoever brought them.

use std::fmt;

use bytes::Bytes;

/// Octets that frames lie in, such as a map of a capture file. They stay where they are as long as anyone holds
/// them, so that a frame can be decoded later, and by another thread, without a copy.
#[derive(Clone)]
pub struct Shared(Bytes);

impl Shared {
    /// Shares what `owner` holds.
    #[must_use]
    pub fn new(owner: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self(Bytes::from_owner(owner))
    }

    /// The octets.
    #[must_use]
    #[inline(always)]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are the very same octets.
    #[must_use]
    #[inline(always)]
    pub fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.octets(), other.octets())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.octets().len()).finish()
    }
}
