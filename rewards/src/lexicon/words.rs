//! Words of a sentence: tokens, spelling and plural normalisation, and the phrase trie over them.

use std::collections::HashMap;

/// The id of a word that no table of the lexicon holds.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// A word or punctuation mark and where it stands, in bytes of its sentence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub id: u32,
    pub start: usize,
    pub end: usize,
}

/// Word ids; grows while the tables are read and is fixed afterwards.
#[derive(Default)]
pub(super) struct Vocabulary {
    ids: HashMap<String, u32>,
}

impl Vocabulary {
    /// The ids of a table's phrase, which may hold punctuation ("w / o").
    pub fn intern(&mut self, phrase: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        for (start, end) in pieces(phrase) {
            let next = self.ids.len() as u32;
            ids.push(*self.ids.entry(normal(&phrase[start..end])).or_insert(next));
        }
        ids
    }

    pub fn tokens(&self, sentence: &str) -> Vec<Token> {
        let id = |word: &str| self.ids.get(&normal(word)).copied().unwrap_or(UNKNOWN);
        pieces(sentence).into_iter().map(|(start, end)| Token { id: id(&sentence[start..end]), start, end }).collect()
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Byte ranges of words and of the punctuation that matters. Hyphens separate words, decimals stay whole; a hyphen between
/// blanks is a dash.
fn pieces(text: &str) -> Vec<(usize, usize)> {
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    let mut open = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let end = at + c.len_utf8();
        let inner = match c {
            '\'' | '’' => open && chars.peek().is_some_and(|(_, d)| d.is_alphabetic()),
            '.' => {
                let digit = |s: Option<char>| s.is_some_and(|d| d.is_ascii_digit());
                open && digit(text[..at].chars().next_back()) && digit(chars.peek().map(|&(_, d)| d))
            }
            _ => c.is_alphanumeric(),
        };
        if inner {
            match pieces.last_mut() {
                Some(last) if open => last.1 = end,
                _ => pieces.push((at, end)),
            }
        } else if c == '.' && text[end..].trim_start().starts_with(char::is_lowercase) {
            // "vs. pneumonia" goes on.
        } else if matches!(c, ',' | ';' | ':' | '.' | '?' | '!' | '(' | ')' | '/' | '–' | '—' | '+' | '&') {
            pieces.push((at, end));
        } else if c == '-' && !pieces.is_empty() {
            let blank = |c: Option<char>| c.is_none_or(char::is_whitespace);
            let next = text[end..].trim_start_matches('-').chars().next();
            if blank(text[..at].chars().next_back()) && blank(next) {
                pieces.push((at, end));
            }
        }
        open = inner;
    }
    pieces
}

/// Lower case, American spelling, singular.
pub(super) fn normal(word: &str) -> String {
    let mut word: String = word.chars().filter(|c| !matches!(c, '\'' | '’')).flat_map(char::to_lowercase).collect();
    if !word.is_ascii() {
        return word;
    }
    for (british, american) in
        [("oedema", "edema"), ("haem", "hem"), ("our", "or"), ("alis", "aliz"), ("calibre", "caliber")]
    {
        let fits = match british {
            "our" => ["favour", "tumour", "colour"].iter().any(|stem| word.starts_with(stem)),
            "alis" => word.contains("alised") || word.contains("alise") || word.contains("alisation"),
            _ => word.contains(british),
        };
        if fits {
            word = word.replacen(british, american, 1);
        }
    }
    if let Some(rest) = word.strip_prefix("oeso") {
        word = format!("eso{rest}");
    }
    singular(word)
}

fn singular(mut word: String) -> String {
    let irregular = match word.as_str() {
        "pneumothoraces" | "pneumothoraxes" => "pneumothorax",
        "hydropneumothoraces" => "hydropneumothorax",
        "hemothoraces" => "hemothorax",
        "apices" => "apex",
        "atelectases" => "atelectasis",
        "metastases" => "metastasis",
        "vertebrae" => "vertebra",
        "diagnoses" => "diagnosis",
        "bullae" => "bulla",
        "bronchiectases" => "bronchiectasis",
        "xrays" => "xray",
        "sulci" => "sulcus",
        "hila" => "hilum",
        "was" | "has" | "does" | "this" | "gas" | "less" | "series" => return word,
        _ => "",
    };
    if !irregular.is_empty() {
        return irregular.into();
    }
    let cut = match word.as_bytes() {
        [.., b'i', b'e', b's'] if word.len() > 4 => {
            word.truncate(word.len() - 3);
            word.push('y');
            return word;
        }
        [.., b's', b's', b'e', b's'] | [.., b'x', b'e', b's'] | [.., b'c', b'h', b'e', b's'] => 2,
        [.., b's' | b'u' | b'i', b's'] => 0,
        [.., b's'] if word.len() > 3 => 1,
        _ => 0,
    };
    word.truncate(word.len() - cut);
    word
}

/// Phrases over word ids; finds the longest that starts at a place.
#[derive(Default)]
pub(super) struct Trie {
    edges: HashMap<(u32, u32), u32>,
    values: Vec<Option<usize>>,
}

impl Trie {
    pub fn insert(&mut self, phrase: &[u32], value: usize) {
        if self.values.is_empty() {
            self.values.push(None);
        }
        let mut node = 0;
        for &word in phrase {
            let next = self.values.len() as u32;
            node = *self.edges.entry((node, word)).or_insert(next);
            if node == next {
                self.values.push(None);
            }
        }
        if let Some(slot) = self.values.get_mut(node as usize) {
            slot.get_or_insert(value);
        }
    }

    /// The length and value of the longest phrase at the start of `tokens`.
    pub fn longest(&self, tokens: &[Token]) -> Option<(usize, usize)> {
        let (mut node, mut best) = (0, None);
        for (i, token) in tokens.iter().enumerate() {
            let Some(&next) = self.edges.get(&(node, token.id)) else {
                break;
            };
            node = next;
            if let Some(value) = self.values.get(node as usize).copied().flatten() {
                best = Some((i + 1, value));
            }
        }
        best
    }

    /// All longest phrases from left to right, without overlap: first token, token after, value.
    pub fn find(&self, tokens: &[Token]) -> Vec<(usize, usize, usize)> {
        let (mut found, mut at) = (Vec::new(), 0);
        while at < tokens.len() {
            match self.longest(&tokens[at..]) {
                Some((len, value)) => {
                    found.push((at, at + len, value));
                    at += len;
                }
                None => at += 1,
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_plural_and_hyphen_do_not_matter() {
        for (a, b) in [("Oedema", "edema"), ("opacities", "opacity"), ("pneumothoraces", "pneumothorax")] {
            assert_eq!(normal(a), normal(b));
        }
        for kept in ["atelectasis", "thrombus", "mass", "is", "hilus"] {
            assert_eq!(normal(kept), kept);
        }
        let words = |text| pieces(text).into_iter().map(|(a, b)| &text[a..b]).collect::<Vec<_>>();
        assert_eq!(words("air-space, 4.2 cm can't."), ["air", "space", ",", "4.2", "cm", "can't", "."]);
    }
}
