//! Reports cut into their sections, and which of them speak: only findings and impression say what is seen.
//!
//! Whole reports also hold the order, the history, what an earlier reader wrote in haste, recommendations and who was
//! told. Hospitals spell their headings in hundreds of ways, as the section script of MIMIC-CXR's authors shows, so
//! headings are told by their words (`headings`) and by where they stand (`scan`): at the start of a line or sentence, in
//! front of a colon, or alone on a line. What capitals with a colon open that no word tells is a section that does not
//! speak.

mod headings;
mod scan;

use std::{borrow::Cow, ops::Range};

pub use headings::Kind;

/// A part of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What it is for, by its heading.
    pub kind: Kind,
    /// Bytes of the report, from the heading on.
    pub whole: Range<usize>,
    /// Bytes of the report, behind the heading.
    pub body: Range<usize>,
}

/// The sections of a report in their order; together they are all of it. What stands before the first heading, or in a
/// paragraph of its own behind the history, the technique and the like, is [`Kind::Untitled`].
pub fn split(report: &str) -> Vec<Section> {
    let headings = scan::headings(report);
    let first = headings.first().map_or(report.len(), |heading| heading.start);
    let mut sections = vec![Section { kind: Kind::Untitled, whole: 0..first, body: 0..first }];
    let ends = headings.iter().skip(1).map(|heading| heading.start).chain([report.len()]);
    // The kinds that speak so far, and whether what follows was added to them later.
    let (mut said, mut added) = (Vec::new(), false);
    // The first section of what was read earlier and is not marked yet, and the kinds that speak before it.
    let mut earlier: Option<(usize, Vec<Kind>)> = None;
    for (heading, end) in headings.iter().zip(ends) {
        let kind = match (heading.kind, sections.last_mut()) {
            // "Lungs:" goes on with the section that it stands in, or starts the findings.
            (part, Some(open))
                if part.goes_on_with(open.kind) || part == Kind::Part && says_without_heading(report, open) =>
            {
                (open.whole.end, open.body.end) = (end, end);
                continue;
            }
            (Kind::Part, _) => Kind::Findings,
            // An addendum may have sections of its own.
            (kind, _) if added && said.contains(&kind) => Kind::Earlier,
            (kind, _) => kind,
        };
        if kind == Kind::Report {
            // Whatever sections it had, what was read earlier ends here.
            if let Some((first, before)) = earlier {
                sections[first..].iter_mut().for_each(|section| section.kind = Kind::Earlier);
                said.clone_from(&before);
                earlier = Some((sections.len(), before));
            }
            added = false;
        } else if kind == Kind::Earlier {
            earlier.get_or_insert_with(|| (sections.len(), said.clone()));
            added = !said.is_empty();
        }
        if kind.speaks() && !said.contains(&kind) {
            said.push(kind);
        }
        let ended = if kind.ends_with_its_paragraph() && said.is_empty() {
            paragraph_end(&report[heading.end..end]).map_or(end, |length| heading.end + length)
        } else {
            end
        };
        sections.push(Section { kind, whole: heading.start..ended, body: heading.end..ended });
        if ended < end {
            sections.push(Section { kind: Kind::Untitled, whole: ended..end, body: ended..end });
        }
    }
    sections.retain(|section| !section.whole.is_empty());
    sections
}

/// The sections that speak, see [`Sections::spoken`].
pub fn spoken(report: &str) -> Cow<'_, str> {
    Sections::of(report).spoken()
}

/// A report that was split once, for several questions.
#[derive(Debug, Clone)]
pub struct Sections<'a> {
    report: &'a str,
    sections: Vec<Section>,
}

impl<'a> Sections<'a> {
    pub fn of(report: &'a str) -> Self {
        Self { report, sections: split(report) }
    }

    /// The sections that speak, with their headings, as they stand: findings and impression; text without a heading where
    /// there are no findings; else what was read earlier or added later.
    ///
    /// The report itself if all of it speaks, or nothing.
    pub fn spoken(&self) -> Cow<'a, str> {
        let report = self.report;
        let untitled = WITHOUT_HEADING;
        let says = |section: &&Section| match untitled.contains(&section.kind) {
            true => says_without_heading(report, section),
            false => !without_rules(&report[section.body.clone()]).is_empty(),
        };
        let any = |kinds: &[Kind]| self.sections.iter().filter(says).any(|section| kinds.contains(&section.kind));
        let kinds = match (any(&[Kind::Findings]), any(&[Kind::Impression])) {
            (true, _) => vec![Kind::Findings, Kind::Impression],
            (false, true) => [&untitled[..], &[Kind::Impression]].concat(),
            _ if any(&untitled) => untitled.to_vec(),
            _ => vec![Kind::Earlier],
        };
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for section in self.sections.iter().filter(says).filter(|section| kinds.contains(&section.kind)) {
            let range = if untitled.contains(&section.kind) { &section.body } else { &section.whole };
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range.clone()),
            }
        }
        let pieces: Vec<&str> = ranges.into_iter().map(|range| without_rules(&report[range])).collect();
        match pieces[..] {
            [] => report.into(),
            [piece] if piece == without_rules(report) => report.into(),
            [piece] => piece.into(),
            _ => pieces.join("\n").into(),
        }
    }

    /// The first section of a kind that holds anything, as it stands, without its heading.
    pub fn first(&self, kind: Kind) -> Option<&'a str> {
        let bodies = self.sections.iter().filter(|section| section.kind == kind);
        bodies.map(|section| self.report[section.body.clone()].trim()).find(|body| !body.is_empty())
    }

    /// What the sections of one kind say, without headings and ruled lines, on one line; none if they say nothing.
    ///
    /// Several sections of a kind are one text. Where no heading names the findings, what follows the name of the
    /// examination ("CHEST, PA AND LATERAL: The lungs are clear.") are the findings, as in the section script of
    /// MIMIC-CXR's authors (`section_parser.py` of MIT-LCP/mimic-code). What stands without any heading, such as their
    /// `last_paragraph`, is asked for by [`Kind::Untitled`].
    pub fn body(&self, kind: Kind) -> Option<String> {
        let report = self.report;
        let bodies = |kinds: &[Kind]| {
            let says = |section: &&Section| {
                kinds.contains(&section.kind)
                    && (!WITHOUT_HEADING.contains(&section.kind) || says_without_heading(report, section))
            };
            let texts = self.sections.iter().filter(says).map(|section| &report[section.body.clone()]);
            let words = texts.flat_map(str::split_whitespace).filter(|word| !is_rule(word));
            Some(words.collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty())
        };
        match kind {
            Kind::Findings => bodies(&[Kind::Findings]).or_else(|| bodies(&[Kind::Exam])),
            Kind::Untitled => bodies(&[Kind::Untitled, Kind::Report]),
            kind => bodies(&[kind]),
        }
    }
}

/// Where a blank line ends the first of several paragraphs.
fn paragraph_end(text: &str) -> Option<usize> {
    let mut at = 0;
    let mut begun = false;
    for line in text.split_inclusive('\n') {
        if begun && line.trim().is_empty() {
            return (!text[at..].trim().is_empty()).then_some(at);
        }
        begun |= !line.trim().is_empty();
        at += line.len();
    }
    None
}

/// Kinds of sections that say something where no heading of findings stands.
const WITHOUT_HEADING: [Kind; 3] = [Kind::Untitled, Kind::Exam, Kind::Report];

fn says_without_heading(report: &str, section: &Section) -> bool {
    WITHOUT_HEADING.contains(&section.kind) && is_prose(without_rules(&report[section.body.clone()]))
}

/// Whether a text without a heading says anything, unlike a title in capitals.
fn is_prose(text: &str) -> bool {
    text.ends_with('.') || text.contains(|c: char| c.is_lowercase())
}

/// Whether a word is a ruled line.
fn is_rule(word: &str) -> bool {
    word.len() > 3 && word.bytes().all(|byte| byte == b'_')
}

/// Without white space and ruled lines ("______") at the ends; three underscores are a name that was taken out.
fn without_rules(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(rest) = text.strip_suffix("____") {
        text = rest.trim_end_matches('_').trim_end();
    }
    while let Some(rest) = text.strip_prefix("____") {
        text = rest.trim_start_matches('_').trim_start();
    }
    text
}

#[cfg(test)]
mod tests;
