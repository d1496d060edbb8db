//! Arguments to configurations. Clap's types end here.

#[cfg(target_os = "linux")]
pub mod lab;
pub mod listeners;
