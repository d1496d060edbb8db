//! Memory-mapped windows of a file that may shrink while it is read.
//!
//! Owns the maps and the `SIGBUS` guard behind them. Does not own the content of the file.
//!
//! Touching a mapped page that the file no longer reaches (or that cannot be read from its disk) raises `SIGBUS`, whose
//! default action is to kill the process. The guard is a signal handler with a list of all live windows: for a fault
//! inside one of them it maps zero pages from the faulting page to the window's end, marks the window as cut, and the
//! read goes on. Any other `SIGBUS` goes to the previous handler. Mapping is worth this: measured with the page cache
//! warm, CPU time of the whole process, it takes 68 ms for 1.3 GB of 1514-byte records and 134 ms for 1 GB of 74-byte
//! ones; `pread` into a buffer of 256 KiB takes 165 and 201 ms.

#![expect(unsafe_code, reason = "maps files, and handles the signal of maps whose file shrank")]

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{Advice, Mmap, MmapOptions};

/// Most windows that are mapped at a time; a file beyond that is read through a buffer. Well above the usual limit of
/// 1024 open files, since a file may have several windows while frames of older ones are held.
const SLOTS: usize = 4096;

/// An unused slot.
const FREE: usize = 0;
/// A slot that is being filled: no map begins here, since addresses are page-aligned.
const CLAIMED: usize = 1;

/// Address range of a live window, for the signal handler.
struct WindowSlot {
    /// The window's first address, [`FREE`] or [`CLAIMED`].
    start: AtomicUsize,
    /// The address behind the window's last byte.
    end: AtomicUsize,
    /// Set once the guard has put zero pages into it.
    cut: AtomicBool,
}

static WINDOWS: [WindowSlot; SLOTS] = [const {
    WindowSlot { start: AtomicUsize::new(FREE), end: AtomicUsize::new(0), cut: AtomicBool::new(false) }
}; SLOTS];

/// The previous handler of `SIGBUS`; `None` when the guard could not be installed.
static PREVIOUS: OnceLock<Option<libc::sigaction>> = OnceLock::new();

/// The size of a page; read before the handler can run, since `sysconf` may not be called in it.
static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// A part of a file, mapped read-only. Reading its bytes never ends in `SIGBUS`.
#[derive(Debug)]
pub(super) struct Window {
    map: Mmap,
    slot: &'static WindowSlot,
}

impl std::fmt::Debug for WindowSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WindowSlot").field("cut", &self.cut).finish_non_exhaustive()
    }
}

impl Window {
    /// Maps `len` bytes (more than 0) of `file` from `offset`, a multiple of the page size.
    ///
    /// # Errors
    ///
    /// The error of `mmap`, or `ResourceBusy` when all slots of the guard are taken; the caller then reads the file
    /// instead.
    pub(super) fn map(file: &File, offset: u64, len: usize) -> io::Result<Self> {
        install_guard()?;
        let claim = |slot: &&WindowSlot| {
            slot.start.compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let slot = WINDOWS.iter().find(claim).ok_or(io::ErrorKind::ResourceBusy)?;
        // SAFETY: the map is read-only and private to this type. Another process may write to the
        // file at any time; only plain bytes are read, all lengths among them are checked, and
        // pages that vanish are replaced by the guard.
        let map = match unsafe { MmapOptions::new().offset(offset).len(len).map(file) } {
            Ok(map) => map,
            Err(error) => {
                slot.start.store(FREE, Ordering::Release);
                return Err(error);
            }
        };
        // Read ahead farther, and do not keep pages for long. Only a hint: errors do not matter.
        let _ = map.advise(Advice::Sequential);
        let start = map.as_ptr() as usize;
        slot.cut.store(false, Ordering::Relaxed);
        // A handler that reads this end also reads that the slot was claimed, or a later state.
        slot.end.store(start.saturating_add(map.len()), Ordering::Release);
        slot.start.store(start, Ordering::Release);
        Ok(Self { map, slot })
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// True if the guard has replaced some of the bytes by zeros, because the file no longer had them.
    pub(super) fn is_cut(&self) -> bool {
        self.slot.cut.load(Ordering::Relaxed)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // Before the map is dropped: afterwards its addresses may be reused.
        self.slot.start.store(FREE, Ordering::Release);
    }
}

/// The size of a page of memory, the unit of a window's offset.
pub(super) fn page_size() -> usize {
    // SAFETY: no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096).max(1)
}

/// Installs the guard once per process.
fn install_guard() -> io::Result<()> {
    let previous = PREVIOUS.get_or_init(|| {
        PAGE.store(page_size(), Ordering::Relaxed);
        // SAFETY: all-zero is a valid `sigaction` (default action, empty mask, no flags).
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut previous: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_sigbus;
        action.sa_sigaction = handler as usize;
        // On the alternative stack, which the previous handler, that of Rust's runtime, needs to report a stack
        // overflow.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: both structures are valid, and the handler is async-signal-safe.
        let installed = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, &raw mut previous) };
        (installed == 0).then_some(previous)
    });
    if previous.is_some() { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

/// The signal handler: maps zero pages where a window's file has ended. Async-signal-safe: it calls nothing but `mmap`
/// and `sigaction`, and touches nothing but atomics.
extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes a valid structure to a handler installed with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    for slot in &WINDOWS {
        let start = slot.start.load(Ordering::Acquire);
        let end = slot.end.load(Ordering::Acquire);
        // Another thread may give the slot to another window between the two loads: both must be of the same window.
        let of_one = slot.start.load(Ordering::Relaxed) == start;
        if of_one && start > CLAIMED && (start..end).contains(&address) && fill_with_zeros(address, end) {
            slot.cut.store(true, Ordering::Relaxed);
            return;
        }
    }
    // No window: with the previous handler restored, the instruction runs again and faults again.
    if let Some(Some(previous)) = PREVIOUS.get() {
        // SAFETY: `previous` came from `sigaction`.
        unsafe { libc::sigaction(signal, previous, ptr::null_mut()) };
    }
}

/// Maps zero pages from the page of `address` up to `end`, over what is there.
fn fill_with_zeros(address: usize, end: usize) -> bool {
    let page = address & !(PAGE.load(Ordering::Relaxed) - 1);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the range lies within the window that the faulting thread reads, so nothing else is mapped over.
    let mapped = unsafe { libc::mmap(page as *mut c_void, end - page, libc::PROT_READ, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_shrinks_reads_as_zeros_and_is_marked() {
        let page = page_size();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; 4 * page]).unwrap();
        let window = Window::map(&file, 0, 4 * page).unwrap();
        assert_eq!(window.bytes()[3 * page], 7);
        assert!(!window.is_cut());
        file.set_len(page as u64).unwrap();
        assert_eq!(window.bytes()[2 * page + 5], 0, "the read must survive");
        assert!(window.is_cut());
        assert_eq!(window.bytes()[page - 1], 7, "what is still there stays");
    }

    #[test]
    fn windows_give_their_slots_back() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100]).unwrap();
        for _ in 0..SLOTS * 2 {
            let window = Window::map(&file, 0, 100).unwrap();
            assert_eq!(window.bytes().len(), 100);
        }
    }
}
