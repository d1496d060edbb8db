//! What the README shows is what the program prints.

use std::fs;

use crate::util::hsanalyze;

fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The lines of the indented block that begins with `first`, without the indentation.
fn block<'a>(readme: &'a str, first: &str) -> Vec<&'a str> {
    let indented = |line: &&str| line.starts_with("    ") || line.is_empty();
    let from = readme.lines().skip_while(|line| line.trim_start() != first).skip(1);
    from.take_while(indented).map(|line| line.strip_prefix("    ").unwrap_or(line)).collect()
}

#[test]
fn the_demo_prints_what_the_readme_shows() {
    let file = "fixtures/captures/overflow_mixed-server.pcap";
    let readme = readme();
    let shown = block(&readme, &format!("$ hsanalyze {file}"));
    let ran = hsanalyze([file]).succeed();
    let printed = ran.text();
    assert_eq!(shown.join("\n").trim_end(), printed.trim_end());
    assert!(shown.len() > 20);
}

#[test]
fn the_attempt_in_the_readme_is_a_real_one() {
    let readme = readme();
    let start = readme.find("    {\"client\"").unwrap();
    let end = start + readme[start..].find("\n\n").unwrap();
    let shown: serde_json::Value = serde_json::from_str(&readme[start..end]).unwrap();
    let report =
        hsanalyze(["--format", "json", "fixtures/captures/overflow_mixed-server.pcap"]).succeed().json();
    let attempts = report["attempts"].as_array().unwrap();
    let same = attempts.iter().find(|attempt| attempt["frame"] == shown["frame"]).unwrap();
    assert_eq!(*same, shown);
}
