//! Reading the expected values of the reference implementation.

#![allow(dead_code)]

pub mod network;
pub mod padded;
pub mod tiny;

use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// `$ADDENDUM_FIXTURES/policy/<name>`, or the repository's own copy.
pub fn fixture(name: &str) -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
    let root = std::env::var_os("ADDENDUM_FIXTURES").map_or_else(|| PathBuf::from(own), PathBuf::from);
    root.join("policy").join(name)
}

pub fn bytes(name: &str) -> Vec<u8> {
    let path = fixture(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn json<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
pub fn assert_close(found: f64, expected: f64, relative: f64, absolute: f64, what: &str) {
    let allowed = absolute + relative * expected.abs();
    assert!((found - expected).abs() <= allowed, "{what}: found {found}, expected {expected} within {allowed:e}");
}
