//! Where the tests find their fixtures.

use std::path::PathBuf;

/// The folder of the fixtures: `ADDENDUM_FIXTURES` if that is set, the repository's `tests/fixtures` otherwise.
pub(crate) fn root() -> PathBuf {
    std::env::var_os("ADDENDUM_FIXTURES")
        .map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures").into(), PathBuf::from)
}

/// Reads a fixture.
pub(crate) fn fixture(path: &str) -> Vec<u8> {
    let file = root().join(path);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
