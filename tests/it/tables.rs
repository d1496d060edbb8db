//! `--format parquet`: other programs read the tables, and find in them what the JSON report has.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::util::{hsanalyze, program, require_tools};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The Python that `scripts/setup archives` installs; `None`, and it is said, without it.
pub(crate) fn python() -> Option<PathBuf> {
    // Beside the directory of the profile.
    let build = Path::new(env!("CARGO_BIN_EXE_hsanalyze")).ancestors().nth(2)?;
    let python = build.join("venv/bin/python");
    if python.exists() {
        return Some(python);
    }
    missing("the Python environment of `scripts/setup archives`");
    None
}

/// Says that something is missing, so that a test is skipped; in CI that is a failure.
fn missing(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing");
    // Past the capture of a test's output.
    let _ = io::stderr().write_all(format!("SKIPPED: {what} is missing\n").as_bytes());
}

#[test]
fn duckdb_reads_what_the_json_report_has() {
    let Some(python) = python() else { return };
    let python = python.to_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let captures = |folder: &str| {
        let files = fs::read_dir(format!("{ROOT}/fixtures/{folder}")).unwrap();
        let mut files: Vec<String> =
            files.map(|file| file.unwrap().path().to_str().unwrap().to_owned()).collect();
        files.retain(|file| file.ends_with(".pcap") || file.ends_with(".pcapng"));
        files.sort();
        files
    };
    let mut arguments = vec![format!("{ROOT}/tests/it/tables/duckdb_reads.py")];
    for (place, file) in captures("captures").iter().chain(&captures("examples")).enumerate() {
        let path = |name: &str| format!("{}/host=a/day={place}/{name}", directory.path().display());
        let (tables, report) = (path("tables"), path("report.json"));
        hsanalyze(["--format", "parquet", "-o", &tables, file]).succeed();
        hsanalyze(["--format", "json", "-o", &report, file]).succeed();
        arguments.extend([tables, report]);
    }
    assert!(arguments.len() > 20);
    program(python, arguments).succeed();
}

#[test]
fn the_recipes_of_the_page_run() {
    let Some(python) = python() else { return };
    let directory = tempfile::tempdir().unwrap();
    let capture = format!("{ROOT}/fixtures/captures/overflow_mixed-server.pcap");
    for place in ["host=a/day=1", "host=b/day=2", "."] {
        let tables = directory.path().join(place);
        hsanalyze(["--format", "parquet", "-o", tables.to_str().unwrap(), &capture]).succeed();
    }
    let script = format!("{ROOT}/tests/it/tables/recipes.py");
    let page = format!("{ROOT}/docs/ARCHIVES.md");
    let ran =
        program(python.to_str().unwrap(), [&script, &page, directory.path().to_str().unwrap()]).succeed();
    assert!(ran.text().contains("5 recipes"), "{ran}");
}

#[test]
fn totals_of_spark_are_those_of_one_run() {
    let (Some(python), true) = (python(), require_tools(&["java", "editcap"])) else { return };
    let built = env!("CARGO_BIN_EXE_hsanalyze");
    let generate = Path::new(built).with_file_name("examples").join("generate");
    if !generate.exists() {
        return missing("the example `generate`, which `cargo test` builds");
    }
    let script = format!("{ROOT}/contrib/spark/check.py");
    let archive = ["--points", "3", "--files", "5", "--packets", "3000", "--pace", "20", "--executors", "2"];
    let archive = [&archive[..], &["--object-store"]].concat();
    let programs = [&script, "--program", built, "--generate", generate.to_str().unwrap()];
    let ran = program(python.to_str().unwrap(), [&programs[..], &archive].concat()).succeed();
    assert!(ran.text().contains("the same totals") && ran.text().contains("to an object store"), "{ran}");
}

#[test]
fn the_point_of_a_file_is_its_directory_or_in_its_path_or_its_interface() {
    let (Some(python), true) = (python(), require_tools(&["zstd"])) else { return };
    let script = format!("{ROOT}/tests/it/tables/points.py");
    let capture = format!("{ROOT}/fixtures/size/burst.pcapng");
    let arguments = [&script, env!("CARGO_BIN_EXE_hsanalyze"), &capture, "server"];
    assert!(program(python.to_str().unwrap(), arguments).succeed().text().contains("points found"));
}

#[test]
fn kubernetes_takes_the_daemon_set() {
    let Some(python) = python() else { return };
    let validate = python.with_file_name("kubernetes-validate");
    let manifest = format!("{ROOT}/contrib/kubernetes/daemonset.yaml");
    let ran = program(validate.to_str().unwrap(), ["--strict", "-k", "1.31", &manifest]).succeed();
    assert!(ran.to_string().contains("passed for resource daemonset/hsanalyze"), "{ran}");
}

#[test]
fn grafana_takes_the_dashboard() {
    let Some(python) = python() else { return };
    let script = format!("{ROOT}/tests/it/tables/dashboard.py");
    let dashboard = format!("{ROOT}/contrib/grafana/hsanalyze.json");
    let ran = program(python.to_str().unwrap(), [script, dashboard]).succeed();
    assert!(ran.text().contains("17 panels"), "{ran}");
}

#[test]
fn tables_need_a_directory_and_appear_when_they_are_complete() {
    let capture = format!("{ROOT}/fixtures/captures/overflow_mixed-server.pcap");
    for output in [&[][..], &["-o", "-"]] {
        let said = hsanalyze([output, &["--format", "parquet", &capture]].concat()).exit(2).stderr;
        assert!(said.contains("name a directory for them by -o DIR/"), "{said}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "kept").unwrap();
    let said = hsanalyze(["--format", "parquet", "-o", file.to_str().unwrap(), &capture]).exit(2).stderr;
    assert!(said.contains("cannot write "), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    let tables = directory.path().join("tables");
    let missing = ["--format", "parquet", "-o", tables.to_str().unwrap(), "/nonexistent.pcap"];
    hsanalyze(missing).exit(2);
    assert_eq!(fs::read_dir(&tables).unwrap().count(), 0);
    hsanalyze(["--format", "parquet", "-o", tables.to_str().unwrap(), &capture]).succeed();
    let mut names: Vec<_> = fs::read_dir(&tables).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["attempts.parquet", "episodes.parquet", "listeners.parquet"]);
}
