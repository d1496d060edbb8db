//! Link types, tags and tunnels around one SYN.

use super::*;

/// A label stack entry; the last one has the bottom bit.
const LABEL: [u8; 4] = [0, 1, 0x00, 64];
const BOTTOM: [u8; 4] = [0, 2, 0x01, 64];

#[test]
fn raw_link_types() {
    for link in [LinkType::RAW, LinkType::RAW_12, LinkType::RAW_14, LinkType::IPV4] {
        assert_syn_v4(link, &ipv4(6, &syn()));
    }
    for link in [LinkType::RAW, LinkType::RAW_12, LinkType::RAW_14, LinkType::IPV6] {
        assert_syn_v6(link, &ipv6(6, &syn()));
    }
    assert_eq!(decode_as(LinkType::RAW, &[0x70; 60]), Err(Skip::NotIp));
}

#[test]
fn bsd_loopback_in_either_byte_order() {
    let with = |family: [u8; 4], packet: &[u8]| join(&[&family, packet]);
    assert_syn_v4(LinkType::NULL, &with(2u32.to_le_bytes(), &ipv4(6, &syn())));
    assert_syn_v4(LinkType::NULL, &with(2u32.to_be_bytes(), &ipv4(6, &syn())));
    assert_syn_v4(LinkType::LOOP, &with(2u32.to_be_bytes(), &ipv4(6, &syn())));
    for family in [10u32, 24, 28, 30] {
        assert_syn_v6(LinkType::NULL, &with(family.to_le_bytes(), &ipv6(6, &syn())));
        assert_syn_v6(LinkType::NULL, &with(family.to_be_bytes(), &ipv6(6, &syn())));
        assert_syn_v6(LinkType::LOOP, &with(family.to_be_bytes(), &ipv6(6, &syn())));
    }
    let appletalk = with(16u32.to_le_bytes(), &[0; 40]);
    assert_eq!(decode_as(LinkType::NULL, &appletalk), Err(Skip::NotIp));
}

#[test]
fn linux_cooked() {
    let v1 = |hardware: u16, protocol: u16, packet: &[u8]| {
        let tail = [&[0, 6], &[2; 8][..], &protocol.to_be_bytes()].concat();
        join(&[&[0, 0], &hardware.to_be_bytes(), &tail, packet])
    };
    let v2 = |hardware: u16, protocol: u16, packet: &[u8]| {
        let head = [&protocol.to_be_bytes()[..], &[0, 0, 0, 0, 0, 3]].concat();
        join(&[&head, &hardware.to_be_bytes(), &[0, 6], &[2; 8], packet])
    };
    // Ethernet, loopback, PPP, TUN, a GRE interface.
    for hardware in [1, 772, 512, 0xfffe, 778] {
        assert_syn_v4(LinkType::LINUX_SLL, &v1(hardware, 0x0800, &ipv4(6, &syn())));
        assert_syn_v6(LinkType::LINUX_SLL2, &v2(hardware, 0x86dd, &ipv6(6, &syn())));
    }
    let tagged = join(&[&[0, 5, 0x08, 0x00], &ipv4(6, &syn())]);
    assert_syn_v4(LinkType::LINUX_SLL2, &v2(1, 0x8100, &tagged));
    // Netlink, whose protocol field counts netlink families; 802.2 frames.
    assert_eq!(decode_as(LinkType::LINUX_SLL, &v1(824, 0x0800, &ipv4(6, &syn()))), Err(Skip::NotIp));
    assert_eq!(decode_as(LinkType::LINUX_SLL2, &v2(1, 4, &[0x42; 40])), Err(Skip::NotIp));
}

#[test]
fn ppp_framed_and_compressed() {
    let forms: [&[u8]; 4] = [&[0xff, 3, 0, 0x21], &[0xff, 3, 0x21], &[0, 0x21], &[0x21]];
    for form in forms {
        assert_syn_v4(LinkType::PPP, &join(&[form, &ipv4(6, &syn())]));
    }
    assert_syn_v6(LinkType::PPP, &join(&[&[0xff, 3, 0, 0x57], &ipv6(6, &syn())]));
    assert_syn_v4(LinkType::PPP, &join(&[&[0x02, 0x81], &BOTTOM, &ipv4(6, &syn())]));
    // LCP.
    assert_eq!(decode_as(LinkType::PPP, &[0xff, 3, 0xc0, 0x21, 1, 1, 0, 4]), Err(Skip::NotIp));
}

#[test]
fn unknown_link_types_are_counted_apart_from_packets_that_are_not_ip() {
    assert_eq!(decode_as(LinkType(147), &ipv4(6, &syn())), Err(Skip::UnsupportedLinkType));
}

#[test]
fn vlan_tags_stacked() {
    let tagged = |tags: &[u16], inner: u16, packet: &[u8]| {
        let mut data = vec![2; 12];
        for tag in tags {
            data.extend(tag.to_be_bytes());
            data.extend([0, 100]);
        }
        join(&[&data, &inner.to_be_bytes(), packet])
    };
    for tags in [&[0x8100][..], &[0x88a8, 0x8100], &[0x9100, 0x8100], &[0x88a8, 0x88a8, 0x8100]] {
        assert_syn_v4(LinkType::ETHERNET, &tagged(tags, 0x0800, &ipv4(6, &syn())));
        assert_syn_v6(LinkType::ETHERNET, &tagged(tags, 0x86dd, &ipv6(6, &syn())));
        assert_eq!(decode_ethernet(&tagged(tags, 0x0806, &[0; 28])), Err(Skip::NotIp));
    }
    let endless = tagged(&[0x8100; 400], 0x0800, &ipv4(6, &syn()));
    assert_eq!(decode_ethernet(&endless), Err(Skip::Malformed));
}

#[test]
fn mpls_and_pppoe() {
    let labels = join(&[&LABEL, &LABEL, &BOTTOM]);
    assert_syn_v4(LinkType::ETHERNET, &ethernet(0x8847, &join(&[&labels, &ipv4(6, &syn())])));
    assert_syn_v6(LinkType::ETHERNET, &ethernet(0x8848, &join(&[&labels, &ipv6(6, &syn())])));
    // A pseudowire, whose control word begins with a nibble of zero; one that carries no IP.
    let pseudowire = |frame: &[u8]| ethernet(0x8847, &join(&[&labels, &[0; 4], frame]));
    assert_syn_v4(LinkType::ETHERNET, &pseudowire(&ethernet(0x0800, &ipv4(6, &syn()))));
    assert_eq!(decode_ethernet(&pseudowire(&ethernet(0x0806, &[0; 28]))), Err(Skip::NotIp));

    let session = |code: u8, packet: &[u8]| {
        let [l0, l1] = u16::try_from(packet.len()).unwrap().to_be_bytes();
        ethernet(0x8864, &join(&[&[0x11, code, 0, 7, l0, l1], packet]))
    };
    assert_syn_v4(LinkType::ETHERNET, &session(0, &join(&[&[0, 0x21], &ipv4(6, &syn())])));
    assert_syn_v6(LinkType::ETHERNET, &session(0, &join(&[&[0, 0x57], &ipv6(6, &syn())])));
    assert_eq!(decode_ethernet(&session(0, &[0xc0, 0x21, 9, 1, 0, 4])), Err(Skip::NotIp));
    assert_eq!(decode_ethernet(&session(9, &[0, 0x21])), Err(Skip::Malformed));
}

#[test]
fn tunnels_show_the_inner_connection() {
    let inner = ethernet(0x0800, &ipv4(6, &syn()));
    let inner6 = ethernet(0x86dd, &ipv6(6, &syn()));
    let vxlan = |frame: &[u8]| join(&[&[0x08, 0, 0, 0, 0, 0, 42, 0], frame]);
    for port in [4789, 8472] {
        assert_syn_v4(LinkType::RAW, &ipv6(17, &udp(port, &vxlan(&inner))));
        assert_syn_v6(LinkType::RAW, &ipv4(17, &udp(port, &vxlan(&inner6))));
    }
    let geneve = |options: &[u8], protocol: u16, packet: &[u8]| {
        let first = u8::try_from(options.len() / 4).unwrap();
        join(&[&[first, 0], &protocol.to_be_bytes(), &[0, 0, 42, 0], options, packet])
    };
    assert_syn_v4(LinkType::RAW, &ipv6(17, &udp(6081, &geneve(&[], 0x6558, &inner))));
    assert_syn_v4(LinkType::RAW, &ipv6(17, &udp(6081, &geneve(&[1; 12], 0x6558, &inner))));
    assert_syn_v6(LinkType::RAW, &ipv4(17, &udp(6081, &geneve(&[1; 8], 0x86dd, &ipv6(6, &syn())))));

    let gre = |flags: u8, protocol: u16, packet: &[u8]| {
        let fields = vec![0; 4 * (flags & 0xb0).count_ones() as usize];
        join(&[&[flags, 0], &protocol.to_be_bytes(), &fields, packet])
    };
    for flags in [0, 0x80, 0x20, 0x10, 0xb0] {
        assert_syn_v4(LinkType::RAW, &ipv6(47, &gre(flags, 0x0800, &ipv4(6, &syn()))));
        assert_syn_v6(LinkType::RAW, &ipv4(47, &gre(flags, 0x6558, &inner6)));
    }
    assert_syn_v4(LinkType::RAW, &ipv4(47, &gre(0, 0x8847, &join(&[&BOTTOM, &ipv4(6, &syn())]))));

    assert_syn_v4(LinkType::RAW, &ipv6(4, &ipv4(6, &syn())));
    assert_syn_v6(LinkType::RAW, &ipv4(41, &ipv6(6, &syn())));
    // Both at once, tagged inside and out.
    let deep =
        ipv4(17, &udp(8472, &vxlan(&ethernet(0x8100, &join(&[&[0, 9, 0x86, 0xdd], &ipv6(6, &syn())])))));
    assert_syn_v6(LinkType::ETHERNET, &ethernet(0x8100, &join(&[&[0, 5, 8, 0], &ipv4(4, &deep)])));
}

#[test]
fn tunnels_of_anything_else_are_ip_but_not_tcp() {
    let arp = ethernet(0x0806, &[0; 28]);
    let not_tcp = [
        ipv4(17, &udp(4789, &join(&[&[0x08, 0, 0, 0, 0, 0, 42, 0], &arp]))),
        // No valid VNI; another Geneve version; GRE with source routing; PPTP without PPP; ERSPAN of no version.
        ipv4(17, &udp(4789, &join(&[&[0; 8], &ethernet(0x0800, &ipv4(6, &syn()))]))),
        ipv4(17, &udp(6081, &join(&[&[0x40, 0, 8, 0, 0, 0, 0, 0], &ipv4(6, &syn())]))),
        ipv4(47, &join(&[&[0x40, 0, 8, 0, 0, 0, 0, 0], &ipv4(6, &syn())])),
        ipv4(47, &join(&[&[0x30, 1, 0x88, 0x0b, 0, 60, 0, 0, 0, 0, 0, 0], &ipv4(6, &syn())])),
        ipv4(47, &join(&[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 0], &[0; 60]])),
        ipv4(41, &ipv6(58, &[128, 0, 0, 0, 0, 0, 0, 0])),
    ];
    for packet in not_tcp {
        assert_eq!(decode_as(LinkType::RAW, &packet), Err(Skip::NotTcp), "{packet:02x?}");
    }
}

#[test]
fn the_first_fragment_of_a_tunnel_is_enough() {
    const MORE_FRAGMENTS: u16 = 0x2000;
    let inner = ipv4(6, &tcp(ACK, &[], 1400));
    let [l0, l1] = u16::try_from(inner.len()).unwrap().to_be_bytes();
    let gtp = join(&[&[0x30, 255, l0, l1, 0, 0, 0, 9], &inner]);
    let first = &udp(2152, &gtp)[..80];
    let found = segment(LinkType::RAW, &ipv4_with(&[], MORE_FRAGMENTS, 17, first));
    assert_eq!((found.payload, found.flags.0), (1400, ACK));
    let later = ipv4_with(&[], 10, 17, &[0; 80]);
    assert_eq!(decode_as(LinkType::RAW, &later), Err(Skip::Fragment));
}

#[test]
fn nesting_is_bounded() {
    let mut packet = ipv4(6, &syn());
    for _ in 0..8 {
        packet = ipv4(4, &packet);
    }
    assert_syn_v4(LinkType::RAW, &packet);
    for _ in 0..100 {
        packet = ipv4(4, &packet);
    }
    assert_eq!(decode_as(LinkType::RAW, &packet), Err(Skip::Malformed));
}
