//! Prints the page of all error messages: `cargo run -p addendum-house --example messages > docs/troubleshooting.md`.

fn main() {
    let house = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    print!("{}", addendum_house::page(&addendum_house::messages(&house)));
}
