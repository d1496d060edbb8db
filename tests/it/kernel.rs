//! The module `kernel` compared line by line with `ss -ltnm` and `nstat`, in private namespaces.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};

use hsanalyze::kernel::{
    Counter, Counters, LimitFrom, Snapshot, Sysctls, Watch, listen_sockets, local_addresses, owners,
};

use crate::namespace::{defer_accept, in_namespace, listener, run, start_connect, sysctl, wait_for};

/// A full queue's overflow at the ACK, on loopback: connections that TCP_DEFER_ACCEPT let pile up in SYN_RECV send
/// data once it is off. Gives the clients, which the caller keeps open.
pub(crate) fn overflow_at_the_ack(listener: &TcpListener, fill: usize, over: usize) -> Vec<TcpStream> {
    let server = listener.local_addr().unwrap();
    let mut clients: Vec<_> = (0..fill).map(|_| start_connect(server)).collect();
    wait_for("the queue fills", || ours()[&server].0 as usize == fill);
    defer_accept(listener, 3);
    let late: Vec<_> = (0..over).map(|_| start_connect(server)).collect();
    let deferred = |counters: Counters| counters.get(Counter::TcpDeferAcceptDrop);
    wait_for("ACKs are deferred", || deferred(Counters::read().unwrap()) >= Some(over as u64));
    defer_accept(listener, 0);
    for mut client in &late {
        client.write_all(b"x").unwrap();
    }
    clients.extend(late);
    clients
}

/// One LISTEN socket as either side shows it: Recv-Q, Send-Q, drops.
pub(crate) type Row = (u32, u32, u32);

/// `ss -ltnmH`, by local address.
pub(crate) fn ss() -> BTreeMap<SocketAddr, Row> {
    let text = run("ss", &["-H", "-l", "-t", "-n", "-m", "-O"]);
    text.lines()
        .map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            assert_eq!(fields[0], "LISTEN", "{line}");
            // `*:80` is the dual-stack `[::]:80`; `10.0.0.1%eth0:80` does not occur here.
            let local = fields[3].replace('*', "[::]").parse().unwrap_or_else(|_| panic!("{line}"));
            let drops = line.rsplit(",d").next().and_then(|rest| rest.split(')').next()).unwrap();
            let row = (fields[1].parse().unwrap(), fields[2].parse().unwrap(), drops.parse().unwrap());
            (local, row)
        })
        .collect()
}

/// `nstat -asz`, by name with its group in front.
pub(crate) fn nstat() -> BTreeMap<String, u64> {
    let text = run("nstat", &["-a", "-s", "-z"]);
    let fields = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut fields = line.split_ascii_whitespace();
        (fields.next().unwrap().to_owned(), fields.next().unwrap().parse().unwrap())
    });
    fields.collect()
}

/// The same as [`ss`] from the library.
fn ours() -> BTreeMap<SocketAddr, Row> {
    let sockets = listen_sockets().unwrap();
    sockets.into_iter().map(|s| (s.local, (s.recv_q, s.send_q.unwrap(), s.drops.unwrap()))).collect()
}

#[test]
fn listen_sockets_agree_with_ss_on_both_sides_of_somaxconn() {
    in_namespace(|| {
        sysctl("net.core.somaxconn", 16);
        let small = listener("127.0.0.1:7001", 4);
        let equal = listener("127.0.0.1:7002", 16);
        let cut = listener("0.0.0.0:7003", 100);
        let six = listener("[::1]:7004", 8);
        let dual = listener("[::]:7005", 1000);
        let held: Vec<_> = [(&small, 5), (&equal, 9), (&six, 3), (&dual, 1)]
            .into_iter()
            .flat_map(|(listener, clients)| {
                let mut server = listener.local_addr().unwrap();
                if server.ip().is_unspecified() {
                    server.set_ip("127.0.0.1".parse().unwrap());
                }
                (0..clients).map(move |_| start_connect(server))
            })
            .collect();
        wait_for("queues fill", || ours().values().map(|row| row.0).sum::<u32>() == held.len() as u32);

        assert_eq!(ours(), ss());
        let sockets = listen_sockets().unwrap();
        let of = |port| sockets.iter().find(|s| s.local.port() == port).unwrap();
        assert_eq!((of(7001).recv_q, of(7001).send_q), (5, Some(4)), "one past its limit");
        assert!(of(7001).is_full());
        assert_eq!(of(7001).limit_from(16), Some(LimitFrom::Listen));
        assert_eq!((of(7002).recv_q, of(7002).send_q), (9, Some(16)));
        assert_eq!(of(7003).send_q, Some(16), "cut to somaxconn");
        assert_eq!(of(7003).limit_from(16), Some(LimitFrom::Somaxconn));
        assert_eq!(of(7003).v6only, None);
        assert_eq!(of(7005).v6only, Some(false), "dual-stack");
        assert_eq!(of(7005).recv_q, 1, "an IPv4 client of a dual-stack listener");
        assert_eq!(Sysctls::read().somaxconn, Some(16));
        drop((cut, held));
    });
}

#[test]
fn a_dump_of_many_datagrams_is_complete() {
    in_namespace(|| {
        // About 160 bytes each: 80 KiB, where a datagram has at most 32.
        let kept: Vec<_> =
            (0..500).map(|n| listener(&format!("127.0.0.1:{}", 8000 + n), 1 + n % 7)).collect();
        let rows = ours();
        assert_eq!(rows.len(), kept.len());
        assert_eq!(rows, ss());
    });
}

#[test]
fn a_full_queue_overflows_and_every_figure_agrees() {
    in_namespace(|| {
        let victim = listener("127.0.0.1:7100", 4);
        let idle = listener("127.0.0.1:7101", 4);
        let server = victim.local_addr().unwrap();
        let mut watch = Watch::new(Snapshot::take().unwrap());
        let held: Vec<_> = (0..9).map(|_| start_connect(server)).collect();
        wait_for("four SYNs are dropped", || ours()[&server].2 >= 4);

        // Between two equal readings of ss, ours must be that same reading; SYN retries move the drops.
        wait_for("ss and ours agree while nothing moves", || {
            let (before, mine, after) = (ss(), ours(), ss());
            if before == after {
                assert_eq!(mine, before);
            }
            before == after
        });
        watch.push(Snapshot::take().unwrap());
        let stats = watch.stats(server).unwrap();
        assert_eq!((stats.recv_q, stats.send_q, stats.recv_q_max), (5, Some(4), 5));
        assert!(stats.full_seen);
        assert!(stats.drops >= Some(4), "{stats:?}");
        assert!(stats.namespace.get(Counter::ListenOverflows) >= Some(4), "{stats:?}");
        assert_eq!(stats.overflowed(), Some(true));
        assert_eq!(stats.abort_on_overflow, Some(false));
        let other = watch.stats(idle.local_addr().unwrap()).unwrap();
        assert_eq!((other.drops, other.overflowed()), (Some(0), Some(false)));
        drop(held);
    });
}

#[test]
fn overflows_at_the_ack_are_counted_with_either_setting() {
    for abort in [0, 1] {
        in_namespace(move || {
            sysctl("net.ipv4.tcp_abort_on_overflow", abort);
            let victim = listener("127.0.0.1:7150", 2);
            let server = victim.local_addr().unwrap();
            let mut watch = Watch::new(Snapshot::take().unwrap());
            // More than three requests would be past the SYN queue, which has the same limit: cookies defer nothing.
            let clients = overflow_at_the_ack(&victim, 2, 3);
            // One of the three finds the last place, two overflow; with abort=0 their data comes again and again.
            let overflows = |watch: &Watch| watch.counters().get(Counter::ListenOverflows).unwrap();
            wait_for("two overflows, between their repeats", || {
                watch.push(Snapshot::take().unwrap());
                let deferred = watch.counters().get(Counter::TcpDeferAcceptDrop).unwrap();
                // Each ACK or data segment at a full queue is one ListenOverflows and two drops, each deferred ACK one.
                overflows(&watch) >= 2
                    && watch.stats(server).unwrap().drops == Some(2 * overflows(&watch) + deferred)
            });
            let stats = watch.stats(server).unwrap();
            assert_eq!((stats.recv_q, stats.send_q, stats.full_seen), (3, Some(2), true), "{stats:?}");
            assert_eq!(stats.abort_on_overflow, Some(abort == 1));
            assert_eq!(stats.overflowed(), Some(true));
            let resets = stats.namespace.get(Counter::EmbryonicRsts);
            assert_eq!(resets, Some(if abort == 1 { 2 } else { 0 }), "{stats:?}");
            drop(clients);
        });
    }
}

#[test]
fn counters_agree_with_nstat() {
    in_namespace(|| {
        let victim = listener("127.0.0.1:7200", 0);
        let server = victim.local_addr().unwrap();
        // A refused connect makes OutRsts, a full queue the others.
        drop(start_connect("127.0.0.1:9".parse().unwrap()));
        let held: Vec<_> = (0..5).map(|_| start_connect(server)).collect();
        wait_for("overflow", || Counters::read().unwrap().get(Counter::ListenOverflows) >= Some(4));

        wait_for("nstat and ours agree while nothing moves", || {
            let (before, mine, after) = (nstat(), Counters::read().unwrap(), nstat());
            if before != after {
                return false;
            }
            for counter in Counter::ALL {
                let name = format!("{}{}", counter.group(), counter.name());
                assert_eq!(mine.get(counter), before.get(&name).copied(), "{name}");
            }
            true
        });
        assert!(Counters::read().unwrap().get(Counter::OutRsts) >= Some(1));
        drop(held);
    });
}

#[test]
fn owners_and_addresses_are_those_of_this_process_and_namespace() {
    in_namespace(|| {
        run("ip", &["address", "add", "10.77.0.1/32", "dev", "lo"]);
        let kept = listener("127.0.0.1:7300", 4);
        let sockets = listen_sockets().unwrap();
        assert_eq!(sockets.len(), 1);
        let this = i32::try_from(std::process::id()).unwrap();
        // A child of another test holds it too, between fork and exec.
        wait_for("this process to be its only owner", || {
            let owners = owners(sockets.iter().map(|socket| socket.inode));
            owners.of(sockets[0].inode).iter().map(|owner| owner.pid).eq([this])
        });
        assert_eq!(sockets[0].uid, 0);
        let local = local_addresses().unwrap();
        assert!(local.contains("10.77.0.1".parse().unwrap()));
        assert!(!local.contains("10.77.0.2".parse().unwrap()));
        drop(kept);
    });
}
