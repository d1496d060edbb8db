//! The table of `hsanalyze listeners`, and its JSON.
//!
//! Turns snapshots into text. Does not own reading the kernel, nor when and where the text is written.

#[cfg(test)]
mod tests;
mod text;

use std::cmp::Reverse;
use std::io::{self, Write};
use std::net::SocketAddr;

use crate::kernel::{LimitFrom, ListenSocket, Owner, Owners, Watch};
use crate::packet::{Span, Timestamp};
use crate::report::record::write_queues;

/// The forms it can be shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueuesFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document; one per line when watching.
    Json,
}

/// Layout of the text.
#[derive(Debug, Clone)]
pub struct QueuesOptions {
    /// True to colour.
    pub colour: bool,
    /// Columns to wrap sentences at.
    pub width: usize,
    /// Lines and columns that everything must fit in (a terminal that is redrawn); `None` for no limit.
    pub screen: Option<(usize, usize)>,
    /// The zone that the time is shown in.
    pub zone: jiff::tz::TimeZone,
}

impl Default for QueuesOptions {
    fn default() -> Self {
        Self { colour: false, width: 80, screen: None, zone: jiff::tz::TimeZone::UTC }
    }
}

/// The latest snapshot of a watch, with the changes since the one before.
#[derive(Debug)]
pub struct Queues<'a> {
    pub(super) watch: &'a Watch,
    pub(super) owners: &'a Owners,
    pub(super) rows: Vec<QueueRow<'a>>,
}

/// One LISTEN socket with all its columns.
#[derive(Debug)]
pub(super) struct QueueRow<'a> {
    pub(super) socket: &'a ListenSocket,
    /// The interface it is bound to.
    pub(super) device: Option<String>,
    pub(super) limit_from: Option<LimitFrom>,
    /// Drops since the sample before; `None` without such a sample, or where the kernel does not count.
    pub(super) grown: Option<u32>,
    /// `None` when nobody is known to hold it and not every process could be looked at.
    pub(super) owner: Option<&'a [Owner]>,
}

impl<'a> Queues<'a> {
    /// Orders the sockets: full ones first, then those that drop now, then the fullest, then by port and address.
    #[must_use]
    pub fn new(watch: &'a Watch, owners: &'a Owners) -> Self {
        let sample = watch.latest();
        let rows = sample.sockets.iter().map(|socket| {
            let held = owners.of(socket.inode);
            QueueRow {
                socket,
                device: socket
                    .device
                    .map(|index| crate::kernel::device_name(index).unwrap_or_else(|| format!("if{index}"))),
                limit_from: sample.sysctls.somaxconn.map(|somaxconn| socket.limit_from(somaxconn)),
                grown: watch.interval().and_then(|interval| interval.drops(socket)),
                owner: (!held.is_empty() || owners.unreadable() == 0).then_some(held),
            }
        });
        let mut rows: Vec<QueueRow<'a>> = rows.collect();
        rows.sort_by_key(|row| {
            let fill = (row.socket.fill() * 1e6) as u32;
            let drops = row.grown.unwrap_or(0);
            (
                Reverse((row.socket.is_full(), drops > 0, fill, drops)),
                row.socket.local.port(),
                row.socket.local,
                row.socket.cookie,
            )
        });
        Self { watch, owners, rows }
    }

    /// Writes the table, what it means, and the namespace's sysctls and counters.
    ///
    /// # Errors
    ///
    /// The writer's errors.
    pub fn write_text(&self, out: &mut impl Write, options: &QueuesOptions) -> io::Result<()> {
        text::write(out, self, options)
    }

    /// Writes the JSON document and a line feed; `pretty` over several lines.
    ///
    /// # Errors
    ///
    /// The writer's errors.
    pub fn write_json(&self, out: &mut impl Write, pretty: bool) -> io::Result<()> {
        write_queues(out, self, pretty)
    }

    pub(super) fn at(&self) -> Timestamp {
        self.watch.latest().at
    }

    /// The time between the two latest samples.
    fn span(&self) -> Option<Span> {
        self.watch.interval().map(|interval| interval.span)
    }
}

/// An address as `ss` writes it: the interface, where there is one, behind the address.
fn address(local: SocketAddr, device: Option<&str>) -> String {
    match (local, device) {
        (_, None) => local.to_string(),
        (SocketAddr::V4(v4), Some(device)) => format!("{}%{device}:{}", v4.ip(), v4.port()),
        (SocketAddr::V6(v6), Some(device)) => format!("[{}%{device}]:{}", v6.ip(), v6.port()),
    }
}
