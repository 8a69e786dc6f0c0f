//! Body parts and what is said of them: "the heart is enlarged", "lungs are clear".

use std::ops::Range;

use super::{
    class,
    concepts::{Concept, Role, Subject},
    cues::{PREDICATES, Predicate},
    scope::{Mention, Reading, Rules, Status},
};

/// A body part with its predicate.
pub(super) struct Part {
    subject: Subject,
    predicate: Predicate,
    pub span: Range<usize>,
    pub core: Range<usize>,
    one_sided: bool,
}

impl Rules {
    /// Pairs the body parts of a clause with what is said of them.
    pub fn parts(
        &self,
        reading: &Reading,
        clause: &Range<usize>,
        found: &[(Range<usize>, &'static Concept)],
        findings: &[Range<usize>],
    ) -> Vec<Part> {
        let tokens = &reading.tokens;
        let is = |i: usize, classes| tokens.get(i).is_some_and(|token| self.is(token, classes));
        let taken = |i: usize| reading.cue[i] && !is(i, class::SIZE) || findings.iter().any(|core| core.contains(&i));
        // Not "no": what a report on one line says next of a heart that is "normal No effusion" is left open.
        let breaks = |i: usize| {
            is(i, class::VERB | class::COMMA | class::AND | class::WITH) || is(i, class::FORWARD) && !is(i, class::NO)
        };
        let predicates: Vec<(Range<usize>, Predicate)> = (self.predicates.find(&tokens[clause.clone()]).into_iter())
            .filter_map(|(a, b, i)| Some((a + clause.start..b + clause.start, PREDICATES.get(i)?.0)))
            .filter(|(span, predicate)| {
                // "large left effusion" says nothing of the heart.
                let theirs = findings.iter().any(|core| {
                    span.end <= core.start && core.start <= span.end + 4 && !(span.end..core.start).any(breaks)
                });
                let borderline = *predicate == Predicate::Borderline;
                !span.clone().any(|i| taken(i) && !borderline) && !theirs
            })
            .collect();
        let subjects: Vec<(&Range<usize>, Subject)> = (found.iter())
            .filter(|(span, _)| clause.start <= span.start && span.end <= clause.end)
            .filter_map(|(span, concept)| match concept.role {
                Role::Subject(subject) => Some((span, subject)),
                _ => None,
            })
            .collect();
        let mut parts = Vec::new();
        if let (true, true, Some((p, predicate))) = (subjects.is_empty(), findings.is_empty(), predicates.first()) {
            // "the lungs are hyperinflated but clear"
            let subject = |concept: &Concept| matches!(concept.role, Role::Subject(_));
            let earlier = found.iter().rev().find(|(span, concept)| span.end <= clause.start && subject(concept));
            if let Some((_, Concept { role: Role::Subject(subject), .. })) =
                earlier.filter(|_| p.start <= clause.start + 3)
            {
                let (subject, predicate) = (*subject, *predicate);
                parts.push(Part { subject, predicate, span: p.clone(), core: p.clone(), one_sided: false });
            }
        }
        for (k, &(span, subject)) in subjects.iter().enumerate() {
            let verb = |range: Range<usize>| range.into_iter().any(|i| is(i, class::VERB));
            let adjacent = predicates.iter().rev().find(|(p, _)| {
                let near = class::SIDE | class::SIZE | class::DETERMINER | class::LINK;
                p.end <= span.start && span.start - p.end <= 3 && (p.end..span.start).all(|i| is(i, near))
            });
            // What follows a finding, or the next body part of another verb, is said of that.
            let finding = findings.iter().filter(|core| span.end <= core.start).map(|core| core.end).min();
            let other =
                subjects.get(k + 1).filter(|(other, _)| verb(span.end..other.start)).map(|(other, _)| other.end);
            let own = finding.into_iter().chain(other).min().unwrap_or(usize::MAX);
            let after = predicates.iter().find(|(p, _)| span.end <= p.start && p.start < own);
            let said = (clause.start..span.start).rev().find(|&i| is(i, class::VERB)).map_or(0, |verb| verb + 1);
            let free = !verb(span.end..tokens.len().min(span.end + 2));
            let before = predicates.iter().rev().find(|(p, _)| free && said <= p.end && p.end <= span.start);
            let Some((p, predicate)) = adjacent.or(after).or(before) else {
                continue;
            };
            let whole = span.start.min(p.start)..span.end.max(p.end);
            let lead = span.start.saturating_sub(1)..span.start;
            let one_sided = (lead.chain(whole.clone())).any(|i| is(i, class::ONE_SIDED) && !p.contains(&i));
            parts.push(Part { subject, predicate: *predicate, span: whole, core: p.clone(), one_sided });
        }
        parts
    }

    /// Turns a body part's state into mentions of findings, present or absent.
    pub fn state(&self, reading: &mut Reading, part: &Part, status: Status) {
        use Predicate::{Blunted, Borderline, Clear, Congested, Enlarged, Hazy, Intact, Normal};
        let healthy = matches!(part.predicate, Normal | Clear | Intact);
        let findings: &[&str] = match (part.subject, part.predicate) {
            (Subject::Heart, Normal | Enlarged | Borderline) => &["cardiomegaly"],
            (Subject::Mediastinum, Normal | Enlarged | Borderline) => &["enlarged cardiomediastinum"],
            (Subject::Cardiomediastinum, Normal | Enlarged | Borderline) => {
                &["enlarged cardiomediastinum", "cardiomegaly"]
            }
            (Subject::Lungs, Normal | Clear) if !part.one_sided => &["lung opacity"],
            (Subject::Lungs, Hazy) => &["lung opacity"],
            (Subject::Pleura, Normal | Clear | Intact | Blunted | Hazy) => &["pleural effusion"],
            (Subject::Vessels, Enlarged | Congested | Blunted | Hazy) => &["edema"],
            (Subject::Bones, Intact) => &["fracture"],
            _ => &[],
        };
        let status = match (healthy, status) {
            (_, Status::Silent) => Status::Silent,
            (true, Status::Present | Status::Uncertain) => Status::Absent,
            // "not normal" names no finding.
            (true, Status::Absent) => return,
            (false, Status::Present) if part.predicate == Borderline => Status::Uncertain,
            (false, status) => status,
        };
        for concept in findings.iter().filter_map(|name| self.named.get(name)) {
            let (span, core) = (part.span.clone(), part.core.clone());
            reading.mentions.push(Mention { concept, span, core, status, healthy });
        }
    }
}
