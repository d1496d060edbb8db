//! The integration tests: one binary, one module per concern.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test that cannot go on fails, and says why it was skipped

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod listeners;
#[cfg(target_os = "linux")]
mod namespace;
