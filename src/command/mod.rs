//! The commands, one file each: wiring only.

pub mod listeners;
