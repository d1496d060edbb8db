//! The names of containers and systemd units, from cgroup files of every runtime: a mount namespace of its own covers those of
//! the servers with made-up ones.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{LISTENER, PROGRAM, Process, on};
use crate::live::run::{Capture, command};
use crate::namespace::{in_namespace, start_connect, wait_up_to};

const ID: &str = "3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a";

/// The text of `/proc/PID/cgroup`, and the kind and the number that are named for it.
const FORMS: [(&str, &str, &str); 9] = [
    ("0::/system.slice/docker-ID.scope\n", "docker", ""),
    ("12:cpu,cpuacct:/docker/ID\n11:memory:/docker/ID\n1:name=systemd:/docker/ID\n", "docker", ""),
    (
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-pod1_2.slice/cri-containerd-ID.scope\n",
        "containerd",
        "",
    ),
    ("5:memory:/kubepods/burstable/pod12-34/ID\n", "kubernetes", ""),
    ("0::/kubepods.slice/kubepods-pod1.slice/crio-ID.scope\n", "cri-o", ""),
    ("0::/machine.slice/libpod-ID.scope/container\n", "podman", ""),
    ("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope\n", "podman", ""),
    ("0::/system.slice/nginx.service\n", "systemd", "nginx.service"),
    (
        "3:cpu:/\n1:name=systemd:/system.slice/system-web.slice/web@8080.service\n",
        "systemd",
        "web@8080.service",
    ),
];

/// A server of each form, on 127.0.0.1 from this port on.
const PORT: u16 = 7820;

fn address(form: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], PORT + u16::try_from(form).unwrap()))
}

fn name(form: usize) -> (&'static str, &'static str) {
    let (_, kind, id) = FORMS[form];
    (kind, if id.is_empty() { &ID[..12] } else { id })
}

/// The words for a container, or a unit.
fn shown(form: usize) -> String {
    let (kind, id) = name(form);
    if kind == "systemd" { id.to_owned() } else { format!("{kind} {id}") }
}

/// The program in a mount namespace where the servers have these cgroups.
fn among_containers(directory: &std::path::Path, servers: &[Process]) -> Command {
    let mut script = String::new();
    for (server, (text, ..)) in servers.iter().zip(FORMS) {
        let file = directory.join(server.pid().to_string());
        fs::write(&file, text.replace("ID", ID)).unwrap();
        script += &format!("mount --bind {} /proc/{}/cgroup && ", file.display(), server.pid());
    }
    let mut command = command("unshare");
    command.args(["-m", "sh", "-c", &format!("{script} exec \"$0\" \"$@\""), PROGRAM]);
    command
}

#[test]
fn a_server_is_named_with_its_container_or_unit_in_the_table_and_while_it_overflows() {
    in_namespace(|| {
        let servers: Vec<Process> = (0..FORMS.len())
            .map(|form| {
                let port = address(form).port().to_string();
                Process::start(Command::new("python3").args(["-c", LISTENER, "127.0.0.1", &port, "1"]))
            })
            .collect();
        let directory = tempfile::tempdir().unwrap();
        let table = |arguments: &[&str]| {
            let mut command = among_containers(directory.path(), &servers);
            let output = command.args(["listeners", "--netns", "self"]).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let document: Value = serde_json::from_str(&table(&["--format", "json"])).unwrap();
        let text = table(&[]);
        for form in 0..FORMS.len() {
            let (kind, id) = name(form);
            let listener = on(&document, &address(form).to_string()).unwrap();
            assert_eq!(listener["owner"][0]["container"], json!({"kind": kind, "id": id}), "{listener:#}");
            let row = text.lines().find(|line| line.contains(&address(form).to_string())).unwrap();
            assert!(row.contains(&shown(form)), "{row}");
        }

        // With the helper, which passes the files of cgroups on.
        let capture = |format: &str| {
            let mut command = among_containers(directory.path(), &servers);
            command.args(["-i", "lo", "-Z", "nobody", "--no-bpf", "--format", format]);
            Capture::begin(command)
        };
        let (lines, objects) = (capture("text"), capture("ndjson"));
        let clients: Vec<_> =
            (0..FORMS.len()).flat_map(|form| (0..4).map(move |_| start_connect(address(form)))).collect();
        let begins =
            |form: usize| format!("{} (python3[{}] in {})", address(form), servers[form].pid(), shown(form));
        wait_up_to(Duration::from_secs(15), "all begin", || {
            let (text, seen) = (lines.stdout() + &lines.stderr(), objects.stdout());
            (0..FORMS.len())
                .all(|form| text.contains(&begins(form)) && seen.contains(&format!("\"{}\"", address(form))))
        });
        thread::sleep(Duration::from_millis(1_200));
        let (text, ended) = (lines.stop(), objects.stop());
        for (form, server) in servers.iter().enumerate() {
            let (kind, id) = name(form);
            let of_form = |object: &Value| object["server"] == address(form).to_string();
            let listener = ended.objects("listener").into_iter().find(of_form).unwrap();
            assert_eq!(listener["confidence"], "confirmed", "{listener:#}");
            let owner = &listener["kernel"]["owner"];
            assert_eq!(owner["container"], json!({"kind": kind, "id": id}), "{owner}");
            assert_eq!(owner["pid"], server.pid());
        }
        let listens = format!("listens  python3[{}] in {}\n", servers[0].pid(), shown(0));
        assert!(text.stdout.contains(&listens), "{text}");
        drop(clients);
    });
}
