//! The document of `hsanalyze listeners`.

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::Serialize;

use super::kernel::{CountersRecord, OwnerRecord, SysctlsRecord, limit_from};
use super::{Rfc3339, SCHEMA, Seconds, Shown, TOOL};
use crate::report::queues::{QueueRow, Queues};

#[derive(Serialize)]
struct QueuesRecord<'a> {
    schema: u32,
    tool: &'static str,
    time: Shown<Rfc3339>,
    sysctls: SysctlsRecord,
    /// Since the network namespace exists.
    counters: CountersRecord<'a>,
    /// Growth since the sample before; null in the first.
    interval: Option<IntervalRecord<'a>>,
    /// Processes whose files could not be seen, so that `owner` may be null.
    unreadable_processes: usize,
    listeners: Vec<QueueRecord<'a>>,
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
    send_q: u32,
    fill: f64,
    full: bool,
    drops: Option<u32>,
    drops_delta: Option<u32>,
    limit_from: Option<&'static str>,
    /// Null when it is not known; empty when no process holds it.
    owner: Option<Vec<OwnerRecord<'a>>>,
    uid: u32,
    inode: u64,
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
            fill: (socket.fill() * 1e3).round() / 1e3,
            full: socket.is_full(),
            drops: socket.drops,
            drops_delta: row.grown,
            limit_from: row.limit_from.map(limit_from),
            owner: row.owner.map(|owners| owners.iter().map(OwnerRecord::from).collect()),
            uid: socket.uid,
            inode: socket.inode,
        }
    }
}

/// Writes the document and a line feed; `pretty` over several lines.
///
/// # Errors
///
/// The writer's errors.
pub(in crate::report) fn write_queues(
    out: &mut impl Write,
    queues: &Queues<'_>,
    pretty: bool,
) -> io::Result<()> {
    let sample = queues.watch.latest();
    let document = QueuesRecord {
        schema: SCHEMA,
        tool: TOOL,
        time: Shown(Rfc3339(queues.at())),
        sysctls: sample.sysctls.into(),
        counters: CountersRecord(&sample.counters),
        interval: queues.watch.interval().map(|interval| IntervalRecord {
            seconds: interval.span.into(),
            counters: CountersRecord(&interval.counters),
        }),
        unreadable_processes: queues.owners.unreadable(),
        listeners: queues.rows.iter().map(QueueRecord::from).collect(),
    };
    if pretty {
        serde_json::to_writer_pretty(&mut *out, &document)?;
    } else {
        serde_json::to_writer(&mut *out, &document)?;
    }
    writeln!(out)
}
