//! Answers: joined from those of the pairs, and written within a bound.

use std::io;

use addendum_rewards_remote::wire::{Predictions, Success};
use axum::http::StatusCode;
use serde::Serialize;

use super::Refused;

/// What became of each pair.
///
/// # Errors
/// The first of them where there is no other: then there is no answer.
pub(super) fn each<T>(pairs: Vec<Result<T, Refused>>) -> Result<Vec<Result<T, Refused>>, Refused> {
    match pairs.iter().find_map(|pair| pair.as_ref().err()) {
        Some(error) if pairs.iter().all(Result::is_err) => Err(error.clone()),
        _ => Ok(pairs),
    }
}

/// The scores of pairs that were scored alone, in one; none, with the reason, for those that could not be.
pub(super) fn joined(pairs: Vec<Result<Predictions, Refused>>) -> Predictions {
    let mut all = Predictions::default();
    let mut errors = Vec::new();
    for pair in pairs {
        let (mut pair, error) = match pair {
            Ok(pair) => (pair, None),
            Err(error) => {
                let mut nothing = Predictions::default();
                nothing.lists().into_iter().for_each(|list| list.push(None));
                (nothing, Some(error.message))
            }
        };
        for (list, more) in all.lists().into_iter().zip(pair.lists()) {
            list.append(more);
        }
        errors.push(error);
    }
    if errors.iter().any(Option::is_some) {
        all.errors = errors;
    }
    all
}

/// Whether an answer of at most `most` bytes can hold what takes `least`, told before it is written.
///
/// # Errors
/// It cannot.
pub(super) fn fits(least: usize, most: usize) -> Result<(), Refused> {
    if least > most { Err(too_long(most)) } else { Ok(()) }
}

/// The JSON of an answer.
///
/// # Errors
/// More than `most` bytes.
pub(super) fn json(predictions: impl Serialize, most: usize) -> Result<Vec<u8>, Refused> {
    let mut answer = Bounded { bytes: Vec::new(), most };
    match serde_json::to_writer(&mut answer, &Success::new(predictions)) {
        Ok(()) => Ok(answer.bytes),
        Err(error) if error.is_io() => Err(too_long(most)),
        Err(error) => Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

fn too_long(most: usize) -> Refused {
    Refused::too_large(format!("The answer would have more than {most} bytes; ask for fewer or shorter reports"))
}

/// Bytes in memory, up to a bound.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
