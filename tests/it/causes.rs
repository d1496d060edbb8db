//! The table of causes in `docs/CAUSES.md` is the one in the code. `UPDATE_DOCS=1` writes it.

use std::fmt::Write as _;
use std::{env, fs};

use hsanalyze::listener::{CauseGuide, cause_guides};

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
    let mut table = "| cause | what shows it | what else could | what excludes it | how sure | example |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for guide in cause_guides() {
        let CauseGuide { cause, shown_by, looks_like, excluded_by, surest, confirmed_by, example } = guide;
        let mut sure = format!("`{}` at best by packets", surest.name());
        if !confirmed_by.is_empty() {
            write!(sure, "; `confirmed` by the kernel: {confirmed_by}").unwrap();
        }
        let cause = cause.name();
        writeln!(table, "| `{cause}` | {shown_by} | {looks_like} | {excluded_by} | {sure} | `{example}` |")
            .unwrap();
    }
    table
}

#[test]
fn every_cause_has_a_bundled_example_that_shows_it() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    for guide in cause_guides() {
        let folders =
            ["captures", "field", "examples"].map(|folder| format!("{root}/{folder}/{}", guide.example));
        let bundled = |path: &&String| !guide.example.is_empty() && fs::exists(path).unwrap();
        let path = folders.iter().find(bundled).unwrap_or_else(|| panic!("{}", guide.cause.name()));
        let report = crate::util::hsanalyze(["--format", "json", path]).succeed().json();
        let causes: Vec<_> =
            crate::util::list(&report, "attempts").iter().map(|a| a["cause"].clone()).collect();
        assert!(causes.iter().any(|cause| *cause == guide.cause.name()), "{}: {causes:?}", guide.example);
    }
}
