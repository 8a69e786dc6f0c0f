//! ROUGE-L (Lin 2004): the longest common subsequence of words, against one reference.

/// The weight of recall against precision.
const BETA: f64 = 1.2;

/// The score of one pair of [normalised](super::caption) reports, in [0, 1]; 1 for a text and itself. The corpus's score
/// is the mean.
///
/// As in the COCO caption evaluation, words end at every single blank, so that two in a row have an empty word between them:
/// [`caption`](super::caption) leaves none. An empty text is one empty word.
pub fn score(hypothesis: &str, reference: &str) -> f64 {
    let hypothesis: Vec<&str> = hypothesis.split(' ').collect();
    let reference: Vec<&str> = reference.split(' ').collect();
    let common = longest_common_subsequence(&hypothesis, &reference) as f64;
    if common == 0. {
        return 0.;
    }
    let (precision, recall) = (common / hypothesis.len() as f64, common / reference.len() as f64);
    (1. + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

fn longest_common_subsequence(a: &[&str], b: &[&str]) -> usize {
    // Lengths for what was read of `a` and each prefix of `b`.
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (j, other) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if word == other { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}
