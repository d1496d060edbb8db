//! Listeners in other network namespaces: found, named, and their counts joined to packets seen from outside.

mod begun;
mod containers;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::live::run::Capture;
use crate::namespace::{in_namespace, run, sysctl, wait_for};
use crate::util::require_tools;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hsanalyze");

/// A listener in Python, which takes a backlog and accepts nothing; prints its line when it listens.
pub(crate) const LISTENER: &str = "\
import socket, sys, time
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(int(sys.argv[3]))
print('listening', flush=True)
time.sleep(600)
";

/// A process that is killed when the test ends, whatever its outcome.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program, and waits for the first line of its output.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{command:?} printed nothing");
        Self(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network namespace of its own, held by a process, that is joined to the calling thread's by a veth pair through a
/// bridge: 10.55.0.1 on the bridge here, 10.55.0.2 there.
pub(crate) struct Neighbour {
    holder: Process,
}

impl Neighbour {
    pub(crate) fn new() -> Self {
        let holder =
            Process::start(Command::new("unshare").args(["-n", "sh", "-c", "echo up; exec sleep 600"]));
        let pid = holder.pid().to_string();
        run("ip", &["link", "add", "br0", "type", "bridge"]);
        run("ip", &["link", "add", "outside", "type", "veth", "peer", "name", "eth0", "netns", &pid]);
        run("ip", &["link", "set", "outside", "master", "br0", "up"]);
        run("ip", &["address", "add", "10.55.0.1/24", "dev", "br0"]);
        run("ip", &["link", "set", "br0", "up"]);
        let neighbour = Self { holder };
        neighbour.run(&["ip", "link", "set", "lo", "up"]);
        neighbour.run(&["ip", "address", "add", "10.55.0.2/24", "dev", "eth0"]);
        neighbour.run(&["ip", "link", "set", "eth0", "up"]);
        neighbour.run(&["ip", "route", "add", "default", "via", "10.55.0.1"]);
        neighbour
    }

    pub(crate) fn pid(&self) -> u32 {
        self.holder.pid()
    }

    /// Runs a command inside.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let pid = self.pid().to_string();
        run("nsenter", &[&["-t", &pid, "-n"], command].concat())
    }

    /// Listens inside, and accepts nothing.
    fn listen(&self, address: &str, port: u16, backlog: u32) -> Process {
        let (pid, port, backlog) = (self.pid().to_string(), port.to_string(), backlog.to_string());
        Process::start(
            Command::new("nsenter")
                .args(["-t", &pid, "-n", "python3", "-c", LISTENER, address, &port, &backlog]),
        )
    }
}

fn listeners(arguments: &[&str]) -> Value {
    let mut command = Command::new(PROGRAM);
    command.args(["listeners", "--format", "json"]).args(arguments);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The listener on this address.
fn on<'a>(document: &'a Value, local: &str) -> Option<&'a Value> {
    document["listeners"].as_array().unwrap().iter().find(|listener| listener["local"] == local)
}

#[test]
fn a_listener_in_another_namespace_is_shown_with_its_process_and_who_waits() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        let server = neighbour.listen("10.55.0.2", 7801, 3);
        let clients: Vec<_> =
            (0..3).map(|_| crate::namespace::start_connect("10.55.0.2:7801".parse().unwrap())).collect();
        wait_for("three connections wait", || {
            on(&listeners(&[]), "10.55.0.2:7801").is_some_and(|listener| listener["recv_q"] == 3)
        });
        std::thread::sleep(Duration::from_millis(300));
        let pid = neighbour.pid().to_string();
        for netns in ["all", pid.as_str()] {
            let document = listeners(&["--netns", netns]);
            let listener = on(&document, "10.55.0.2:7801").unwrap();
            assert_eq!((&listener["recv_q"], &listener["send_q"]), (&3.into(), &3.into()), "{listener}");
            assert_eq!(listener["owner"][0]["pid"], server.pid());
            assert_eq!(listener["owner"][0]["state"], "sleeping");
            let netns = &listener["netns"];
            assert_eq!((&netns["own"], &netns["pid"]), (&false.into(), &neighbour.pid().into()));
            let waiting = &listener["waiting"];
            assert_eq!((&waiting["connections"], &waiting["with_data"]), (&3.into(), &0.into()));
            assert!(waiting["longest"].as_f64().unwrap() > 0.25, "{waiting}");
        }
        assert!(on(&listeners(&["--netns", "self"]), "10.55.0.2:7801").is_none());
        drop(clients);
    });
}

#[test]
fn a_name_of_ip_netns_is_entered_and_a_wrong_one_is_refused() {
    in_namespace(|| {
        let name = format!("hsanalyze-{}", std::process::id());
        run("ip", &["netns", "add", &name]);
        let document = listeners(&["--netns", &name]);
        let all = listeners(&[]);
        run("ip", &["netns", "delete", &name]);
        assert_eq!(document["namespaces"][0]["name"], *name);
        let named = all["namespaces"].as_array().unwrap().iter().find(|netns| netns["name"] == *name);
        assert_eq!(named.unwrap()["complete"], true);
        let output = Command::new(PROGRAM).args(["listeners", "--netns", "no-such"]).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert!(message.contains("there is no network namespace 'no-such'"), "{message}");
    });
}

#[test]
fn a_message_is_not_said_twice() {
    let failed = |command: &mut Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // More than Linux has process numbers.
    let missing = failed(Command::new(PROGRAM).args(["listeners", "--netns", "4194305"]));
    assert_eq!(
        missing,
        "hsanalyze: error: there is no process 4194305, whose network namespace is asked for\n"
    );
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let unwritten = failed(Command::new(PROGRAM).args(["listeners", "--netns", "self"]).stdout(full));
    assert_eq!(unwritten, "hsanalyze: error: writing the listeners: No space left on device (os error 28)\n");
}

#[test]
fn an_ordinary_user_sees_how_many_wait_elsewhere_and_what_may_not_be_read() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        let _server = neighbour.listen("10.55.0.2", 7802, 3);
        let client = crate::namespace::start_connect("10.55.0.2:7802".parse().unwrap());
        // A copy that others may run, wherever the build directory is.
        let permissions: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        let directory = tempfile::Builder::new().permissions(permissions).tempdir().unwrap();
        let program = directory.path().join("hsanalyze");
        fs::copy(PROGRAM, &program).unwrap();
        let unprivileged = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command.arg("listeners").args(arguments).current_dir("/").uid(65_534).gid(65_534);
            let output = command.output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{errors}");
            (String::from_utf8(output.stdout).unwrap(), errors)
        };
        let document = || serde_json::from_str::<Value>(&unprivileged(&["--format", "json"]).0).unwrap();
        wait_for("one connection waits", || {
            on(&document(), "10.55.0.2:7802").is_some_and(|listener| listener["recv_q"] == 1)
        });
        let document = document();
        let listener = on(&document, "10.55.0.2:7802").unwrap();
        assert_eq!(
            (&listener["send_q"], &listener["full"], &listener["drops"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
        assert_eq!(listener["waiting"]["connections"], 1);
        let (text, notes) = unprivileged(&["-v"]);
        assert!(text.contains("SEND-Q and DROPS of"), "{text}");
        let (text, _) = unprivileged(&["--netns", &neighbour.pid().to_string()]);
        assert!(text.starts_with("1 listener, its limit is not known"), "{text}");
        assert!(notes.contains("read without queue limits and drops, which needs root: PID"), "{notes}");
        drop(client);
    });
}

/// A live capture here, in the calling thread's namespace; its report after the time.
fn capture(interface: &str, extra: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["-i", interface, "--format", "json", "--duration", "12", "-Z", "nobody"]).args(extra);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Time for the program to open the capture and to take the kernel's first figures.
    std::thread::sleep(Duration::from_millis(1_500));
    child
}

fn report(child: Child) -> Value {
    report_with_lines(child).0
}

/// The report, and the lines that were printed meanwhile.
fn report_with_lines(child: Child) -> (Value, String) {
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    (report, errors)
}

#[test]
fn an_overflow_behind_veth_and_bridge_is_confirmed_from_the_host_side() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        let server = neighbour.listen("10.55.0.2", 7803, 4);
        let child = capture("br0", &[]);
        let address = "10.55.0.2:7803".parse().unwrap();
        let clients: Vec<_> = (0..12).map(|_| crate::namespace::start_connect(address)).collect();
        let (document, lines) = report_with_lines(child);
        let named = format!("(python3[{}], network namespace PID {})", server.pid(), neighbour.pid());
        assert!(
            lines.contains(&named) && lines.contains("waiting (limit 4, and one more), for up to "),
            "{lines}"
        );
        let listener = &document["listeners"][0];
        assert_eq!(listener["server"], "10.55.0.2:7803", "{document:#}");
        assert_eq!(
            (&listener["cause"], &listener["confidence"]),
            (&"accept-queue-overflow".into(), &"confirmed".into()),
            "{listener:#}"
        );
        assert_eq!(listener["kernel"]["netns"]["pid"], neighbour.pid(), "{listener:#}");
        assert_eq!(listener["kernel"]["owner"]["pid"], server.pid(), "{listener:#}");
        drop(clients);
    });
}

#[test]
fn namespaces_that_begin_while_watching_are_shown_and_those_that_end_are_removed() {
    in_namespace(|| {
        let mut command = Command::new(PROGRAM);
        command.args(["listeners", "--watch=0.2", "--format", "json"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let watching = Process(child);
        let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
        let has = |document: &Value, pid: u32| {
            document["namespaces"].as_array().unwrap().iter().any(|netns| netns["pid"] == pid)
        };
        assert!(next()["namespaces"][0]["own"].as_bool().unwrap());
        let neighbour = Neighbour::new();
        let pid = neighbour.pid();
        let server = neighbour.listen("10.55.0.2", 7806, 3);
        let found = (0..40).map(|_| next()).find(|document| on(document, "10.55.0.2:7806").is_some());
        assert!(has(&found.unwrap(), pid));
        drop((server, neighbour));
        assert!((0..40).map(|_| next()).any(|document| !has(&document, pid)));
        // With the last descriptor in it the namespace goes, and its end of the veth pair takes this one along.
        wait_for("the namespace is gone", || !run("ip", &["link"]).contains("outside"));
        drop(watching);
    });
}

/// A port of this namespace that is published for a listener in another: clients of a third namespace overflow it. Their
/// packets are translated by `rules` to this port, and captured on `interface`. The report names `server`.
fn overflow_published(rules: &str, port: u16, interface: &str, server: &str) {
    let neighbour = Neighbour::new();
    let _server = neighbour.listen("10.55.0.2", port, 4);
    // As docker-proxy: a listener on the host that never gets the packets, because they are translated before.
    let _proxy = Process::start(Command::new("python3").args(["-c", LISTENER, "0.0.0.0", "7804", "128"]));
    // Clients in a third namespace, whose packets come in and are translated.
    let clients = Process::start(Command::new("unshare").args(["-n", "sh", "-c", "echo up; exec sleep 600"]));
    let pid = clients.pid().to_string();
    run("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "client", "netns", &pid]);
    run("ip", &["address", "add", "10.66.0.1/24", "dev", "eth0"]);
    run("ip", &["link", "set", "eth0", "up"]);
    for command in [
        vec!["ip", "address", "add", "10.66.0.2/24", "dev", "client"],
        vec!["ip", "link", "set", "client", "up"],
    ] {
        run("nsenter", &[&["-t", pid.as_str(), "-n"], command.as_slice()].concat());
    }
    neighbour.run(&["ip", "route", "replace", "default", "via", "10.55.0.1"]);
    sysctl("net.ipv4.ip_forward", 1);
    run("nft", &[rules]);
    let child = capture(interface, &[]);
    let connects = "import socket, time
sockets = []
for n in range(12):
    s = socket.socket(); s.setblocking(False); s.connect_ex(('10.66.0.1', 7804)); sockets.append(s)
print('started', flush=True)
time.sleep(600)";
    let _connecting =
        Process::start(Command::new("nsenter").args(["-t", &pid, "-n", "python3", "-c", connects]));
    let document = report(child);
    let listener = &document["listeners"][0];
    assert_eq!(listener["server"], server, "{document:#}");
    assert_eq!(
        (&listener["cause"], &listener["confidence"]),
        (&"accept-queue-overflow".into(), &"confirmed".into()),
        "{listener:#}"
    );
    assert_eq!(listener["kernel"]["local"], format!("10.55.0.2:{port}"), "{listener:#}");
    assert_eq!(listener["kernel"]["netns"]["pid"], neighbour.pid());
    let command = format!("nsenter -t {} -n ss -ltnm 'sport = :{port}'", neighbour.pid());
    let advice = listener["advice"].as_array().unwrap();
    assert!(
        advice.iter().any(|advice| advice["text"].as_str().unwrap().starts_with(&command)),
        "{listener:#}"
    );
    assert_eq!(document["attempts"].as_array().unwrap().len(), 12);
}

#[test]
fn a_published_port_is_the_containers_listener_and_not_the_proxys() {
    in_namespace(|| {
        let rules = "add table ip nat; add chain ip nat pre { type nat hook prerouting priority -100; }; \
                     add rule ip nat pre tcp dport 7804 dnat to 10.55.0.2:80";
        overflow_published(rules, 80, "eth0", "10.66.0.1:7804");
    });
}

/// As by BPF programs of a cluster's network: no connection is tracked, and each is counted once all the same.
#[test]
fn a_port_that_is_published_without_connection_tracking_is_found_by_its_packets() {
    in_namespace(|| {
        let rules = "add table ip t; add chain ip t pre { type filter hook prerouting priority raw; }; \
                     add chain ip t post { type filter hook postrouting priority 300; }; \
                     add rule ip t pre tcp dport 7804 ip daddr set 10.55.0.2 tcp dport set 81 notrack; \
                     add rule ip t pre tcp sport 81 notrack; \
                     add rule ip t post ip saddr 10.55.0.2 tcp sport 81 ip saddr set 10.66.0.1 tcp sport set 7804";
        overflow_published(rules, 81, "any", "10.55.0.2:81");
    });
}

#[test]
fn the_kernels_events_of_segments_are_read_where_permitted_and_switched_off_when_asked() {
    in_namespace(|| {
        let notes = |extra: &[&str]| {
            let mut command = Command::new(PROGRAM);
            let output = command.args(["-i", "lo", "-v", "--duration", "0.3"]).args(extra).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            text.lines().find(|line| line.contains("(BPF)")).unwrap_or_else(|| panic!("{text}")).to_owned()
        };
        assert!(notes(&["--no-bpf"]).ends_with("not read: switched off"));
        let note = notes(&[]);
        if !note.ends_with("(BPF): read") {
            // A build without them, a kernel without BTF, a container that forbids BPF: the rest works.
            assert!(note.contains("not read: "), "{note}");
            let _ =
                std::io::Write::write_all(&mut std::io::stderr(), format!("NOT RUN: {note}\n").as_bytes());
        }
    });
}

#[test]
fn one_stopped_worker_of_four_is_named() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        let worker = LISTENER.replace("SO_REUSEADDR", "SO_REUSEPORT");
        let accepting = worker.replace("time.sleep(600)", "kept = []\nwhile True: kept.append(s.accept())");
        let pid = neighbour.pid().to_string();
        let start = |program: &str| {
            let arguments = ["-t", &pid, "-n", "python3", "-c", program, "10.55.0.2", "7805", "4"];
            Process::start(Command::new("nsenter").args(arguments))
        };
        let workers: Vec<Process> = (0..4).map(|_| start(&accepting)).collect();
        let stopped = &workers[2];
        kill(Pid::from_raw(i32::try_from(stopped.pid()).unwrap()), Signal::SIGSTOP).unwrap();
        let address = "10.55.0.2:7805".parse().unwrap();
        let mut clients = Vec::new();
        wait_for("one of four queues is full", || {
            clients.extend((0..8).map(|_| crate::namespace::start_connect(address)));
            on(&listeners(&[]), "10.55.0.2:7805").is_some_and(|listener| listener["full"] == true)
        });
        let document = listeners(&[]);
        let full = on(&document, "10.55.0.2:7805").unwrap();
        assert_eq!((&full["sockets"], &full["sockets_full"]), (&4.into(), &1.into()));
        assert_eq!(
            (&full["owner"][0]["pid"], &full["owner"][0]["state"]),
            (&stopped.pid().into(), &"stopped".into())
        );
        // Not those of other tests, which may be fuller.
        let output =
            Command::new(PROGRAM).args(["listeners", "--netns", &pid]).env("NO_COLOR", "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let title = format!("1 OF 4 ACCEPT QUEUES FULL: worker PID {} (stopped)", stopped.pid());
        assert!(text.contains(&title) && text.contains("kill -CONT"), "{text}");
        assert!(!text.contains("somaxconn above"), "{text}");
    });
}

#[test]
fn a_stopped_worker_is_named_while_its_queue_overflows_and_no_larger_backlog_is_advised() {
    in_namespace(|| {
        let worker = LISTENER.replace("SO_REUSEADDR", "SO_REUSEPORT");
        let accepting = worker.replace("time.sleep(600)", "kept = []\nwhile True: kept.append(s.accept())");
        let start =
            || Process::start(Command::new("python3").args(["-c", &accepting, "127.0.0.1", "7809", "4"]));
        let workers: Vec<Process> = (0..4).map(|_| start()).collect();
        let capture = Capture::start(&["-i", "lo", "--netns", "self"]);
        // After its socket was looked up.
        let stopped = &workers[1];
        kill(Pid::from_raw(i32::try_from(stopped.pid()).unwrap()), Signal::SIGSTOP).unwrap();
        let address = "127.0.0.1:7809".parse().unwrap();
        let mut clients = Vec::new();
        let named = format!("(python3[{}] stopped, 1 of 4 sockets full)", stopped.pid());
        wait_for("it is named", || {
            clients.extend((0..4).map(|_| crate::namespace::start_connect(address)));
            std::thread::sleep(Duration::from_millis(200));
            (capture.stdout() + &capture.stderr()).contains(&named)
        });
        std::thread::sleep(Duration::from_millis(1_200));
        let ended = capture.stop();
        let advice = format!(
            "python3[{0}] is stopped, so it accepts nothing: `kill\u{a0}-CONT\u{a0}{0}`",
            stopped.pid()
        );
        let joined = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let advice = advice.replace('\u{a0}', " ");
        assert!(joined.replace('\u{a0}', " ").contains(&advice), "{ended}");
        assert!(!joined.contains("somaxconn"), "{ended}");
        drop(clients);
    });
}

/// Workers of nginx inherit the sockets of all workers, and each polls its own.
#[test]
fn the_stopped_worker_of_a_real_nginx_is_named() {
    if !require_tools(&["nginx"]) {
        return;
    }
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("nginx.conf");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};", path(kind)))
            .concat();
        let text = format!(
            "worker_processes 4; daemon off; pid {}; error_log {};\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; {temporary}\n\
             server {{ listen 127.0.0.1:7808 reuseport backlog=4; return 200; }} }}\n",
            path("pid"),
            path("error.log")
        );
        fs::write(&config, text).unwrap();
        let server = Process(Command::new("nginx").arg("-c").arg(&config).spawn().unwrap());
        let own = ["--netns", "self"];
        let sockets = |document: &Value| document["listeners"].as_array().unwrap().len();
        wait_for("four workers poll", || {
            let document = listeners(&own);
            sockets(&document) == 4
                && document["listeners"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|row| row["owner"][0]["polls"] == true)
        });
        let worker = listeners(&own)["listeners"][1]["owner"][0]["pid"].as_i64().unwrap();
        let worker = i32::try_from(worker).unwrap();
        kill(Pid::from_raw(worker), Signal::SIGSTOP).unwrap();
        let address = "127.0.0.1:7808".parse().unwrap();
        let mut clients = Vec::new();
        wait_for("one of four queues is full", || {
            clients.extend((0..8).map(|_| crate::namespace::start_connect(address)));
            // Workers that were busy for a moment may have been full, too.
            let document = listeners(&own);
            let rows = document["listeners"].as_array().unwrap();
            let of_worker = |row: &&Value| row["owner"][0]["pid"].as_i64() == Some(i64::from(worker));
            rows.iter().find(of_worker).is_some_and(|row| row["full"] == true)
                && rows.iter().filter(|row| row["full"] == true).count() == 1
        });
        let output = Command::new(PROGRAM).arg("listeners").args(own).env("NO_COLOR", "1").output().unwrap();
        kill(Pid::from_raw(worker), Signal::SIGCONT).unwrap();
        // SIGTERM, not SIGKILL: a killed nginx leaves its workers behind.
        kill(Pid::from_raw(i32::try_from(server.pid()).unwrap()), Signal::SIGTERM).unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let title = format!("1 OF 4 ACCEPT QUEUES FULL: worker PID {worker} (stopped)");
        assert!(text.contains(&title), "{text}");
        wait_for("nginx has ended", || listeners(&own)["listeners"].as_array().unwrap().is_empty());
    });
}
