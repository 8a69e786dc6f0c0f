//! How many threads candle starts of its own.

/// Starts the program again with candle's own thread pool off, unless the environment says how large it shall be.
///
/// candle runs element-wise loops on one process-wide pool that spins while it waits, and takes its size from the
/// environment alone. Addendum has a thread pool per device thread instead, which that pool would get in the way of.
/// Where a program cannot replace itself, nothing happens.
pub fn without_candles_pool() {
    #[cfg(unix)]
    if std::env::var_os(SIZE).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        use std::os::unix::process::CommandExt;
        // Returns only if it fails; then the program goes on, a little slower.
        let _failure = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(SIZE, "1").exec();
    }
}

#[cfg(unix)]
const SIZE: &str = "CANDLE_NUM_THREADS";
