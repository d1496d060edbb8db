//! The table and the document, from snapshots made up to show every column and sentence.

use std::collections::HashMap;

use super::*;
use crate::kernel::{Counters, Snapshot, Sysctls};

fn socket(local: &str, cookie: u64, recv_q: u32, send_q: u32, drops: Option<u32>) -> ListenSocket {
    let local = local.parse().unwrap();
    ListenSocket { local, device: None, v6only: None, recv_q, send_q, drops, inode: cookie, cookie, uid: 33 }
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
    let owner = |pid, command: &str| Owner { pid, command: command.to_owned() };
    let nginx = vec![owner(812, "nginx"), owner(811, "nginx"), owner(813, "nginx")];
    Owners::new(HashMap::from([(2, nginx), (4, vec![owner(99, "post\x1b[31mgres")])]), 17)
}

fn text(queues: &Queues<'_>, options: &QueuesOptions) -> String {
    let mut out = Vec::new();
    queues.write_text(&mut out, options).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_watched_table_puts_trouble_first_and_says_what_to_do() {
    let watch = watched();
    insta::assert_snapshot!(text(&Queues::new(&watch, &held()), &QueuesOptions::default()));
}

#[test]
fn a_first_look_has_no_rates_and_says_that_drops_are_old() {
    let watch = Watch::new(sample(
        0,
        "TcpExt: ListenOverflows ListenDrops\nTcpExt: 0 2\n",
        vec![socket("0.0.0.0:22", 1, 100, 128, Some(2)), socket("[::]:80", 2, 0, 511, None)],
    ));
    insta::assert_snapshot!(text(&Queues::new(&watch, &Owners::default()), &QueuesOptions::default()));
}

#[test]
fn nothing_listens() {
    let watch = Watch::new(sample(0, "", vec![]));
    let shown = text(&Queues::new(&watch, &Owners::default()), &QueuesOptions::default());
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
    let queues = Queues::new(&watch, &owners);
    for (lines, columns) in [(24, 80), (10, 40), (1, 1), (0, 0)] {
        let options = QueuesOptions { screen: Some((lines, columns)), ..QueuesOptions::default() };
        let shown = text(&queues, &options);
        assert!(shown.lines().count() <= lines, "{lines}: {shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= columns), "{columns}: {shown}");
    }
    let options = QueuesOptions { screen: Some((24, 80)), ..QueuesOptions::default() };
    let shown = text(&queues, &options);
    assert!(shown.lines().nth(3).unwrap().starts_with("10.0.0.1:150"), "{shown}");
    assert!(shown.contains("… and "), "{shown}");
    assert_eq!(
        text(&queues, &QueuesOptions::default()).matches("10.0.0.1:").count(),
        201,
        "no limit on a pipe"
    );
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
        text(&Queues::new(&watch, &owners), &options)
    };
    let shown = on(24);
    assert_eq!(shown.matches("FULL█").count(), 6, "{shown}");
    assert!(shown.contains("… and 4 more, less full") && shown.contains("ACCEPT QUEUE FULL"), "{shown}");
    let small = on(8);
    assert!(small.contains("… and 6 more, 2 of them full"), "{small}");
}

#[test]
fn colour_is_the_callers_choice() {
    let watch = watched();
    let owners = Owners::default();
    let queues = Queues::new(&watch, &owners);
    let plain = text(&queues, &QueuesOptions::default());
    let coloured = text(&queues, &QueuesOptions { colour: true, ..QueuesOptions::default() });
    assert!(!plain.contains('\x1b'));
    assert!(coloured.contains("\x1b[1;31m127.0.0.1:5432"), "{coloured}");
}

#[test]
fn the_document_has_every_name() {
    let watch = watched();
    let mut out = Vec::new();
    Queues::new(&watch, &held()).write_json(&mut out, true).unwrap();
    let document = String::from_utf8(out).unwrap();
    insta::assert_snapshot!(document.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    let mut line = Vec::new();
    Queues::new(&watch, &Owners::default()).write_json(&mut line, false).unwrap();
    assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
}

#[test]
fn an_address_is_written_as_ss_does() {
    assert_eq!(address("10.0.0.1:80".parse().unwrap(), Some("eth0")), "10.0.0.1%eth0:80");
    assert_eq!(address("[fe80::1]:80".parse().unwrap(), Some("eth0")), "[fe80::1%eth0]:80");
    assert_eq!(address("[::]:80".parse().unwrap(), None), "[::]:80");
}
