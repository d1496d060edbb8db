//! The table and the document, from snapshots made up to show every column and sentence.

use std::collections::HashMap;

use super::*;
use crate::kernel::{BacklogBy, Container, Counters, ProcessState, Snapshot, Sysctls};

fn socket(local: &str, cookie: u64, recv_q: u32, send_q: u32, drops: Option<u32>) -> ListenSocket {
    let any = ListenSocket::sample(local.parse().unwrap());
    ListenSocket { recv_q, send_q: Some(send_q), drops, inode: cookie, cookie, uid: 33, ..any }
}

fn sample(seconds: i64, netstat: &str, sockets: Vec<ListenSocket>) -> Snapshot {
    Snapshot {
        at: Timestamp::from_nanos(1_700_000_000_123_456_789).plus(Span::from_secs(seconds)),
        sockets,
        counters: Counters::parse(netstat, "Tcp: OutRsts\nTcp: 3\n"),
        sysctls: Sysctls {
            somaxconn: Some(128),
            tcp_abort_on_overflow: Some(1),
            tcp_synack_retries: Some(5),
            tcp_syncookies: Some(1),
            tcp_max_syn_backlog: Some(512),
            tcp_syn_retries: Some(6),
            tcp_syn_linear_timeouts: None,
        },
    }
}

/// Two samples, 2 s apart: one listener full, one dropping, one full of another's making, one at rest.
fn watched() -> Watch {
    let before = "TcpExt: ListenOverflows ListenDrops EmbryonicRsts\nTcpExt: 40 41 0\n";
    let after = "TcpExt: ListenOverflows ListenDrops EmbryonicRsts\nTcpExt: 52 53 6\n";
    let mut watch = Watch::new(sample(
        0,
        before,
        vec![
            socket("0.0.0.0:22", 1, 0, 128, Some(0)),
            socket("10.0.0.5:8080", 2, 129, 128, Some(70)),
            socket("[fd00::5]:443", 3, 50, 511, Some(3)),
        ],
    ));
    watch.push(sample(
        2,
        after,
        vec![
            socket("0.0.0.0:22", 1, 0, 128, Some(0)),
            socket("10.0.0.5:8080", 2, 129, 128, Some(81)),
            socket("[fd00::5]:443", 3, 50, 511, Some(6)),
            socket("127.0.0.1:5432", 4, 5, 4, Some(0)),
        ],
    ));
    watch
}

/// nginx with workers, postgres with a name that would colour a terminal; the rest is not ours to see.
fn held() -> Owners {
    let owner = |pid, command: &str| Owner {
        pid,
        command: command.to_owned(),
        state: ProcessState::Sleeping,
        container: None,
        polls: false,
        backlog_by: BacklogBy::Program,
    };
    let nginx = vec![owner(812, "nginx"), owner(811, "nginx"), owner(813, "nginx")];
    Owners::new(HashMap::from([(2, nginx), (4, vec![owner(99, "post\x1b[31mgres")])]), 17)
}

/// The own namespace's figures.
fn own<'a>(netns: &'a Netns, watch: &'a Watch) -> NetnsQueues<'a> {
    NetnsQueues { netns, watch, complete: true, waiting: Vec::new() }
}

/// The text for the own namespace alone.
fn text(watch: &Watch, owners: &Owners, options: &QueuesOptions) -> String {
    let netns = Netns { own: true, ..Netns::default() };
    text_of(&[own(&netns, watch)], owners, options)
}

fn text_of(namespaces: &[NetnsQueues<'_>], owners: &Owners, options: &QueuesOptions) -> String {
    let mut out = Vec::new();
    Queues::new(namespaces, owners, 0).write_text(&mut out, options).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_watched_table_puts_trouble_first_with_advice() {
    let watch = watched();
    insta::assert_snapshot!(text(&watch, &held(), &QueuesOptions::default()));
}

#[test]
fn a_first_snapshot_has_no_rates_and_marks_its_drops_as_old() {
    let watch = Watch::new(sample(
        0,
        "TcpExt: ListenOverflows ListenDrops\nTcpExt: 0 2\n",
        vec![socket("0.0.0.0:22", 1, 100, 128, Some(2)), socket("[::]:80", 2, 0, 511, None)],
    ));
    insta::assert_snapshot!(text(&watch, &Owners::default(), &QueuesOptions::default()));
}

#[test]
fn nothing_listens() {
    let watch = Watch::new(sample(0, "", vec![]));
    let shown = text(&watch, &Owners::default(), &QueuesOptions::default());
    assert!(shown.starts_with("no TCP listener in this network namespace\n\nSYSCTLS"), "{shown}");
    assert!(shown.contains("not in this kernel: ListenOverflows ListenDrops"), "{shown}");
}

#[test]
fn a_screen_is_never_overrun_and_keeps_the_worst() {
    let sockets = (1..=200_u16).map(|port| {
        let recv_q = if port == 150 { 5 } else { 0 };
        socket(&format!("10.0.0.1:{port}"), u64::from(port), recv_q, 4, Some(0))
    });
    let watch = Watch::new(sample(0, "", sockets.collect()));
    let owners = Owners::default();
    for (lines, columns) in [(24, 80), (10, 40), (1, 1), (0, 0)] {
        let options = QueuesOptions { screen: Some((lines, columns)), ..QueuesOptions::default() };
        let shown = text(&watch, &owners, &options);
        assert!(shown.lines().count() <= lines, "{lines}: {shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= columns), "{columns}: {shown}");
    }
    let options = QueuesOptions { screen: Some((24, 80)), ..QueuesOptions::default() };
    let shown = text(&watch, &owners, &options);
    assert!(shown.lines().nth(3).unwrap().starts_with("10.0.0.1:150"), "{shown}");
    assert!(shown.contains("… and "), "{shown}");
    assert_eq!(
        text(&watch, &owners, &QueuesOptions::default()).matches("10.0.0.1:").count(),
        201,
        "no limit on a pipe"
    );
}

#[test]
fn a_narrow_terminal_gets_lines_that_fit() {
    let netns = Netns { own: true, ..Netns::default() };
    let other = Netns { pid: Some(71), ..Netns::default() };
    // As without --watch: nothing to compare with.
    let watch = Watch::new(watched().latest().clone());
    for width in [40, 60, 80] {
        let options = QueuesOptions { width, terminal: Some(width), ..QueuesOptions::default() };
        let shown = text_of(&[own(&netns, &watch), own(&other, &watch)], &held(), &options);
        assert!(shown.lines().all(|line| line.chars().count() <= width), "{width}: {shown}");
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("SYNs, ACKs and data that met a full accept queue"), "{shown}");
    }
}

#[test]
fn a_screen_shows_every_full_listener_before_any_words() {
    let sockets = (1..=10_u16).map(|port| {
        socket(&format!("10.0.0.1:{port}"), u64::from(port), if port > 4 { 5 } else { 0 }, 4, Some(0))
    });
    let watch = Watch::new(sample(0, "", sockets.collect()));
    let owners = Owners::default();
    let on = |lines| {
        let options = QueuesOptions { screen: Some((lines, 80)), ..QueuesOptions::default() };
        text(&watch, &owners, &options)
    };
    let shown = on(24);
    assert_eq!(shown.matches("FULL█").count(), 6, "{shown}");
    assert!(shown.contains("10.0.0.1:4 ") && shown.contains("ACCEPT QUEUE FULL"), "{shown}");
    let small = on(8);
    assert!(small.contains("… and 6 more, 2 of them full"), "{small}");
}

#[test]
fn colour_is_the_callers_choice() {
    let watch = watched();
    let owners = Owners::default();
    let plain = text(&watch, &owners, &QueuesOptions::default());
    let coloured = text(&watch, &owners, &QueuesOptions { colour: true, ..QueuesOptions::default() });
    assert!(!plain.contains('\x1b'));
    assert!(coloured.contains("\x1b[1;31m127.0.0.1:5432"), "{coloured}");
}

#[test]
fn the_document_has_every_name() {
    let watch = watched();
    let mut out = Vec::new();
    let netns = Netns { own: true, ..Netns::default() };
    let namespaces = [own(&netns, &watch)];
    Queues::new(&namespaces, &held(), 0).write_json(&mut out, true).unwrap();
    let document = String::from_utf8(out).unwrap();
    insta::assert_snapshot!(document.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    let mut line = Vec::new();
    Queues::new(&namespaces, &Owners::default(), 0).write_json(&mut line, false).unwrap();
    assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
}

#[test]
fn an_address_is_written_as_ss_does() {
    let of =
        |local, v6only, device| address(&ListenSocket { v6only, ..socket(local, 1, 0, 0, None) }, device);
    assert_eq!(of("10.0.0.1:80", None, Some("eth0")), "10.0.0.1%eth0:80");
    assert_eq!(of("[fe80::1]:80", Some(false), Some("eth0")), "[fe80::1%eth0]:80");
    assert_eq!(of("[::]:80", Some(true), None), "[::]:80");
    assert_eq!(of("[::]:80", Some(false), None), "*:80", "of IPv4, too");
}

/// A container's namespace with four workers on one address, of which one is stopped, and who waits for it.
#[test]
fn one_stopped_worker_of_four_is_named_with_its_namespace_and_who_waits() {
    let worker = |cookie, recv_q, drops| socket("0.0.0.0:443", cookie, recv_q, 4, Some(drops));
    let at = |seconds, overflows, first| {
        let sockets = vec![first, worker(12, 0, 0), worker(13, 1, 0), worker(14, 0, 0)];
        sample(
            seconds,
            &format!("TcpExt: ListenOverflows ListenDrops\nTcpExt: {overflows} {overflows}\n"),
            sockets,
        )
    };
    let mut watch = Watch::new(at(0, 0, worker(11, 0, 0)));
    watch.push(at(2, 6, worker(11, 5, 6)));
    let owner = |pid, state| {
        let container = Container::parse(&format!("0::/system.slice/docker-{}.scope", "3f".repeat(32)));
        vec![Owner {
            pid,
            command: "nginx".to_owned(),
            state,
            container,
            polls: true,
            backlog_by: BacklogBy::Program,
        }]
    };
    let states =
        [ProcessState::Stopped, ProcessState::Sleeping, ProcessState::Sleeping, ProcessState::Running];
    let owners = (11..).zip(71..).zip(states).map(|((inode, pid), state)| (inode, owner(pid, state)));
    let owners = Owners::new(owners.collect(), 0);
    let waiting = (0..7_u16).map(|n| WaitingConnection {
        local: "10.0.0.5:443".parse().unwrap(),
        client: format!("10.0.0.9:{}", 40_000 + n).parse().unwrap(),
        unread: u32::from(n % 2) * 517,
        closed: n == 2,
        waited: Some(Duration::from_millis(500 * u64::from(n) + 250)),
    });
    let empty = Watch::new(sample(0, "", vec![]));
    let (host, container) = (
        Netns { own: true, ..Netns::default() },
        Netns { pid: Some(71), inode: Some(4_026_532_177), ..Netns::default() },
    );
    let namespaces =
        [own(&host, &empty), NetnsQueues { waiting: waiting.collect(), ..own(&container, &watch) }];
    insta::assert_snapshot!(text_of(
        &namespaces,
        &owners,
        &QueuesOptions { verbose: true, ..QueuesOptions::default() }
    ));
    for (lines, columns) in [(24, 80), (24, 60)] {
        let options =
            QueuesOptions { screen: Some((lines, columns)), width: columns, ..QueuesOptions::default() };
        let shown = text_of(&namespaces, &owners, &options);
        assert!(
            shown.lines().count() <= lines && shown.lines().all(|line| line.chars().count() <= columns),
            "{shown}"
        );
        // Needed on every screen: the listener, its queue, its drops, the trouble and the fix.
        let row = shown.lines().nth(3).unwrap();
        for needed in ["0.0.0.0:443", "5", "4", "3.0", "nginx[71] stopped"] {
            assert!(row.contains(needed), "{needed} in {shown}");
        }
        for needed in [
            "1 OF 4 ACCEPT QUEUES FULL: worker PID 71 (stopped)",
            "changes in 2.00 s",
            "nsenter -t 71 -n ss -ltnm",
            "kill -CONT 71",
        ] {
            assert!(shown.contains(needed), "{needed} in {shown}");
        }
        if columns == 80 {
            assert!(row.contains("PID 71"), "{shown}");
        }
    }
    let mut out = Vec::new();
    Queues::new(&namespaces, &owners, 1).write_json(&mut out, false).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let full = &document["listeners"][0];
    assert_eq!((&full["sockets"], &full["sockets_full"]), (&4.into(), &1.into()));
    assert_eq!(
        (&full["owner"][0]["state"], &full["owner"][0]["container"]["kind"]),
        (&"stopped".into(), &"docker".into())
    );
    assert_eq!((&full["netns"]["pid"], &full["netns"]["own"]), (&71.into(), &false.into()));
    assert_eq!((&full["waiting"]["connections"], &full["waiting"]["with_data"]), (&7.into(), &3.into()));
    assert_eq!(full["waiting"]["longest"], 3.25);
    assert_eq!(document["unreadable_namespaces"], 1);
}

#[test]
fn what_an_ordinary_user_may_not_read_is_reported() {
    let mut listener = socket("10.0.0.5:443", 1, 9, 0, None);
    listener.send_q = None;
    let watch = Watch::new(sample(0, "TcpExt: ListenOverflows ListenDrops\nTcpExt: 7 7\n", vec![listener]));
    let netns = Netns { pid: Some(71), ..Netns::default() };
    let namespaces = [NetnsQueues { complete: false, ..own(&netns, &watch) }];
    let owners = Owners::new(HashMap::new(), 3);
    let shown = text_of(&namespaces, &owners, &QueuesOptions::default());
    let row: Vec<&str> = shown.lines().nth(3).unwrap().split_whitespace().take(5).collect();
    assert_eq!(row, ["10.0.0.5:443", "?", "9", "?", "?"], "{shown}");
    assert!(shown.contains("SEND-Q and DROPS of 1 other network namespace may not be read"), "{shown}");
}
