//! Tells whether standard output was closed when the program was started (`hsanalyze FILE >&-`).
//!
//! Rust's runtime opens `/dev/null` in the place of a closed descriptor, so that results would be lost without an error.
//! Afterwards that cannot be told from a `/dev/null` that the caller meant, so the descriptor is looked at before.

#![expect(unsafe_code, reason = "the check has to run before Rust's runtime does")]

use std::sync::atomic::{AtomicBool, Ordering};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// True if standard output was closed when the program was started. Always false where that is not known.
pub(crate) fn was_closed() -> bool {
    WAS_CLOSED.load(Ordering::Relaxed)
}

extern "C" fn look() {
    // SAFETY: fcntl(2) with F_GETFD takes any number, and changes nothing.
    let closed = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } == -1;
    WAS_CLOSED.store(closed, Ordering::Relaxed);
}

/// Called by the C library before `main`, and so before Rust's runtime.
// SAFETY: the section holds pointers to functions of this type, which the C library calls once, on the only thread there is;
// the function needs nothing of Rust's runtime.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
