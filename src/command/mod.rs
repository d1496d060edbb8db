//! The commands, one file each: wiring only.

#[cfg(target_os = "linux")]
pub mod lab;
pub mod listeners;
