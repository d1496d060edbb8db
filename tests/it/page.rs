//! `--report`: the page in a real browser, driven by `page/drive.js`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::util::{capture, hsanalyze, require_file, require_tools};

/// axe-core, which checks contrast and accessibility; `scripts/setup test` puts it there.
fn axe() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../npm/node_modules/axe-core/axe.min.js")
}

/// True if the browser and axe-core are there.
fn can_drive() -> bool {
    require_tools(&["chromium"]) && require_file(&axe(), "axe-core")
}

/// A page in a directory of its own.
struct Page {
    directory: tempfile::TempDir,
    html: String,
}

impl Page {
    /// The page of these captures.
    fn of<P: AsRef<Path>>(captures: impl IntoIterator<Item = P>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.html");
        let captures = captures.into_iter().map(|capture| capture.as_ref().as_os_str().to_owned());
        let arguments = ["-q".into(), "--report".into(), path.clone().into_os_string()];
        hsanalyze(arguments.into_iter().chain(captures)).succeed();
        Self { html: fs::read_to_string(path).unwrap(), directory }
    }

    /// Runs the browser on a file beside the page; its output, and the console's messages.
    fn browse(&self, name: &str, window: &str, flags: &[&str]) -> (String, Vec<String>) {
        let profile = self.directory.path().join("profile");
        let mut command = Command::new("chromium");
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--enable-logging=stderr", "--timeout=120000"]);
        command.arg(format!("--user-data-dir={}", profile.display())).arg(format!("--window-size={window}"));
        command.args(flags).arg(format!("file://{}", self.directory.path().join(name).display()));
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let console = stderr.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
        (String::from_utf8_lossy(&output.stdout).into_owned(), console)
    }

    /// The page as it is: what its own script made of it, without a message on the console.
    fn shown(&self) -> String {
        let (dom, console) = self.browse("report.html", "1280,900", &["--dump-dom"]);
        assert!(console.is_empty(), "{console:#?}");
        dom
    }

    /// Findings of `drive.js` in a frame of this width: no window of the browser is as narrow as a phone. The driver is a
    /// script that the page's policy keeps out, so that it runs in a copy without one.
    fn driven(&self, width: u32) -> Value {
        let policy = self.html.find("<meta http-equiv=\"Content-Security-Policy\"").unwrap();
        let end = policy + self.html[policy..].find('>').unwrap() + 1;
        let drive = include_str!("page/drive.js");
        let scripts =
            format!("<script>{}</script><script>{drive}</script>", fs::read_to_string(axe()).unwrap());
        let copy = format!("{}{}{scripts}", &self.html[..policy], &self.html[end..]);
        fs::write(self.directory.path().join("driven.html"), copy).unwrap();
        let frame = format!(
            "<!DOCTYPE html><body style=margin:0><iframe src=driven.html width={width} height=900 style=border:0></iframe>\
             <script>addEventListener('message', event => {{ const out = document.createElement('pre'); \
             out.id = 'driven'; out.textContent = event.data; document.body.append(out); }})</script>"
        );
        fs::write(self.directory.path().join("frame.html"), frame).unwrap();
        let flags = ["--dump-dom", "--virtual-time-budget=60000"];
        let (dom, _) = self.browse("frame.html", "1300,1000", &flags);
        let found =
            dom.rsplit_once("<pre id=\"driven\">").unwrap_or_else(|| panic!("not driven:\n{dom:.2000}"));
        let found = found.1.split("</pre>").next().unwrap();
        let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {found}"))
    }
}

#[track_caller]
fn nothing_wrong(found: &Value) {
    assert_eq!(found["errors"], serde_json::json!([]), "{found:#}");
    assert_eq!(found["violations"], serde_json::json!([]), "{found:#}");
    assert_eq!(found["overflow"], 0, "the page is wider than its window\n{found:#}");
    assert_eq!(found["dialogOverflow"], 0, "{found:#}");
    assert_eq!(found["marked"], 0, "{found:#}");
}

#[test]
fn an_overflow_can_be_looked_at_in_a_browser() {
    if !can_drive() {
        return;
    }
    let page = Page::of([capture("overflow_mixed-server")]);
    for width in [1280, 400] {
        let found = page.driven(width);
        nothing_wrong(&found);
        assert_eq!(found["width"], width);
        assert_eq!(found["status"], "60 of 60 attempts; 1 to 50 shown");
        assert_eq!(found["first"].as_array().unwrap().len(), 50);
        assert!(found["bars"].as_u64().unwrap() > 10, "{found:#}");
        assert!(found["episodes"].as_u64().unwrap() >= 1, "{found:#}");
        assert_eq!(found["sorted"], "ascending");
        assert_eq!(found["sortedAgain"], serde_json::json!(["descending", "unanswered"]));
        assert_eq!(found["searched"], "3 of 60 attempts; 1 to 3 shown");
        assert_eq!(found["filtered"], "50 of 60 attempts; 1 to 50 shown");
        for narrowed in ["zoomed", "zoomedByKey", "brushed"] {
            let status = found[narrowed].as_str().unwrap();
            assert!(
                status.contains(", from 01:52:24.") && !status.starts_with("60 of"),
                "{narrowed}: {status}"
            );
        }
        let dialog = &found["dialog"];
        assert_eq!(
            (&dialog["open"], &dialog["title"]),
            (&true.into(), &"10.9.0.1:35374 > 10.9.0.2:7777".into())
        );
        assert_eq!(dialog["arrows"], 15, "{dialog:#}");
        let text = dialog["text"].as_str().unwrap();
        for words in ["retransmission 3 of 5, the ACK above was ignored", "TCP_DEFER_ACCEPT", "frame 26"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert_eq!(found["closed"], serde_json::json!([false, "opener"]));
    }
}

#[test]
fn the_page_runs_under_its_own_policy_and_without_any_network() {
    if !require_tools(&["chromium"]) {
        return;
    }
    let page = Page::of([capture("overflow_reset-server"), capture("refused-server")]);
    assert!(page.html.contains("default-src 'none'"));
    // SVG's namespace is a name, not an address.
    let without_namespace = page.html.replace("http://www.w3.org/2000/svg", "");
    assert!(!without_namespace.contains("http://") && !without_namespace.contains("https://"));
    let dom = page.shown();
    assert!(dom.contains("of 28 attempts"), "the script did not run:\n{dom:.3000}");
}

#[test]
fn points_have_lines_of_their_own_and_hostile_names_stay_text() {
    if !can_drive() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let name = "<img src=x onerror=document.title='hacked'>\u{202e}\"'&";
    let files = ["client", "server"].map(|end| {
        let hostile = directory.path().join(format!("{name}-{end}.pcap"));
        fs::copy(capture(&format!("ack_lost-{end}")), &hostile).unwrap();
        hostile
    });
    let page = Page::of(files);
    assert!(!page.html.contains("<img"));
    let found = page.driven(1280);
    nothing_wrong(&found);
    let dialog = &found["dialog"];
    assert_eq!(dialog["lines"], serde_json::json!(["client", "server"]), "{dialog:#}");
    assert_eq!(dialog["stops"], 1, "one ACK was lost: {dialog:#}");
    let dom = page.shown();
    assert!(!dom.contains("<title>hacked"), "{dom:.1000}");
}

#[test]
fn a_hundred_thousand_attempts_stay_usable() {
    if !can_drive() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("many.pcap");
    fs::write(&path, many(100_500)).unwrap();
    let page = Page::of([path]);
    assert!(page.html.len() < 30_000_000, "{} bytes", page.html.len());
    assert!(page.html.contains("lists 100,000 attempts and leaves out 500"));
    let begun = Instant::now();
    let dom = page.shown();
    assert!(dom.contains("of 100,000 attempts"));
    // The browser's start included.
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    let found = page.driven(1280);
    nothing_wrong(&found);
    let opened = found["opened"].as_u64().unwrap();
    assert!(opened < 6_000, "{opened} ms to the first view");
}

/// A capture of attempts that the server refuses, completes or ignores, in turn.
fn many(attempts: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        bytes.extend(word.to_le_bytes());
    }
    let (client, server) = (0x0a00_0000_u32, 0xc633_6401_u32);
    for n in 0..attempts {
        let port = 1_024 + (n % 60_000) as u16;
        let client = client + n / 60_000 + 1;
        let mut packet = |micros: u32, from_client: bool, flags: u8, seq: u32, ack: u32| {
            let at = n as u64 * 500 + u64::from(micros);
            for word in [1_700_000_000 + (at / 1_000_000) as u32, (at % 1_000_000) as u32, 40, 40] {
                bytes.extend(word.to_le_bytes());
            }
            let (source, target) = if from_client { (client, server) } else { (server, client) };
            let (from, to) = if from_client { (port, 443) } else { (443, port) };
            bytes.extend([0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
            bytes.extend(source.to_be_bytes());
            bytes.extend(target.to_be_bytes());
            bytes.extend(from.to_be_bytes());
            bytes.extend(to.to_be_bytes());
            bytes.extend(seq.to_be_bytes());
            bytes.extend(ack.to_be_bytes());
            bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        };
        packet(0, true, 0x02, n, 0);
        if n % 3 == 0 {
            packet(100, false, 0x14, 0, n + 1);
            continue;
        }
        packet(100, false, 0x12, 7_000, n + 1);
        packet(200, true, 0x10, n + 1, 7_001);
        packet(300, true, 0x11, n + 1, 7_001);
        packet(400, false, 0x11, 7_001, n + 2);
    }
    bytes
}
