pub struct Lamp;

#[cfg(test)]
mod tests {
    use crate::cellar::depth;
}
