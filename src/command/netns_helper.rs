//! The process that keeps the privileges for other network namespaces, while a live capture gives up its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook::flag;

use crate::kernel::{HELPER_ARGUMENT, serve_helper};
use crate::sandbox;

/// Answers the live capture that started this process, until that ends.
///
/// # Errors
///
/// Nobody asks on standard input; the process cannot be restricted to what it is for.
pub fn run() -> anyhow::Result<()> {
    nix::sys::socket::getpeername::<nix::sys::socket::UnixAddr>(0).map_err(io::Error::from).with_context(
        || {
            format!(
                "{HELPER_ARGUMENT} is for a live capture, which starts it with a socket as standard input"
            )
        },
    )?;
    // Signals to a whole group are the capture's, which has to write its report then, and ends the helper by that.
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1] {
        flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    // The name of the file that was started is that of a link.
    nix::sys::prctl::set_name(c"hsanalyze-netns")?;
    sandbox::raise_capabilities();
    super::raise_descriptor_limit();
    sandbox::confine_helper().map_err(|error| anyhow::anyhow!("restricting {HELPER_ARGUMENT}: {error}"))?;
    Ok(serve_helper(io::stdin())?)
}
