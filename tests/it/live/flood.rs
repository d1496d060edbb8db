//! A flood of SYNs through a real interface, as fast as one host sends them, while another host makes real connections.
//!
//! CI sends 60,000; `HSANALYZE_FLOOD=1000000 cargo test --release --test it flood_at_line_rate -- --nocapture` sends a
//! million and shows its figures.

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;
use pcap::Capture as Device;

use super::Host;
use super::run::Capture;
use crate::namespace::{in_namespace, listener, run};
use crate::util::{count, list, string};

const SERVER: [u8; 4] = [10, 77, 0, 254];
const PORT: u16 = 7_521;

/// The address of the bridge's own end.
fn hardware_address(interface: &str) -> [u8; 6] {
    let shown = run("ip", &["-o", "link", "show", interface]);
    let text = shown.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

/// Sends so many SYNs, each from an address of its own.
fn flood(interface: &str, to: [u8; 6], syns: u32) {
    let mut device = Device::from_device(interface).unwrap().snaplen(1).open().unwrap();
    for n in 0..syns {
        let [_, high, middle, low] = n.to_be_bytes();
        let syn = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], to)
            .ipv4([11, high, middle, low], SERVER, 64)
            .tcp(1_024 + (n % 60_000) as u16, PORT, n.wrapping_mul(2_654_435_761), 64_240)
            .syn()
            .options_raw(&[2, 4, 5, 180])
            .unwrap();
        let mut frame = Vec::with_capacity(64);
        syn.write(&mut frame, &[]).unwrap();
        // A full queue of the interface is a SYN that its own host drops.
        let _ = device.sendpacket(frame);
    }
}

/// The highest anonymous memory of a process so far, in MiB, sampled until it is told to stop.
fn watch_memory(process: i32) -> (Arc<AtomicBool>, Arc<AtomicU64>) {
    let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (until, highest) = (Arc::clone(&stop), Arc::clone(&peak));
    thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
            let now = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            highest.fetch_max(now.unwrap_or(0) >> 10, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(5));
        }
    });
    (stop, peak)
}

#[test]
fn a_flood_at_line_rate_hides_no_real_handshake() {
    let syns: u32 = std::env::var("HSANALYZE_FLOOD").map_or(60_000, |syns| syns.parse().unwrap());
    in_namespace(move || {
        run("ip", &["link", "add", "bridge0", "type", "bridge"]);
        run("ip", &["address", "add", "10.77.0.254/24", "dev", "bridge0"]);
        run("ip", &["link", "set", "bridge0", "up"]);
        let (client, attacker) = (Host::connect("c", "10.77.0.1/24"), Host::connect("f", "10.77.0.66/24"));
        let server = listener("10.77.0.254:7521", 128);
        thread::spawn(move || server.incoming().for_each(drop));
        // Other tests have listeners that overflow, in namespaces of their own.
        let listed = ["--netns", "self", "--format", "json", "--verdict", "completed,completed-late"];
        let capture =
            Capture::start(&[&["-i", "bridge0", "-B", "16384"][..], &listed[..], &["tcp"]].concat());
        let (stop, peak) = watch_memory(capture.pid().as_raw());

        let to = hardware_address("bridge0");
        let (flooded, is_flooded) = std::sync::mpsc::channel();
        let begin = Instant::now();
        attacker.run(move || {
            flood("f-eth", to, syns);
            flooded.send(begin.elapsed()).unwrap();
        });
        let (connected, made) = std::sync::mpsc::channel();
        let over = Arc::clone(&stop);
        client.run(move || {
            let mut count = 0;
            while count < 100 || !over.load(Ordering::Relaxed) {
                let address = (std::net::Ipv4Addr::from(SERVER), PORT).into();
                count += u64::from(TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok());
                thread::sleep(Duration::from_millis(2));
            }
            connected.send(count).unwrap();
        });
        let took = is_flooded.recv_timeout(Duration::from_secs(120)).unwrap();
        stop.store(true, Ordering::Relaxed);
        let real: u64 = made.recv_timeout(Duration::from_secs(60)).unwrap();
        thread::sleep(Duration::from_millis(1_500));
        let report = capture.stop().json();

        let dropped = count(&report, "/captures/0/dropped");
        let completed = list(&report, "attempts").iter();
        let completed =
            completed.filter(|attempt| string(attempt, "client").starts_with("10.77.0.1:")).count() as u64;
        let all: u64 = report["verdicts"].as_object().unwrap().values().filter_map(|n| n.as_u64()).sum();
        let (peak, rate) = (peak.load(Ordering::Relaxed), f64::from(syns) / took.as_secs_f64());
        println!(
            "{syns} SYNs, {rate:.0} a second; {completed} of {real} real handshakes; {all} attempts, {dropped} packets \
             dropped by the capture; {peak} MiB"
        );
        // What the capture dropped is told; all else is an attempt.
        assert!(all + dropped >= real + u64::from(syns) * 9 / 10, "{all} attempts, {dropped} dropped");
        assert!(completed + dropped >= real, "{completed} of {real} real handshakes, {dropped} dropped");
        assert!(completed * 10 >= real * 9, "{completed} of {real} real handshakes, {dropped} dropped");
        // A million undecided attempts, and the buffer.
        assert!(peak < 600, "{peak} MiB");
        let [listener] = list(&report, "listeners") else { panic!("{:#}", report["listeners"]) };
        let floods =
            list(listener, "episodes").iter().filter(|episode| episode["cause"] == "syn-flood").count();
        assert_eq!(floods, 1, "the flood is one: {:#}", listener["episodes"]);
    });
}
