//! The race: many real `connect()`s, captured while they run, each joined to its packets.
//!
//! Owns the client side of an experiment. Does not own the server nor the path (`lab` makes those), nor
//! what packets mean (`handshake`).

mod connect;
mod connect_result;
mod packets;
mod route;
mod run;
mod show;
mod sniffer;

pub use connect::{AfterConnect, Call, ConnectPlan, Probe, WaitMode, connect};
pub use connect_result::{ConnectResult, JoinedCall, Race};
pub use packets::Packets;
pub use route::{Route, route};
pub use run::{ConnectPace, run};
pub use sniffer::{Sniffer, SnifferError};
