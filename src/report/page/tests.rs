//! The page without a browser; `tests/it/page.rs` drives it in one.

use super::*;
use crate::report::samples::{self, Sample};

fn page((summary, attempts): &Sample) -> String {
    let mut page = PageReport::new(ReportOptions::default());
    for attempt in attempts {
        page.count(attempt);
        page.list(attempt);
    }
    let mut bytes = Vec::new();
    page.write(&mut bytes, summary, &samples::listeners(attempts), &[]).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_diagnosis_is_there_without_the_script() {
    let page = page(&samples::overflow_mixed());
    let before = page.split("<script").next().unwrap();
    for words in ["ACCEPT QUEUE OVERFLOWS", "How sure", "Since", "What to do", "ss -ltnm", "Queue size"] {
        assert!(before.contains(words), "{words}");
    }
}

#[test]
fn nothing_from_a_capture_becomes_markup() {
    let (mut summary, attempts) = samples::overflow_mixed();
    let hostile = "</title></script><img src=x onerror=alert(1)>\"'&\u{1b}[31m.pcap";
    summary.captures[0].path = hostile.to_owned();
    summary.captures[0].damaged = Some(format!("{hostile}: damaged"));
    let page = page(&(summary, attempts));
    assert!(!page.contains("<img"), "{page}");
    assert_eq!(page.matches("</title>").count(), 1);
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains('\u{1b}'));
}

#[test]
fn the_data_is_json_without_tags() {
    let page = page(&samples::ipv6());
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["strings"][0], "");
    assert!(!data["attempts"].as_array().unwrap().is_empty());
}
