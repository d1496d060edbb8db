//! Samples of encapsulations: for each, or for each form of one, a function that wraps a packet in it.

use super::build::{Inner, ethernet, gre, ieee802_3, in_ipv4, in_ipv6, join, to_port, to_port_v6, with_port};

/// An encapsulation.
pub(super) struct Sample {
    pub(super) name: &'static str,
    /// The link type of the capture.
    pub(super) link: u16,
    pub(super) wrap: fn(&Inner) -> Vec<u8>,
    /// tshark reads it too, as it is installed.
    pub(super) tshark: bool,
}

pub(super) const ETHERNET: u16 = 1;

const fn on_ethernet(name: &'static str, wrap: fn(&Inner) -> Vec<u8>) -> Sample {
    Sample { name, link: ETHERNET, wrap, tshark: true }
}

const fn on(link: u16, name: &'static str, wrap: fn(&Inner) -> Vec<u8>) -> Sample {
    Sample { name, link, wrap, tshark: true }
}

const fn ours(sample: Sample) -> Sample {
    Sample { tshark: false, ..sample }
}

pub(super) const ALL: &[Sample] = &[
    on_ethernet("plain", Inner::frame),
    // Tags and labels.
    on_ethernet("qinq", |p| ethernet(0x88a8, &join(&[&[0, 7, 0x81, 0, 0, 8], &p.typed()]))),
    on_ethernet("cisco-metadata", |p| ethernet(0x8909, &join(&[&[1, 1, 0, 1, 0, 2], &p.typed()]))),
    on_ethernet("vn-tag", |p| ethernet(0x8926, &join(&[&[0, 5, 0, 9], &p.typed()]))),
    on_ethernet("e-tag", |p| ethernet(0x893f, &join(&[&[0, 0, 0, 5, 0, 0], &p.typed()]))),
    on_ethernet("hsr", |p| ethernet(0x892f, &join(&[&[0, 60, 0, 1], &p.typed()]))),
    on_ethernet("arista-64", |p| {
        ethernet(0xd28b, &join(&[&[0, 1, 0, 0x10], &[1, 2, 3, 4, 0, 0, 0, 5], &p.typed()]))
    }),
    on_ethernet("arista-48", |p| {
        ethernet(0xd28b, &join(&[&[0, 1, 0, 0x20], &[1, 2, 0, 0, 0, 5], &p.typed()]))
    }),
    on_ethernet("macsec", |p| ethernet(0x88e5, &join(&[&[0, 0, 0, 0, 0, 9], &p.typed(), &[7; 16]]))),
    on_ethernet("macsec-sci", |p| {
        ethernet(0x88e5, &join(&[&[0x20, 0, 0, 0, 0, 9], &[2, 0, 0, 0, 0, 1, 0, 1], &p.typed(), &[7; 16]]))
    }),
    on_ethernet("mpls", |p| ethernet(0x8847, &join(&[&[0, 1, 0, 64, 0, 2, 1, 64], &p.ip]))),
    on_ethernet("mpls-pseudowire", |p| {
        // Addresses of a known maker, for tshark's guess whether there is a control word.
        let frame = join(&[&[0, 0x1b, 0x21, 0, 0, 2, 0, 0x1b, 0x21, 0, 0, 1], &p.typed()]);
        ethernet(0x8847, &join(&[&[0, 1, 0, 64, 0, 2, 1, 64], &[0; 4], &frame]))
    }),
    on_ethernet("mpls-pseudowire-bare", |p| {
        let frame = join(&[&[0, 0x1b, 0x21, 0, 0, 2, 0, 0x1b, 0x21, 0, 0, 1], &p.typed()]);
        ethernet(0x8847, &join(&[&[0, 1, 0, 64, 0, 2, 1, 64], &frame]))
    }),
    on_ethernet("snap", |p| ieee802_3(&p.snap())),
    on_ethernet("llc-in-jumbo", |p| ethernet(0x8870, &p.snap())),
    on_ethernet("pppoe", |p| {
        let ppp = p.ppp();
        let [l0, l1] = u16::try_from(ppp.len()).unwrap().to_be_bytes();
        ethernet(0x8864, &join(&[&[0x11, 0, 0, 7, l0, l1], &ppp]))
    }),
    // Ethernet in Ethernet.
    on_ethernet("pbb", |p| ethernet(0x88e7, &join(&[&[0, 0, 0, 5], &p.frame()]))),
    on_ethernet("pbb-b-tag", |p| ethernet(0x88a8, &join(&[&[0, 7, 0x88, 0xe7], &[0, 0, 0, 5], &p.frame()]))),
    on_ethernet("fabric-path", |p| ethernet(0x8903, &join(&[&[0, 0x60], &p.frame()]))),
    on_ethernet("trill", |p| ethernet(0x22f3, &join(&[&[0, 5, 0, 1, 0, 2], &p.frame()]))),
    on_ethernet("trill-options", |p| ethernet(0x22f3, &join(&[&[0, 0x85, 0, 1, 0, 2], &[0; 8], &p.frame()]))),
    on_ethernet("nsh", |p| {
        ethernet(0x894f, &join(&[&[0x0f, 0xc6, 1, 3], &[0, 0, 1, 255], &[0; 16], &p.frame()]))
    }),
    on_ethernet("nsh-ip", |p| {
        ethernet(0x894f, &join(&[&[0x0f, 0xc2, 2, p.next_protocol()], &[0, 0, 1, 255], &p.ip]))
    }),
    // In IP.
    on_ethernet("ip-in-ip", |p| in_ipv4(if p.v6 { 41 } else { 4 }, &p.ip)),
    on_ethernet("ip-in-ipv6", |p| in_ipv6(if p.v6 { 41 } else { 4 }, &p.ip)),
    on_ethernet("ether-ip", |p| in_ipv4(97, &join(&[&[0x30, 0], &p.frame()]))),
    on_ethernet("mpls-in-ip", |p| in_ipv4(137, &join(&[&[0, 2, 1, 64], &p.ip]))),
    // In GRE.
    on_ethernet("gre", |p| gre(0xb000, if p.v6 { 0x86dd } else { 0x0800 }, &p.ip)),
    on_ethernet("gre-ethernet", |p| gre(0, 0x6558, &p.frame())),
    on_ethernet("erspan-1", |p| gre(0, 0x88be, &p.frame())),
    on_ethernet("erspan-2", |p| gre(0x1000, 0x88be, &join(&[&[0x10, 5, 0, 9, 0, 0, 0, 3], &p.frame()]))),
    on_ethernet("erspan-2-vxlan", |p| {
        let vxlan = to_port(4789, &join(&[&[8, 0, 0, 0, 0, 0, 42, 0], &p.frame()]));
        gre(0x1000, 0x88be, &join(&[&[0x10, 5, 0, 9, 0, 0, 0, 3], &vxlan]))
    }),
    on_ethernet("erspan-3", |p| {
        gre(0x1000, 0x22eb, &join(&[&[0x20, 5, 0, 9, 1, 2, 3, 4, 0, 0, 0, 0], &p.frame()]))
    }),
    on_ethernet("erspan-3-subheader", |p| {
        gre(0x1000, 0x22eb, &join(&[&[0x20, 5, 0, 9, 1, 2, 3, 4, 0, 0, 0, 1], &[0x0c; 8], &p.frame()]))
    }),
    ours(on_ethernet("erspan-3-ip", |p| {
        gre(0x1000, 0x22eb, &join(&[&[0x20, 5, 0, 9, 1, 2, 3, 4, 0, 0, 8, 0], &p.ip]))
    })),
    on_ethernet("cisco-metadata-in-gre", |p| {
        let (ether_type, ip) = (&p.typed()[..2], &p.ip);
        gre(0, 0x8909, &join(&[ether_type, &[1, 1, 0, 1, 0, 2], ip]))
    }),
    on_ethernet("nsh-in-gre", |p| gre(0, 0x894f, &join(&[&[0x0f, 0xc2, 2, 3], &[0, 0, 1, 255], &p.frame()]))),
    on_ethernet("pptp", |p| pptp(0x3001, &[0; 4], &join(&[&[0xff, 3], &p.ppp()]))),
    on_ethernet("pptp-acknowledging", |p| pptp(0x3081, &[0; 8], &p.ppp())),
    on_ethernet("wccp-2", |p| gre(0, 0x883e, &join(&[&[0, 0, 0, 0], &p.ip]))),
    ours(on_ethernet("wccp-1", |p| gre(0, 0x883e, &p.ip))),
    // In UDP.
    on_ethernet("vxlan", |p| to_port(4789, &join(&[&[8, 0, 0, 0, 0, 0, 42, 0], &p.frame()]))),
    on_ethernet("vxlan-v6", |p| to_port_v6(4789, &join(&[&[8, 0, 0, 0, 0, 0, 42, 0], &p.frame()]))),
    on_ethernet("vxlan-group-policy", |p| to_port(4789, &join(&[&[0x88, 0, 0, 7, 0, 0, 42, 0], &p.frame()]))),
    on_ethernet("vxlan-gpe", |p| {
        to_port(4790, &join(&[&[0x0c, 0, 0, p.next_protocol(), 0, 0, 42, 0], &p.ip]))
    }),
    on_ethernet("vxlan-gpe-ethernet", |p| {
        to_port_v6(4790, &join(&[&[0x0c, 0, 0, 3, 0, 0, 42, 0], &p.frame()]))
    }),
    on_ethernet("vxlan-gpe-nsh", |p| {
        let nsh = [0x0f, 0xc2, 2, 3, 0, 0, 1, 255];
        to_port(4790, &join(&[&[0x0c, 0, 0, 4, 0, 0, 42, 0], &nsh, &p.frame()]))
    }),
    on_ethernet("geneve", |p| {
        to_port(6081, &join(&[&[2, 0, 0x65, 0x58, 0, 0, 42, 0], &[1, 2, 3, 1, 0, 0, 0, 0], &p.frame()]))
    }),
    on_ethernet("mpls-in-udp", |p| to_port(6635, &join(&[&[0, 2, 1, 64], &p.ip]))),
    ours(on_ethernet("mpls-pseudowire-in-udp", |p| {
        to_port(6635, &join(&[&[0, 2, 1, 64], &[0; 4], &p.frame()]))
    })),
    on_ethernet("gtp", |p| gtp(0x30, &[], &p.ip)),
    on_ethernet("gtp-sequence", |p| gtp(0x32, &[0, 9, 0, 0], &p.ip)),
    on_ethernet("gtp-n-pdu", |p| gtp(0x31, &[0, 0, 7, 0], &p.ip)),
    on_ethernet("gtp-extensions", |p| gtp(0x34, &[0, 0, 0, 0x85, 1, 0x10, 9, 0xc0, 1, 0, 7, 0], &p.ip)),
    on_ethernet("l2tp", |p| with_port(1701, p, &join(&[&[0, 2, 0, 5, 0, 6, 0xff, 3], &p.ppp()]))),
    on_ethernet("l2tp-length-sequence", |p| {
        let ppp = p.ppp();
        let [l0, l1] = u16::try_from(12 + ppp.len()).unwrap().to_be_bytes();
        with_port(1701, p, &join(&[&[0x48, 2, l0, l1, 0, 5, 0, 6, 0, 1, 0, 1], &ppp]))
    }),
    on_ethernet("l2tp-offset", |p| {
        with_port(1701, p, &join(&[&[2, 2, 0, 5, 0, 6, 0, 2, 0, 0, 0xff, 3], &p.ppp()]))
    }),
    // tshark takes the length of cookies from an option.
    ours(on_ethernet("l2tp-3-udp", |p| {
        with_port(1701, p, &join(&[&[0, 3, 0, 0, 0, 0, 0, 7], &[0x40, 0, 0, 1], &p.frame()]))
    })),
    ours(on_ethernet("l2tp-3-ip", |p| in_ipv4(115, &join(&[&[0, 0, 0, 7], &[9; 8], &[0; 4], &p.frame()])))),
    ours(on_ethernet("l2tp-3-ip-bare", |p| in_ipv4(115, &join(&[&[0, 0, 0, 7], &p.frame()])))),
    ours(on_ethernet("l2tp-3-ppp", |p| in_ipv4(115, &join(&[&[0, 0, 0, 7], &[9; 4], &[0xff, 3], &p.ppp()])))),
    ours(on_ethernet("l2tp-3-hdlc", |p| in_ipv4(115, &join(&[&[0, 0, 0, 7], &[0x0f, 0], &p.typed()])))),
    on_ethernet("lisp", |p| to_port(4341, &join(&[&[0xc0, 1, 2, 3, 0, 0, 0, 1], &p.ip]))),
    ours(on_ethernet("lisp-gpe", |p| to_port(4341, &join(&[&[0x0c, 0, 0, 3, 0, 0, 1, 0], &p.frame()])))),
    on_ethernet("tzsp", |p| to_port(37008, &join(&[&[1, 0, 0, 1, 1], &p.frame()]))),
    on_ethernet("tzsp-tags", |p| {
        to_port(37008, &join(&[&[1, 0, 0, 1, 0x0a, 1, 0xd0, 0, 0x29, 2, 0, 60, 1], &p.frame()]))
    }),
    on_ethernet("tzsp-802.11", |p| to_port(37008, &join(&[&[1, 0, 0, 18, 1], &ieee802_11(p)]))),
    on_ethernet("capwap-802.3", |p| with_port(5247, p, &join(&[&[0, 0x10, 2, 0, 0, 0, 0, 0], &p.frame()]))),
    on_ethernet("capwap-802.11", |p| {
        let mut native = ieee802_11(p);
        native.swap(0, 1);
        with_port(5247, p, &join(&[&[0, 0x10, 3, 0, 0, 0, 0, 0], &native]))
    }),
    ours(on_ethernet("capwap-802.11-unswapped", |p| {
        let radio = [6, 2, 0, 0, 0, 0, 9, 0];
        with_port(5247, p, &join(&[&[0, 0x20, 3, 0x10, 0, 0, 0, 0], &radio, &ieee802_11(p)]))
    })),
    on(228, "teredo", |p| teredo(p, &[])),
    on(228, "teredo-authentication-origin", |p| {
        teredo(p, &join(&[&[0, 1, 0, 0], &[5; 8], &[0], &[0, 0, 1, 2, 3, 4, 5, 6]]))
    }),
    // Link types.
    on(104, "cisco-hdlc", |p| join(&[&[0x0f, 0], &p.typed()])),
    on(50, "ppp-serial", |p| join(&[&[0xff, 3], &p.ppp()])),
    on(51, "ppp-ether", |p| {
        let ppp = p.ppp();
        let [l0, l1] = u16::try_from(ppp.len()).unwrap().to_be_bytes();
        join(&[&[0x11, 0, 0, 7, l0, l1], &ppp])
    }),
    on(113, "cooked-802.2", |p| join(&[&[0, 0, 0, 1, 0, 6], &[2; 8], &[0, 4], &p.snap()])),
    on(239, "nflog", |p| nflog(p, u16::to_le_bytes)),
    ours(on(239, "nflog-big-endian", |p| nflog(p, u16::to_be_bytes))),
    on(105, "802.11", ieee802_11),
    on(105, "802.11-four-addresses", |p| join(&[&[8, 3, 0, 0], &[2; 18], &[0x10, 0], &[2; 6], &p.snap()])),
    on(105, "802.11-a-msdu", |p| {
        let snap = p.snap();
        let [l0, l1] = u16::try_from(snap.len()).unwrap().to_be_bytes();
        let subframe = join(&[&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, l0, l1], &snap]);
        join(&[&[0x88, 2, 0, 0], &[2; 18], &[0x10, 0], &[0x80, 0], &subframe])
    }),
    on(127, "radiotap", |p| join(&[&[0, 0, 8, 0, 0, 0, 0, 0], &ieee802_11(p)])),
    on(127, "radiotap-padded", |p| {
        // Two words of presence bits; time, then flags: padding between header and payload.
        let present = [0x03, 0, 0, 0x80, 0, 0, 0, 0];
        let header = join(&[&[0, 0, 25, 0], &present, &[0; 4], &[0; 8], &[0x20]]);
        join(&[&header, &[0x88, 1, 0, 0], &[2; 18], &[0x10, 0], &[0, 0], &[0, 0], &p.snap()])
    }),
    on(192, "ppi", |p| join(&[&[0, 0, 8, 0, 105, 0, 0, 0], &ieee802_11(p)])),
];

/// A data frame with QoS from a station.
fn ieee802_11(p: &Inner) -> Vec<u8> {
    join(&[&[0x88, 1, 0, 0], &[2; 18], &[0x10, 0], &[0, 0], &p.snap()])
}

fn pptp(flags: u16, numbers: &[u8], ppp: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ppp.len()).unwrap();
    let header = [flags, 0x880b, length, 5].map(u16::to_be_bytes);
    in_ipv4(47, &join(&[header.as_flattened(), numbers, ppp]))
}

fn gtp(flags: u8, optional: &[u8], payload: &[u8]) -> Vec<u8> {
    let [l0, l1] = u16::try_from(optional.len() + payload.len()).unwrap().to_be_bytes();
    to_port(2152, &join(&[&[flags, 255, l0, l1, 0, 0, 0, 9], optional, payload]))
}

/// Teredo carries IPv6 only; IPv4 goes in it as 6in4's inverse, IPv4 in IPv6.
fn teredo(p: &Inner, headers: &[u8]) -> Vec<u8> {
    let ipv6 = if p.v6 { p.ip.clone() } else { in_ipv6(4, &p.ip).split_off(14) };
    with_port(3544, p, &join(&[headers, &ipv6])).split_off(14)
}

fn nflog(p: &Inner, number: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let prefix = join(&[&number(7), &number(10), b"in\0", &[0]]);
    let payload = join(&[&number(u16::try_from(4 + p.ip.len()).unwrap()), &number(9), &p.ip]);
    join(&[&[if p.v6 { 10 } else { 2 }, 0, 0, 5], &prefix, &payload])
}
