//! Where the tokens of a text begin, nearly as spaCy's tokenizer for English has it. Units and emoticons are those of its
//! published rules (Explosion, MIT licence).
//!
//! Its hundreds of exceptions (contractions, months) are not here: they matter only where a sentence ends within
//! a word.

use std::ops::Range;

use super::characters::{digit, lower, space, upper};

/// White space is a token but for one blank behind a word; what stands between is cut further.
pub(super) fn tokens(text: &[char]) -> Vec<usize> {
    let mut begins = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let white = space(text[at]);
        let end = (at..text.len()).find(|&i| space(text[i]) != white).unwrap_or(text.len());
        if white {
            begins.push(at);
            at = end;
        } else {
            words(text, at..end, &mut begins);
            at = end + usize::from(text.get(end) == Some(&' '));
        }
    }
    begins
}

/// Cuts off what stands before and behind the word in a run of characters, and cuts the word at its infixes.
fn words(text: &[char], run: Range<usize>, begins: &mut Vec<usize>) {
    let Range { mut start, mut end } = run.clone();
    let (mut cuts, mut behind) = (Vec::new(), Vec::new());
    loop {
        let before = prefix(&text[start..end]);
        if before > 0 {
            cuts.push(start);
            start += before;
        }
        let after = suffix(&text[start..end]);
        if after > 0 {
            end -= after;
            behind.push(end);
        }
        if start == end || before + after == 0 {
            break;
        }
    }
    if start < end {
        cuts.push(start);
        let mut at = start + 1;
        while at < end {
            let infix = infix(text, start..end, at);
            if infix > 0 {
                cuts.push(at);
                if at + infix < end {
                    cuts.push(at + infix);
                }
            }
            at += infix.max(1);
        }
    }
    cuts.extend(behind.into_iter().rev());
    faces_kept(text, run.end, &cuts, begins);
}

/// Leaves out the cuts within emoticons, such as the colon behind a bracket.
fn faces_kept(text: &[char], end: usize, cuts: &[usize], begins: &mut Vec<usize>) {
    let mut rest = cuts;
    while let [begin, after @ ..] = rest {
        begins.push(*begin);
        let ends = |at: usize| at == end || after.iter().take_while(|&&cut| cut <= at).any(|&cut| cut == at);
        let face = |face: &&str| {
            let length = face.chars().count();
            let alike = face.chars().eq(text[*begin..end].iter().copied().take(length));
            (alike && ends(begin + length)).then_some(length)
        };
        let length = FACES.iter().filter_map(face).max().unwrap_or(1);
        rest = &after[after.partition_point(|&cut| cut < begin + length)..];
    }
}

/// The length of what is cut off a word's front.
fn prefix(word: &[char]) -> usize {
    match word {
        ['.', '.', ..] => word.iter().take_while(|&&c| c == '.').count(),
        ['+', rest @ ..] => usize::from(!rest.first().is_some_and(char::is_ascii_digit)),
        ['§' | '%' | '=' | '$' | '£' | '€' | '¥', ..] => 1,
        [c, ..] => usize::from(mark(*c)),
        [] => 0,
    }
}

/// The length of what is cut off its back.
fn suffix(word: &[char]) -> usize {
    match word {
        [.., '.', '.'] => word.iter().rev().take_while(|&&c| c == '.').count(),
        [.., '\'' | '’', 's' | 'S'] => 2,
        [.., before, '.'] if digit(*before) || lower(*before) || mark(*before) => 1,
        [.., '%' | '²' | '-' | '+', '.'] => 1,
        [.., a, b, '.'] if upper(*a) && upper(*b) => 1,
        [.., n, '+' | '$' | '£' | '€' | '¥'] if n.is_ascii_digit() => 1,
        [.., c] if mark(*c) => 1,
        _ => {
            let unit = word.iter().rposition(char::is_ascii_digit).map_or(&[][..], |number| &word[number + 1..]);
            let known = UNITS.iter().any(|known| known.chars().eq(unit.iter().copied()));
            if known { unit.len() } else { 0 }
        }
    }
}

/// The length of what cuts a word at `at`.
fn infix(text: &[char], word: Range<usize>, at: usize) -> usize {
    let (Some(&before), c) = (text[word.start..at].last(), text[at]) else { return 0 };
    let rest = &text[at..word.end];
    let next = |length: usize| rest.get(length).copied().unwrap_or(' ');
    let letters = |length: usize| before.is_alphabetic() && next(length).is_alphabetic();
    let dots = rest.iter().take_while(|&&c| c == '.').count();
    let dashes = rest.iter().take_while(|&&c| c == '-').count();
    match c {
        '.' if dots > 1 => dots,
        '.' => usize::from((lower(before) || quote(before)) && (upper(next(1)) || quote(next(1)))),
        '…' => 1,
        '+' | '-' | '*' | '^' if before.is_ascii_digit() && (next(1).is_ascii_digit() || next(1) == '-') => 1,
        '-' if dashes <= 3 && letters(dashes) => dashes,
        '–' | '—' | '~' | ',' => usize::from(letters(1)),
        ':' | '<' | '>' | '=' | '/' => {
            usize::from((before.is_alphabetic() || before.is_ascii_digit()) && next(1).is_alphabetic())
        }
        _ => usize::from(symbol(c)),
    }
}

/// What is cut off on either side: punctuation but stops and hyphens, quotes, symbols.
fn mark(c: char) -> bool {
    "…,:;!?¿¡()[]{}<>_#*&。？！，、；：～·—–".contains(c) || quote(c) || symbol(c)
}

fn quote(c: char) -> bool {
    "'\"”“`‘´’‚„»«「」『』（）〔〕【】《》〈〉⟦⟧".contains(c)
}

/// The commoner blocks of Unicode's other symbols.
fn symbol(c: char) -> bool {
    "¦©®°℃℉™".contains(c)
        || matches!(c, '\u{2195}'..='\u{21f3}' | '\u{2300}'..='\u{25b6}' | '\u{25b8}'..='\u{27bf}')
        || matches!(c, '\u{2b00}'..='\u{2bfe}' | '\u{fffc}' | '\u{fffd}' | '\u{1f000}'..='\u{1faff}')
}

/// Emoticons of punctuation and digits.
const FACES: [&str; 44] = [
    "''", "’’", "):", ":)", ":(", ":))", ":((", ":)))", ":(((", ":()", ":*", ":/", ":]", ":}", ":|", ":>", ":0", ":1",
    ":3", ":-)", ":-(", ":-/", ":-]", ":-|", ":-}", ":-*", ":->", ";)", ";-)", ";_;", "(:", "(;", "(-:", "(-;", "(=",
    "=)", "=(", "=/", "=]", "=|", ")-:", ">.<", ">:(", "(*_*)",
];

/// Units that are cut off a number.
const UNITS: [&str; 41] = [
    "km", "km²", "km³", "m", "m²", "m³", "dm", "dm²", "dm³", "cm", "cm²", "cm³", "mm", "mm²", "mm³", "ha", "µm", "nm",
    "yd", "in", "ft", "kg", "g", "mg", "µg", "t", "lb", "oz", "m/s", "km/h", "kmh", "mph", "hPa", "Pa", "mbar", "mb",
    "T", "G", "M", "K", "%",
];
