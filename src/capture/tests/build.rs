//! Writers for the formats that the readers read.

use std::io::Write;

/// Byte order of a file or section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    pub(super) fn u16(self, n: u16) -> [u8; 2] {
        if self == Self::Little { n.to_le_bytes() } else { n.to_be_bytes() }
    }

    pub(super) fn u32(self, n: u32) -> [u8; 4] {
        if self == Self::Little { n.to_le_bytes() } else { n.to_be_bytes() }
    }

    pub(super) fn u64(self, n: u64) -> [u8; 8] {
        if self == Self::Little { n.to_le_bytes() } else { n.to_be_bytes() }
    }
}

/// A classic pcap file.
pub(super) struct Pcap {
    order: ByteOrder,
    modified: bool,
    pub(super) bytes: Vec<u8>,
}

impl Pcap {
    pub(super) fn new(order: ByteOrder, magic: u32, network: u32) -> Self {
        let mut bytes = order.u32(magic).to_vec();
        bytes.extend(order.u16(2));
        bytes.extend(order.u16(4));
        for field in [0, 0, 262_144, network] {
            bytes.extend(order.u32(field));
        }
        Self { order, modified: magic == 0xa1b2_cd34, bytes }
    }

    pub(super) fn micros() -> Self {
        Self::new(ByteOrder::Little, 0xa1b2_c3d4, 1)
    }

    pub(super) fn record(mut self, sec: u32, fraction: u32, wire: u32, data: &[u8]) -> Self {
        for field in [sec, fraction, data.len() as u32, wire] {
            self.bytes.extend(self.order.u32(field));
        }
        if self.modified {
            self.bytes.extend([0xee; 8]);
        }
        self.bytes.extend(data);
        self
    }
}

/// A pcapng file, block by block; a section sets the byte order of what follows.
pub(super) struct PcapNg {
    order: ByteOrder,
    pub(super) bytes: Vec<u8>,
}

impl PcapNg {
    pub(super) fn new(order: ByteOrder) -> Self {
        Self { order, bytes: Vec::new() }.section(order)
    }

    pub(super) fn section(mut self, order: ByteOrder) -> Self {
        self.order = order;
        let mut body = order.u32(0x1a2b_3c4d).to_vec();
        body.extend(order.u16(1));
        body.extend(order.u16(0));
        body.extend(order.u64(u64::MAX));
        self.block(0x0a0d_0d0a, &body)
    }

    pub(super) fn block(mut self, kind: u32, body: &[u8]) -> Self {
        let padded = body.len().next_multiple_of(4);
        let len = self.order.u32(padded as u32 + 12);
        self.bytes.extend(self.order.u32(kind));
        self.bytes.extend(len);
        self.bytes.extend(body);
        self.bytes.resize(self.bytes.len() + padded - body.len(), 0);
        self.bytes.extend(len);
        self
    }

    pub(super) fn options(&self, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (code, value) in options {
            bytes.extend(self.order.u16(*code));
            bytes.extend(self.order.u16(value.len() as u16));
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            bytes.extend([0; 4]);
        }
        bytes
    }

    pub(super) fn interface(self, link: u16, snap_len: u32, options: &[(u16, Vec<u8>)]) -> Self {
        let mut body = self.order.u16(link).to_vec();
        body.extend(self.order.u16(0));
        body.extend(self.order.u32(snap_len));
        body.extend(self.options(options));
        self.block(1, &body)
    }

    pub(super) fn enhanced(self, interface: u32, units: u64, wire: u32, data: &[u8]) -> Self {
        self.enhanced_with(interface, units, wire, data, &[])
    }

    pub(super) fn enhanced_with(
        self,
        interface: u32,
        units: u64,
        wire: u32,
        data: &[u8],
        options: &[(u16, Vec<u8>)],
    ) -> Self {
        let mut body = Vec::new();
        for field in [interface, (units >> 32) as u32, units as u32, data.len() as u32, wire] {
            body.extend(self.order.u32(field));
        }
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(self.options(options));
        self.block(6, &body)
    }

    pub(super) fn simple(self, wire: u32, data: &[u8]) -> Self {
        let mut body = self.order.u32(wire).to_vec();
        body.extend(data);
        self.block(3, &body)
    }

    pub(super) fn obsolete(self, interface: u16, units: u64, wire: u32, data: &[u8]) -> Self {
        let mut body = self.order.u16(interface).to_vec();
        body.extend(self.order.u16(0xffff));
        for field in [(units >> 32) as u32, units as u32, data.len() as u32, wire] {
            body.extend(self.order.u32(field));
        }
        body.extend(data);
        self.block(2, &body)
    }

    pub(super) fn statistics(self, interface: u32, options: &[(u16, u64)]) -> Self {
        let mut body = Vec::new();
        for field in [interface, 0, 0] {
            body.extend(self.order.u32(field));
        }
        let options: Vec<_> =
            options.iter().map(|(code, value)| (*code, self.order.u64(*value).to_vec())).collect();
        body.extend(self.options(&options));
        self.block(5, &body)
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}
