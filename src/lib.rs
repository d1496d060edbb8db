//! Tells from packets why TCP connections to a server fail, stall or lie.
//!
//! Begin with these types:
//!
//! - [`engine::analyse`] reads a [`capture::Source`], such as capture files ([`capture::Captures`]), and delivers each
//!   [`handshake::Attempt`] to your [`engine::Sink`]. `examples/analyse.rs` is a complete program.
//! - [`handshake::Tracker`] takes segments of your own, without any capture, and [`listener::Listeners`] infers what its
//!   findings mean. `examples/segments.rs` is a complete program.
//!
//! An [`Attempt`](handshake::Attempt) is one client SYN and all that belongs to it. Its [`Verdict`](handshake::Verdict) is
//! what the packets show; its [`Cause`](handshake::Cause) is an inference, with a
//! [`Confidence`](handshake::Confidence) and [`Evidence`](handshake::Evidence).
//!
//! ```
//! use hsanalyze::capture::{CaptureOptions, Captures};
//! use hsanalyze::engine::{self, AnalysisOptions, Sink};
//! use hsanalyze::handshake::{Attempt, Cause, Verdict};
//!
//! #[derive(Default)]
//! struct Resets(Vec<Attempt>);
//!
//! impl Sink for Resets {
//!     fn attempt(&mut self, attempt: &Attempt) -> std::io::Result<()> {
//!         if attempt.verdict == Verdict::ResetAfterAck {
//!             self.0.push(attempt.clone());
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> anyhow::Result<()> {
//! let files = ["fixtures/captures/overflow_reset-server.pcap"];
//! let (mut captures, _errors) = Captures::open(&files, &CaptureOptions::default())?;
//! let mut resets = Resets::default();
//! let (summary, listeners) = engine::analyse(&mut captures, &AnalysisOptions::default(), &mut resets)?;
//!
//! assert!(!resets.0.is_empty());
//! for attempt in &resets.0 {
//!     // By now everything is known that a cause can depend on.
//!     assert_eq!(listeners.infer(attempt).cause, Some(Cause::AcceptQueueOverflow));
//! }
//! assert_eq!(summary.listeners.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! The modules [`packet`], [`capture`], [`kernel`], [`handshake`], [`listener`] and [`engine`] are the library. All others
//! belong to the program, and change as it does.
//!
//! Data goes one way: bytes → [`packet::Segment`] → attempt → verdict → listener → report. A module uses only modules of
//! lower levels; `ARCHITECTURE.md` has the table.

// The library.
pub mod capture;
pub mod engine;
pub mod handshake;
pub mod kernel;
pub mod listener;
pub mod packet;

// The program: reachable for `main.rs` and the integration tests, and no part of the library's documentation.
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod command;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(target_os = "linux", feature = "lab"))]
#[doc(hidden)]
pub mod lab;
#[doc(hidden)]
pub mod printable;
#[doc(hidden)]
pub mod race;
#[doc(hidden)]
pub mod report;

mod clock;
#[cfg(feature = "metrics")]
mod http;
mod prefetch;
mod sandbox;
mod words;
