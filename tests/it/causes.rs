//! The table of causes in `docs/CAUSES.md` is the one in the code. `UPDATE_DOCS=1` writes it.

use std::fmt::Write as _;
use std::{env, fs};

use hsanalyze::listener::cause_guides;

const BEGIN: &str = "<!-- made from the code: UPDATE_DOCS=1 cargo test --test it causes -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_page_has_the_table_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CAUSES.md");
    let page = fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the table's beginning");
    let (table, after) = rest.split_once(END).expect("the table's end");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, [before, BEGIN, &expected(), END, after].concat()).unwrap();
        return;
    }
    assert_eq!(table, expected());
}

fn expected() -> String {
    let mut table =
        "| cause | shown by | excluded by, or doubted for | example |\n|---|---|---|---|\n".to_owned();
    for guide in cause_guides() {
        let example = match guide.example {
            "" => String::new(),
            name => format!("`{name}`"),
        };
        let (cause, shown_by, excluded_by) = (guide.cause.name(), guide.shown_by, guide.excluded_by);
        writeln!(table, "| `{cause}` | {shown_by} | {excluded_by} | {example} |").unwrap();
    }
    table
}

#[test]
fn every_example_is_bundled_and_shows_its_cause() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    for guide in cause_guides().filter(|guide| !guide.example.is_empty()) {
        let folders = ["captures", "field"].map(|folder| format!("{root}/{folder}/{}", guide.example));
        let path = folders.iter().find(|path| fs::exists(path).unwrap()).expect(guide.example);
        let report = crate::util::hsanalyze(["--format", "json", path]).succeed().json();
        let causes: Vec<_> =
            crate::util::list(&report, "attempts").iter().map(|a| a["cause"].clone()).collect();
        assert!(causes.iter().any(|cause| *cause == guide.cause.name()), "{}: {causes:?}", guide.example);
    }
}
