//! Tells from packets why TCP connections to a server fail, stall or lie.
//!
//! Data goes one way: bytes → [`packet::Segment`] → attempt → verdict → listener → report. A module
//! uses only modules of lower floors; `ARCHITECTURE.md` has the plan of the house.

pub mod capture;
pub mod cli;
pub mod clock;
pub mod command;
pub mod engine;
pub mod handshake;
pub mod kernel;
#[cfg(all(target_os = "linux", feature = "lab"))]
pub mod lab;
pub mod listener;
pub mod packet;
mod prefetch;
pub mod printable;
pub mod race;
pub mod report;
pub mod sandbox;
mod words;
