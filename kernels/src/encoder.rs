//! The steps of an encoder between its matrix products, for inference: they carry no gradient.
//!
//! On CPUs each is one vectorised pass in place; other devices take candle's own operations. Every row is computed for
//! itself and in one order, so results do not depend on the number of threads.

mod add_bias;
mod add_norm;
mod add_picked;
mod composed;
mod softmax;

pub use add_bias::{Activation, add_bias};
pub use add_norm::add_norm;
pub use add_picked::add_picked;
pub use composed::layer_norm;
pub use softmax::softmax;

#[cfg(test)]
mod tests;
