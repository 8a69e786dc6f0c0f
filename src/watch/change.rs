//! What an edit changed, sentence by sentence.

use addendum_rewards::sentences;

/// A sentence of two reports, the edited and its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    Kept(&'a str),
    Removed(&'a str),
    Added(&'a str),
}

/// The sentences of both reports in order, those that they share once: along a longest common subsequence.
pub fn changes<'a>(before: &'a str, after: &'a str) -> Vec<Change<'a>> {
    let (before, after) = (sentences::split(before), sentences::split(after));
    let shared = shared(&before, &after);
    let (mut i, mut j) = (0, 0);
    let mut changes = Vec::new();
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            changes.push(Change::Kept(before[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < before.len() && (j == after.len() || shared[i + 1][j] >= shared[i][j + 1]) {
            changes.push(Change::Removed(before[i]));
            i += 1;
        } else {
            changes.push(Change::Added(after[j]));
            j += 1;
        }
    }
    changes
}

/// The length of the longest common subsequence of what begins at two places.
fn shared(before: &[&str], after: &[&str]) -> Vec<Vec<usize>> {
    let mut length = vec![vec![0; after.len() + 1]; before.len() + 1];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            length[i][j] = match before[i] == after[j] {
                true => length[i + 1][j + 1] + 1,
                false => length[i + 1][j].max(length[i][j + 1]),
            };
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::{Change::*, *};

    #[test]
    fn a_replaced_sentence_stands_before_the_one_that_took_its_place() {
        let found = changes(
            "Lungs are clear. The heart is large. No effusion.",
            "Lungs are clear. Heart is normal. No effusion.",
        );
        let expected =
            [Kept("Lungs are clear."), Removed("The heart is large."), Added("Heart is normal."), Kept("No effusion.")];
        assert_eq!(found, expected);
    }

    #[test]
    fn of_equal_sentences_as_many_are_kept_as_there_are() {
        assert_eq!(changes("A b. C d. A b.", "A b. C d."), [Kept("A b."), Kept("C d."), Removed("A b.")]);
        assert_eq!(changes("A b.", "A b. C d."), [Kept("A b."), Added("C d.")]);
        assert_eq!(changes("", "A b."), [Added("A b.")]);
        assert_eq!(changes("", ""), []);
    }
}
