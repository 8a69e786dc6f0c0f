pub struct Lamp;

pub fn light() {
    println!("{}", crate::cellar::depth());
}
