//! Arbitrary bytes as what a client sends to the metrics, whole and in parts.
//!
//! Looks for panics, for a head that is read on past its bound, for answers that depend on how the bytes arrive, and for
//! answers with another head or length than they claim.

#![no_main]

use hsanalyze::fuzzing::http_answer;
use libfuzzer_sys::fuzz_target;

/// Bytes of a head after which there is an answer, whatever they are.
const MOST: usize = 8 * 1024;

fuzz_target!(|input: (u16, &[u8])| {
    let (some, bytes) = input;
    let whole = http_answer(bytes);
    assert!(whole.is_some() || bytes.len() <= MOST);
    // As they arrive: what is there is looked at anew each time.
    let step = 1 + usize::from(some) % 512;
    let in_parts = (step..bytes.len()).step_by(step).find_map(|length| http_answer(&bytes[..length]));
    match (&whole, in_parts) {
        (None, early) => assert_eq!(early, None),
        (Some(whole), Some(early)) if status(whole) == "200" => assert_eq!(*whole, early),
        _ => {}
    }
    if let Some(answer) = whole {
        check(&answer);
    }
});

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).expect("a status line")
}

/// A head that a client can read, and as long a text as it says, or none where HEAD asked.
fn check(answer: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let mut lines = head.split("\r\n");
    assert!(lines.next().is_some_and(|line| line.starts_with("HTTP/1.1 ")), "{head}");
    let fields: Vec<(&str, &str)> =
        lines.map(|line| line.split_once(": ").expect("a name and a value")).collect();
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).filter(|&name| name != "Allow").collect();
    assert_eq!(names, ["Content-Type", "Content-Length", "Cache-Control", "Connection"]);
    let length: usize = fields.iter().find(|(name, _)| *name == "Content-Length").unwrap().1.parse().unwrap();
    assert!(body.len() == length || body.is_empty(), "{length} and {}", body.len());
}
