//! Arguments to configurations. Clap's types end here.

pub mod listeners;
