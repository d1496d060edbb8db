//! Octets that outlive whoever brought them.

use std::fmt;
use std::sync::Arc;

/// Octets that frames lie in, such as a map of a capture file. They stay where they are as long as anyone holds
/// them, so that a frame can be decoded later, and by another thread, without a copy.
#[derive(Clone)]
pub struct Shared(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl Shared {
    /// Shares what `owner` holds.
    #[must_use]
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        Self(owner)
    }

    /// The octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        (*self.0).as_ref()
    }

    /// Whether both are the very same octets.
    #[must_use]
    #[inline(always)]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.octets().len()).finish()
    }
}
