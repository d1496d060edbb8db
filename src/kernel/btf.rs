//! The kernel's own type information (BTF), as far as names of an enum's values are needed.
//!
//! Numbers of drop reasons change from kernel to kernel; their names do not.

use std::collections::BTreeMap;

use super::bytes::u32_at;

/// The running kernel's types.
pub(super) const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// `BTF_MAGIC`, in the machine's byte order (`linux/btf.h`).
const MAGIC: u16 = 0xeb9f;
/// Kinds of types (`linux/btf.h`), those with data behind their 12 bytes.
const INT: u32 = 1;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const ENUM64: u32 = 19;

/// The values of the enum `name`, by number; `None` if there is no such enum, or this is no BTF.
pub(super) fn enum_values(btf: &[u8], name: &str) -> Option<BTreeMap<u32, String>> {
    if u16::from_ne_bytes(*btf.first_chunk()?) != MAGIC {
        return None;
    }
    let header_length = u32_at(btf, 4)? as usize;
    let [types_at, types_length, strings_at, strings_length] =
        [u32_at(btf, 8)?, u32_at(btf, 12)?, u32_at(btf, 16)?, u32_at(btf, 20)?].map(|value| value as usize);
    let body = btf.get(header_length..)?;
    let mut types = body.get(types_at..)?.get(..types_length)?;
    let strings = body.get(strings_at..)?.get(..strings_length)?;
    let string = |at: u32| {
        let text = strings.get(at as usize..)?;
        std::str::from_utf8(text.get(..text.iter().position(|&byte| byte == 0)?)?).ok()
    };
    while !types.is_empty() {
        let (named, info) = (u32_at(types, 0)?, u32_at(types, 4)?);
        let (kind, count) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
        let data = types.get(12..)?;
        if kind == ENUM && string(named) == Some(name) {
            let value =
                |at: usize| Some((u32_at(data, at * 8 + 4)?, string(u32_at(data, at * 8)?)?.to_owned()));
            return (0..count).map(value).collect();
        }
        let length = match kind {
            INT | VAR | DECL_TAG => 4,
            ARRAY => 12,
            STRUCT | UNION | DATASEC | ENUM64 => 12 * count,
            ENUM | FUNC_PROTO => 8 * count,
            _ => 0,
        };
        types = data.get(length..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct with one member, then `enum reason { A = 2, B = 7 }`.
    fn btf() -> Vec<u8> {
        let strings = b"\0reason\0A\0B\0";
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        let types =
            [words(&[0, STRUCT << 24 | 1, 4, 0, 0, 0]), words(&[1, ENUM << 24 | 2, 4, 8, 2, 10, 7])].concat();
        let (types_length, strings_length) = (types.len() as u32, strings.len() as u32);
        let header = [
            MAGIC.to_ne_bytes().to_vec(),
            vec![1, 0],
            words(&[24, 0, types_length, types_length, strings_length]),
        ];
        [header.concat(), types, strings.to_vec()].concat()
    }

    #[test]
    fn an_enum_is_found_behind_other_types() {
        let values = enum_values(&btf(), "reason").unwrap();
        assert_eq!(values.into_iter().collect::<Vec<_>>(), [(2, "A".to_owned()), (7, "B".to_owned())]);
        assert_eq!(enum_values(&btf(), "other"), None);
    }

    #[test]
    fn a_cut_or_foreign_file_is_none() {
        let whole = btf();
        for length in 0..whole.len() {
            assert_eq!(enum_values(&whole[..length], "reason"), None, "{length}");
        }
        assert_eq!(enum_values(&[0; 64], "reason"), None);
    }
}
