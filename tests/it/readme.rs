//! The README and the reference pages: each command runs, each output shown is the program's, each name is documented.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hsanalyze::handshake::{Cause, Verdict};
use strum::IntoEnumIterator;

use crate::util::hsanalyze;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The lines of a README's command block, without comments.
fn commands_of(name: &str) -> BTreeSet<String> {
    let programs = ["make ", "hsanalyze ", "sudo "];
    let readme = page(name);
    let blocks = readme.lines().filter_map(|line| line.strip_prefix("    "));
    let commands = blocks.filter(|line| programs.iter().any(|program| line.starts_with(program)));
    commands.map(|line| line.split(" #").next().unwrap_or(line).trim_end().to_owned()).collect()
}

#[test]
fn the_links_of_both_readmes_lead_to_files() {
    for name in ["README.md", "README.zh-CN.md"] {
        let text = page(name);
        let links: Vec<&str> = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        assert!(links.iter().any(|link| link.ends_with(".png")), "{name} has no picture");
        for link in links {
            let path = link.split('#').next().unwrap();
            assert!(link.starts_with("https://") || root().join(path).exists(), "{name}: {link}");
        }
    }
}

/// Commands of the README by how they are run here.
const ON_FILES: &[&str] = &[
    "hsanalyze capture.pcap",
    "hsanalyze eth0-*.pcap.gz",
    "hsanalyze -f 'port 443' capture.pcap",
    "hsanalyze --all -v capture.pcap",
    "hsanalyze --ladder capture.pcap",
    "hsanalyze --attempt 10.9.0.1:35374 capture.pcap",
    "hsanalyze --write problems.pcapng capture.pcap",
    "hsanalyze --report report.html capture.pcap",
    "hsanalyze --format json -o report.json capture.pcap",
    "hsanalyze --fail-on problem capture.pcap",
    "hsanalyze --baseline report.json --fail-on worse capture.pcap",
    "hsanalyze size capture.pcap",
    "hsanalyze --help",
];
const ON_SOCKETS: &[&str] = &[
    "hsanalyze listeners",
    "hsanalyze race 127.0.0.1:8080",
    "sudo hsanalyze -i any --duration 10s --format ndjson",
    "sudo hsanalyze lab drop",
];
const UNTIL_INTERRUPTED: &[&str] = &[
    "sudo hsanalyze -i eth0 port 443 or icmp or icmp6",
    "sudo tcpdump -i eth0 -s 128 -w - 'tcp or icmp or icmp6' | hsanalyze -",
];
/// Run by `live/screen.rs`, on a terminal.
const ON_A_TERMINAL: &[&str] = &["sudo hsanalyze -i eth0 --tui"];
/// Building is what `.ci/run` does with them; here make only plans it.
const PLANNED: &[&str] = &["make demo", "make test", "make install"];

#[test]
fn every_command_of_the_readme_is_run_by_a_test() {
    let run = [ON_FILES, ON_SOCKETS, UNTIL_INTERRUPTED, ON_A_TERMINAL, PLANNED].concat();
    assert_eq!(commands_of("README.md"), run.into_iter().map(str::to_owned).collect());
}

/// What is not in the one, no test runs.
#[test]
fn the_chinese_readme_has_commands_of_the_english_one() {
    let (all, chinese) = (commands_of("README.md"), commands_of("README.zh-CN.md"));
    assert!(chinese.len() > 10, "{chinese:?}");
    assert!(chinese.is_subset(&all), "{:?}", chinese.difference(&all).collect::<Vec<_>>());
}

#[test]
fn make_lists_its_commands() {
    for command in PLANNED {
        let target = command.strip_prefix("make ").unwrap();
        crate::util::program("make", ["--dry-run", target]).succeed();
    }
}

#[test]
fn commands_on_files_do_what_the_readme_promises() {
    let shell = shell::Shell::new();
    for command in ON_FILES {
        let ran = shell.run(command);
        let expected = if command.contains("--fail-on problem") { 1 } else { 0 };
        assert_eq!(ran.status.code(), Some(expected), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
        let written = if command.contains("-o ") { shell.read("report.json") } else { ran.stdout };
        assert!(!written.is_empty(), "{command} printed nothing");
    }
}

/// Compares an indented block of a page, which begins after the line `first`, with the lines that it must have.
///
/// `UPDATE_DOCS=1 cargo test --test it readme` writes them into the page instead.
fn block_is(name: &str, first: &str, wanted: &str) {
    let text = page(name);
    let lines: Vec<&str> = text.lines().collect();
    let start =
        1 + lines.iter().position(|line| *line == first).unwrap_or_else(|| panic!("{name}: no '{first}'"));
    let indented = |line: &&&str| line.is_empty() || line.starts_with("    ");
    let length = lines[start..].iter().take_while(indented).count();
    let shown: Vec<_> =
        lines[start..start + length].iter().map(|l| l.strip_prefix("    ").unwrap_or(l)).collect();
    let (shown, wanted) = (shown.join("\n"), wanted.trim_end());
    if std::env::var_os("UPDATE_DOCS").is_none() {
        assert_eq!(
            shown.trim(),
            wanted.trim(),
            "{name}: UPDATE_DOCS=1 cargo test --test it readme corrects it"
        );
        return;
    }
    let blank_first = if shown.starts_with('\n') { "\n" } else { "" };
    let indented: String =
        wanted.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect();
    let (before, after) = (lines[..start].join("\n"), lines[start + length..].join("\n"));
    fs::write(root().join(name), format!("{before}\n{blank_first}{indented}\n{after}\n")).unwrap();
}

#[test]
fn the_output_in_the_readme_is_the_programs() {
    let file = "fixtures/captures/overflow_mixed-server.pcap";
    let ran = hsanalyze([file]).succeed();
    block_is("README.md", &format!("    $ hsanalyze {file}"), ran.text());
}

/// Three screens of about 45 lines.
#[test]
fn the_readme_fits_three_screens() {
    // Of 50 rows and 100 columns each.
    let rows: usize = page("README.md").lines().map(|line| line.len().div_ceil(100).max(1)).sum();
    assert!(rows <= 3 * 50, "{rows} rows");
}

/// The parts of a JSON object or array, which commas separate.
fn parts(json: &str) -> Vec<&str> {
    let inner = &json[1..json.len() - 1];
    let (mut parts, mut start, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0, false, false);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'"' if !escaped => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth -= 1,
            b',' if !quoted && depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    parts.push(&inner[start..]);
    parts
}

/// An object with a line for each key, and for each entry of a long list.
fn laid_out(object: &str) -> String {
    let field = |field: &str| {
        let (key, value) = field.split_once(':').unwrap();
        if value.starts_with('[') && field.len() > 100 {
            format!("{key}: [\n    {}]", parts(value).join(",\n    "))
        } else {
            format!("{key}: {value}")
        }
    };
    format!("{{{}}}", parts(object).into_iter().map(field).collect::<Vec<_>>().join(",\n "))
}

#[test]
fn the_attempt_in_the_json_page_is_a_real_one() {
    let ran = hsanalyze(["--format", "json", "fixtures/captures/overflow_mixed-server.pcap"]).succeed();
    let overflow = |line: &&str| {
        line.trim_start().starts_with("{\"client\"") && line.contains("\"verdict\":\"synack-retransmitted\"")
    };
    let attempt = ran.text().lines().find(overflow).unwrap().trim().trim_end_matches(',');
    block_is("docs/JSON.md", "## An attempt", &laid_out(attempt));
}

#[test]
fn every_key_of_the_output_is_documented() {
    fn keys(value: &serde_json::Value, into: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(object) => object.iter().for_each(|(key, value)| {
                // The keys of these two are names of verdicts and of skip reasons.
                if key != "verdicts" && key != "skipped" {
                    keys(value, into);
                }
                into.insert(key.clone());
            }),
            serde_json::Value::Array(list) => list.iter().for_each(|value| keys(value, into)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    for capture in ["overflow_mixed-server", "rejected_icmp-client"].map(crate::util::capture) {
        keys(&crate::util::report([capture]), &mut found);
    }
    let text = page("docs/JSON.md");
    let documented =
        |key: &&String| ["`", "\"", "."].iter().any(|before| text.contains(&format!("{before}{key}")));
    found.retain(|key| !documented(&key));
    assert!(found.is_empty(), "not in docs/JSON.md: {found:?}");
}

#[test]
fn every_verdict_and_cause_is_documented() {
    let verdicts = page("docs/VERDICTS.md");
    let causes = page("docs/CAUSES.md");
    let missing = |name: &str, page: &str| !page.contains(&format!("`{name}`"));
    let missing: Vec<_> = Verdict::iter()
        .map(Verdict::name)
        .filter(|name| missing(name, &verdicts))
        .chain(Cause::iter().map(Cause::name).filter(|name| missing(name, &causes)))
        .collect();
    assert!(missing.is_empty(), "not in docs/VERDICTS.md or docs/CAUSES.md: {missing:?}");
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let pages: Vec<PathBuf> =
        docs.chain(top).filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    assert!(pages.len() >= 8, "{pages:?}");
    for path in pages {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            let elsewhere = file.is_empty() || file.starts_with("http");
            assert!(elsewhere || path.with_file_name(file).exists(), "{}: {link}", path.display());
        }
    }
}

/// A directory in which the README's commands find the captures and the program that they name.
mod shell {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, Output, Stdio};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use crate::util::capture;

    pub(super) struct Shell(tempfile::TempDir);

    impl Shell {
        pub(super) fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path();
            let bytes = fs::read(capture("overflow_mixed-server")).unwrap();
            fs::write(path.join("capture.pcap"), &bytes).unwrap();
            for name in ["eth0-1.pcap.gz", "eth0-2.pcap.gz"] {
                let mut gzip =
                    GzEncoder::new(fs::File::create(path.join(name)).unwrap(), Compression::fast());
                gzip.write_all(&bytes).unwrap();
                gzip.finish().unwrap();
            }
            fs::create_dir(path.join("bin")).unwrap();
            symlink(env!("CARGO_BIN_EXE_hsanalyze"), path.join("bin/hsanalyze")).unwrap();
            // The tests that need root have it, or are skipped.
            let sudo = path.join("bin/sudo");
            fs::write(&sudo, "#!/bin/sh\nexec \"$@\"\n").unwrap();
            fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
            Self(directory)
        }

        /// A shell that is to run `line`.
        pub(super) fn command(&self, line: &str) -> Command {
            let mut command = Command::new("sh");
            let path = std::env::var("PATH").unwrap_or_default();
            command.args(["-c", line]).current_dir(self.0.path()).env("TZ", "UTC");
            command.env("PATH", format!("{}:{path}", self.0.path().join("bin").display()));
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        }

        pub(super) fn run(&self, line: &str) -> Output {
            self.command(line).output().unwrap()
        }

        pub(super) fn read(&self, name: &str) -> Vec<u8> {
            fs::read(self.0.path().join(name)).unwrap()
        }
    }
}

#[cfg(target_os = "linux")]
mod sockets {
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::process::CommandExt;

    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;

    use super::shell::Shell;
    use super::{ON_SOCKETS, UNTIL_INTERRUPTED};
    use crate::namespace::{self, in_namespace, listener};
    use crate::util::require_tools;

    #[test]
    fn commands_on_sockets_do_what_the_readme_promises() {
        in_namespace(|| {
            let _server = listener("127.0.0.1:8080", 64);
            let shell = Shell::new();
            let built = |command: &&&str| cfg!(feature = "lab") || !command.contains(" lab ");
            for command in ON_SOCKETS.iter().filter(built) {
                let ran = shell.run(command);
                // The lab exits with 1 where this kernel does something else than is expected.
                let failed = ran.status.code().is_none_or(|code| code > 1);
                assert!(!failed, "{command}: {}: {}", ran.status, String::from_utf8_lossy(&ran.stderr));
                assert!(!ran.stdout.is_empty(), "{command} printed nothing");
            }
        });
    }

    #[test]
    fn live_commands_print_a_report_on_ctrl_c() {
        if !require_tools(&["tcpdump"]) {
            return;
        }
        in_namespace(|| {
            namespace::run("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "far"]);
            for end in ["eth0", "far"] {
                namespace::run("ip", &["link", "set", end, "up"]);
            }
            let shell = Shell::new();
            for command in UNTIL_INTERRUPTED {
                let mut running = shell.command(command).process_group(0).spawn().unwrap();
                let mut errors = BufReader::new(running.stderr.take().unwrap());
                let mut said = String::new();
                while !(said.contains("capturing on") || said.contains("listening on")) {
                    assert!(errors.read_line(&mut said).unwrap() > 0, "{command}: {said}");
                }
                let group = Pid::from_raw(i32::try_from(running.id()).unwrap());
                killpg(group, Signal::SIGINT).unwrap();
                let mut report = String::new();
                running.stdout.take().unwrap().read_to_string(&mut report).unwrap();
                errors.read_to_string(&mut said).unwrap();
                running.wait().unwrap();
                assert!(report.contains(" packet"), "{command}: {report}\n{said}");
            }
        });
    }
}
