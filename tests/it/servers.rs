//! Real servers of Debian's packages: what the program says of them when their queues are full, deferring or flooded.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::live::events::{connect_from, drop_by_rules};
use crate::live::run::{Capture, Ended};
use crate::namespace::{in_namespace, listener, start_connect, sysctl, wait_for, wait_up_to};
use crate::netns::{Neighbour, Process};
use crate::util::require_tools;

/// True if the server is installed; else says that the test is skipped. `scripts/setup servers` installs it.
pub(crate) fn installed(path: &str) -> bool {
    let found = Path::new(path).exists();
    if !found {
        let _ = std::io::stderr().write_all(format!("SKIPPED: {path} is not installed\n").as_bytes());
    }
    found
}

/// A server, ended by SIGTERM when the test ends: its workers end with it.
pub(crate) struct Server(Child);

impl Server {
    fn start(command: &mut Command, address: SocketAddr) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self(child);
        wait_up_to(Duration::from_secs(20), "the server listens", || {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
        });
        server
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::SIGCONT);
        self.signal(Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Stops a server, and overflows its queue: the first episode, and the report at the end.
fn overflow(capture: Capture, server: &Server, address: SocketAddr) -> (Value, Ended) {
    server.signal(Signal::SIGSTOP);
    let begun = Instant::now();
    // More than the backlog of 4, at once and again: the queue fills with the first.
    let mut clients = Vec::new();
    let mut first = None;
    while first.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(15), "no episode: {capture}");
        if clients.len() < 24 {
            clients.extend((0..8).map(|_| start_connect(address)));
        }
        thread::sleep(Duration::from_millis(100));
        first = capture.objects().into_iter().find(|(_, line)| {
            // Other tests have listeners that overflow, in namespaces of their own.
            line["server"] == address.to_string()
                && line["type"] == "episode"
                && line["cause"] == "accept-queue-overflow"
                && line["confidence"] == "confirmed"
        });
    }
    let (at, line) = first.unwrap();
    // Two seconds on a machine that has nothing else to do.
    assert!(at - begun < Duration::from_secs(10), "{:?}", at - begun);
    server.signal(Signal::SIGCONT);
    thread::sleep(Duration::from_millis(1_200));
    (line, capture.stop())
}

/// Asserts that the report names the listener's process and the setting of its backlog.
#[track_caller]
fn assert_named(line: &Value, ended: &Ended, command: &str, setting: &str) {
    assert_eq!(line["kernel"]["owner"]["command"], command, "{line:#}");
    let report = ended.objects("listener").into_iter().find(|one| one["kernel"] != Value::Null).unwrap();
    assert_eq!(
        (&report["cause"], &report["confidence"]),
        (&"accept-queue-overflow".into(), &"confirmed".into()),
        "{ended}"
    );
    let fixes: Vec<&str> =
        report["advice"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap()).collect();
    assert!(
        fixes.iter().any(|fix| fix.contains(setting))
            || fixes.iter().any(|fix| fix.contains("nothing is accepted")),
        "{fixes:?}"
    );
}

/// A redis in another namespace whose queue takes few connections.
fn redis(neighbour: &Neighbour, directory: &Path, address: SocketAddr) -> Server {
    let (pid, port) = (neighbour.pid().to_string(), address.port().to_string());
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid, "-n", "redis-server", "--port", &port, "--bind", &address.ip().to_string()]);
    command.args(["--tcp-backlog", "4", "--save", "", "--protected-mode", "no"]).current_dir(directory);
    Server::start(&mut command, address)
}

#[test]
fn redis_behind_a_bridge_is_confirmed_from_the_host_with_process_and_namespace() {
    if !installed("/usr/bin/redis-server") {
        return;
    }
    in_namespace(|| {
        let neighbour = Neighbour::new();
        let directory = tempfile::tempdir().unwrap();
        let address = "10.55.0.2:7901".parse().unwrap();
        let server = redis(&neighbour, directory.path(), address);
        let capture = Capture::start(&["-i", "br0", "--format", "ndjson"]);
        let (line, ended) = overflow(capture, &server, address);
        assert_named(&line, &ended, "redis-server", "tcp-backlog in redis.conf");
        assert_eq!(line["kernel"]["netns"]["own"], false, "{line:#}");
        assert_eq!(line["kernel"]["netns"]["pid"], neighbour.pid(), "{line:#}");
    });
}

/// A capture of weeks on a host whose containers come and go.
#[test]
fn redis_in_a_namespace_that_begins_after_privileges_were_given_up_is_confirmed_with_limit_and_drops() {
    if !installed("/usr/bin/redis-server") {
        return;
    }
    in_namespace(|| {
        let capture = Capture::start(&["-i", "any", "-Z", "nobody", "--format", "ndjson"]);
        let neighbour = Neighbour::new();
        let directory = tempfile::tempdir().unwrap();
        let address = "10.55.0.2:7907".parse().unwrap();
        let server = redis(&neighbour, directory.path(), address);
        let (line, ended) = overflow(capture, &server, address);
        assert_named(&line, &ended, "redis-server", "tcp-backlog in redis.conf");
        let kernel = &line["kernel"];
        assert_eq!(kernel["netns"]["pid"], neighbour.pid(), "{line:#}");
        assert!(kernel["netns"]["inode"].is_u64(), "{line:#}");
        assert_eq!((&kernel["send_q"], &kernel["limit_from"]), (&4.into(), &"listen".into()), "{line:#}");
        assert!(kernel["drops"].as_u64() >= Some(1), "{line:#}");
    });
}

#[test]
fn haproxy_is_confirmed_and_its_setting_is_named() {
    if !installed("/usr/sbin/haproxy") {
        return;
    }
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("haproxy.cfg");
        let text = "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
                    frontend f\n bind 127.0.0.1:7902\n backlog 4\n default_backend b\n\
                    backend b\n server s 127.0.0.1:1\n";
        fs::write(&config, text).unwrap();
        let address = "127.0.0.1:7902".parse().unwrap();
        let server = Server::start(Command::new("haproxy").arg("-db").arg("-f").arg(&config), address);
        let capture = Capture::start(&["-i", "lo", "--netns", "self", "--format", "ndjson"]);
        let (line, ended) = overflow(capture, &server, address);
        assert_named(&line, &ended, "haproxy", "backlog of HAProxy's frontend");
    });
}

/// nginx with one worker in the calling thread's namespace.
fn nginx(directory: &Path, listen: &str, address: SocketAddr) -> Server {
    let path = |name: &str| directory.join(name).display().to_string();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};", path(kind)))
        .concat();
    let text = format!(
        "worker_processes 1; daemon off; pid {}; error_log {};\nevents {{ worker_connections 64; }}\n\
         http {{ access_log off; {temporary}\nserver {{ listen {listen}; return 200; }} }}\n",
        path("pid"),
        path("error.log")
    );
    let config = directory.join("nginx.conf");
    fs::write(&config, text).unwrap();
    Server::start(Command::new("nginx").arg("-c").arg(&config), address)
}

#[test]
fn clients_that_a_deferring_nginx_holds_back_are_no_overflow() {
    if !installed("/usr/sbin/nginx") {
        return;
    }
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:7903".parse().unwrap();
        let server = nginx(directory.path(), "127.0.0.1:7903 deferred", address);
        let capture = Capture::start(&["-i", "lo", "--netns", "self", "--format", "ndjson"]);
        let silent: Vec<_> = (0..4).map(|_| start_connect(address)).collect();
        let prompt: Vec<_> = (0..4)
            .map(|_| {
                let mut client = std::net::TcpStream::connect(address).unwrap();
                client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
                client
            })
            .collect();
        thread::sleep(Duration::from_millis(3_500));
        let ended = capture.stop();
        let attempts = ended.objects("attempt");
        assert_eq!(attempts.len(), 8, "{ended}");
        let repeated = attempts.iter().filter(|one| one["verdict"] == "synack-retransmitted").count();
        assert_eq!(repeated, 4, "SYN-ACK is sent again to clients that stay silent: {ended}");
        assert!(attempts.iter().all(|one| one["cause"] != "accept-queue-overflow"), "{ended}");
        let listener = &ended.objects("listener")[0];
        assert_ne!(listener["cause"], "accept-queue-overflow", "{ended}");
        drop((silent, prompt, server));
    });
}

/// Half-open handshakes: these clients' SYN-ACKs are dropped before they arrive.
const DEAF: &str = "127.0.0.9";

#[test]
fn a_full_syn_queue_without_cookies_is_no_full_accept_queue() {
    if !require_tools(&["nft"]) {
        return;
    }
    in_namespace(|| {
        sysctl("net.ipv4.tcp_syncookies", 0);
        drop_by_rules(&[&format!("ip daddr {DEAF} tcp flags & (syn | ack) == (syn | ack)")]);
        let victim = listener("127.0.0.1:7904", 8);
        let address = victim.local_addr().unwrap();
        let capture = Capture::start(&["-i", "lo", "--netns", "self", "--format", "ndjson"]);
        let deaf: Vec<_> = (0..16).map(|_| connect_from(DEAF, address)).collect();
        thread::sleep(Duration::from_millis(300));
        let real: Vec<_> = (0..3).map(|_| start_connect(address)).collect();
        let full = || fs::read_to_string("/proc/net/netstat").unwrap();
        assert!(full().contains("TCPReqQFullDrop"));
        thread::sleep(Duration::from_millis(5_500));
        let ended = capture.stop();
        let listener = &ended.objects("listener")[0];
        let counted = |name: &str| listener["kernel"]["namespace"][name].as_u64();
        assert!(counted("TCPReqQFullDrop") >= Some(1), "{ended}");
        assert_eq!(counted("ListenOverflows"), Some(0), "{ended}");
        for attempt in ended.objects("attempt") {
            assert_ne!(attempt["cause"], "accept-queue-overflow", "{attempt:#}");
        }
        assert_ne!(listener["cause"], "accept-queue-overflow", "{ended}");
        drop((deaf, real));
    });
}

/// Sends one SYN of each of many loopback addresses, without a connection behind it.
const FLOOD: &str = "\
import socket, struct, sys
def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
port = int(sys.argv[1])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
to = socket.inet_aton('127.0.0.1')
for n in range(int(sys.argv[2])):
    source = socket.inet_aton('127.9.%d.%d' % (n // 250, n % 250 + 1))
    tcp = struct.pack('!HHIIBBHHH', 1024 + n, port, n, 0, 5 << 4, 2, 1024, 0, 0)
    tcp = tcp[:16] + struct.pack('!H', checksum(source + to + struct.pack('!BBH', 0, 6, 20) + tcp)) + tcp[18:]
    ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 40, n & 0xffff, 0, 64, 6, 0, source, to)
    raw.sendto(ip + tcp, ('127.0.0.1', 0))
print('sent', flush=True)
";

#[test]
fn a_flood_beside_real_clients_is_one_episode_and_none_of_theirs() {
    if !require_tools(&["nft", "python3"]) {
        return;
    }
    in_namespace(|| {
        drop_by_rules(&["ip daddr 127.9.0.0/16 tcp flags & (syn | ack) == (syn | ack)"]);
        let victim = listener("127.0.0.1:7905", 256);
        let address = victim.local_addr().unwrap();
        let capture = Capture::start(&["-i", "lo", "--netns", "self", "--no-bpf", "--format", "ndjson"]);
        let mut real: Vec<_> = (0..5).map(|_| start_connect(address)).collect();
        let _flood = Process::start(Command::new("python3").args(["-c", FLOOD, "7905", "2000"]));
        real.extend((0..5).map(|_| start_connect(address)));
        let floods = || {
            let lines = capture.objects().into_iter().map(|(_, line)| line);
            lines.filter(|line| line["type"] == "episode" && line["cause"] == "syn-flood").collect::<Vec<_>>()
        };
        wait_up_to(Duration::from_secs(20), "the flood is reported", || !floods().is_empty());
        thread::sleep(Duration::from_secs(1));
        let begun = floods().iter().filter(|line| line["state"] == "begun").count();
        assert!(begun <= 1, "{capture}");
        let ended = capture.stop();
        let of_real: Vec<Value> =
            ended.objects("attempt").into_iter().filter(|one| one["client_ip"] == "127.0.0.1").collect();
        assert_eq!(of_real.len(), 10, "{:?}", of_real.len());
        assert!(
            of_real.iter().all(|one| one["verdict"] == "completed" && one["cause"] == Value::Null),
            "{of_real:#?}"
        );
        // The SYN queue holds 256: the kernel answers the rest by cookies, and counts that.
        let listener = &ended.objects("listener")[0];
        let counted = listener["kernel"]["namespace"]["TCPReqQFullDoCookies"].as_u64();
        assert!(counted >= Some(1), "{listener:#}");
        let codes: Vec<&Value> =
            listener["evidence"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
        assert!(codes.iter().any(|&code| code == "kernel-sent-cookies"), "{codes:?}");
        drop(real);
    });
}

#[test]
fn an_overflow_of_the_same_address_in_another_namespace_is_not_taken_for_this_one() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        let serve = "import socket, time
s = socket.socket(); s.bind(('10.55.0.2', 7906)); s.listen(64); print('up', flush=True)
kept = []
while True: kept.append(s.accept())";
        let pid = neighbour.pid().to_string();
        let _server =
            Process::start(Command::new("nsenter").args(["-t", &pid, "-n", "python3", "-c", serve]));
        // The same address and port in a namespace that nothing leads to, where a queue overflows.
        let twin = "import socket, subprocess, time
subprocess.check_call(['ip', 'link', 'set', 'lo', 'up'])
subprocess.check_call(['ip', 'address', 'add', '10.55.0.2/32', 'dev', 'lo'])
s = socket.socket(); s.bind(('10.55.0.2', 7906)); s.listen(2)
print('up', flush=True)
kept = []
while True:
    for n in range(8):
        c = socket.socket(); c.setblocking(False); c.connect_ex(('10.55.0.2', 7906)); kept.append(c)
    time.sleep(0.5)
    kept = kept[-64:]";
        let _twin = Process::start(Command::new("unshare").args(["-n", "python3", "-c", twin]));
        let capture = Capture::start(&["-i", "br0", "--format", "ndjson"]);
        let address = "10.55.0.2:7906".parse().unwrap();
        let clients: Vec<_> = (0..6).map(|_| start_connect(address)).collect();
        wait_for("its episode begins", || capture.stdout().contains("\"state\":\"begun\""));
        thread::sleep(Duration::from_millis(2_500));
        let ended = capture.stop();
        let attempts = ended.objects("attempt");
        assert_eq!(attempts.len(), 6, "{ended}");
        assert!(attempts.iter().all(|one| one["cause"] == Value::Null), "{ended}");
        let listener = &ended.objects("listener")[0];
        assert_eq!(
            (&listener["server"], &listener["cause"]),
            (&"10.55.0.2:7906".into(), &Value::Null),
            "{ended}"
        );
        drop(clients);
    });
}
