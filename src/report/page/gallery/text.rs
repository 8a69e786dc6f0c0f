//! Reports with marks: sentences that two versions do not share, and the entities that the lexicon finds.

use addendum_rewards::{EntityExtractor, Lexicon, Presence, sentences};

use crate::report::page::html::escape;

/// The most sentences of a report that are compared with another's.
const MOST: usize = 80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Same,
    Taken,
    Put,
}

/// The sentences of a report, and what became of each.
pub(super) struct Marked(Vec<(Fate, String)>);

/// A report without another to compare it with.
pub(super) fn marked(text: &str) -> Marked {
    Marked(sentences::split(text).into_iter().map(|sentence| (Fate::Same, sentence.to_owned())).collect())
}

/// Two versions of a report: sentences that only the first has are taken out, those that only the second has put in.
pub(super) fn difference(before: &str, after: &str) -> [Marked; 2] {
    let (before, after) = (sentences::split(before), sentences::split(after));
    let shared = shared(&before[..before.len().min(MOST)], &after[..after.len().min(MOST)]);
    let mark = |sentences: &[&str], kept: Vec<usize>, fate: Fate| {
        let marked = sentences.iter().enumerate().map(|(place, sentence)| {
            let fate = if kept.contains(&place) { Fate::Same } else { fate };
            (fate, (*sentence).to_owned())
        });
        Marked(marked.collect())
    };
    let (left, right) = shared.into_iter().unzip();
    [mark(&before, left, Fate::Taken), mark(&after, right, Fate::Put)]
}

/// The longest common subsequence, as places in both.
fn shared(left: &[&str], right: &[&str]) -> Vec<(usize, usize)> {
    let mut length = vec![vec![0usize; right.len() + 1]; left.len() + 1];
    for (i, a) in left.iter().enumerate().rev() {
        for (j, b) in right.iter().enumerate().rev() {
            length[i][j] = if a == b { length[i + 1][j + 1] + 1 } else { length[i + 1][j].max(length[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < left.len() && j < right.len() {
        if left[i] == right[j] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if length[i + 1][j] >= length[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

impl Marked {
    /// A paragraph.
    pub fn html(&self) -> String {
        if self.0.is_empty() {
            return "<p class=\"report\"><em>no text</em></p>".into();
        }
        let lexicon = Lexicon::new();
        let said: Vec<String> = self
            .0
            .iter()
            .map(|(fate, sentence)| {
                let text = entities(&lexicon, sentence);
                match fate {
                    Fate::Same => text,
                    Fate::Taken => format!("<del>{text}</del>"),
                    Fate::Put => format!("<ins>{text}</ins>"),
                }
            })
            .collect();
        format!("<p class=\"report\" dir=\"auto\">{}</p>", said.join(" "))
    }
}

/// A sentence with its findings marked, where their words are found in it.
fn entities(lexicon: &Lexicon, sentence: &str) -> String {
    let found = lexicon.extract(&[sentence]).unwrap_or_default().into_iter().flatten();
    let mut html = String::new();
    let mut rest = sentence;
    for entity in found {
        let class = match entity.kind.presence() {
            Presence::Present => "e p",
            Presence::Absent => "e a",
            Presence::Neutral => continue,
        };
        // Words that stand before the last mark are not gone back to.
        let Some(start) = rest.find(entity.text.as_str()).filter(|_| !entity.text.is_empty()) else { continue };
        let (before, from) = rest.split_at(start);
        let (words, after) = from.split_at(entity.text.len());
        html += &format!("{}<span class=\"{class}\">{}</span>", escape(before), escape(words));
        rest = after;
    }
    html + &escape(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_one_version_alone_are_marked_and_others_are_not() {
        let [before, after] = difference("A one. B two. C three.", "A one. C three. D four.");
        assert_eq!(before.html(), "<p class=\"report\" dir=\"auto\">A one. <del>B two.</del> C three.</p>");
        assert_eq!(after.html(), "<p class=\"report\" dir=\"auto\">A one. C three. <ins>D four.</ins></p>");
        let [before, after] = difference("", "New.");
        assert!(before.html().contains("no text") && after.html().contains("<ins>New.</ins>"));
    }

    #[test]
    fn findings_are_marked_by_whether_they_are_said_to_be_there_and_markup_is_text() {
        let html = marked("Cardiomegaly. No pneumothorax. <script>x</script>").html();
        assert!(html.contains("<span class=\"e p\">Cardiomegaly</span>"), "{html}");
        assert!(html.contains("<span class=\"e a\">pneumothorax</span>"), "{html}");
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
    }
}
