mod attic;
mod cellar;

pub use attic::Lamp;
