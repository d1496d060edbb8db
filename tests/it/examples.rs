//! The examples that newcomers begin with, run on what they are about.

#[expect(dead_code, reason = "its main is not run here")]
#[path = "../../examples/analyse.rs"]
mod analyse;
#[expect(dead_code, reason = "its main is not run here")]
#[path = "../../examples/segments.rs"]
mod segments;

use crate::util::capture;

#[test]
fn analyse_names_the_server_and_the_cause() {
    let mut out = Vec::new();
    analyse::analyse(&[capture("overflow_drop-server")], &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("synack-retransmitted, accept-queue-overflow"), "{text}");
}

#[test]
fn segments_are_followed_to_their_verdict() {
    let mut out = Vec::new();
    segments::report(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, "10.0.0.1:40000: synack-retransmitted, 3 ACKs ignored, accept-queue-overflow\n");
}
