//! A node with a card, a bridge, a container's interface, a published port and masquerading, captured on all interfaces.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::namespace::{in_namespace, run, sysctl, wait_for};
use crate::netns::{Neighbour, Process};
use crate::util::{list, report, require_tools, string};

/// Accepts, answers one byte, and closes.
const SERVER: &str = "\
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(64)
print('listening', flush=True)
while True:
    c, _ = s.accept()
    try:
        c.recv(1)
        c.send(b'y')
        c.close()
    except OSError:
        pass
";

/// Connects so many times, one after the other, and waits so long for each.
const CLIENT: &str = "\
import socket, sys
for _ in range(int(sys.argv[3])):
    s = socket.socket()
    s.settimeout(float(sys.argv[4]))
    try:
        s.connect((sys.argv[1], int(sys.argv[2])))
        s.send(b'x')
        s.recv(1)
    except OSError:
        pass
    s.close()
";

/// The calling thread's namespace as a node: 192.0.2.1 on its card, a container at 10.55.0.2 behind a bridge whose port 80 is
/// published as 8080, and a client at 192.0.2.9.
struct Node {
    container: Neighbour,
    client: Process,
}

impl Node {
    fn new() -> Self {
        let container = Neighbour::new();
        let client =
            Process::start(Command::new("unshare").args(["-n", "sh", "-c", "echo up; exec sleep 600"]));
        let pid = client.pid().to_string();
        run("ip", &["link", "add", "card", "type", "veth", "peer", "name", "eth0", "netns", &pid]);
        run("ip", &["address", "add", "192.0.2.1/24", "dev", "card"]);
        run("ip", &["link", "set", "card", "up"]);
        sysctl("net.ipv4.ip_forward", 1);
        let node = Self { container, client };
        node.client(&["ip", "address", "add", "192.0.2.9/24", "dev", "eth0"]);
        node.client(&["ip", "link", "set", "eth0", "up"]);
        for rule in [
            "add table ip nat",
            "add chain ip nat prerouting { type nat hook prerouting priority -100; }",
            "add chain ip nat postrouting { type nat hook postrouting priority 100; }",
            "add rule ip nat prerouting ip daddr 192.0.2.1 tcp dport 8080 dnat to 10.55.0.2:80",
            "add rule ip nat postrouting ip saddr 10.55.0.0/24 oifname card masquerade",
            "add table ip filter",
            "add chain ip filter forward { type filter hook forward priority 0; }",
        ] {
            run("nft", &[rule]);
        }
        node
    }

    /// Runs a command at the client.
    fn client(&self, command: &[&str]) -> String {
        run("nsenter", &[&["-t", &self.client.pid().to_string(), "-n"], command].concat())
    }

    fn listen(pid: u32, address: &str, port: &str) -> Process {
        let pid = pid.to_string();
        Process::start(
            Command::new("nsenter").args(["-t", &pid, "-n", "python3", "-c", SERVER, address, port]),
        )
    }

    /// Connects from the client to the published port, so many times.
    fn connect(&self, times: &str, seconds: &str) {
        self.client(&["python3", "-c", CLIENT, "192.0.2.1", "8080", times, seconds]);
    }
}

/// tcpdump on all interfaces.
struct Capture(Child);

impl Capture {
    fn start(path: &Path) -> Self {
        let path_given = path.to_str().unwrap();
        let child = Command::new("tcpdump")
            .args(["-i", "any", "-U", "-s", "128", "-B", "4096", "-Z", "root", "-w", path_given, "tcp"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("tcpdump captures", || fs::metadata(path).is_ok_and(|file| file.len() > 0));
        Self(child)
    }

    fn stop(mut self) {
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGINT).unwrap();
        self.0.wait().unwrap();
    }
}

fn with_server<'r>(report: &'r Value, server: &str) -> Vec<&'r Value> {
    list(report, "attempts").iter().filter(|attempt| attempt["server"] == server).collect()
}

/// The addresses of an attempt's server along the way.
fn servers(attempt: &Value) -> Vec<&str> {
    list(attempt, "sightings").iter().map(|sighting| string(sighting, "server")).collect()
}

#[test]
fn a_node_counts_each_connection_once_and_says_where_it_drops_them() {
    if !require_tools(&["nft", "tcpdump", "python3"]) {
        return;
    }
    in_namespace(|| {
        let node = Node::new();
        let _published = Node::listen(node.container.pid(), "10.55.0.2", "80");
        let _outside = Node::listen(node.client.pid(), "192.0.2.9", "7000");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.pcap");
        let capture = Capture::start(&path);
        node.connect("6", "5");
        node.container.run(&["python3", "-c", CLIENT, "192.0.2.9", "7000", "4", "5"]);
        run("nft", &["add rule ip filter forward tcp flags & (syn|ack) == syn tcp dport 80 drop"]);
        node.connect("3", "1.5");
        run("nft", &["flush chain ip filter forward"]);
        node.connect("2", "5");
        // The last lines written may not have been read yet.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        capture.stop();

        let report = report([&path]);
        let published = with_server(&report, "10.55.0.2:80");
        assert_eq!(published.len(), 8);
        for attempt in published {
            assert_eq!(attempt["verdict"], "completed", "{attempt}");
            assert_eq!(servers(attempt), ["192.0.2.1:8080", "10.55.0.2:80", "10.55.0.2:80"]);
            assert_eq!(attempt["retries"]["syn_ack"], 0, "{attempt}");
        }
        let masqueraded = with_server(&report, "192.0.2.9:7000");
        assert_eq!(masqueraded.len(), 4);
        for attempt in masqueraded {
            assert_eq!(attempt["verdict"], "completed", "{attempt}");
            assert!(string(attempt, "client").starts_with("10.55.0.2:"), "as it was seen nearest to it");
            let last = list(attempt, "sightings").last().unwrap();
            assert!(string(last, "client").starts_with("192.0.2.1:"), "{attempt}");
        }
        let dropped = with_server(&report, "192.0.2.1:8080");
        assert_eq!(dropped.len(), 3);
        for attempt in dropped {
            assert_eq!((&attempt["verdict"], &attempt["cause"]), (&"unanswered".into(), &"syn-lost".into()));
            assert_eq!(attempt["confidence"], "likely", "nobody counted drops: {attempt}");
            let why = list(attempt, "evidence").iter().find(|why| why["code"] == "lost-between").unwrap();
            assert!(string(why, "text").ends_with("dropped on this host"), "{why}");
        }
        assert_eq!(list(&report, "attempts").len(), 15);
    });
}
