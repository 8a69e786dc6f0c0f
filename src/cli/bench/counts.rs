//! Numbers of things, as options of benchmarks.

use anyhow::{Context, Result};

pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("0 is not at least 1".into()),
        Ok(n) => Ok(n),
        Err(error) => Err(format!("{error}")),
    }
}

pub fn cores() -> Result<usize> {
    Ok(std::thread::available_parallelism().context("the number of cores")?.get())
}
