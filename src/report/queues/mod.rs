//! The table of `hsanalyze listeners`.
//!
//! Turns snapshots into text. Does not own the JSON (`record`), reading the kernel, nor when and where the text is
//! written.

mod explain;
mod line;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crate::kernel::{LimitFrom, ListenSocket, Netns, Owner, Owners, Snapshot, WaitingConnection, Watch};
use crate::packet::{Span, Timestamp};

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
    /// Columns of a terminal that is not redrawn: tables get narrower to fit it.
    pub terminal: Option<usize>,
    /// The zone that the time is shown in.
    pub zone: jiff::tz::TimeZone,
    /// True to list the connections that wait, and every namespace's counters.
    pub verbose: bool,
}

impl Default for QueuesOptions {
    fn default() -> Self {
        Self {
            colour: false,
            width: 80,
            screen: None,
            terminal: None,
            zone: jiff::tz::TimeZone::UTC,
            verbose: false,
        }
    }
}

/// The figures of one network namespace.
#[derive(Debug, Clone)]
pub struct NetnsQueues<'a> {
    /// The namespace.
    pub netns: &'a Netns,
    /// Latest snapshot of the namespace, with the changes since the one before.
    pub watch: &'a Watch,
    /// False if limits and drops may not be read.
    pub complete: bool,
    /// Connections that wait at listeners whose queues are not empty.
    pub waiting: Vec<WaitingConnection>,
}

/// The latest snapshots of all namespaces.
#[derive(Debug)]
pub struct Queues<'a> {
    pub(super) namespaces: &'a [NetnsQueues<'a>],
    pub(super) owners: &'a Owners,
    /// Namespaces that could not be read.
    pub(super) unreadable: usize,
    pub(super) rows: Vec<QueueRow<'a>>,
}

/// Row of the table: a LISTEN socket with all its columns.
#[derive(Debug)]
pub(super) struct QueueRow<'a> {
    pub(super) netns: &'a Netns,
    pub(super) watch: &'a Watch,
    pub(super) socket: &'a ListenSocket,
    /// The interface it is bound to.
    pub(super) device: Option<String>,
    pub(super) limit_from: Option<LimitFrom>,
    /// Drops since the snapshot before; `None` without such a snapshot, or where the kernel does not count.
    pub(super) grown: Option<u32>,
    /// `None` when nobody is known to hold it and not every process could be looked at.
    pub(super) owner: Option<&'a [Owner]>,
    /// Sockets on the same address (SO_REUSEPORT), this one among them.
    pub(super) sharing: Sharing,
    pub(super) waiting: Waiting<'a>,
}

/// Sockets that share an address, how many of them are full, and what waits in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sharing {
    pub(super) sockets: usize,
    pub(super) full: usize,
    /// Connections that wait in all their queues.
    pub(super) waiting: u64,
}

/// The connections in the queues of an address. Which of several sockets has one is not known.
#[derive(Debug, Default)]
pub(super) struct Waiting<'a>(pub(super) Vec<&'a WaitingConnection>);

impl<'a> Waiting<'a> {
    pub(super) fn longest_first(&self) -> Vec<&'a WaitingConnection> {
        let mut sorted = self.0.clone();
        sorted.sort_by_key(|waiting| (Reverse(waiting.waited), waiting.client));
        sorted
    }

    pub(super) fn longest(&self) -> Option<Duration> {
        self.0.iter().filter_map(|waiting| waiting.waited).max()
    }

    pub(super) fn shortest(&self) -> Option<Duration> {
        self.0.iter().filter_map(|waiting| waiting.waited).min()
    }

    pub(super) fn unread(&self) -> usize {
        self.0.iter().filter(|waiting| waiting.unread > 0).count()
    }

    /// Connections that their clients have closed.
    pub(super) fn closed(&self) -> u64 {
        self.0.iter().filter(|waiting| waiting.closed).count() as u64
    }
}

impl<'a> Queues<'a> {
    /// Orders the sockets: full ones first, then those that drop now, then the fullest, then by port and address.
    #[must_use]
    pub fn new(namespaces: &'a [NetnsQueues<'a>], owners: &'a Owners, unreadable: usize) -> Self {
        let mut rows: Vec<QueueRow<'a>> = namespaces.iter().flat_map(|of| rows_of(of, owners)).collect();
        rows.sort_by_key(|row| {
            let fill = (row.socket.fill() * 1e6) as u32;
            let drops = row.grown.unwrap_or(0);
            (
                Reverse((row.socket.is_full(), drops > 0, fill, drops, row.unjudged())),
                row.socket.local.port(),
                row.socket.local,
                row.netns.id,
                row.socket.cookie,
            )
        });
        Self { namespaces, owners, unreadable, rows }
    }

    /// Writes the table, what it means, and the sysctls and counters.
    ///
    /// # Errors
    ///
    /// The writer's errors.
    pub fn write_text(&self, out: &mut impl Write, options: &QueuesOptions) -> io::Result<()> {
        text::write(out, self, options)
    }

    pub(super) fn at(&self) -> Timestamp {
        self.namespaces.iter().map(|of| of.watch.latest().at).max().unwrap_or_default()
    }

    /// The time between the two latest snapshots.
    fn span(&self) -> Option<Span> {
        self.namespaces.iter().filter_map(|of| of.watch.interval()).map(|interval| interval.span).max()
    }

    /// True if rows must name their namespace.
    fn has_several(&self) -> bool {
        self.rows.iter().any(|row| !row.netns.own)
    }

    fn full(&self) -> usize {
        self.rows.iter().filter(|row| row.socket.is_full()).count()
    }
}

impl QueueRow<'_> {
    /// Connections in a queue whose limit is not known.
    fn unjudged(&self) -> u32 {
        if self.socket.send_q.is_none() { self.socket.recv_q } else { 0 }
    }

    /// The address as `ss` writes it.
    fn address(&self) -> String {
        address(self.socket, self.device.as_deref())
    }

    /// The process that accepts from the socket: the only one that holds or polls it.
    fn worker(&self) -> Option<&Owner> {
        match self.owner? {
            [only] => Some(only),
            [first, second, ..] if first.polls && !second.polls => Some(first),
            _ => None,
        }
    }

    /// True if some, not all, of the sockets on this address are full.
    fn is_one_of_several(&self) -> bool {
        self.sharing.sockets > 1 && self.sharing.full < self.sharing.sockets
    }
}

fn rows_of<'a>(of: &'a NetnsQueues<'a>, owners: &'a Owners) -> Vec<QueueRow<'a>> {
    let sample = of.watch.latest();
    let mut sharing: HashMap<(SocketAddr, Option<u32>), Sharing> = HashMap::new();
    for socket in &sample.sockets {
        let shared = sharing.entry((socket.local, socket.device)).or_default();
        shared.sockets += 1;
        shared.full += usize::from(socket.is_full());
        shared.waiting += u64::from(socket.recv_q);
    }
    let rows = sample.sockets.iter().map(|socket| {
        let held = owners.of(socket.inode);
        QueueRow {
            netns: of.netns,
            watch: of.watch,
            socket,
            device: socket.device.map(|index| {
                // Names can be looked up in the own namespace only.
                let name = of.netns.own.then(|| crate::kernel::device_name(index)).flatten();
                name.unwrap_or_else(|| format!("if{index}"))
            }),
            limit_from: sample.sysctls.somaxconn.and_then(|somaxconn| socket.limit_from(somaxconn)),
            grown: of.watch.interval().and_then(|interval| interval.drops(socket)),
            owner: (!held.is_empty() || owners.unreadable() == 0).then_some(held),
            sharing: sharing.get(&(socket.local, socket.device)).copied().unwrap_or_default(),
            waiting: Waiting(
                of.waiting.iter().filter(|waiting| best(sample, waiting) == Some(socket.local)).collect(),
            ),
        }
    });
    rows.collect()
}

/// The address of the listener that a waiting connection came to: the closest of those that match.
fn best(sample: &Snapshot, waiting: &WaitingConnection) -> Option<SocketAddr> {
    let matching =
        sample.sockets.iter().filter_map(|socket| Some((socket.matches(waiting.local)?, socket.local)));
    matching.max_by_key(|(closeness, _)| *closeness).map(|(_, local)| local)
}

/// An address as `ss` writes it: the interface, where there is one, behind the address; `*` for any of IPv4 and of IPv6.
fn address(socket: &ListenSocket, device: Option<&str>) -> String {
    match (socket.local, device) {
        (local, None) if socket.is_dual_stack() => format!("*:{}", local.port()),
        (local, None) => local.to_string(),
        (local, Some(device)) if socket.is_dual_stack() => format!("*%{device}:{}", local.port()),
        (SocketAddr::V4(v4), Some(device)) => format!("{}%{device}:{}", v4.ip(), v4.port()),
        (SocketAddr::V6(v6), Some(device)) => format!("[{}%{device}]:{}", v6.ip(), v6.port()),
    }
}
