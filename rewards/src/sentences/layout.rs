//! Where the layout of a report ends a sentence: line breaks, list items, headings.

/// Words after which a line cannot end.
const OPEN: &[&str] = &[
    "a", "an", "the", "of", "in", "on", "at", "and", "or", "with", "by", "to", "for", "no", "is", "are", "was", "were",
    "without", "from", "dr", "dr.", "vs.", "approx.", "mr.", "mrs.", "st.",
];

/// Marks that are nothing but those of a list item, and those that stand for a hyphen elsewhere.
const BULLETS: [char; 6] = ['•', '‣', '▪', '●', '○', '◦'];
const DASHES: [&str; 5] = ["-", "–", "—", "*", "·"];

/// The list that a text is in, as far as it was read.
#[derive(Default)]
pub(super) struct Layout {
    item: Option<Item>,
}

/// The mark of a list item.
#[derive(Clone, Copy, PartialEq)]
enum Item {
    /// The number or the letter's place, and what stands around it.
    Counted { count: u32, letter: bool, opened: bool, closed: bool },
    /// "-" or "*".
    Dashed(char),
}

impl Item {
    /// The item whose mark a text starts with.
    fn of(text: &str) -> Option<Self> {
        let mark = first_word(text);
        if DASHES.contains(&mark) {
            return mark.chars().next().map(Self::Dashed);
        }
        let opened = mark.starts_with('(');
        let inner = mark.strip_prefix('(').unwrap_or(mark);
        let closed = inner.ends_with(')');
        let label = inner.strip_suffix([')', '.'])?;
        let letter = closed && label.len() == 1 && label.bytes().all(|b| b.is_ascii_alphabetic());
        let count = match label.as_bytes() {
            [b] if letter => u32::from(b.to_ascii_lowercase() - b'a') + 1,
            [_] | [_, _] if label.bytes().all(|b| b.is_ascii_digit()) => label.parse().ok()?,
            _ => return None,
        };
        (opened <= closed).then_some(Self::Counted { count, letter, opened, closed })
    }

    /// Whether `next` continues the list: the next number in the same brackets, the same dash.
    fn precedes(self, next: Self) -> bool {
        match self {
            Self::Counted { count, letter, opened, closed } => {
                next == Self::Counted { count: count + 1, letter, opened, closed }
            }
            Self::Dashed(_) => self == next,
        }
    }
}

impl Layout {
    /// Whether the white space `space` between `before` (the sentence so far) and `after` ends a sentence.
    pub fn ends(&mut self, before: &str, space: &str, after: &str) -> bool {
        if before.trim().is_empty() || after.is_empty() {
            return false;
        }
        let broken = is_line_break(space);
        self.enter(before);
        let next = Item::of(after);
        let continued = match (self.item, next) {
            // "- effusion, left - right" goes on; so does "4 - 5 cm".
            (Some(item), Some(next)) => {
                let capital = after[first_word(after).len()..].trim_start().starts_with(char::is_uppercase);
                item.precedes(next) && (capital || matches!(item, Item::Counted { .. }))
            }
            _ => false,
        };
        let inline = continued || after.starts_with(BULLETS) || starts_heading(after) && !ends_heading(before);
        inline || broken && line_ends(before, space, after)
    }

    /// Notes the list item that a sentence starts with, after a heading or not.
    fn enter(&mut self, sentence: &str) {
        let sentence = sentence.trim_start();
        let head = if sentence.len() < 64 { sentence.rsplit_once(": ").map(|(_, item)| item) } else { None };
        if let Some(item) = Item::of(sentence).or_else(|| head.and_then(|item| Item::of(item.trim_start()))) {
            self.item = Some(item);
        }
    }
}

fn first_word(text: &str) -> &str {
    text.split(char::is_whitespace).next().unwrap_or("")
}

/// The last word of a text, or the end of a word that is too long to be one.
pub(super) fn last_word(text: &str) -> &str {
    const LONGEST: usize = 64;
    let letters = text.char_indices().rev().take(LONGEST).take_while(|(_, c)| !c.is_whitespace());
    &text[letters.last().map_or(text.len(), |(at, _)| at)..]
}

/// Whether white space breaks the line: one of Unicode's mandatory breaks.
fn is_line_break(space: &str) -> bool {
    space.contains(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'])
}

/// The longest heading that is looked for, in characters.
const HEADING: usize = 48;

/// Whether a text starts with a heading in capitals: "FINDINGS:", "REASON FOR EXAM:".
fn starts_heading(text: &str) -> bool {
    let fits = |c: &char| c.is_uppercase() || matches!(c, ' ' | '/' | '&' | '(' | ')' | '-');
    let heading: String = text.chars().take(HEADING).take_while(fits).collect();
    let letters = heading.chars().filter(|c| c.is_alphabetic()).count();
    letters >= 5 && heading.starts_with(char::is_uppercase) && text[heading.len()..].starts_with(':')
}

/// Whether a text ends within a heading in capitals: "REASON FOR", so that "EXAM:" starts none.
fn ends_heading(text: &str) -> bool {
    let word = last_word(text);
    word.chars().filter(|c| c.is_alphabetic()).count() > 1 && word.chars().all(|c| c.is_uppercase() || c == '/')
}

/// Whether the sentence so far is nothing but a number, as in "1. No effusion", or ends in one after a colon.
pub(super) fn is_enumerator(sentence: &str) -> bool {
    let sentence = sentence.trim();
    let number = last_word(sentence);
    let head = sentence[..sentence.len() - number.len()].trim_end();
    !number.is_empty()
        && number.len() <= 2
        && number.bytes().all(|b| b.is_ascii_digit())
        && (head.is_empty() || head.ends_with(':') || head.ends_with('-'))
}

/// Whether a line break ends a sentence.
fn line_ends(before: &str, space: &str, after: &str) -> bool {
    let lines = space.matches('\n').count().max(space.matches('\r').count());
    let before = before.trim();
    if lines > 1 || Item::of(after).is_some() {
        return true;
    }
    if before.ends_with([',', '(', '/', '-', '–']) || is_enumerator(before.trim_end_matches(['.', ')'])) {
        return false;
    }
    // A new line in lower case or with a number continues; one that starts with a capital is a line of its own, unless
    // the text before it cannot end there.
    let open = OPEN.contains(&last_word(before).to_lowercase().as_str());
    !open && after.chars().next().is_some_and(|c| !c.is_lowercase() && !c.is_numeric() && !"(≥≤<>~".contains(c))
}
