//! Interfaces that change while they are captured from.

use super::run::Capture;
use super::wire::Wire;
use crate::namespace::{in_namespace, run, wait_for};

#[test]
fn an_interface_that_was_down_is_reported_at_once_and_at_the_end() {
    in_namespace(|| {
        let mut wire = Wire::new();
        let capture = Capture::start(&["-i", wire.name, "--format", "json"]);
        wire.attempt(0, "completed");
        run("ip", &["link", "set", wire.name, "down"]);
        wait_for("a warning", || {
            capture.stderr().contains("warning: near: the interface is down, and no packets arrive")
        });
        run("ip", &["link", "set", wire.name, "up"]);
        capture.signal(nix::sys::signal::Signal::SIGTERM);
        let report = capture.ends(2).json();
        assert_eq!(
            report["captures"][0]["damaged"],
            "near: the interface was down for a time, and its packets are missing"
        );
    });
}
