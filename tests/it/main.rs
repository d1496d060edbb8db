//! Integration tests of the built program, all in one binary so that it links once.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test that cannot go on fails, and says why it was skipped

mod captures;
mod forms;
mod generated;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod namespace;
mod scenarios;
mod tshark;
mod usage;
mod util;
