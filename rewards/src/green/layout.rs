//! The parts of an answer: its sections, and the items of a section, however they are laid out.

pub(super) const EXPLANATION: &str = "Explanation";

/// The sections that hold counts.
pub(super) const SIGNIFICANT: &str = "Clinically Significant Errors";
pub(super) const INSIGNIFICANT: &str = "Clinically Insignificant Errors";
pub(super) const MATCHED: &str = "Matched Findings";

/// Markdown around words.
const DRESS: [char; 3] = ['*', '`', '_'];

/// Names and bodies; the first has no name. A heading begins a line, whatever Markdown is around; one of a known name may
/// also stand within a line if a colon follows it.
pub(super) fn sections(answer: &str) -> Vec<(String, String)> {
    let mut sections = vec![(String::new(), String::new())];
    for line in answer.lines() {
        let mut rest = line.trim().trim_start_matches(['*', '#', '`', ' ', '-', '•']);
        if let Some((name, body)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            sections.push((name.trim().to_owned(), String::new()));
            rest = body;
        } else {
            rest = line.trim();
        }
        while let Some((before, name, after)) = heading_within(rest) {
            write(&mut sections, before);
            sections.push((name.to_owned(), String::new()));
            rest = after;
        }
        write(&mut sections, rest);
    }
    sections
}

/// Adds a line to the last section.
fn write(sections: &mut [(String, String)], line: &str) {
    let Some((name, body)) = sections.last_mut() else { return };
    let opens = body.is_empty() && !name.is_empty();
    let line = if opens { line.trim_start_matches(['*', ':', ' ']) } else { line };
    body.push_str(line.trim().trim_matches(['`', '*']).trim_end_matches("</s>"));
    body.push('\n');
}

/// What stands before a heading within a line, its name, and what stands behind its colon.
fn heading_within(line: &str) -> Option<(&str, &str, &str)> {
    let known = [EXPLANATION, SIGNIFICANT, INSIGNIFICANT, MATCHED];
    line.match_indices('[').find_map(|(at, _)| {
        let (name, after) = line[at + 1..].split_once(']')?;
        let after = after.trim_start_matches(['*', ' ']).strip_prefix(':')?;
        known.iter().any(|known| name.trim().eq_ignore_ascii_case(known)).then(|| (&line[..at], name.trim(), after))
    })
}

/// One type of error, and what is said of it.
pub(super) struct Item {
    /// 0 for (a) or (1) to 5 for (f) or (6).
    pub slot: usize,
    pub text: String,
}

/// How the labels of a section look: what is around them, and what they count with.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Style {
    open: bool,
    close: char,
    first: char,
}

struct Label {
    style: Style,
    slot: usize,
    /// Where it begins, and where its text does.
    at: usize,
    behind: usize,
}

/// The items of a section, in the style of its first label. A label begins a line, whatever bullet is before it; within a
/// line one counts that no line begins with and that is greater than those before.
pub(super) fn items(body: &str) -> Vec<Item> {
    let body = body.replace(DRESS, "");
    let found = labels(&body);
    let begins_line = |label: &&Label| body[..label.at].rsplit('\n').next().is_none_or(|before| bullet(before.trim()));
    let Some(style) = found.iter().find(begins_line).map(|label| label.style) else { return Vec::new() };
    let found: Vec<&Label> = found.iter().filter(|label| label.style == style).collect();
    let of_lines: Vec<usize> = found.iter().filter(|label| begins_line(label)).map(|label| label.slot).collect();
    let mut chosen: Vec<&Label> = Vec::new();
    for label in found {
        let next = chosen.last().is_none_or(|last| label.slot > last.slot);
        if begins_line(&label) || next && !of_lines.contains(&label.slot) && !is_count(&body[..label.at]) {
            chosen.push(label);
        }
    }
    let ends = chosen.iter().skip(1).map(|label| label.at).chain([body.len()]);
    let text = |(label, end): (&&Label, usize)| {
        let text = body[label.behind..end].split('\n').next().unwrap_or_default();
        Item { slot: label.slot, text: text.trim().to_owned() }
    };
    chosen.iter().zip(ends).map(text).collect()
}

fn bullet(text: &str) -> bool {
    matches!(text, "" | "-" | "•" | "–" | "+" | "#")
}

/// Whether what follows a text is the count of an item, as in "(a) Some type: 2. One".
fn is_count(before: &str) -> bool {
    before.trim_end().ends_with(':')
}

/// Whatever looks like a label, at the start of a word.
fn labels(body: &str) -> Vec<Label> {
    let starts = body.char_indices().filter(|&(at, c)| {
        !c.is_whitespace() && body[..at].chars().next_back().is_none_or(|before| !before.is_alphanumeric())
    });
    starts.filter_map(|(at, _)| label(&body[at..], at)).collect()
}

fn label(text: &str, at: usize) -> Option<Label> {
    let (open, rest) = text.strip_prefix('(').map_or((false, text), |rest| (true, rest));
    let mut chars = rest.chars();
    let (sign, close) = (chars.next()?, chars.next()?);
    let (first, count) = match sign {
        'a'..='f' => ('a', sign as usize - 'a' as usize),
        'A'..='F' => ('a', sign as usize - 'A' as usize),
        '1'..='6' => ('1', sign as usize - '1' as usize),
        _ => return None,
    };
    let closes = if open { close == ')' } else { matches!(close, ')' | '.') };
    let ends = open || chars.next().is_none_or(char::is_whitespace);
    let style = Style { open, close, first };
    (closes && ends).then_some(Label { style, slot: count, at, behind: at + usize::from(open) + 2 })
}
