//! Plain stand-in for the splitter of `addendum-rewards`: a sentence ends at `.`, `!`, `?` before white space, or at a line break.

/// The sentences of a text, trimmed, none empty.
pub fn split(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let spaced = characters.peek().is_some_and(|(_, next)| next.is_whitespace());
        if c == '\n' || spaced && matches!(c, '.' | '!' | '?') {
            sentences.push(&text[start..at + c.len_utf8()]);
            start = at + c.len_utf8();
        }
    }
    sentences.push(&text[start..]);
    sentences
        .into_iter()
        .map(str::trim)
        .filter(|sentence| !sentence.is_empty())
        .collect()
}
