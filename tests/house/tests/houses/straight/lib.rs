mod attic;
mod cellar;

pub use attic::Lamp;
pub use cellar::depth;
