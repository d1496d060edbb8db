//! The process that listens, and its place.

use crate::kernel::KernelStats;
use crate::printable::printable;
use crate::words::number;

/// `17 waiting (limit 16, and one more)`: the kernel lets in one connection more than the limit.
pub(in crate::report) fn queue(waiting: u32, limit: Option<u32>) -> String {
    let of_limit = limit.map_or_else(String::new, |limit| {
        let more = if waiting > limit { ", and one more" } else { "" };
        format!(" (limit {}{more})", number(limit.into()))
    });
    format!("{} waiting{of_limit}", number(waiting.into()))
}

/// `nginx[71] stopped in docker 3f2a1b0c9d8e, network namespace PID 71, 1 of 4 sockets full`, as far as known; empty where
/// nothing is.
pub(in crate::report) fn listening(stats: &KernelStats) -> String {
    let mut parts = Vec::new();
    if let Some(owner) = &stats.owner {
        let state = if owner.state.is_halted() { format!(" {}", owner.state.name()) } else { String::new() };
        let container =
            owner.container.as_ref().map_or_else(String::new, |container| format!(" in {container}"));
        parts.push(printable(&format!("{}[{}]{state}{container}", owner.command, owner.pid)).into_owned());
    }
    if !stats.netns.own {
        parts.push(printable(&format!("network namespace {}", stats.netns)).into_owned());
    }
    if stats.sockets > 1 {
        parts.push(format!("{} of {} sockets full", stats.sockets_full, stats.sockets));
    }
    parts.join(", ")
}
