//! Where headings stand in a report.

use super::headings::{Kind, kind, known, names_exam, words};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heading {
    pub kind: Kind,
    pub start: usize,
    /// Where its section's text begins: behind the colon.
    pub end: usize,
}

/// Longest heading, in bytes.
const LONGEST: usize = 80;
/// Ends what was reported in haste, with or without a colon, wherever it stands.
const FINAL: &str = "FINAL REPORT";
/// Starts what was reported in haste or later, with whatever follows on its line ("WET READ VERSION #1 at 10:30:"). In
/// small letters who and when must follow ("Addendum by Dr. ___ at 10:30:"), or it may be a sentence.
const EARLIER: [&str; 3] = ["WET READ", "ADDENDUM", "PRELIMINARY REPORT"];
/// What belongs to no section: blanks and ruled lines.
const BLANKS: [char; 4] = [' ', '\t', '_', '\u{a0}'];
/// What lines may have in front of a heading: blanks, ruled lines, marks of lists and of Markdown.
const MARKS: [char; 8] = [' ', '\t', '_', '*', '#', '>', '-', '\u{a0}'];

/// All headings from left to right.
pub fn headings(report: &str) -> Vec<Heading> {
    // In a report all in capitals only headings that are known can be told from sentences.
    let shouted = !report.contains(|c: char| c.is_lowercase());
    let mut found = Vec::new();
    let mut at = 0;
    let mut opens = true;
    for line in report.split_inclusive('\n') {
        in_line(line, at, Manner { shouted, opens }, &mut found);
        at += line.len();
        opens = line.trim().is_empty();
    }
    found
}

/// What is to be known of a line's surroundings.
#[derive(Clone, Copy)]
struct Manner {
    /// The report is all in capitals.
    shouted: bool,
    /// The line is the first of a paragraph.
    opens: bool,
}

fn in_line(line: &str, offset: usize, manner: Manner, found: &mut Vec<Heading>) {
    let Manner { shouted, opens } = manner;
    let mut push = |kind, start: usize, end: usize| {
        found.push(Heading { kind, start: offset + start, end: offset + end });
    };
    let start = line.len() - line.trim_start_matches(BLANKS).len();
    if let Some(kind) = alone(line, opens) {
        return push(kind, start, line.len());
    }
    let mut from = 0;
    let mut place = Place::Line;
    if let Some((kind, end)) = bare(&line[start..]).filter(|_| !shouted) {
        push(kind, start, start + end);
        (from, place) = (start + end, Place::Heading);
    }
    let marked = line.len() - line.trim_start_matches(MARKS).len();
    if let Some(length) = earlier(&line[marked..]).filter(|_| !shouted) {
        let end = marked + length;
        push(Kind::Earlier, start, end);
        (from, place) = (end, Place::Heading);
    }
    let separators = line.match_indices([':', '：']).map(|(at, separator)| (at, at + separator.len()));
    for (colon, after) in separators.chain([(line.len(), line.len())]) {
        let before = &line[from..colon];
        if let Some(at) = before.find(FINAL).filter(|_| !shouted && !before.ends_with(FINAL)) {
            push(Kind::Report, from + at, from + at + FINAL.len());
            (from, place) = (from + at + FINAL.len(), Place::Heading);
        }
        let before = &line[from..colon];
        // Times and ratios go on at once.
        let number = line[after..].starts_with(|c: char| c.is_ascii_digit()) && !before.ends_with(char::is_alphabetic);
        let heading =
            if number || after == line.len() && colon == after { None } else { heading(before, place, shouted) };
        place = if heading.is_some() { Place::Heading } else { Place::Sentence };
        let behind = after + line[after..].len() - line[after..].trim_start_matches('*').len();
        if let Some((kind, start)) = heading {
            push(kind, from + start, behind);
        }
        from = behind;
    }
}

/// Behind what a text starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Line,
    Heading,
    /// Behind a colon that ends no heading.
    Sentence,
}

/// The heading that a text ends with, which a colon follows, and its first byte.
fn heading(text: &str, place: Place, shouted: bool) -> Option<(Kind, usize)> {
    let mut ends = text.match_indices(['.', '?', '!', ';']).map(|(at, _)| at + 1);
    let sentence = ends.rfind(|at| text[*at..].starts_with(char::is_whitespace));
    let clause = &text[sentence.unwrap_or(0)..];
    let start = text.len() - clause.trim_start_matches(BLANKS).len();
    let clause = text[start..].trim_end_matches(MARKS);
    let joined = || last_words(clause).map(|(kind, at)| (kind, start + at));
    // Behind a heading stands its text, if anything: "EXAM: AP CHEST FINDINGS:".
    if sentence.is_none() && place != Place::Line && (place == Place::Sentence || joined().is_some()) {
        return joined();
    }
    // "IMPRESSION: AP chest compared to ___:" and the like are sentences.
    let inside = place == Place::Heading || sentence.is_some();
    let sentence_like = |words: &[String], kind| {
        let compared =
            words.len() > 1 && kind == Kind::Comparison && (inside || words.iter().any(|word| word == "COMPARED"));
        compared && (clause.contains("__") || !in_capitals(clause))
    };
    if clause.len() <= LONGEST {
        let words = words(clause);
        if let Some(kind) = known(&words) {
            return (!sentence_like(&words, kind)).then_some((kind, start));
        }
        if in_capitals(clause) && (place == Place::Line && sentence.is_none() || !shouted) {
            return kind(&words).map(|kind| (kind, start));
        }
    }
    joined()
}

/// The heading that the last words of a text are, where lines were joined: "eval for effusion FINDINGS:".
fn last_words(text: &str) -> Option<(Kind, usize)> {
    let mut longest = None;
    let starts = text.char_indices().rev().map(|(at, _)| at).filter(|at| text[..*at].ends_with(char::is_whitespace));
    for at in starts.take_while(|at| text.len() - at <= LONGEST) {
        let name = &text[at..];
        if !in_capitals(name) && !name.starts_with(|c: char| c.is_uppercase()) {
            break;
        }
        let words = words(name);
        let kind = known(&words).filter(|kind| match kind {
            Kind::Part | Kind::Exam | Kind::Order => false,
            kind => (in_capitals(name) || kind.speaks()) && !words.first().is_some_and(|word| names_exam(word)),
        });
        longest = kind.map(|kind| (kind, at)).or(longest);
    }
    longest
}

/// The kind of a heading in capitals that a line starts with and no colon follows, but a dash or a sentence, and where
/// it ends: "IMPRESSION - No change.", "FINDINGS The lungs are clear."
fn bare(line: &str) -> Option<(Kind, usize)> {
    let dash = ['-', '–', '—'];
    let capitals = line.find(|c: char| !c.is_uppercase() && !"&/ ".contains(c)).unwrap_or(line.len());
    let whole = line[capitals..].starts_with(dash);
    let name = if whole { capitals } else { line[..capitals].rfind(' ').map_or(0, |at| at + 1) };
    let (name, rest) = line.split_at(name);
    let dashed = rest.trim_start_matches(dash);
    let starts = |c: char| c.is_uppercase() || c.is_ascii_digit();
    let next = rest.split_whitespace().next().unwrap_or_default();
    let sentence = next.starts_with(char::is_uppercase) && next.contains(char::is_lowercase);
    let follows = sentence || dashed != rest && dashed.trim_start().starts_with(starts);
    let titles = |kind: &Kind| kind.speaks() || kind.ends_with_its_paragraph() && *kind != Kind::Order;
    let kind = (name.len() <= LONGEST && follows).then(|| known(&words(name))).flatten().filter(titles)?;
    Some((kind, line.len() - dashed.len()))
}

/// Bytes of the name that starts a line of what was reported in haste or later.
fn earlier(line: &str) -> Option<usize> {
    let name = EARLIER.into_iter().find(|name| {
        line.starts_with(char::is_uppercase)
            && line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    })?;
    let (written, rest) = line.split_at(name.len());
    let next = rest.split_whitespace().next().unwrap_or_default();
    let told =
        next.starts_with(|c: char| !c.is_alphabetic()) || ["by", "on", "at", "from", "to", "begins"].contains(&next);
    (rest.starts_with(' ') && (written == name || told)).then_some(name.len())
}

/// The kind of a heading that has a line for itself, with or without a colon, or a dash behind it. In small letters it
/// must open a paragraph, for it might be the end of a sentence.
fn alone(line: &str, opens: bool) -> Option<Kind> {
    let name = line.trim().trim_matches(MARKS);
    let small = name.starts_with(char::is_lowercase) && opens && !name.ends_with('.');
    let name = name.trim_end_matches([':', '.', '*']);
    // Three underscores are a text: a date or name that was taken out.
    let taken_out = line.trim_end().ends_with("___") && !line.trim_end().ends_with("____");
    if name.len() > LONGEST || name.contains([':', '_']) || taken_out {
        return None;
    }
    let words = words(name);
    let kind = known(&words).filter(|_| name.starts_with(char::is_uppercase) || small)?;
    // In other letters it may be a sentence's end: "Chest" or "Findings", not "Prior study".
    let sure = in_capitals(name) || (kind.speaks() || kind == Kind::Indication) && words.len() == 1;
    (sure && (kind != Kind::Part || line.contains(':'))).then_some(kind)
}

fn in_capitals(text: &str) -> bool {
    let letters =
        |upper: bool| text.chars().filter(move |c| if upper { c.is_uppercase() } else { c.is_lowercase() }).count();
    letters(true) > 1 && letters(false) == 0
}
