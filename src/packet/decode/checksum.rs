//! TCP checksums of segments without payload (RFC 9293 §3.1): what a handshake consists of, and what any capture holds whole.

use super::network::Addresses;
use crate::packet::Checksum;

/// The protocol number of TCP, as the pseudo-header has it.
const TCP: u16 = 6;

/// Verifies the checksum of a segment that has no payload, by its header.
#[inline(always)]
pub(super) fn verify(addresses: Addresses, header: &[u8]) -> Checksum {
    // One's complement sums do not depend on the byte order, nor on how many bytes are added at once (RFC 1071 §2).
    let pseudo = match addresses {
        Addresses::V4(from, to) => u64::from(u32::from_ne_bytes(from)) + u64::from(u32::from_ne_bytes(to)),
        Addresses::V6(from, to) => add(sum(&from), sum(&to)),
    };
    let length = header.len() as u16;
    let protocol = u64::from(TCP.to_be()) + u64::from(length.to_be());
    let sum = add(add(pseudo, protocol), sum(header));
    // Folded to 16 bits it is all ones: a multiple of that, and not 0.
    if sum.is_multiple_of(u16::MAX.into()) { Checksum::Right } else { Checksum::Wrong }
}

/// The one's complement sum of bytes, whose number is a multiple of four.
#[inline(always)]
fn sum(bytes: &[u8]) -> u64 {
    let (longs, rest) = bytes.as_chunks();
    let last = rest.first_chunk().map_or(0, |&word| u64::from(u32::from_ne_bytes(word)));
    longs.iter().fold(last, |sum, &long| add(sum, u64::from_ne_bytes(long)))
}

/// One's complement addition: what is carried out is added at the other end.
#[inline(always)]
const fn add(one: u64, other: u64) -> u64 {
    let (sum, carried) = one.overflowing_add(other);
    sum + carried as u64
}

#[cfg(test)]
mod tests {
    use etherparse::{TcpHeader, TcpOptionElement};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sum_of_addresses_of_all_ones_carries() {
        let mut header = TcpHeader::new(1, 2, 3, 4);
        let all_ones = [u8::MAX; 16];
        header.checksum = header.calc_checksum_ipv6_raw(all_ones, all_ones, &[]).unwrap();
        assert_eq!(verify(Addresses::V6(all_ones, all_ones), &header.to_bytes()), Checksum::Right);
    }

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
