//! Text metrics for evaluation: how much of the reference's wording a report repeats.
//!
//! They follow the paper's evaluation script, which calls the COCO caption metrics: [`clean`] tidies a report, then
//! [`caption`] drops punctuation, case and what wraps or spaces the words. None of them knows findings; none is a reward.

pub mod bleu;
pub mod cider;
mod clean;
pub mod meteor;
mod ngrams;
pub mod rouge;
mod stem;
mod words;

pub use clean::{EMPTY, clean};
pub use stem::stem;
pub use words::{caption, normalise};

#[cfg(test)]
mod tests;
