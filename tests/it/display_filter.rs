//! Wireshark finds exactly the problem attempts by the display filter of their listener.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::util::{captures, hsanalyze, list, program, require_tools, string};

/// The clients of the packets that the filter selects.
fn selected(path: &str, filter: &str, server: &str) -> BTreeSet<String> {
    // The inner headers of an ICMP error are the last ones.
    let fields = ["ip.src", "tcp.srcport", "ip.dst", "tcp.dstport"].map(|field| ["-e", field]).concat();
    let arguments = ["-n", "-2", "-r", path, "-Y", filter, "-T", "fields", "-E", "occurrence=l"];
    let ran = program("tshark", arguments.into_iter().chain(fields)).succeed();
    let mut clients = BTreeSet::new();
    for line in ran.text().lines() {
        let [source, source_port, target, target_port] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line:?}");
        };
        let (source, target) = (format!("{source}:{source_port}"), format!("{target}:{target_port}"));
        clients.insert(if target == server { source } else { target });
    }
    clients
}

#[test]
fn the_display_filter_finds_the_problem_attempts_and_no_others() {
    if !require_tools(&["tshark"]) {
        return;
    }
    let mut filters = 0;
    for path in captures() {
        let path = path.to_str().unwrap();
        let report = hsanalyze(["--format", "json", path]).succeed().json();
        for listener in list(&report, "listeners") {
            let server = string(listener, "server");
            let own = list(&report, "attempts").iter().filter(|attempt| attempt["server"] == server);
            let problems = own.filter(|a| a["verdict"] != "completed" && a["verdict"] != "undetermined");
            let problems: BTreeSet<String> = problems.map(|a| string(a, "client").to_owned()).collect();
            match &listener["display_filter"] {
                Value::String(filter) => {
                    assert_eq!(selected(path, filter, server), problems, "{path}: {filter}");
                    filters += 1;
                }
                none => assert_eq!((none, problems.len()), (&Value::Null, 0), "{path}"),
            }
        }
    }
    assert!(filters > 20, "{filters}");
}

/// The filter of a text report, whose lines it goes over.
fn filter_of(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("  filter "));
    let first = lines.next().unwrap_or_default().trim_start_matches("  filter").trim();
    let rest = lines.take_while(|line| line.starts_with("     "));
    let joined = rest.fold(first.to_owned(), |joined, line| joined + " " + line.trim());
    joined.replace("(Wireshark, tshark -2)", "").trim().to_owned()
}

#[test]
fn the_text_has_the_filter_of_the_json_report() {
    let mut filters = 0;
    for path in captures() {
        let path = path.to_str().unwrap();
        let report = hsanalyze(["--format", "json", path]).succeed().json();
        let filter =
            list(&report, "listeners").first().and_then(|listener| listener["display_filter"].as_str());
        let text = hsanalyze([path]).succeed();
        // What is harmless has a filter, and no block.
        if text.text().contains("\n  filter ") {
            assert_eq!(filter_of(text.text()), filter.unwrap_or_default(), "{text}");
            filters += 1;
        }
    }
    assert!(filters > 15, "{filters}");
}
