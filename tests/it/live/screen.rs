//! `--tui` in a real terminal: tmux, whose panes can be read.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::kernel::overflow_at_the_ack;
use crate::namespace::{in_namespace, listener, sysctl, wait_for};
use crate::terminal::Terminal;
use crate::util::{capture, hsanalyze, require_tools};

#[test]
fn an_overflow_begins_goes_on_and_ends_on_the_screen() {
    if !require_tools(&["tmux"]) {
        return;
    }
    in_namespace(|| {
        sysctl("net.ipv4.tcp_abort_on_overflow", 0);
        let victim = listener("127.0.0.1:7540", 4);
        let terminal = Terminal::start(80, 24, "-i lo --netns self --tui");
        terminal.wait("PROBLEM ATTEMPTS (0)");
        terminal.wait("127.0.0.1:7540    0/4");
        let clients = overflow_at_the_ack(&victim, 4, 3);
        terminal.wait("begins");
        terminal.wait("accept queue overflow (confirmed)");
        terminal.wait("5/4  ████████");
        terminal.wait("synack-retransmitted so far");

        terminal.press(&["Enter"]);
        terminal.wait("SYN-ACK again: retransmission 1 of");
        terminal.press(&["Escape"]);
        terminal.wait("PROBLEM ATTEMPTS (2)");
        terminal.press(&["9.9.9.9"]);
        terminal.wait("none that the filter selects");
        terminal.press(&["Escape"]);
        terminal.wait("synack-retransmitted");

        for (width, height) in [(1, 1), (20, 4), (200, 50)] {
            terminal.resize(width, height);
            thread::sleep(Duration::from_millis(300));
        }
        terminal.wait("DROPS A SECOND");
        terminal.wait("goes on");
        drop(clients);
        victim.set_nonblocking(true).unwrap();
        while victim.accept().is_ok() {}
        terminal.wait("ended");
        terminal.press(&["q"]);
        terminal.assert_left_in_order("ACCEPT QUEUE OVERFLOWS, tcp_abort_on_overflow=0 (confirmed)");
    });
}

#[test]
fn every_end_gives_the_terminal_back() {
    if !require_tools(&["tmux"]) {
        return;
    }
    in_namespace(|| {
        type End = fn(&Terminal);
        let ends: [(&str, End); 4] = [
            ("", |terminal| terminal.press(&["C-c"])),
            ("", |terminal| kill(terminal.program(), Signal::SIGTERM).unwrap()),
            ("", |terminal| kill(terminal.program(), Signal::SIGINT).unwrap()),
            ("--duration 3", |_| {}),
        ];
        for (option, end) in ends {
            let terminal = Terminal::start(80, 24, &format!("-i lo --netns self --tui {option}"));
            terminal.wait("PROBLEM ATTEMPTS (0)");
            end(&terminal);
            terminal.assert_left_in_order("lo: 0 attempts in 0 packets");
        }
    });
}

#[test]
fn a_run_ends_with_its_terminal() {
    if !require_tools(&["tmux"]) {
        return;
    }
    in_namespace(|| {
        let terminal = Terminal::start(80, 24, "-i lo --netns self --tui");
        terminal.wait("PROBLEM ATTEMPTS (0)");
        let program = terminal.program();
        drop(terminal);
        wait_for("the program's end", || kill(program, None).is_err());
    });
}

#[test]
fn a_file_that_grows_is_shown_on_the_screen() {
    if !require_tools(&["tmux"]) {
        return;
    }
    let whole = fs::read(capture("overflow_mixed-server")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("grows.pcap");
    fs::write(&path, &whole[..1_000]).unwrap();
    let terminal = Terminal::start(100, 30, &format!("--follow {} --tui", path.display()));
    terminal.wait("PROBLEM ATTEMPTS (0)");
    fs::write(&path, &whole).unwrap();
    terminal.wait("accept queue overflow (likely)");
    terminal.press(&["End"]);
    terminal.wait("synack-retransmitted");
    terminal.press(&["Enter"]);
    terminal.wait("SYN-ACK again: retransmission 1 of");
    terminal.press(&["q", "q"]);
    terminal.assert_left_in_order("ACCEPT QUEUE OVERFLOWS, tcp_abort_on_overflow=0 (likely)");
}

#[test]
fn without_a_terminal_the_error_says_so() {
    let ran = hsanalyze(["-i", "lo", "--tui"]).exit(2);
    assert!(ran.stderr.contains("--tui needs a terminal, and standard input and output are none"), "{ran}");
}
