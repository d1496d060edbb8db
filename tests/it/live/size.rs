//! The size of a queue that overflows while it is watched: the kernel's limit, sockets, cookies and samples sharpen it.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::run::Capture;
use crate::namespace::{in_namespace, listener, start_connect, sysctl};

/// Accepts one connection each 20 ms, and keeps it.
fn accept_slowly(listener: TcpListener, stop: Arc<AtomicBool>) {
    listener.set_nonblocking(true).unwrap();
    let mut kept = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        kept.extend(listener.accept());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn kernel_counts_fill_in_what_packets_do_not_show() {
    in_namespace(|| {
        sysctl("net.ipv4.tcp_syncookies", 0);
        let capture = Capture::start(&["-i", "lo", "--format", "ndjson", "port", "7510"]);
        let slow = listener("127.0.0.1:7510", 8);
        let server = slow.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let accepting = thread::spawn(move || accept_slowly(slow, stopped));
        // Twice as many as are accepted, for 4 s.
        let clients: Vec<_> = (0..400)
            .map(|_| {
                thread::sleep(Duration::from_millis(10));
                start_connect(server)
            })
            .collect();
        let ended = capture.stop();
        stop.store(true, Ordering::Relaxed);
        accepting.join().unwrap();
        let listener = &ended.objects("listener")[0];
        assert_eq!(listener["confidence"], "confirmed", "{ended}");
        let size = &listener["size"];
        assert_eq!(size["limit"], serde_json::json!({"value": 8, "known": true}), "{ended}");
        assert_eq!(size["syncookies"], serde_json::json!({"on": false, "known": true}), "{ended}");
        assert_eq!(size["sockets"], 1, "{ended}");
        let accepts = &size["accepts"];
        // A sleep is longer on a machine that is busy with other tests.
        assert!((20.0..55.0).contains(&accepts["per_second"].as_f64().unwrap()), "{size}");
        assert!(accepts["over"].as_f64().unwrap() > 1.5, "{size}");
        drop(clients);
    });
}
