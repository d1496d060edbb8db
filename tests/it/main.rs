//! The integration tests: one binary, one module per concern.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod listeners;
#[cfg(target_os = "linux")]
mod namespace;
