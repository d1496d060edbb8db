//! Network namespaces that tests make for themselves, and sockets with exact backlogs inside them.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, connect, listen, socket,
};

/// Runs `test` on a thread of its own in a new network namespace whose `lo` is up.
///
/// Without the right to make one, prints SKIPPED and does not run it. CI sets HSANALYZE_REQUIRE_ROOT, under
/// which that is a failure.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let name = thread::current().name().unwrap_or("test").to_owned();
    let ran = thread::Builder::new().name(name).spawn(move || {
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
            assert!(std::env::var_os("HSANALYZE_REQUIRE_ROOT").is_none(), "no network namespace: {errno}");
            let test = thread::current().name().unwrap_or("?").to_owned();
            // Not by eprintln!, which the test harness keeps to itself when a test passes.
            let _ = writeln!(
                io::stderr(),
                "SKIPPED: {test}: a network namespace cannot be made here ({errno}); run the tests as root"
            );
            return;
        }
        run("ip", &["link", "set", "lo", "up"]);
        test();
    });
    if let Err(panic) = ran.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a program in the calling thread's namespace; fails the test with its standard error when it fails.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output: Output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run (iproute2 is needed): {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Sets a sysctl of the calling thread's namespace.
pub(crate) fn sysctl(name: &str, value: u32) {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    fs::write(&path, value.to_string()).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Listens on `address` with exactly this backlog.
pub(crate) fn listener(address: &str, backlog: i32) -> TcpListener {
    let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("bind {address}: {error}"));
    // A second listen() on the same socket changes its backlog (inet_listen).
    listen(&listener, Backlog::new(backlog).unwrap()).unwrap();
    listener
}

/// Starts a connect and does not wait for it.
pub(crate) fn start_connect(server: SocketAddr) -> TcpStream {
    let family = if server.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd: OwnedFd =
        socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None).unwrap();
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(server)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(errno) => panic!("connect {server}: {errno}"),
    }
    TcpStream::from(fd)
}

/// Sets TCP_DEFER_ACCEPT, in seconds; 0 is off.
#[expect(unsafe_code, reason = "nix has no name for this option")]
pub(crate) fn defer_accept(listener: &TcpListener, seconds: u32) {
    let (option, length) =
        (libc::TCP_DEFER_ACCEPT, libc::socklen_t::try_from(size_of_val(&seconds)).unwrap());
    // SAFETY: the descriptor is open, and the pointer is to `length` readable bytes, for this call only.
    let result = unsafe {
        libc::setsockopt(listener.as_raw_fd(), libc::IPPROTO_TCP, option, (&raw const seconds).cast(), length)
    };
    Errno::result(result).unwrap();
}

/// Waits until `condition` holds, at most 5 s.
#[track_caller]
pub(crate) fn wait_for(what: &str, condition: impl FnMut() -> bool) {
    wait_up_to(Duration::from_secs(5), what, condition);
}

/// Waits until `condition` holds, at most for `time`.
#[track_caller]
pub(crate) fn wait_up_to(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {time:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
