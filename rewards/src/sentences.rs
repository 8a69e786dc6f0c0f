//! Cuts a report into sentences.
//!
//! Made for radiology prose: decimals, dates, abbreviations, initials and enumerations do not end a sentence, wrapped
//! lines are not cut; list items, blank lines and headings are, in a report on one line too. It knows nothing of findings.

mod layout;
mod stops;

use layout::Layout;

/// Splits `text` into trimmed, non-empty sentences, in order, each a slice of `text`.
///
/// A wrapped line stays in its sentence, so a slice may hold line breaks; joined by single spaces the slices give the
/// report's prose. Any Unicode is accepted.
pub fn split(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut layout = Layout::default();
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let end = match c {
            '.' | '!' | '?' | '…' => {
                let mut end = at + c.len_utf8();
                while let Some((next, d)) = rest.next_if(|&(_, d)| matches!(d, '.' | '!' | '?' | '…')) {
                    end = next + d.len_utf8();
                }
                if !stops::end(&text[start..at], &text[at..end], &text[end..]) {
                    continue;
                }
                end + stops::closers(&text[end..])
            }
            '。' | '！' | '？' | '｡' => at + c.len_utf8(),
            _ if c.is_whitespace() => {
                let mut end = at + c.len_utf8();
                while let Some((next, d)) = rest.next_if(|&(_, d)| d.is_whitespace()) {
                    end = next + d.len_utf8();
                }
                if !layout.ends(&text[start..at], &text[at..end], &text[end..]) {
                    continue;
                }
                end
            }
            _ => continue,
        };
        push(&mut sentences, &text[start..end]);
        start = end;
        while rest.next_if(|&(at, _)| at < end).is_some() {}
    }
    push(&mut sentences, &text[start..]);
    sentences
}

fn push<'a>(sentences: &mut Vec<&'a str>, piece: &'a str) {
    let piece = piece.trim();
    if !piece.is_empty() {
        sentences.push(piece);
    }
}

#[cfg(test)]
mod tests;
