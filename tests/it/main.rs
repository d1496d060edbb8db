//! Integration tests of the built program, all in one binary so that it links once.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

mod arbitrary;
mod bounds;
mod bundled;
mod captures;
mod causes;
mod clocks;
mod compare;
mod cuts;
mod display_filter;
mod encapsulations;
mod examples;
#[cfg(target_os = "linux")]
mod faults;
mod field;
mod forms;
mod generated;
mod house;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(all(target_os = "linux", feature = "lab"))]
mod lab;
mod ladder;
mod listed;
#[cfg(target_os = "linux")]
mod listeners;
#[cfg(target_os = "linux")]
mod live;
#[cfg(all(target_os = "linux", feature = "metrics"))]
mod metrics;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(target_os = "linux")]
mod netns;
mod page;
mod period;
mod points;
mod properties;
#[cfg(all(target_os = "linux", feature = "lab"))]
mod race;
mod readme;
mod scenarios;
mod schema;
mod sentences;
mod servers;
#[cfg(all(target_os = "linux", feature = "lab"))]
mod size;
#[cfg(feature = "parquet")]
mod tables;
mod terminal;
mod threads;
mod tshark;
#[cfg(all(target_os = "linux", feature = "lab"))]
mod undisturbed;
mod usage;
mod util;
mod wireshark;
