//! The JSON document of `hsanalyze listeners`. Names are stable; `schema` counts up when one changes meaning.

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::Serialize;

use super::{QueueRow, Queues};
use crate::kernel::{Counters, LimitFrom, Owner, Sysctls};

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    tool: &'static str,
    /// RFC 3339, UTC, nanoseconds.
    time: String,
    sysctls: Sysctls,
    /// Since the network namespace exists.
    counters: Counters,
    /// Growth since the sample before; null in the first.
    interval: Option<Growth>,
    /// Processes whose files could not be seen, so that `owner` may be null.
    unreadable_processes: usize,
    listeners: Vec<QueueRecord<'a>>,
}

#[derive(Serialize)]
struct Growth {
    seconds: f64,
    counters: Counters,
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
    limit_from: Option<LimitFrom>,
    /// Null when it is not known; empty when no process holds it.
    owner: Option<&'a [Owner]>,
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
            limit_from: row.limit_from,
            owner: row.owner,
            uid: socket.uid,
            inode: socket.inode,
        }
    }
}

pub(super) fn write(out: &mut impl Write, queues: &Queues<'_>, pretty: bool) -> io::Result<()> {
    let sample = queues.watch.latest();
    let time = jiff::Timestamp::from_nanosecond(i128::from(queues.at().as_nanos())).unwrap_or_default();
    let document = Document {
        schema: 1,
        tool: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
        time: format!("{time:.9}"),
        sysctls: sample.sysctls,
        counters: sample.counters,
        interval: queues
            .watch
            .interval()
            .map(|interval| Growth { seconds: interval.span.as_secs_f64(), counters: interval.counters }),
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
