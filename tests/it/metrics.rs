//! `--metrics`: what Prometheus scrapes is what the report says, and what is made for it in `contrib/` fits.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use hsanalyze::report::metrics::GUIDES;
use serde_json::Value;

use crate::live::run::{Capture, PROGRAM, command, fail};
use crate::namespace::{in_namespace, listener, start_connect, wait_for, wait_up_to};
use crate::util::{program, require_tools};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A file of `contrib/`.
fn contrib(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join("contrib").join(path)).unwrap()
}

/// The body of what is served at a path, with the status line.
fn get(address: &str, path: &str, accept: &str) -> (String, String) {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"),
    )
}

/// Head and body of the answer to a request.
fn exchange(address: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The sum of the values of all series whose lines begin so.
fn sum(text: &str, beginning: &str) -> f64 {
    let series = text.lines().filter(|line| line.starts_with(beginning));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Debian's Prometheus, with our alerts, which scrapes the program each second. Ends with the test.
struct Prometheus {
    child: Child,
    _data: tempfile::TempDir,
}

impl Prometheus {
    const ADDRESS: &str = "127.0.0.1:9090";

    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = data.path().join("prometheus.yml");
        let ours = fs::read_to_string(format!("{ROOT}/contrib/prometheus/prometheus.yml")).unwrap();
        let rules = format!("{ROOT}/contrib/prometheus/alerts.yml");
        let ours = ours.replace("alerts.yml", &rules);
        fs::write(
            &config,
            format!("global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n{ours}"),
        )
        .unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("data").display()))
            .arg(format!("--web.listen-address={}", Self::ADDRESS))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { child, _data: data };
        wait_up_to(Duration::from_secs(30), "Prometheus is ready", || {
            TcpStream::connect(Self::ADDRESS).is_ok()
                && exchange(Self::ADDRESS, "GET /-/ready HTTP/1.0\r\n\r\n").0.contains(" 200 ")
        });
        prometheus
    }

    /// Answer of its interface at a path; in HTTP 1.0, in which a long answer has no chunks.
    fn api(&self, path: &str) -> Value {
        let (head, body) = exchange(Self::ADDRESS, &format!("GET /api/v1/{path} HTTP/1.0\r\n\r\n"));
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {head}\n\n{body}"))
    }

    /// The answer to a query.
    fn answer(&self, query: &str) -> Value {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        self.api(&format!("query?query={escaped}"))
    }

    /// The value of a query; `None` where it has no series yet.
    fn query(&self, query: &str) -> Option<f64> {
        self.answer(query)["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Fails if a query is refused, or has no series. Of one that shows only what passes a limit, such as `rate(…) > 0`, the
    /// part before the limit must have some.
    fn can_answer(&self, query: &str) {
        let answer = self.answer(query);
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let unlimited = query.split(['>', '<']).next().unwrap().split(" == ").next().unwrap();
        let series = |query: &str| self.answer(query)["data"]["result"].as_array().map_or(0, Vec::len);
        assert!(series(query) > 0 || series(unlimited) > 0, "{query} has no series");
    }
}

/// The queries of the dashboard, with Grafana's variables as it fills them in when all is selected.
fn queries_of_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&contrib("grafana/hsanalyze.json")).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    let queries = targets.flatten().map(|target| target["expr"].as_str().unwrap());
    queries
        .map(|query| {
            let filled = query.replace("$__rate_interval", "1m").replace("$instance", ".*");
            let filled = filled.replace("$listener", ".*");
            assert!(!filled.contains('$'), "{query}: an unknown variable");
            filled
        })
        .collect()
}

/// The conditions of the alerts, as Prometheus has loaded them.
fn queries_of_alerts(prometheus: &Prometheus) -> Vec<String> {
    let rules = prometheus.api("rules");
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap().clone();
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
    rules.iter().map(|rule| rule["query"].as_str().unwrap().to_owned()).collect()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fills the queue of a listener with a backlog of 2, has some clients' SYNs dropped, then serves them all. Returns the
/// connections, and the number of clients that connected late.
fn overflow_and_recover(victim: &TcpListener) -> (Vec<TcpStream>, usize) {
    const LATE: usize = 6;
    let server = victim.local_addr().unwrap();
    let mut clients: Vec<_> = (0..3).map(|_| start_connect(server)).collect();
    wait_for("the queue is full", || crate::kernel::ss()[&server].0 == 3);
    // Their retries come one by one, too, so that the queue has room for each.
    clients.extend((0..LATE).map(|_| {
        thread::sleep(Duration::from_millis(60));
        start_connect(server)
    }));
    victim.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    while clients.len() < 2 * (3 + LATE) {
        assert!(begun.elapsed() < Duration::from_secs(20), "they do not connect");
        match victim.accept() {
            Ok((mut served, _)) => {
                // Proves the connection, so that the attempt is settled at once.
                served.write_all(b"hello").unwrap();
                clients.push(served);
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
    (clients, LATE)
}

#[test]
fn prometheus_s_query_answers_how_many_connects_were_late() {
    if !require_tools(&["prometheus", "promtool"]) {
        return;
    }
    in_namespace(|| {
        let victim = listener("127.0.0.1:7640", 2);
        let capture = Capture::start(&[
            "-i",
            "lo",
            "--netns",
            "self",
            "--format",
            "json",
            "-Z",
            "nobody",
            "--metrics",
            "9464",
        ]);
        wait_for("it says where", || capture.stderr().contains("metrics: http://127.0.0.1:9464/metrics"));
        let prometheus = Prometheus::start();
        // The series of the listener begin, so that what follows is an increase.
        drop(start_connect(victim.local_addr().unwrap()));
        drop(victim.accept().unwrap());
        wait_up_to(Duration::from_secs(20), "Prometheus knows the listener", || {
            prometheus.query("sum(hsanalyze_attempts_total{listener=\"127.0.0.1:7640\"})") == Some(1.0)
        });
        let (clients, late) = overflow_and_recover(&victim);
        let of_listener = "{listener=\"127.0.0.1:7640\"}";
        let query = format!("sum(hsanalyze_late_connects_total{of_listener})");
        wait_up_to(Duration::from_secs(40), "Prometheus counts all late connects", || {
            prometheus.query(&query) == Some(late as f64)
        });
        let value = |query: &str| prometheus.query(query).unwrap_or_else(|| panic!("{query} has no answer"));
        assert_eq!(
            value("hsanalyze_attempts_total{listener=\"127.0.0.1:7640\",verdict=\"completed-late\"}"),
            late as f64
        );
        assert!(value("hsanalyze_listener_drops_total{local=\"127.0.0.1:7640\"}") >= late as f64);
        assert_eq!(value("hsanalyze_accept_queue_limit{local=\"127.0.0.1:7640\"}"), 2.0);
        assert_eq!(value(&format!("hsanalyze_connect_delay_seconds_count{of_listener}")), late as f64);
        assert_eq!(value("sum(hsanalyze_episodes_ongoing{cause=\"accept-queue-overflow\"})"), 1.0);
        assert_eq!(value("up"), 1.0);
        let (of_dashboard, of_alerts) = (queries_of_dashboard(), queries_of_alerts(&prometheus));
        assert!(of_dashboard.len() > 20 && of_alerts.len() == 4, "{of_dashboard:#?} {of_alerts:#?}");
        for query in of_dashboard.iter().chain(&of_alerts) {
            prometheus.can_answer(query);
        }

        let (head, text) = get("127.0.0.1:9464", "/metrics", "text/plain");
        assert!(head.contains("200 OK") && head.contains("text/plain; version=0.0.4"), "{head}");
        assert!(get("127.0.0.1:9464", "/metrics", "application/openmetrics-text").1.ends_with("# EOF\n"));
        let checked = program("promtool", ["check", "metrics"]).stdin(text.clone()).succeed();
        assert_eq!((checked.stdout.as_slice(), checked.stderr.as_str()), (&b""[..], ""), "{text}");
        assert!(get("127.0.0.1:9464", "/healthz", "*/*").1.contains("ok"));
        assert!(get("127.0.0.1:9464", "/", "*/*").0.contains("404 Not Found"));

        let report = capture.stop().json();
        let listeners = report["listeners"].as_array().unwrap();
        let of_report = listeners.iter().find(|one| one["server"] == "127.0.0.1:7640").unwrap();
        assert_eq!(of_report["verdicts"]["completed-late"], late, "{of_report:#}");
        drop((clients, prometheus));
    });
}

#[test]
fn clients_that_send_slowly_stop_neither_the_capture_nor_other_clients() {
    in_namespace(|| {
        let server = listener("127.0.0.1:7641", 64);
        let capture = Capture::start(&[
            "-i",
            "lo",
            "--netns",
            "self",
            "--metrics",
            "0",
            "--format",
            "json",
            "port 7641",
        ]);
        wait_for("it says where", || capture.stderr().contains("metrics: http://"));
        let stderr = capture.stderr();
        let address = stderr.split("metrics: http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let slow: Vec<TcpStream> = (0..200)
            .map(|_| {
                let mut stream = TcpStream::connect(&address).unwrap();
                stream.write_all(b"GET /metrics HTTP/1.1\r\nX-").unwrap();
                stream
            })
            .collect();
        let done: Vec<TcpStream> = (0..20)
            .map(|_| {
                let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
                server.accept().unwrap().0.write_all(b"hello").unwrap();
                client
            })
            .collect();
        let counted =
            || sum(&get(&address, "/metrics", "").1, "hsanalyze_attempts_total{listener=\"127.0.0.1:7641\"");
        wait_up_to(Duration::from_secs(15), "all attempts are counted", || counted() as usize == done.len());
        drop((slow, done));
        assert_eq!(capture.stop().json()["verdicts"]["completed"], 20);
    });
}

#[test]
fn a_port_in_use_is_an_error_before_the_capture() {
    in_namespace(|| {
        let taken = listener("127.0.0.1:0", 1);
        let address = taken.local_addr().unwrap();
        let said = fail(command(PROGRAM), &["-i", "lo", "--metrics", &address.port().to_string()]);
        assert!(
            said.contains(&format!("--metrics {address}: cannot listen there: Address already in use")),
            "{said}"
        );
        let elsewhere: SocketAddr = "192.0.2.1:9464".parse().unwrap();
        let said = fail(command(PROGRAM), &["-i", "lo", "--metrics", &elsewhere.to_string()]);
        assert!(said.contains("--metrics 192.0.2.1:9464: cannot listen there: "), "{said}");
    });
}

const BEGIN: &str = "<!-- made from the code: UPDATE_DOCS=1 cargo test --test it metrics -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_page_has_the_table_of_the_code() {
    let path = format!("{ROOT}/docs/METRICS.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the table's beginning");
    let (table, after) = rest.split_once(END).expect("the table's end");
    let rows = GUIDES.iter().map(|guide| {
        let labels: Vec<String> = guide.labels.iter().map(|label| format!("`{label}`")).collect();
        format!(
            "| `{}` | {} | {} | {} |\n",
            guide.full_name(),
            guide.kind.name(),
            labels.join(", "),
            guide.help
        )
    });
    let expected: String =
        std::iter::once("| name | kind | labels | meaning |\n|---|---|---|---|\n".to_owned())
            .chain(rows)
            .collect();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, [before, BEGIN, &expected, END, after].concat()).unwrap();
        return;
    }
    assert_eq!(table, expected);
}

/// The names of our metrics that a text uses, without the suffixes of a histogram's series.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("hsanalyze_"));
    let plain = |word: &str| {
        ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| word.strip_suffix(suffix))
            .unwrap_or(word)
            .to_owned()
    };
    ours.map(plain).collect()
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_exist() {
    let known: BTreeSet<String> = GUIDES.iter().map(|guide| guide.full_name()).collect();
    let dashboard = contrib("grafana/hsanalyze.json");
    assert_eq!(names(&dashboard), known, "the dashboard shows every metric, and no others");
    for path in ["prometheus/alerts.yml", "prometheus/alerts.test.yml"] {
        let unknown: Vec<String> = names(&contrib(path)).difference(&known).cloned().collect();
        assert_eq!(unknown, [""; 0], "{path}");
    }
}

#[test]
fn alerts_are_raised_when_they_should_be() {
    if !require_tools(&["promtool"]) {
        return;
    }
    let folder = format!("{ROOT}/contrib/prometheus");
    program("promtool", ["check", "config", &format!("{folder}/prometheus.yml")]).succeed();
    program("promtool", ["check", "rules", &format!("{folder}/alerts.yml")]).succeed();
    program("promtool", ["test", "rules", &format!("{folder}/alerts.test.yml")]).succeed();
}

#[test]
fn the_service_is_confined() {
    if !require_tools(&["systemd-analyze"]) {
        return;
    }
    let unit = format!("{ROOT}/contrib/systemd/hsanalyze.service");
    // In tenths: 20 is the best that a service with a packet socket reached.
    program("systemd-analyze", ["security", "--offline=true", "--threshold=20", &unit]).succeed();
}
