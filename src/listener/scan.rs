//! Port scans: the listeners that one client knocked at and nobody used are one finding (DOMAIN §3).
//!
//! Owns which listeners that is, and their sums. Does not own when an attempt is part of a scan (`hypotheses`).

use std::net::IpAddr;

use indexmap::IndexMap;

use super::Listener;
use super::conclude::conclude;
use super::record::Record;
use super::sole_client::SoleClient;
use super::totals::Totals;
use crate::handshake::{Cause, Verdict};
use crate::packet::{Endpoint, Seeded, Timestamp};

/// A scan of many listeners by one client, summed up as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// The client.
    pub client: IpAddr,
    /// The scanned host; `None` if there are several.
    pub host: Option<IpAddr>,
    /// Number of addresses and ports that it knocked at, and that nobody else used.
    pub servers: u64,
}

/// Scans by client.
#[derive(Default)]
pub(super) struct Scans(IndexMap<IpAddr, ScanSum, Seeded>);

/// The sums of a scan's listeners.
struct ScanSum {
    scan: Scan,
    /// The first of them.
    server: Endpoint,
    record: Record,
    totals: Totals,
}

impl Scans {
    /// Takes a listener if all its attempts are part of one client's scan, but for those of it that the end of the capture cut; gives
    /// its totals back otherwise.
    pub(super) fn take(&mut self, server: Endpoint, record: &Record, totals: Totals) -> Option<Totals> {
        let scanned = totals.of(Cause::SynScan).map_or(0, |tally| tally.verdicts.total());
        let SoleClient::One(client) = record.client else { return Some(totals) };
        if scanned == 0 || scanned + record.verdicts.get(Verdict::Undetermined) != record.verdicts.total() {
            return Some(totals);
        }
        let sum = self.0.entry(client).or_insert_with(|| ScanSum {
            scan: Scan { client, host: Some(server.ip()), servers: 0 },
            server,
            record: Record::default(),
            totals: Totals::default(),
        });
        sum.scan.servers += 1;
        sum.scan.host = sum.scan.host.filter(|&host| host == server.ip());
        sum.record.merge_scanned(record);
        sum.totals.merge(&totals);
        None
    }

    /// Each scan as one listener; that of a single server keeps its address.
    pub(super) fn listeners(&self, end: Option<Timestamp>) -> impl Iterator<Item = Listener> {
        self.0.values().map(move |ScanSum { scan, server, record, totals }| {
            let several = scan.servers > 1;
            let summed = conclude(Some(*server).filter(|_| !several), record, totals, end);
            Listener { scan: Some(*scan).filter(|_| several), ..summed }
        })
    }
}
