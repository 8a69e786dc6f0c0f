//! Where the tests find their fixtures.

/// Reads a fixture, from `ADDENDUM_FIXTURES` if that is set and from the repository's `tests/fixtures` otherwise.
pub(crate) fn fixture(path: &str) -> Vec<u8> {
    let root = std::env::var("ADDENDUM_FIXTURES")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures").into());
    let file = std::path::Path::new(&root).join(path);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
