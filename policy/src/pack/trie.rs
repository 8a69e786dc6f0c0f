//! Where the responses of a group begin alike, as a tree of runs of tokens.
//!
//! An edited report equals its source up to the edit, and samples of one prompt often begin with the same words. What
//! several responses begin with is one run here, so it goes through the network once. Runs are in the order in which a
//! walk meets them: a run comes after all that it goes on from.

use std::ops::Range;

/// Tokens that the same responses have in the same place.
#[derive(Debug, PartialEq, Eq)]
pub struct Run<'a> {
    pub tokens: &'a [u32],
    /// Tokens of a response before the run.
    pub depth: usize,
    /// The run that this one goes on from; `None` after the prompt.
    pub parent: Option<usize>,
    /// Whether another run goes on from this one.
    pub inner: bool,
}

/// The runs of a group, and every response as the runs that make it up.
#[derive(Debug, Default)]
pub struct Trie<'a> {
    pub runs: Vec<Run<'a>>,
    pub paths: Vec<Vec<usize>>,
}

impl<'a> Trie<'a> {
    /// Shares every common beginning.
    pub fn new(responses: &[&'a [u32]]) -> Self {
        let mut trie = Self { runs: vec![], paths: vec![vec![]; responses.len()] };
        let all: Vec<usize> = (0..responses.len()).collect();
        trie.grow(responses, &all, 0, None);
        trie
    }

    /// Shares nothing: a run for each response.
    pub fn apart(responses: &[&'a [u32]]) -> Self {
        let mut trie = Self { runs: vec![], paths: vec![vec![]; responses.len()] };
        for (i, response) in responses.iter().enumerate() {
            if !response.is_empty() {
                trie.paths[i].push(trie.runs.len());
                trie.runs.push(Run { tokens: response, depth: 0, parent: None, inner: false });
            }
        }
        trie
    }

    /// The runs of some responses that are alike up to `depth`, from there on.
    fn grow(&mut self, responses: &[&'a [u32]], members: &[usize], depth: usize, parent: Option<usize>) {
        let mut left: Vec<usize> = members.iter().copied().filter(|&i| responses[i].len() > depth).collect();
        if let Some(parent) = parent {
            self.runs[parent].inner = !left.is_empty();
        }
        while let Some(&first) = left.first() {
            let token = responses[first][depth];
            let (alike, others) = left.into_iter().partition(|&i| responses[i][depth] == token);
            left = others;
            let tokens = common(responses, &alike, depth);
            let run = self.runs.len();
            alike.iter().for_each(|&i| self.paths[i].push(run));
            self.runs.push(Run { tokens: &responses[first][tokens.clone()], depth, parent, inner: false });
            self.grow(responses, &alike, tokens.end, Some(run));
        }
    }

    /// The runs that a run goes on from, the first first.
    pub fn ancestors(&self, run: usize) -> Vec<usize> {
        let mut ancestors: Vec<usize> =
            std::iter::successors(self.runs[run].parent, |&parent| self.runs[parent].parent).collect();
        ancestors.reverse();
        ancestors
    }
}

impl Run<'_> {
    /// Tokens that go through the network: a last token that nothing goes on from is predicted, but never read.
    pub fn read(&self) -> usize {
        self.tokens.len() - usize::from(!self.inner)
    }
}

/// The places from `depth` on in which all of these responses have the same token.
fn common(responses: &[&[u32]], members: &[usize], depth: usize) -> Range<usize> {
    let first = responses[members[0]];
    let alike =
        |&other: &usize| first[depth..].iter().zip(&responses[other][depth..]).take_while(|(a, b)| a == b).count();
    depth..depth + members.iter().map(alike).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_edited_report_shares_its_beginning_and_an_equal_one_everything() {
        let (source, edited): (&[u32], &[u32]) = (&[5, 6, 7, 8], &[5, 6, 9]);
        let trie = Trie::new(&[source, edited, source, &[5, 6], &[], &[4]]);
        let tokens: Vec<&[u32]> = trie.runs.iter().map(|run| run.tokens).collect();
        assert_eq!(tokens, [&[5, 6][..], &[7, 8], &[9], &[4]]);
        assert_eq!(trie.paths, [vec![0, 1], vec![0, 2], vec![0, 1], vec![0], vec![], vec![3]]);
        assert_eq!(trie.runs.iter().map(Run::read).collect::<Vec<_>>(), [2, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn paths_spell_their_responses_and_no_two_runs_begin_alike(
            responses in prop::collection::vec(prop::collection::vec(0u32..3, 0..12), 0..8),
        ) {
            let responses: Vec<&[u32]> = responses.iter().map(Vec::as_slice).collect();
            let trie = Trie::new(&responses);
            for (response, path) in responses.iter().zip(&trie.paths) {
                let spelt: Vec<u32> = path.iter().flat_map(|&run| trie.runs[run].tokens.iter().copied()).collect();
                prop_assert_eq!(&spelt, response);
            }
            for (i, run) in trie.runs.iter().enumerate() {
                let before: usize = trie.ancestors(i).iter().map(|&run| trie.runs[run].tokens.len()).sum();
                prop_assert_eq!(before, run.depth);
                prop_assert_eq!(run.inner, trie.runs.iter().any(|other| other.parent == Some(i)));
                for other in &trie.runs[..i] {
                    prop_assert!(other.parent != run.parent || other.tokens[0] != run.tokens[0]);
                }
            }
        }
    }
}
