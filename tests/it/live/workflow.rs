//! The example of a GitHub Actions workflow: its steps run here as they do there.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::{env, fs};

use super::run::PROGRAM;
use crate::namespace::in_namespace;
use crate::util::{Ran, program, require_tools};

const WORKFLOW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/github-actions/handshakes.yml");

/// Listens with the backlog that the folder names, and serves if it is large.
const SERVER: &str = "\
import pathlib, socket, sys, time
backlog = int(pathlib.Path('backlog').read_text())
server = socket.create_server(('127.0.0.1', int(sys.argv[2])), backlog=backlog)
kept = []
while True:
    kept.append(server.accept()) if backlog > 9 else time.sleep(60)
";

/// Connects forty times, and waits for two retries of a dropped SYN.
const LOAD: &str = "\
import socket, sys, time
host, port = sys.argv[1].removeprefix('http://').split(':')
clients = [socket.socket() for _ in range(40)]
for client in clients:
    client.setblocking(False)
    client.connect_ex((host, int(port)))
time.sleep(3.4)
";

/// The script of a step.
fn script(step: &str) -> String {
    let workflow = fs::read_to_string(WORKFLOW).unwrap();
    let (_, rest) = workflow.split_once(&format!("      - name: {step}\n")).expect(step);
    let (_, rest) = rest.split_once("        run: |\n").expect(step);
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("          "));
    lines.map(|line| format!("{}\n", line.trim_start_matches("          "))).collect()
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a step in a workspace, with its files there instead of in /tmp, and without long pauses.
fn run_step(workspace: &Path, step: &str) -> Ran {
    let place = workspace.display();
    let script = script(step).replace("/tmp/", &format!("{place}/")).replace("sleep 2", "sleep 0.7");
    let path = format!("PATH={place}/bin:{}", env::var("PATH").unwrap());
    let variables = [format!("GITHUB_WORKSPACE={place}"), format!("GITHUB_STEP_SUMMARY={place}/summary.md")];
    // As GitHub's runner starts it.
    let shell = ["PORT=8080", "sh", "-c", "cd \"$GITHUB_WORKSPACE\" && exec bash -e -c \"$0\"", &script];
    let arguments = [path].into_iter().chain(variables).chain(shell.map(str::to_owned));
    program("env", arguments).run()
}

#[test]
fn a_branch_that_shortens_the_queue_fails_the_workflow() {
    if !require_tools(&["tcpdump", "python3"]) {
        return;
    }
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let workspace = directory.path();
        // tcpdump gives up root's rights before it writes.
        fs::set_permissions(workspace, fs::Permissions::from_mode(0o777)).unwrap();
        let bin = workspace.join("bin");
        fs::create_dir(&bin).unwrap();
        write_program(&bin.join("sudo"), "#!/bin/sh\nexec \"$@\"\n");
        symlink(PROGRAM, bin.join("hsanalyze")).unwrap();
        for (folder, backlog) in [("base", "100"), ("branch", "4")] {
            let folder = workspace.join(folder);
            fs::create_dir(&folder).unwrap();
            write_program(&folder.join("server"), &format!("#!/usr/bin/env python3\n{SERVER}"));
            write_program(&folder.join("load-test"), &format!("#!/usr/bin/env python3\n{LOAD}"));
            fs::write(folder.join("backlog"), backlog).unwrap();
        }
        let captured = run_step(workspace, "Capture both under the same load");
        assert!(captured.status.success(), "{captured}");
        let compare = || {
            let compared = run_step(workspace, "Compare");
            let file = workspace.join("summary.md");
            let summary = fs::read_to_string(&file).unwrap();
            fs::remove_file(&file).unwrap();
            (compared.status.code(), summary, compared)
        };
        let (status, summary, ran) = compare();
        assert_eq!(status, Some(1), "{ran}\n{summary}");
        assert!(summary.contains("accept queue overflow") && summary.contains("worse"), "{summary}");
        // A branch that changes nothing.
        fs::copy(workspace.join("base.pcap"), workspace.join("branch.pcap")).unwrap();
        let (status, summary, ran) = compare();
        assert_eq!(status, Some(0), "{ran}\n{summary}");
        assert!(summary.contains("unchanged"), "{summary}");
    });
}
