//! RadGraph-style graphs from the lexicon's readings.
//!
//! Body words inside a finding's name ("pleural" effusion) are entities of their own, as RadGraph's annotators cut them.

use std::ops::Range;

use super::{
    class,
    scope::{Mention, Reading, Rules, Status},
    words::Token,
};
use crate::graph::{Graph, GraphEntity, Relation, label, relation};

impl Rules {
    /// Whether a word tells a place.
    pub fn places(&self, token: &Token) -> bool {
        self.is(token, class::SIDE | class::ZONE)
    }

    /// Adds the entities and relations of one sentence.
    pub fn add_to_graph(&self, graph: &mut Graph, sentence: &str, reading: &Reading) {
        let surroundings = self.surroundings(reading);
        let mut builder = Builder { rules: self, graph, sentence, reading };
        let bodies: Vec<Option<usize>> =
            (reading.anatomy.iter()).map(|(span, _)| builder.entity(span.clone(), label::ANATOMY)).collect();
        let mut last: Option<(&Mention, Option<usize>)> = None;
        for (mention, around) in reading.mentions.iter().zip(&surroundings) {
            if mention.status == Status::Silent {
                continue;
            }
            if let Some((before, entity)) = last
                && before.core == mention.core
            {
                last = Some((mention, entity));
                continue;
            }
            let label = match mention.status {
                _ if mention.healthy => label::PRESENT,
                Status::Absent => label::ABSENT,
                Status::Uncertain => label::UNCERTAIN,
                Status::Present | Status::Silent => label::PRESENT,
            };
            let observed = builder.observation(mention, label);
            for &i in &around.anatomy {
                if let (Some(observed), Some(&Some(body))) = (observed, bodies.get(i)) {
                    builder.relate(observed, relation::LOCATED_AT, body);
                }
            }
            for &at in &around.modifiers {
                let place = self.is(&reading.tokens[at], class::SIDE | class::ZONE | class::BODY);
                let modifier = builder.entity(at..at + 1, if place { label::ANATOMY } else { label });
                let near = around.anatomy.iter().find(|&&i| reading.anatomy[i].0.start == at + 1);
                let (Some(modifier), Some(observed)) = (modifier, observed) else {
                    continue;
                };
                match near.and_then(|&i| bodies.get(i).copied().flatten()) {
                    Some(body) if place => builder.relate(modifier, relation::MODIFY, body),
                    _ if place => builder.relate(observed, relation::LOCATED_AT, modifier),
                    _ => builder.relate(modifier, relation::MODIFY, observed),
                }
            }
            if let (Some((before, Some(from))), Some(to)) = (last, observed)
                && before.status == Status::Present
                && mention.status == Status::Uncertain
                && (before.core.end..mention.core.start).any(|i| reading.cue[i])
            {
                builder.relate(from, relation::SUGGESTIVE_OF, to);
            }
            last = Some((mention, observed));
        }
    }
}

struct Builder<'a> {
    rules: &'a Rules,
    graph: &'a mut Graph,
    sentence: &'a str,
    reading: &'a Reading,
}

impl Builder<'_> {
    /// The entity of a mention's own words; body words before them become an entity that locates it.
    fn observation(&mut self, mention: &Mention, label: &str) -> Option<usize> {
        let core = mention.core.clone();
        let body = |i: usize| self.rules.is(&self.reading.tokens[i], class::BODY);
        let split = core.clone().take_while(|&i| body(i)).count();
        if split == 0 || split == core.len() {
            return self.entity(core, label);
        }
        let place = self.entity(core.start..core.start + split, label::ANATOMY)?;
        let observed = self.entity(core.start + split..core.end, label)?;
        self.relate(observed, relation::LOCATED_AT, place);
        Some(observed)
    }

    fn entity(&mut self, span: Range<usize>, label: &str) -> Option<usize> {
        let words = self.reading.tokens.get(span)?.iter().filter_map(|token| self.sentence.get(token.start..token.end));
        let tokens = words.map(str::to_lowercase).collect::<Vec<_>>().join(" ");
        self.graph.entities.push(GraphEntity { tokens, label: label.to_owned(), relations: Vec::new() });
        Some(self.graph.entities.len() - 1)
    }

    fn relate(&mut self, subject: usize, kind: &str, object: usize) {
        if let Some(entity) = self.graph.entities.get_mut(subject) {
            entity.relations.push(Relation { kind: kind.to_owned(), object });
        }
    }
}
