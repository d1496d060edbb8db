//! Prefetches into the processor's cache.

/// Prefetches the cache line at an address, which need not be valid.
#[inline(always)]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the instruction has no safe wrapper"))]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint: it reads nothing and faults on no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Prefetches all lines of a value, if there is one. Without a branch, because it would be mispredicted often: for no
/// value the same lines are prefetched where the stack is, because an address that is not mapped costs a page walk each.
#[inline(always)]
pub(crate) fn prefetch_all<T>(value: Option<&T>) {
    let none = std::ptr::from_ref(&value).cast::<u8>();
    let start = value.map_or(none, |value| std::ptr::from_ref(value).cast::<u8>());
    (0..size_of::<T>()).step_by(64).for_each(|offset| prefetch(start.wrapping_add(offset)));
}
