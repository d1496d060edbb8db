//! Integration tests of the built program, all in one binary so that it links once.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

mod captures;
mod forms;
mod generated;
mod scenarios;
mod tshark;
mod usage;
mod util;
