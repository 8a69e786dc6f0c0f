//! Prints the circles of a crate: `cargo run -p addendum-house --example circles -- src/lib.rs`.

fn main() {
    for root in std::env::args().skip(1) {
        println!("{root}");
        for circle in addendum_house::Graph::read(root.as_ref()).circles() {
            println!("  {circle}");
        }
    }
}
