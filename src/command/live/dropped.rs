//! Events of segments that the kernel dropped, each joined to the server that the packets show.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::kernel::{DropNetns, SegmentEvent, SegmentEventKind};
use crate::listener::{KernelDrop, Listeners};
use crate::packet::Endpoint;

/// The servers that packets show, by the addresses of their listeners.
#[derive(Default)]
pub(super) struct CapturedServers {
    /// The program's own namespace.
    pub(super) own_netns: Option<u32>,
    /// By the listener's namespace, and its address there.
    in_netns: HashMap<(u32, SocketAddr), Endpoint>,
    /// By that address in whatever namespace: a router's or a bridge's firewall drops in another.
    anywhere: HashMap<SocketAddr, Endpoint>,
}

impl CapturedServers {
    pub(super) fn insert(&mut self, netns: Option<u32>, local: SocketAddr, server: Endpoint) {
        self.in_netns.extend(netns.map(|netns| ((netns, local), server)));
        self.anywhere.insert(local, server);
    }

    /// The dropped segment, with its server and its client as the packets show them. Numbers show which attempt it
    /// belongs to (`KernelDrop`); only a full queue must be that of the server's own namespace, since another may use
    /// the same addresses.
    fn drop_of(&self, event: &SegmentEvent, from_server: bool) -> Option<(Endpoint, Endpoint, KernelDrop)> {
        let SegmentEventKind::Dropped(reason) = event.kind else { return None };
        let (server, client) = match from_server {
            true => (event.source, event.destination),
            false => (event.destination, event.source),
        };
        let there = self.in_netns.get(&(event.netns, server)).copied();
        if event.is_overflow() && there.is_none() {
            return None;
        }
        let elsewhere = self.anywhere.get(&server).copied();
        let netns = match (there, elsewhere) {
            (Some(_), _) => DropNetns::Listener,
            (None, _) if self.own_netns != Some(event.netns) => DropNetns::Other(event.netns),
            (None, Some(_)) => DropNetns::Own,
            (None, None) => DropNetns::Listener,
        };
        let seen = there.or(elsewhere).unwrap_or_else(|| server.into());
        let segment = KernelDrop {
            at: event.at,
            reason,
            netns,
            from_server,
            is_overflow: event.is_overflow(),
            flags: event.flags,
            seq: event.seq,
            ack: event.ack,
        };
        Some((seen, client.into(), segment))
    }
}

/// Most events that wait for their server to become known.
const MAX_WAITING: usize = 16_384;

/// Longest wait of an event for its server: an attempt may look stuck only four seconds after its SYN.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Events of dropped segments, with those that wait: the first attempt to their server is not settled yet.
#[derive(Default)]
pub(super) struct DroppedEvents(VecDeque<(Instant, SegmentEvent)>);

impl DroppedEvents {
    /// Records new events and those that wait, each with the server that the packets show.
    pub(super) fn record(
        &mut self,
        new: Vec<SegmentEvent>,
        places: &CapturedServers,
        listeners: &mut Listeners,
    ) {
        let now = Instant::now();
        self.0.extend(new.into_iter().map(|event| (now, event)));
        self.0.retain(|(since, event)| {
            let mut record = |from_server| {
                places.drop_of(event, from_server).is_some_and(|(server, client, segment)| {
                    listeners.record_dropped(server, client, segment)
                })
            };
            let recorded = record(false) || record(true);
            !recorded && now - *since < LONGEST_WAIT
        });
        while self.0.len() > MAX_WAITING {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Finding;
    use crate::kernel::DropReason;
    use crate::packet::{Flags, Seq, Timestamp};
    use crate::report::samples;

    #[test]
    fn a_full_queue_of_the_same_addresses_in_another_namespace_is_not_joined() {
        let address: SocketAddr = "10.55.0.2:80".parse().unwrap();
        let published = Endpoint::v4([10, 66, 0, 1], 7804);
        let mut places = CapturedServers::default();
        places.insert(Some(7), address, published);
        places.own_netns = Some(8);
        let event = |netns, destination, reason| SegmentEvent {
            at: Timestamp::default(),
            kind: SegmentEventKind::Dropped(reason),
            source: "10.66.0.2:40000".parse().unwrap(),
            destination,
            seq: Seq(1),
            ack: Seq(1),
            flags: Flags::ACK,
            netns,
            on_listener: false,
        };
        let server_of = |event: &SegmentEvent| places.drop_of(event, false).map(|(server, _, _)| server);
        let full = DropReason::ListenOverflow;
        assert_eq!(server_of(&event(7, address, full)), Some(published));
        assert_eq!(server_of(&event(8, address, full)), None);
        assert_eq!(server_of(&event(7, "10.55.0.2:81".parse().unwrap(), full)), None);
        // A router's firewall; numbers show the attempt.
        assert_eq!(server_of(&event(8, address, DropReason::Netfilter)), Some(published));
        let netns_of = |netns| {
            let event = event(netns, address, DropReason::Netfilter);
            places.drop_of(&event, false).map(|(_, _, segment)| segment.netns)
        };
        let named = [DropNetns::Listener, DropNetns::Own, DropNetns::Other(9)].map(Some);
        assert_eq!([7, 8, 9].map(netns_of), named);
        let direct = "10.66.0.1:7804".parse().unwrap();
        assert_eq!(server_of(&event(8, direct, DropReason::Netfilter)), Some(published));
    }

    #[test]
    fn an_event_waits_until_its_server_is_known() {
        let attempt = samples::overflow_mixed().1.remove(0);
        let server = SocketAddr::new(attempt.server.ip(), attempt.server.port());
        let event = SegmentEvent {
            at: attempt.start,
            kind: SegmentEventKind::Dropped(DropReason::Netfilter),
            source: SocketAddr::new(attempt.client.ip(), attempt.client.port()),
            destination: server,
            seq: attempt.client_isn,
            ack: Seq(0),
            flags: Flags::SYN,
            netns: 1,
            on_listener: false,
        };
        let (mut listeners, places) = (Listeners::new(8), CapturedServers::default());
        let mut dropped = DroppedEvents::default();
        dropped.record(vec![event], &places, &mut listeners);
        assert_eq!(dropped.0.len(), 1);
        listeners.record(&mut Finding { at: attempt.end, settled: true, attempt });
        dropped.record(Vec::new(), &places, &mut listeners);
        assert_eq!(dropped.0.len(), 0);
    }
}
