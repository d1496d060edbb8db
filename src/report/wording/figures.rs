//! Figures that the kernel has of a listening socket.

use crate::words::{count, number};

/// `17 waiting (limit 16, and one more)`: the kernel lets in one connection more than the limit.
pub(in crate::report) fn queue(waiting: u32, limit: Option<u32>) -> String {
    let of_limit = limit.map_or_else(String::new, |limit| {
        let more = if waiting > limit { ", and one more" } else { "" };
        format!(" (limit {}{more})", number(limit.into()))
    });
    format!("{} waiting{of_limit}", number(waiting.into()))
}

/// `310 socket drops`: as the kernel counts them for a listening socket, where an ignored ACK is two.
pub(in crate::report) fn socket_drops(drops: u64) -> String {
    count(drops, "socket drop")
}
