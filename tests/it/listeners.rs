//! `hsanalyze listeners`, run as a program in namespaces of our own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use socket2::SockRef;

use crate::kernel::{Row, nstat, ss};
use crate::namespace::{in_namespace, listener, run, start_connect, wait_for, wait_up_to};
use crate::schema::Schema;
use crate::terminal::Terminal;
use crate::util::require_tools;

const PROGRAM: &str = env!("CARGO_BIN_EXE_hsanalyze");

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    // Other tests have namespaces with listeners at the same time.
    command
        .args(["listeners", "--netns", "self"])
        .args(arguments)
        .env("NO_COLOR", "1")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    command
}

fn succeed(arguments: &[&str]) -> String {
    let output = command(arguments).output().unwrap();
    let Output { status, stdout, stderr } = output;
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success() && stderr.is_empty(), "listeners {arguments:?}: {status}\n{stderr}");
    String::from_utf8(stdout).unwrap()
}

fn interrupt(child: &Child) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
}

fn rows(document: &Value) -> BTreeMap<std::net::SocketAddr, Row> {
    let row = |listener: &Value| {
        let number = |name: &str| u32::try_from(listener[name].as_u64().unwrap()).unwrap();
        (
            listener["local"].as_str().unwrap().parse().unwrap(),
            (number("recv_q"), number("send_q"), number("drops")),
        )
    };
    document["listeners"].as_array().unwrap().iter().map(row).collect()
}

/// Runs `reading` between two equal readings of ss and nstat.
fn at_rest<T>(
    mut reading: impl FnMut() -> T,
) -> (T, BTreeMap<std::net::SocketAddr, Row>, BTreeMap<String, u64>) {
    let mut settled = None;
    wait_for("ss and nstat agree before and after", || {
        let before = (ss(), nstat());
        let read = reading();
        let after = (ss(), nstat());
        let still = before == after;
        settled = still.then_some((read, after.0, after.1));
        still
    });
    settled.unwrap()
}

#[test]
fn the_document_and_the_table_agree_with_ss_and_nstat() {
    in_namespace(|| {
        let full = listener("127.0.0.1:7400", 3);
        let idle = listener("[::1]:7401", 8);
        let server = full.local_addr().unwrap();
        let clients: Vec<_> = (0..6).map(|_| start_connect(server)).collect();
        wait_for("two SYNs are dropped", || ss()[&server].2 >= 2);

        let (document, sockets, counters) = at_rest(|| succeed(&["--format", "json"]));
        let document: Value = serde_json::from_str(&document).unwrap();
        Schema::default().assert_valid("queues", &document);
        assert_eq!(rows(&document), sockets);
        for name in
            ["ListenOverflows", "ListenDrops", "EmbryonicRsts", "TCPDeferAcceptDrop", "SyncookiesSent"]
        {
            assert_eq!(
                document["namespaces"][0]["counters"][name].as_u64(),
                counters.get(&format!("TcpExt{name}")).copied(),
                "{name}"
            );
        }
        let first = &document["listeners"][0];
        assert_eq!(first["full"], true, "the full one comes first");
        assert_eq!(first["owner"][0]["pid"], std::process::id());
        assert_eq!(document["schema"], 2);
        assert_eq!(document["namespaces"][0]["interval"], Value::Null);

        let (text, sockets, _) = at_rest(|| succeed(&[]));
        for (local, (recv_q, send_q, drops)) in sockets {
            let line = text.lines().find(|line| line.starts_with(&local.to_string())).unwrap();
            let fields: Vec<String> = line.split_whitespace().skip(2).take(3).map(str::to_owned).collect();
            assert_eq!(fields, [recv_q.to_string(), send_q.to_string(), drops.to_string()], "{line}");
        }
        assert!(text.starts_with("2 listeners, 1 FULL\n"), "{text}");
        assert!(text.contains("127.0.0.1:7400   ACCEPT QUEUE FULL"), "{text}");
        drop((clients, idle));
    });
}

#[test]
fn clients_that_have_closed_wait_in_the_queue_all_the_same() {
    in_namespace(|| {
        let full = listener("127.0.0.1:7405", 3);
        let server = full.local_addr().unwrap();
        let mut clients: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(server).unwrap()).collect();
        clients[0].write_all(b"GET").unwrap();
        drop(clients.remove(0));
        SockRef::from(&clients[0]).set_linger(Some(Duration::ZERO)).unwrap();
        drop(clients.remove(0));
        std::thread::sleep(Duration::from_millis(200));
        let text = succeed(&[]).replace("\n         ", " ");
        assert!(text.contains("4 connections wait for accept(), more than the limit of 3."), "{text}");
        let wait = text.lines().find(|line| line.starts_with("  wait ")).unwrap();
        assert!(wait.contains("3 connections"), "{text}");
        let others = "; 1 sent data that nobody reads; 1 was closed by its client; 1 more, reset by its client or \
                      accepted meanwhile";
        assert!(wait.ends_with(others), "{text}");
    });
}

#[test]
fn watching_streams_documents_with_growth_until_interrupted() {
    in_namespace(|| {
        let full = listener("127.0.0.1:7410", 1);
        let server = full.local_addr().unwrap();
        let mut clients: Vec<_> = (0..2).map(|_| start_connect(server)).collect();
        wait_for("the queue is full", || ss()[&server].0 == 2);
        let arguments = ["--watch=0.2", "--format", "json"];
        let mut child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();

        assert_eq!(next()["namespaces"][0]["interval"], Value::Null);
        clients.extend((0..3).map(|_| start_connect(server)));
        let grown: u64 = (0..3).map(|_| next()["listeners"][0]["drops_delta"].as_u64().unwrap()).sum();
        assert!(grown >= 3, "{grown} of three SYNs dropped");
        let document = next();
        let seconds = document["namespaces"][0]["interval"]["seconds"].as_f64().unwrap();
        assert!((0.15..2.0).contains(&seconds), "{seconds}");
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        drop(clients);
    });
}

#[test]
fn a_closed_pipe_ends_watching_quietly() {
    in_namespace(|| {
        let mut child =
            command(&["--watch=0.1"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "no TCP listener in this network namespace");
        drop(lines);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    });
}

#[test]
fn a_terminal_is_redrawn_in_place_and_given_back() {
    in_namespace(|| {
        let kept = listener("127.0.0.1:7420", 5);
        let size = Winsize { ws_row: 12, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let mut child = command(&["--watch=0.1"]).stdout(pty.slave).stderr(Stdio::piped()).spawn().unwrap();
        let mut terminal = File::from(pty.master);
        let mut seen = String::new();
        let mut chunk = [0; 4096];
        while seen.matches("\x1b[H\x1b[J").count() < 3 {
            let length = terminal.read(&mut chunk).unwrap();
            seen.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
        interrupt(&child);
        // The slave side closes with the program; then reading fails (EIO).
        while let Ok(length @ 1..) = terminal.read(&mut chunk) {
            seen.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(seen.starts_with("\x1b[?1049h\x1b[?25l\x1b[H\x1b[J1 listener, not full"), "{seen:?}");
        assert!(seen.ends_with("\x1b[?25h\x1b[?1049l"), "{seen:?}");
        for picture in seen.split("\x1b[H\x1b[J").skip(1) {
            assert!(picture.lines().count() <= 12, "{picture}");
        }
        drop(kept);
    });
}

/// The fullest come first, and what is wrong with them is shown, whatever the size of the terminal and the number of
/// listeners.
#[test]
fn what_matters_fits_a_terminal_of_80_columns_one_of_60_and_one_that_is_resized() {
    if !require_tools(&["tmux"]) {
        return;
    }
    in_namespace(|| {
        let long = "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:1]:65000";
        run("ip", &["address", "add", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1/128", "dev", "lo", "nodad"]);
        // For a moment the kernel has no route to a new address, and refuses connects to it.
        thread::sleep(Duration::from_millis(500));
        let idle: Vec<_> = (0..30).map(|n| listener(&format!("127.0.0.1:{}", 7440 + n), 128)).collect();
        let (full, filling, wide) =
            (listener("127.0.0.1:7438", 3), listener("127.0.0.1:7439", 4), listener(long, 16));
        let connect = |to: &std::net::TcpListener, clients: usize| -> Vec<_> {
            (0..clients).map(|_| start_connect(to.local_addr().unwrap())).collect()
        };
        let clients = [connect(&full, 4), connect(&filling, 3), connect(&wide, 9)];
        for (listener, waiting) in [(&full, 4), (&filling, 3), (&wide, 9)] {
            let address = listener.local_addr().unwrap();
            wait_up_to(Duration::from_secs(20), &format!("{waiting} wait at {address}"), || {
                ss()[&address].0 == waiting
            });
        }
        let dropped = connect(&full, 5);
        let terminal = Terminal::start(80, 24, "listeners --netns self --watch=0.3");
        for (width, height) in [(80, 24), (60, 24), (60, 12), (80, 24)] {
            terminal.resize(width, height);
            let has_redrawn = |text: &str| {
                // The table and the sentences below it are as wide as the screen lets them be.
                text.starts_with("33 listeners, 1 FULL") && text.contains(&sentences(width))
            };
            wait_for("the size is followed", || has_redrawn(&terminal.text()));
            let text = terminal.text();
            let rows: Vec<&str> = text.lines().skip(3).take_while(|line| !line.starts_with('…')).collect();
            assert!(rows[0].starts_with("127.0.0.1:7438") && rows[0].contains("4/3"), "{text}");
            let owners = text.contains("OWNER");
            // A process that another test starts just now has the sockets too, up to its exec.
            let is_whole = |row: &&str| row.split(" +").next().is_some_and(|first| first.ends_with(']'));
            assert!(!owners || rows.iter().all(is_whole), "whole, or not at all: {text}");
            if height == 24 {
                assert!(rows[1].starts_with("127.0.0.1:7439") && rows[1].contains("3/4"), "{text}");
                assert!(rows[2].starts_with(long) && rows[2].contains("9/16"), "{text}");
                assert!(text.contains("check  ss -ltnm 'sport = :7438'"), "{text}");
                assert!(text.contains("4096).\n"), "the end of the advice: {text}");
            }
            let more = format!("… and {} more, less full", 33 - rows.len());
            assert!(text.contains(&more), "{text}");
            assert!(text.contains("127.0.0.1:7438   ACCEPT QUEUE FULL"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{text}");
        }
        terminal.press(&["q"]);
        terminal.assert_left_in_order("");
        drop((idle, clients, dropped));
    });
}

/// The first line of the sentences on a full queue, wrapped for this size of the terminal.
fn sentences(width: u16) -> String {
    let text = "  now    4 connections wait for accept(), more than the limit of 3. SYNs of new";
    let end = text.char_indices().take(usize::from(width) + 1).filter(|(_, letter)| *letter == ' ').last();
    if text.len() <= usize::from(width) { text.to_owned() } else { format!("{}\n", &text[..end.unwrap().0]) }
}

#[test]
fn q_ends_watching_and_the_terminal_is_as_before() {
    in_namespace(|| {
        let _kept = listener("127.0.0.1:7421", 5);
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let flags = || nix::sys::termios::tcgetattr(&pty.slave).unwrap().local_flags;
        let before = flags();
        let terminal = || pty.slave.try_clone().unwrap();
        let mut child = command(&["--watch=0.1"])
            .stdin(terminal())
            .stdout(terminal())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut keyboard = File::from(pty.master.try_clone().unwrap());
        let mut chunk = [0; 4096];
        let length = keyboard.read(&mut chunk).unwrap();
        assert!(length > 0);
        wait_for("the keyboard is taken", || flags() != before);
        // Read on, so that the terminal never fills.
        let mut screen = File::from(pty.master.try_clone().unwrap());
        std::thread::spawn(move || while let Ok(1..) = screen.read(&mut [0; 4096]) {});
        std::io::Write::write_all(&mut keyboard, b"xq").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(flags(), before);
    });
}

#[test]
fn an_ordinary_user_sees_queues_and_why_owners_are_unknown() {
    in_namespace(|| {
        let kept = listener("127.0.0.1:7430", 5);
        // A copy that others may run, wherever the build directory is.
        let directory = tempfile::Builder::new().permissions(public()).tempdir().unwrap();
        let program = directory.path().join("hsanalyze");
        fs::copy(PROGRAM, &program).unwrap();
        let run = |format| {
            let mut command = Command::new(&program);
            command
                .args(["listeners", "--netns", "self", "--format", format])
                .current_dir("/")
                .uid(65_534)
                .gid(65_534);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let text = run("text");
        assert!(text.contains("? (not permitted)") && text.contains("CAP_SYS_PTRACE"), "{text}");
        let document: Value = serde_json::from_str(&run("json")).unwrap();
        assert_eq!(document["listeners"][0]["owner"], Value::Null);
        assert!(document["unreadable_processes"].as_u64() > Some(0));
        drop(kept);
    });
}

fn public() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o755)
}

#[test]
fn a_wrong_interval_is_refused_with_its_range() {
    let output = command(&["--watch=0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("\"0\" is not a number of seconds from 0.1 to 86400"), "{message}");
    assert!(output.stdout.is_empty());
}
