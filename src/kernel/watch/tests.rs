//! Snapshots one after the other, and what grew between them.

use super::*;
use crate::kernel::{LimitFrom, Sysctls};

fn socket(local: &str, cookie: u64, recv_q: u32, drops: Option<u32>) -> ListenSocket {
    ListenSocket { recv_q, drops, inode: cookie, cookie, ..ListenSocket::sample(local.parse().unwrap()) }
}

fn sample(seconds: i64, overflows: u64, sockets: Vec<ListenSocket>) -> Snapshot {
    let netstat = format!(
        "TcpExt: ListenOverflows ListenDrops TCPDeferAcceptDrop TCPReqQFullDrop\nTcpExt: {overflows} {overflows} 0 0\n"
    );
    Snapshot {
        at: Timestamp::from_nanos(0).plus(Span::from_secs(seconds)),
        sockets,
        counters: Counters::parse(&netstat, ""),
        sysctls: Sysctls { somaxconn: Some(4), tcp_abort_on_overflow: Some(1), ..Sysctls::default() },
    }
}

const A: &str = "10.0.0.1:80";

#[test]
fn a_socket_that_was_closed_while_queues_overflowed_leaves_it_open() {
    let server = A.parse().unwrap();
    for (overflows, said) in [(4, None), (0, Some(false))] {
        let mut watch = Watch::new(sample(0, 0, vec![socket(A, 1, 0, Some(0))]));
        // Closed and opened again: the new one has dropped nothing.
        watch.push(sample(1, overflows, vec![socket(A, 2, 0, Some(0))]));
        assert_eq!(watch.overflowed_lately(server), said);
        assert_eq!(watch.stats(server).unwrap().overflowed(), said);
        watch.push(sample(2, overflows, vec![socket(A, 2, 0, Some(0))]));
        assert_eq!(watch.overflowed_lately(server), Some(false), "nothing since");
        assert_eq!(watch.stats(server).unwrap().overflowed(), said, "nothing is forgotten");
    }
}

#[test]
fn a_word_has_growth_since_the_first_sample_and_the_worst_between() {
    let mut watch = Watch::new(sample(0, 100, vec![socket(A, 1, 0, Some(40))]));
    assert!(watch.interval().is_none());
    watch.push(sample(1, 103, vec![socket(A, 1, 5, Some(46))]));
    watch.push(sample(2, 103, vec![socket(A, 1, 2, Some(46))]));
    let stats = watch.stats(A.parse().unwrap()).unwrap();
    assert_eq!((stats.recv_q, stats.recv_q_max, stats.full_seen), (2, 5, true));
    assert_eq!((stats.drops, stats.samples, stats.span), (Some(6), 3, Span::from_secs(2)));
    assert_eq!(stats.namespace.get(Counter::ListenOverflows), Some(3));
    assert_eq!((stats.limit_from, stats.abort_on_overflow), (Some(LimitFrom::Somaxconn), Some(true)));
    assert_eq!(stats.overflowed(), Some(true));
    let interval = watch.interval().unwrap();
    assert_eq!(interval.drops(&socket(A, 1, 2, Some(46))), Some(0));
    assert_eq!(interval.counters.get(Counter::ListenOverflows), Some(0));
}

#[test]
fn connections_wait_from_the_first_of_the_snapshots_that_all_found_some() {
    let server = A.parse().unwrap();
    let mut watch = Watch::new(sample(0, 0, vec![socket(A, 1, 1, None)]));
    let mut waiting_for = |second, recv_q| {
        watch.push(sample(second, 0, vec![socket(A, 1, recv_q, None)]));
        watch.listener(server).unwrap().waiting_for()
    };
    assert_eq!(waiting_for(1, 2), Span::from_secs(1));
    assert_eq!(waiting_for(2, 0), Span::ZERO);
    assert_eq!(waiting_for(3, 1), Span::ZERO);
    assert_eq!(waiting_for(5, 1), Span::from_secs(2));
}

#[test]
fn a_restarted_listener_keeps_what_the_old_socket_dropped() {
    let mut watch = Watch::new(sample(0, 0, vec![socket(A, 1, 0, Some(u32::MAX))]));
    watch.push(sample(1, 2, vec![socket(A, 1, 0, Some(2))])); // wrapped
    watch.push(sample(2, 2, vec![]));
    let gone = watch.stats(A.parse().unwrap()).unwrap();
    assert_eq!((gone.listening, gone.drops), (false, Some(3)));
    watch.push(sample(3, 7, vec![socket(A, 2, 0, Some(5))])); // a new socket counts from 0
    let back = watch.stats(A.parse().unwrap()).unwrap();
    assert_eq!((back.listening, back.drops), (true, Some(8)));
}

#[test]
fn a_listener_whose_sockets_are_all_others_was_replaced() {
    let replaced = |watch: &Watch| watch.stats(A.parse().unwrap()).unwrap().replaced;
    let seconds = |from, until| {
        let at = |second| sample(second, 0, vec![]).at;
        Some(SocketReplaced { from: at(from), until: at(until) })
    };
    let of = |cookies: &[u64]| cookies.iter().map(|&cookie| socket(A, cookie, 0, Some(0))).collect();
    let mut watch = Watch::new(sample(0, 0, of(&[1, 2])));
    watch.push(sample(1, 0, of(&[2, 3])));
    assert_eq!(replaced(&watch), None, "one of them goes on");
    watch.push(sample(2, 0, of(&[4])));
    assert_eq!(replaced(&watch), seconds(1, 2));
    watch.push(sample(3, 0, of(&[4])));
    assert_eq!(replaced(&watch), seconds(1, 2));
    watch.push(sample(4, 0, vec![]));
    watch.push(sample(5, 0, vec![]));
    watch.push(sample(6, 0, of(&[5])));
    assert_eq!(replaced(&watch), seconds(3, 6));
    watch.push(sample(7, 0, vec![]));
    watch.push(sample(90, 0, of(&[6])));
    assert_eq!(replaced(&watch), None, "a minute later it is a new one");
}

#[test]
fn sockets_that_share_an_address_are_one_listener() {
    let mut watch = Watch::new(sample(0, 0, vec![socket(A, 1, 0, Some(1)), socket(A, 2, 0, Some(1))]));
    watch.push(sample(1, 9, vec![socket(A, 1, 5, Some(4)), socket(A, 2, 1, Some(2))]));
    let stats = watch.stats(A.parse().unwrap()).unwrap();
    assert_eq!((stats.sockets, stats.recv_q, stats.drops), (2, 5, Some(4)));
}

#[test]
fn only_the_figures_of_this_listener_prove_its_overflow() {
    let at_rest = |drops| socket(A, 1, 0, drops);
    let judged = |overflows, drops: Option<u32>, others: &str| {
        let mut watch = Watch::new(sample(0, 0, vec![at_rest(drops.map(|_| 0))]));
        let mut later = sample(1, overflows, vec![at_rest(drops)]);
        if !others.is_empty() {
            later.counters = Counters::parse(others, "");
        }
        watch.push(later);
        watch.stats(A.parse().unwrap()).unwrap().overflowed()
    };
    assert_eq!(judged(0, Some(3), ""), Some(false), "dropped for another reason");
    assert_eq!(judged(5, Some(0), ""), Some(false), "another listener overflowed");
    assert_eq!(judged(5, Some(1), ""), Some(true));
    assert_eq!(judged(5, None, ""), None, "old kernel, and not seen full");
    let names = "TcpExt: ListenOverflows ListenDrops TCPDeferAcceptDrop\nTcpExt: ";
    assert_eq!(judged(0, Some(4), &format!("{names}5 7 0\n")), None, "two SYNs may make four drops");
    assert_eq!(judged(0, Some(5), &format!("{names}5 7 0\n")), Some(true));
    assert_eq!(judged(0, Some(3), &format!("{names}5 5 3\n")), None, "three deferred ACKs");
    let names = "TcpExt: ListenOverflows ListenDrops TCPReqQFullDrop\nTcpExt: ";
    assert_eq!(judged(0, Some(36), &format!("{names}8 28 20\n")), Some(true), "20 SYNs make 20 drops");
    assert_eq!(judged(0, Some(20), &format!("{names}8 28 20\n")), None, "the SYNs were all its drops");
}

#[test]
fn recent_overflows_differ_from_earlier_ones() {
    let server = A.parse().unwrap();
    let at_rest = |drops| vec![socket(A, 1, 1, Some(drops))];
    let mut watch = Watch::new(sample(0, 0, at_rest(0)));
    assert_eq!(watch.overflowed_lately(server), None, "one sample has no before");
    watch.push(sample(1, 3, at_rest(6)));
    assert_eq!(watch.overflowed_lately(server), Some(true));
    assert_eq!(watch.overflowing(), [server]);
    watch.push(sample(2, 3, at_rest(6)));
    assert_eq!(watch.overflowed_lately(server), Some(false));
    assert_eq!(watch.overflowing(), []);
    assert_eq!(watch.stats(server).unwrap().overflowed(), Some(true), "it did, before");
    watch.push(sample(3, 3, vec![]));
    assert_eq!(watch.overflowed_lately(server), None, "nobody listens any more");
}

#[test]
fn listeners_that_are_gone_do_not_pile_up() {
    let port = |n: u64| format!("10.0.0.1:{}", n % 60_000 + 1);
    let mut watch = Watch::new(sample(0, 0, vec![]));
    for n in 0..5_000_u64 {
        // Every other one drops something before it goes.
        let dropped = u32::try_from(n % 2).unwrap();
        watch.push(sample(i64::try_from(n).unwrap(), n, vec![socket(&port(n), n, 0, Some(dropped))]));
    }
    assert!(watch.histories.len() <= MAX_GONE + 1, "{}", watch.histories.len());
    assert!(watch.stats(port(4_997).parse().unwrap()).is_some(), "a late one with drops is remembered");
    assert!(watch.stats(port(4_996).parse().unwrap()).is_none(), "a late one without is not");
    assert!(watch.stats(port(1).parse().unwrap()).is_none(), "an early one is not");
}
