//! TCP checksums of segments without payload (RFC 9293 §3.1): what a handshake consists of, and what any capture holds whole.

use super::network::Addresses;
use crate::packet::Checksum;

/// The protocol number of TCP, as the pseudo-header has it.
const TCP: u16 = 6;

/// Verifies the checksum of a segment that has no payload, by its header.
#[inline(always)]
pub(super) fn verify(addresses: Addresses, header: &[u8]) -> Checksum {
    // One's complement sums do not depend on the byte order (RFC 1071 §2): the words are added as they are in memory.
    let pseudo = match addresses {
        Addresses::V4(from, to) => words(&from) + words(&to),
        Addresses::V6(from, to) => words(&from) + words(&to),
    };
    let length = header.len() as u16;
    let sum = pseudo + words(header) + u64::from(TCP.to_be()) + u64::from(length.to_be());
    if fold(sum) == u16::MAX { Checksum::Right } else { Checksum::Wrong }
}

/// The sum of the words of 32 bits; the lengths of all that is summed are multiples of that.
#[inline(always)]
fn words(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|&word| u64::from(u32::from_ne_bytes(word))).sum()
}

#[inline(always)]
const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

#[cfg(test)]
mod tests {
    use etherparse::{TcpHeader, TcpOptionElement};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn checksums_are_those_of_another_implementation(
            from in any::<[u8; 16]>(),
            to in any::<[u8; 16]>(),
            seq in any::<u32>(),
            ack in any::<u32>(),
            stamps in any::<Option<(u32, u32)>>(),
            flip in 0_usize..20,
        ) {
            let mut header = TcpHeader::new(1, 2, seq, 3);
            header.syn = true;
            header.acknowledgment_number = ack;
            if let Some((tsval, tsecr)) = stamps {
                header.set_options(&[TcpOptionElement::Timestamp(tsval, tsecr)]).unwrap();
            }
            let v4 = |address: [u8; 16]| *address.first_chunk::<4>().unwrap();
            for addresses in [Addresses::V4(v4(from), v4(to)), Addresses::V6(from, to)] {
                header.checksum = match addresses {
                    Addresses::V4(from, to) => header.calc_checksum_ipv4_raw(from, to, &[]).unwrap(),
                    Addresses::V6(from, to) => header.calc_checksum_ipv6_raw(from, to, &[]).unwrap(),
                };
                let mut bytes = header.to_bytes().to_vec();
                prop_assert_eq!(verify(addresses, &bytes), Checksum::Right);
                bytes[flip] ^= 1;
                prop_assert_eq!(verify(addresses, &bytes), Checksum::Wrong);
            }
        }
    }
}
