//! The language of a program, from the sections of its file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::bytes::{bytes_at, u32_at};

/// Bytes of `Elf64_Ehdr` and `Elf64_Shdr` (`linux/elf.h`).
const HEADER_LEN: usize = 64;
const SECTION_LEN: usize = 64;

/// Most bytes of section names that are read: programs have a few hundred.
const MAX_NAMES: u64 = 64 * 1024;

/// The section that every Go linker since 1.13 writes.
const GO: &[u8] = b"\0.go.buildinfo\0";

/// True if the file is a 64-bit program of this machine's byte order that was written in Go.
pub(super) fn is_go_program(mut file: &File) -> bool {
    section_names(&mut file).is_some_and(|names| names.windows(GO.len()).any(|name| name == GO))
}

/// The names of all sections, each ended by a zero byte; `None` if there are none.
pub(super) fn section_names(file: &mut (impl Read + Seek)) -> Option<Vec<u8>> {
    let header = read(file, 0, HEADER_LEN as u64)?;
    // EI_CLASS 2 is 64 bits.
    if !header.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let sections = bytes_at(&header, 40).map(u64::from_ne_bytes)?;
    let index = bytes_at(&header, 62).map(u16::from_ne_bytes)?;
    let names = sections.checked_add(u64::from(index) * SECTION_LEN as u64)?;
    let section = read(file, names, SECTION_LEN as u64)?;
    // SHT_STRTAB.
    if u32_at(&section, 4)? != 3 {
        return None;
    }
    let offset = bytes_at(&section, 24).map(u64::from_ne_bytes)?;
    let length = bytes_at(&section, 32).map(u64::from_ne_bytes)?;
    read(file, offset, length.min(MAX_NAMES))
}

fn read(file: &mut (impl Read + Seek), offset: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset)).ok()?;
    file.take(length).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == length).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A program with nothing but the names of its sections.
    fn program(names: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN + SECTION_LEN];
        bytes[..5].copy_from_slice(b"\x7fELF\x02");
        bytes[40..48].copy_from_slice(&(HEADER_LEN as u64).to_ne_bytes());
        bytes[HEADER_LEN + 4..HEADER_LEN + 8].copy_from_slice(&3_u32.to_ne_bytes());
        let offset = bytes.len() as u64;
        bytes[HEADER_LEN + 24..HEADER_LEN + 32].copy_from_slice(&offset.to_ne_bytes());
        bytes[HEADER_LEN + 32..HEADER_LEN + 40].copy_from_slice(&(names.len() as u64).to_ne_bytes());
        [&bytes, names].concat()
    }

    #[test]
    fn a_go_program_has_its_section() {
        let names = b"\0.text\0.go.buildinfo\0";
        assert_eq!(section_names(&mut Cursor::new(program(names))).unwrap(), names);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        for (names, go) in [(&names[..], true), (b"\0.text\0.shstrtab\0", false)] {
            std::fs::write(&path, program(names)).unwrap();
            assert_eq!(is_go_program(&File::open(&path).unwrap()), go);
        }
        assert!(!is_go_program(&File::open("/proc/self/exe").unwrap()), "this one is written in Rust");
    }

    #[test]
    fn a_damaged_file_has_no_names() {
        let whole = program(b"\0.go.buildinfo\0");
        for length in 0..whole.len() {
            assert_eq!(section_names(&mut Cursor::new(&whole[..length])), None, "{length}");
        }
        let mut far = whole.clone();
        far[40..48].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(section_names(&mut Cursor::new(far)), None);
    }
}
