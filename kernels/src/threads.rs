//! How many threads a kernel uses: those of the caller's rayon pool, or none but the caller.

use std::cell::Cell;

use gemm::Parallelism;

/// Rows that a thread takes at a time where it takes rows.
pub(crate) const ROWS: usize = 16;

thread_local! {
    static SERIAL: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with kernels that stay on the calling thread: for callers that already keep all threads busy.
pub fn serially<R>(f: impl FnOnce() -> R) -> R {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            SERIAL.set(self.0);
        }
    }
    let _reset = Reset(SERIAL.replace(true));
    f()
}

/// How many threads a kernel may use: those of the caller's rayon pool, or one within [`serially`].
pub fn threads() -> usize {
    if SERIAL.get() { 1 } else { rayon::current_num_threads() }
}

/// The same for matrix products.
pub(crate) fn parallelism() -> Parallelism {
    match threads() {
        0 | 1 => Parallelism::None,
        n => Parallelism::Rayon(n),
    }
}
