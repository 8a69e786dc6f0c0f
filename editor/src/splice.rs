//! Carries sentence operations into a report's text.
//!
//! Bytes that no operation concerns stay as they are: the policy keeps the token ids it sampled for them. The only liberty
//! taken is at the two joints of a new or vanished sentence, where a full stop or a line break is put if the sentences on
//! either side would otherwise read as one.

use addendum_rewards::sentences::split;

use crate::log::{Edit, Operation};

/// The text after `edits`, in order. `sentences` are those of `text`, and `edits` speak of them.
pub fn apply(text: &str, sentences: &[&str], edits: &[Edit]) -> String {
    let mut draft = Draft::new(text, sentences);
    for edit in edits {
        draft.apply(edit);
    }
    draft.finish()
}

/// A sentence and what stands between the one before and itself.
struct Piece {
    gap: String,
    sentence: String,
}

struct Draft {
    pieces: Vec<Piece>,
    tail: String,
}

impl Draft {
    fn new(text: &str, sentences: &[&str]) -> Self {
        let mut tail = text;
        let mut pieces = Vec::with_capacity(sentences.len());
        for &sentence in sentences {
            let (gap, after) = tail.split_once(sentence).unwrap_or((" ", tail));
            pieces.push(Piece { gap: gap.to_owned(), sentence: sentence.to_owned() });
            tail = after;
        }
        Self { pieces, tail: tail.to_owned() }
    }

    fn apply(&mut self, edit: &Edit) {
        let target = edit.target.clone().unwrap_or_default();
        match edit.operation {
            Operation::Replace => {
                if let Some(piece) = self.pieces.get_mut(edit.position) {
                    piece.sentence = target;
                }
            }
            Operation::Delete => self.delete(edit.position),
            Operation::Append => self.append(target),
        }
        self.mend(edit.position);
        self.mend(edit.position + 1);
    }

    /// What follows the sentence moves up to where it began; after the last sentence, to the end of the one before.
    fn delete(&mut self, position: usize) {
        if position < self.pieces.len() {
            let removed = self.pieces.remove(position);
            if let Some(next) = self.pieces.get_mut(position) {
                next.gap = removed.gap;
            }
        }
    }

    fn append(&mut self, sentence: String) {
        let tail = std::mem::take(&mut self.tail);
        let gap = if self.pieces.is_empty() { String::new() } else { tail };
        self.pieces.push(Piece { gap, sentence });
    }

    /// Makes sure that a reader can tell the sentence at `position` from the one before.
    fn mend(&mut self, position: usize) {
        let Some((before, rest)) = self.pieces.split_at_mut_checked(position) else {
            return;
        };
        let (Some(before), Some(here)) = (before.last(), rest.first_mut()) else {
            return;
        };
        let separates = |gap: &&str| {
            let joined = format!("{}{gap}{}", before.sentence, here.sentence);
            let end = before.sentence.len() + gap.trim_end().len();
            *split(&joined) == [&joined[..end], here.sentence.as_str()]
        };
        let as_it_is = if here.gap.is_empty() { " " } else { here.gap.as_str() };
        let gap = [as_it_is, " ", ". ", "\n", ".\n"].into_iter().find(separates).unwrap_or(as_it_is);
        here.gap = gap.to_owned();
    }

    fn finish(self) -> String {
        if self.pieces.is_empty() {
            return String::new();
        }
        let pieces = self.pieces.into_iter().map(|piece| piece.gap + &piece.sentence);
        pieces.collect::<String>() + &self.tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Rule;

    fn spliced(text: &str, operation: Operation, position: usize, target: Option<&str>) -> String {
        let target = target.map(str::to_owned);
        let edit = Edit { operation, rule: Rule::Empty, position, source: None, target, triggers: Vec::new() };
        apply(text, &split(text), &[edit])
    }

    fn replaced(text: &str, position: usize, target: &str) -> String {
        spliced(text, Operation::Replace, position, Some(target))
    }

    fn deleted(text: &str, position: usize) -> String {
        spliced(text, Operation::Delete, position, None)
    }

    fn appended(text: &str, target: &str) -> String {
        spliced(text, Operation::Append, split(text).len(), Some(target))
    }

    #[test]
    fn bytes_outside_the_edit_stay() {
        let text = " No effusion.  Heart\nis normal.\n\nClear lungs.\n";
        assert_eq!(replaced(text, 1, "Cardiomegaly."), " No effusion.  Cardiomegaly.\n\nClear lungs.\n");
        assert_eq!(deleted(text, 0), " Heart\nis normal.\n\nClear lungs.\n");
        assert_eq!(deleted(text, 1), " No effusion.  Clear lungs.\n");
        assert_eq!(deleted(text, 2), " No effusion.  Heart\nis normal.\n");
        assert_eq!(appended(text, "No edema."), format!("{text}No edema."));
    }

    #[test]
    fn sentences_are_joined_by_one_space() {
        assert_eq!(appended("No effusion.", "No edema."), "No effusion. No edema.");
        assert_eq!(replaced("A lesion. B lesion.", 1, "No edema."), "A lesion. No edema.");
        assert_eq!(deleted("First thing. Second thing. Third thing.", 1), "First thing. Third thing.");
    }

    #[test]
    fn an_empty_report_gains_a_sentence_and_a_report_loses_its_last() {
        assert_eq!(appended("", "No edema."), "No edema.");
        assert_eq!(appended(" \n", "No edema."), "No edema.");
        assert_eq!(deleted(" No edema.\n", 0), "");
    }

    #[test]
    fn a_missing_full_stop_does_not_weld_sentences() {
        assert_eq!(appended("Heart is normal", "No edema."), "Heart is normal. No edema.");
        assert_eq!(replaced("No edema. Heart is normal.", 0, "Mild edema"), "Mild edema. Heart is normal.");
        assert_eq!(replaced("Lungs clear\nHeart normal", 1, "mild edema"), "Lungs clear. mild edema");
        assert_eq!(
            replaced("No edema.No effusion.Normal heart.", 1, "2 cm mass."),
            "No edema. 2 cm mass. Normal heart."
        );
    }
}
