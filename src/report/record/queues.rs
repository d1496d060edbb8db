//! The document of `hsanalyze listeners`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::kernel::{CountersRecord, NetnsRecord, OwnerRecord, SysctlsRecord, limit_from};
use super::{Displayed, Rfc3339, SCHEMA, Seconds, TOOL};
use crate::kernel::WaitingConnection;
use crate::packet::Span;
use crate::report::queues::{NetnsQueues, QueueRow, Queues, Waiting};
use crate::report::serialize;

/// Connections of a queue that are listed; all are counted.
const MAX_LISTED: usize = 100;

#[derive(Serialize)]
struct QueuesRecord<'a> {
    schema: u32,
    tool: &'static str,
    time: Displayed<Rfc3339>,
    namespaces: Vec<NetnsFiguresRecord<'a>>,
    /// Network namespaces that exist and could not be read.
    unreadable_namespaces: usize,
    /// Processes whose files could not be seen, so that `owner` may be null.
    unreadable_processes: usize,
    listeners: Vec<QueueRecord<'a>>,
}

#[derive(Serialize)]
struct NetnsFiguresRecord<'a> {
    #[serde(flatten)]
    netns: NetnsRecord<'a>,
    /// False without the privilege to read queue limits and drops.
    complete: bool,
    sysctls: SysctlsRecord,
    /// Since the network namespace exists.
    counters: CountersRecord<'a>,
    /// Growth since the snapshot before; null in the first.
    interval: Option<IntervalRecord<'a>>,
}

#[derive(Serialize)]
struct IntervalRecord<'a> {
    seconds: Seconds,
    counters: CountersRecord<'a>,
}

#[derive(Serialize)]
struct QueueRecord<'a> {
    local: SocketAddr,
    device: Option<&'a str>,
    v6only: Option<bool>,
    recv_q: u32,
    /// Null, as fill, full and drops are, where it may not be read.
    send_q: Option<u32>,
    fill: Option<f64>,
    full: Option<bool>,
    drops: Option<u32>,
    drops_delta: Option<u32>,
    limit_from: Option<&'static str>,
    /// Sockets on this address (SO_REUSEPORT), and how many of them are full.
    sockets: usize,
    sockets_full: usize,
    /// Null when it is not known; empty when no process holds it.
    owner: Option<Vec<OwnerRecord<'a>>>,
    uid: u32,
    inode: u64,
    netns: NetnsRecord<'a>,
    waiting: WaitingRecord,
}

/// Connections in the queues of the listener's address, of all its sockets together.
#[derive(Serialize)]
struct WaitingRecord {
    connections: usize,
    /// Number of connections with data that the server has not read.
    with_data: usize,
    longest: Option<Seconds>,
    /// Clients of the connections that wait longest, at most [`MAX_LISTED`].
    clients: Vec<ClientRecord>,
}

#[derive(Serialize)]
struct ClientRecord {
    client: SocketAddr,
    /// Null where it may not be read.
    waited: Option<Seconds>,
    unread_bytes: u32,
}

impl<'a> From<&'a NetnsQueues<'a>> for NetnsFiguresRecord<'a> {
    fn from(of: &'a NetnsQueues<'a>) -> Self {
        let latest = of.watch.latest();
        Self {
            netns: of.netns.into(),
            complete: of.complete,
            sysctls: latest.sysctls.into(),
            counters: CountersRecord(&latest.counters),
            interval: of.watch.interval().map(|interval| IntervalRecord {
                seconds: interval.span.into(),
                counters: CountersRecord(&interval.counters),
            }),
        }
    }
}

impl From<&Waiting<'_>> for WaitingRecord {
    fn from(waiting: &Waiting<'_>) -> Self {
        let client = |waiting: &WaitingConnection| ClientRecord {
            client: waiting.client,
            waited: waiting.waited.map(seconds),
            unread_bytes: waiting.unread,
        };
        Self {
            connections: waiting.0.len(),
            with_data: waiting.unread(),
            longest: waiting.longest().map(seconds),
            clients: waiting.longest_first().into_iter().take(MAX_LISTED).map(client).collect(),
        }
    }
}

fn seconds(duration: Duration) -> Seconds {
    Span::from(duration).into()
}

impl<'a> From<&'a QueueRow<'a>> for QueueRecord<'a> {
    fn from(row: &'a QueueRow<'a>) -> Self {
        let socket = row.socket;
        Self {
            local: socket.local,
            device: row.device.as_deref(),
            v6only: socket.v6only,
            recv_q: socket.recv_q,
            send_q: socket.send_q,
            // Thousandths: more digits would be those of a division, not of a queue.
            fill: socket.send_q.map(|_| (socket.fill() * 1e3).round() / 1e3),
            full: socket.send_q.map(|_| socket.is_full()),
            drops: socket.drops,
            drops_delta: row.grown,
            limit_from: row.limit_from.map(limit_from),
            sockets: row.sharing.sockets,
            sockets_full: row.sharing.full,
            owner: row.owner.map(|owners| owners.iter().map(OwnerRecord::from).collect()),
            uid: socket.uid,
            inode: socket.inode,
            netns: row.netns.into(),
            waiting: (&row.waiting).into(),
        }
    }
}

impl Queues<'_> {
    /// Writes the JSON document and a line feed; `pretty` over several lines.
    ///
    /// # Errors
    ///
    /// The writer's errors.
    pub fn write_json(&self, out: &mut impl Write, pretty: bool) -> io::Result<()> {
        let document = QueuesRecord {
            schema: SCHEMA,
            tool: TOOL,
            time: Displayed(Rfc3339(self.at())),
            namespaces: self.namespaces.iter().map(NetnsFiguresRecord::from).collect(),
            unreadable_namespaces: self.unreadable,
            unreadable_processes: self.owners.unreadable(),
            listeners: self.rows.iter().map(QueueRecord::from).collect(),
        };
        if pretty {
            serialize::pretty(&mut *out, &document)?;
        } else {
            serialize::compact(&mut *out, &document)?;
        }
        writeln!(out)
    }
}
