//! Finds where sentences may begin and end, by RuSH's clues (Shi et al. 2016), matched as its implementation does.
//!
//! That is nearly a matching of regular expressions; but what repeats takes all that it can or nothing, 50 characters at
//! most, and at the end of the text only some patterns may stop. `clues.txt` tells their language.

use std::{collections::BTreeSet, sync::LazyLock};

use super::characters::{digit, lower, space, upper};

/// How many characters a repetition takes besides the first.
const REPEATS: usize = 50;

static CLUES: LazyLock<Clues> = LazyLock::new(|| Clues::parse(include_str!("clues.txt")));

/// What the clues mark, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub begin: usize,
    pub end: usize,
    /// Whether nothing begins or ends here.
    not: bool,
}

/// The marks of beginnings and those of ends.
pub(super) fn find(text: &[char]) -> [Vec<Mark>; 2] {
    let mut search = Search { text, marks: [Marks::default(), Marks::default()] };
    for at in 0..text.len() {
        search.step(Path { node: 0, begin: at, end: None, key: ' ', class: false }, at);
    }
    search.marks.map(|marks| marks.all.into_iter().filter(|mark| !mark.not).collect())
}

/// All patterns as one tree, each edge a character of their language.
struct Clues {
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    next: Vec<(char, usize)>,
    /// Whether the clue that ends here, to a beginning and to an end, says "not".
    clues: [Option<bool>; 2],
}

impl Clues {
    fn parse(lines: &str) -> Self {
        let mut clues = Self { nodes: vec![Node::default()] };
        for line in lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (not, line) = line.strip_prefix("not ").map_or((false, line), |rest| (true, rest));
            let Some((side, patterns)) = line.split_once(' ') else { continue };
            for pattern in alternatives(patterns.trim_start()) {
                clues.insert(&pattern, usize::from(side == "end"), not);
            }
        }
        clues
    }

    fn insert(&mut self, pattern: &str, side: usize, not: bool) {
        let mut node = 0;
        for key in pattern.chars().map(meant) {
            node = self.next(node, key).unwrap_or_else(|| {
                let new = self.nodes.len();
                self.nodes[node].next.push((key, new));
                self.nodes.push(Node::default());
                new
            });
        }
        self.nodes[node].clues[side] = Some(not);
    }

    fn next(&self, node: usize, key: char) -> Option<usize> {
        self.nodes[node].next.iter().find(|&&(other, _)| other == key).map(|&(_, next)| next)
    }
}

/// What a character of the file stands for.
fn meant(c: char) -> char {
    match c {
        '␣' => ' ',
        '⍽' => '\u{a0}',
        _ => c,
    }
}

/// What `{a|b}` stands for.
fn alternatives(pattern: &str) -> Vec<String> {
    let parts = pattern.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?)));
    let Some((head, (choice, tail))) = parts else { return vec![pattern.to_owned()] };
    choice.split('|').flat_map(|one| alternatives(&format!("{head}{one}{tail}"))).collect()
}

struct Search<'a> {
    text: &'a [char],
    marks: [Marks; 2],
}

/// How far a pattern is matched, and what its brackets hold.
#[derive(Clone, Copy)]
struct Path {
    node: usize,
    begin: usize,
    end: Option<usize>,
    /// What the last edge matched, and whether it is the letter of a class.
    key: char,
    class: bool,
}

impl Search<'_> {
    /// Goes on with the patterns below a path from the character at `at`.
    fn step(&mut self, path: Path, at: usize) {
        let edge = |key| CLUES.next(path.node, key);
        let Some(&c) = self.text.get(at) else { return self.stop(path, at) };
        if let Some(classes) = edge('\\') {
            for &(key, node) in &CLUES.nodes[classes].next {
                let path = Path { node, key, class: true, ..path };
                if key == 'b' && at == 0 {
                    self.step(path, at);
                } else if belongs(c, key) {
                    self.step(path, at + 1);
                }
            }
        }
        // A backslash of the text leads among the letters of the classes, where brackets mark nothing.
        if path.key != '\\' || path.class {
            if let Some(node) = edge('(') {
                self.step(Path { node, begin: at, key: '(', class: false, ..path }, at);
            }
            if let Some(node) = edge(')') {
                self.step(Path { node, end: Some(at), key: ')', class: false, ..path }, at);
            }
        }
        self.mark(path, at);
        if let Some(node) = edge(c).filter(|_| c != '(' && c != ')') {
            self.step(Path { node, key: c, class: false, ..path }, at + 1);
        }
        if let Some(node) = edge('+') {
            let more = Path { node, key: '+', class: false, ..path };
            self.step(more, at);
            let alike = |&&c: &&char| if path.class { belongs(c, path.key) } else { c == path.key };
            let repeats = self.text[at..].iter().take(REPEATS).take_while(alike).count();
            if repeats > 0 && !(path.class && matches!(path.key, '(' | ')')) {
                self.step(more, at + repeats);
            }
        }
    }

    /// The end of the text: only one thing is tried.
    fn stop(&mut self, path: Path, at: usize) {
        let below = |node, key| CLUES.next(node, key);
        if CLUES.nodes[path.node].clues != [None; 2] {
            self.mark(path, at);
        } else if let Some(node) = below(path.node, '\\').and_then(|classes| below(classes, 'e')) {
            self.mark(Path { node, ..path }, at);
        } else if let Some(node) = below(path.node, ')') {
            self.mark(Path { node, end: Some(at), ..path }, at);
        } else if let Some(node) = below(path.node, '+') {
            self.step(Path { node, ..path }, at);
        }
    }

    fn mark(&mut self, path: Path, at: usize) {
        let end = path.end.filter(|&end| end > 0).unwrap_or(at);
        let (begin, end) = (path.begin.min(end), path.begin.max(end));
        for (marks, clue) in self.marks.iter_mut().zip(CLUES.nodes[path.node].clues) {
            if let Some(not) = clue {
                marks.add(Mark { begin, end, not });
            }
        }
    }
}

/// Whether a character is of the class that a letter stands for.
fn belongs(c: char, class: char) -> bool {
    match class {
        's' => matches!(c, ' ' | '\t' | '\u{a0}'),
        'n' => matches!(c, '\n' | '\r'),
        'd' => digit(c),
        'C' => upper(c),
        'c' => lower(c),
        'p' => c.is_ascii_punctuation(),
        'a' => !space(c),
        'u' => c > '~' && c != '\u{a0}',
        'w' => c > '~' || space(c),
        '(' | ')' => c == class,
        _ => false,
    }
}

/// The marks of one kind. Of those that overlap the longest stays, of equals the first.
#[derive(Default)]
struct Marks {
    all: Vec<Mark>,
    /// Begin, end, and which of `all` has been there.
    places: BTreeSet<(usize, usize, usize)>,
    longest: usize,
}

impl Marks {
    fn add(&mut self, mark: Mark) {
        let Mark { begin, end, .. } = mark;
        let overlaps = |&&(b, e, _): &&(usize, usize, usize)| {
            (e > begin && b < end) || (begin == end && begin == b) || (b == e && b == begin)
        };
        let near = (begin.saturating_sub(self.longest), 0, 0)..=(end, usize::MAX, usize::MAX);
        let slot = match self.places.range(near).rev().find(overlaps) {
            Some(&(_, _, slot)) => {
                let old = self.all[slot];
                if end - begin <= old.end - old.begin {
                    return;
                }
                self.all[slot] = mark;
                slot
            }
            None => {
                self.all.push(mark);
                self.all.len() - 1
            }
        };
        // The very first place is kept one shorter.
        let end = if self.places.is_empty() { end.saturating_sub(1).max(begin) } else { end };
        self.longest = self.longest.max(end - begin);
        self.places.insert((begin, end, slot));
    }
}
