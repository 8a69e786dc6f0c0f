use super::Lamp;

pub fn depth() -> usize {
    let _lamp = Lamp;
    3
}
