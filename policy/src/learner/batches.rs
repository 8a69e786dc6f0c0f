//! How a step's groups are divided into minibatches, one update each, and those cut into micro-batches, which are one
//! pass through the network each.
//!
//! Advantages are those of whole groups and the objective's denominators those of the whole minibatch, so however one
//! is cut, its parts' gradients sum to the same.

use super::group::{Lesson, Weighed};
use crate::{Error, Result, pack::EncodedPrompt};

/// Divides whole groups, in order, into `count` minibatches whose numbers of groups differ by at most one; into fewer
/// where there are fewer groups.
pub fn minibatches<'l, 'a>(mut lessons: &'l mut [Lesson<'a>], count: usize) -> Vec<&'l mut [Lesson<'a>]> {
    let mut minibatches = Vec::new();
    for left in (1..=count.min(lessons.len())).rev() {
        let groups = lessons.len().div_ceil(left);
        let (minibatch, rest) = std::mem::take(&mut lessons).split_at_mut(groups);
        minibatches.push(minibatch);
        lessons = rest;
    }
    minibatches
}

/// Responses of one group that go through the network together.
pub struct Piece<'a> {
    pub prompt: &'a EncodedPrompt,
    pub responses: Vec<&'a Weighed<'a>>,
}

impl Piece<'_> {
    pub fn tokens(&self) -> usize {
        self.prompt.tokens.ids.len() + self.responses.iter().map(|r| r.response.tokens.len()).sum::<usize>()
    }
}

/// Cuts groups into pieces of at most `most` packed tokens, and puts neighbours together up to `together`. The responses
/// of a piece share their prompt; unless `shared`, there is only one. Responses of which nothing counts are left out.
///
/// # Errors
/// A prompt with one response that has more than `most` tokens.
pub fn cut<'a>(lessons: &'a [Lesson<'a>], shared: bool, together: usize, most: usize) -> Result<Vec<Vec<Piece<'a>>>> {
    let mut batches: Vec<Vec<Piece>> = Vec::new();
    let mut room = 0;
    for lesson in lessons {
        for piece in pieces(lesson, shared, most)? {
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

fn pieces<'a>(lesson: &'a Lesson<'a>, shared: bool, most: usize) -> Result<Vec<Piece<'a>>> {
    let prompt: &EncodedPrompt = &lesson.group.prompt;
    let length = prompt.tokens.ids.len();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut room = 0;
    for response in lesson.responses.iter().filter(|r| !r.is_masked()) {
        let tokens = response.response.tokens.len();
        if length + tokens > most {
            let reason = format!("a prompt of {length} tokens and a response of {tokens} exceed the {most} that fit");
            return Err(Error::invalid("learner.memory_limit", reason));
        }
        match pieces.last_mut() {
            Some(piece) if shared && tokens <= room => piece.responses.push(response),
            _ => {
                pieces.push(Piece { prompt, responses: vec![response] });
                room = most - length;
            }
        }
        room -= tokens;
    }
    Ok(pieces)
}
