//! How a step's groups are cut into micro-batches.
//!
//! Advantages are those of whole groups and the objective's denominators those of the whole batch, so however a batch is
//! cut, its parts' gradients sum to the same.

use super::group::{TrainGroup, TrainResponse};
use crate::{Error, Result, pack::EncodedPrompt};

/// Responses of one group, with their advantages, that go through the network together.
pub struct Piece<'a> {
    pub prompt: &'a EncodedPrompt,
    pub responses: Vec<(&'a TrainResponse, f64)>,
}

impl Piece<'_> {
    pub fn tokens(&self) -> usize {
        self.prompt.tokens.ids.len() + self.responses.iter().map(|(r, _)| r.tokens.len()).sum::<usize>()
    }
}

/// Cuts groups into pieces of at most `most` packed tokens, and puts neighbours together up to `together`. The responses
/// of a piece share their prompt; unless `shared`, there is only one.
///
/// # Errors
/// A prompt with one response that has more than `most` tokens.
pub fn cut<'a>(
    groups: &'a [TrainGroup],
    advantages: &[Vec<f64>],
    shared: bool,
    together: usize,
    most: usize,
) -> Result<Vec<Vec<Piece<'a>>>> {
    let mut batches: Vec<Vec<Piece>> = Vec::new();
    let mut room = 0;
    for (group, advantages) in groups.iter().zip(advantages) {
        for piece in pieces(group, advantages, shared, most)? {
            let tokens = piece.tokens();
            match batches.last_mut() {
                Some(batch) if tokens <= room => {
                    batch.push(piece);
                    room -= tokens;
                }
                _ => {
                    batches.push(vec![piece]);
                    room = together.min(most).saturating_sub(tokens);
                }
            }
        }
    }
    Ok(batches)
}

fn pieces<'a>(group: &'a TrainGroup, advantages: &[f64], shared: bool, most: usize) -> Result<Vec<Piece<'a>>> {
    let prompt = group.prompt.tokens.ids.len();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut room = 0;
    for (response, &advantage) in group.responses.iter().zip(advantages) {
        let tokens = response.tokens.len();
        if prompt + tokens > most {
            let reason = format!("a prompt of {prompt} tokens and a response of {tokens} exceed the {most} that fit");
            return Err(Error::invalid("learner.memory_limit", reason));
        }
        match pieces.last_mut() {
            Some(piece) if shared && tokens <= room => piece.responses.push((response, advantage)),
            _ => {
                pieces.push(Piece { prompt: &group.prompt, responses: vec![(response, advantage)] });
                room = most - prompt;
            }
        }
        room -= tokens;
    }
    Ok(pieces)
}
