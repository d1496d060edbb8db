//! Parsers of what the kernel writes, each by the first byte of the input: for the fuzz target `kernel`.

use std::collections::BTreeMap;
use std::io::Cursor;

use super::{
    Container, Counters, DropReason, btf, diag, dnat, dump, elf, holders, rtnl, segment_events, table,
};
use crate::packet::Span;

/// Hands the bytes to one of the parsers.
pub(crate) fn parse(choice: u8, bytes: &[u8]) {
    let text = || String::from_utf8_lossy(bytes);
    match choice % 12 {
        0 => datagram(bytes, |payload| diag::listen_socket(payload).map(drop)),
        1 => datagram(bytes, |payload| diag::waiting(payload).map(drop)),
        2 => datagram(bytes, |payload| rtnl::address(payload).map(drop)),
        3 => _ = dnat::destination(bytes),
        4 => {
            let reasons = BTreeMap::from([(7, DropReason::ListenOverflow)]);
            _ = segment_events::event(bytes, &reasons, Span::from_secs(1));
        }
        5 => _ = btf::enum_values(bytes, "skb_drop_reason"),
        6 => {
            let names = elf::section_names(&mut Cursor::new(bytes)).unwrap_or_default();
            assert!(names.len() <= bytes.len());
        }
        7 => {
            let text = text();
            let (netstat, snmp) = text.split_once('\0').unwrap_or((&text, ""));
            let read = Counters::parse(netstat, snmp);
            // A counter that a namespace lacks is unknown, never 0.
            assert!(read.delta(&read).iter().all(|(_, growth)| growth.is_none_or(|growth| growth == 0)));
        }
        8 => {
            let text = text();
            let lines = text.lines().count();
            assert!(table::listen_sockets(&text).count() + table::waiting(&text).count() <= lines);
        }
        9 => {
            let text = text();
            let (trie, inet6) = text.split_once('\0').unwrap_or((&text, ""));
            assert!(table::local_addresses(trie, inet6).len() <= text.lines().count() + 1);
        }
        10 => _ = Container::parse(&text()).map(|container| container.id().len()),
        _ => assert!(holders::polled_inodes(&text()).count() <= text().lines().count()),
    }
}

/// The messages of a netlink datagram: an error is a fault of the datagram, and lies in it.
fn datagram(bytes: &[u8], take: impl Fn(&[u8]) -> Result<(), String>) {
    match dump::parse(bytes, "the dump", &mut |_, payload| take(payload)) {
        Ok(_) | Err(super::KernelError::Netlink { .. }) => {}
        Err(super::KernelError::Answer { length, offset, .. }) => assert!(offset < length),
        Err(other) => panic!("{other}"),
    }
}
