//! The race: many real `connect()`s, captured while they run, each joined to its packets.
//!
//! Owns the client side of an experiment. Does not own the server nor the path: `lab` makes those.

mod clock;
mod connect;

pub use clock::now;
pub use connect::{Call, Mode, Next, Plan, Probe, connect};
