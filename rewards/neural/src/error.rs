//! Tensor errors as errors of a component.

use addendum_rewards::Error;

/// Turns a tensor error of a component into an error of the reward.
pub fn fail(component: &'static str) -> impl Fn(candle_core::Error) -> Error {
    move |error| Error::Component { component, reason: error.to_string() }
}
