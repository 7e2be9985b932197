//! Recursion that cannot overflow the thread's stack.

/// Below this much stack, in bytes, work continues on a new one. It is what
/// code between two calls of [`deeper`] may use.
const RED_ZONE: usize = 256 * 1024;

/// The size of a new stack, in bytes.
const STACK: usize = 4 * 1024 * 1024;

/// Does work that may recurse, on a new stack if this one is nearly used up.
///
/// Whoever recurses as deep as a template or a value nests calls this once per
/// level, or once in a few. It costs about a nanosecond.
#[inline]
pub(crate) fn deeper<R>(work: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(RED_ZONE, STACK, work)
}
