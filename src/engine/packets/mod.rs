//! The packets of single attempts, for outputs that show them.
//!
//! Owns the two ways to get them, and their bounds: a second pass over files (`second_pass.rs`), and a recorder beside
//! the analysis for pipes and interfaces, which cannot be read twice (`recorder.rs`). Does not own the choice of
//! attempts, nor what their packets mean. Costs nothing where no output needs packets.

mod access;
mod recorder;
mod second_pass;
mod store;
#[cfg(test)]
mod tests;

pub use self::access::PacketAccess;
pub use self::recorder::{Recorded, Recorder, SharedRecorder};
pub use self::store::{AttemptPackets, KeptPacket, PacketLimits, PacketStore};
