//! Spans of what a run's trace tells.
//!
//! A ticket's trace has a root from its issue to its end; under it each stage that its group went through, and under that
//! the wait for it and what was done there. A step's trace is what the learner did in it. They are linked: the ticket's
//! time at the learner to the step, the step to its tickets, an attempt to the one before.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use addendum_actors::Moment;
use addendum_replay::TicketId;
use opentelemetry::{
    Array, InstrumentationScope, KeyValue, StringValue, Value as Told,
    trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanLinks};
use serde_json::{Map, Value};

use crate::report::events;

/// The most tickets, and steps, that are kept until they are over: more than there are, unless something that was told got
/// lost.
const MOST: usize = 1 << 14;

/// The most deeds of one track that wait for what they are part of, which some are of nothing.
const DEEDS: usize = 64;

/// Spans of a run, as they become ready.
pub(super) struct Spans {
    /// What is over and told whole.
    pub ready: Vec<SpanData>,
    /// How many were given up since something they belong to got lost.
    pub lost: usize,
    /// When the trace began.
    epoch: SystemTime,
    scope: InstrumentationScope,
    ids: RandomIdGenerator,
    tracks: BTreeMap<u32, Track>,
    /// Tickets that are out of the gate.
    open: BTreeMap<TicketId, Ticket>,
    /// Attempts that came to nothing.
    failed: BTreeMap<TicketId, Failed>,
    steps: BTreeMap<u64, Step>,
}

#[derive(Default)]
struct Track {
    name: String,
    /// What was done on it, and is part of something that is not over.
    deeds: Vec<Deed>,
}

/// What an actor did, with what it did within.
struct Deed {
    actor: String,
    name: &'static str,
    since: u64,
    until: u64,
    about: Value,
    within: Vec<Deed>,
}

struct Ticket {
    context: SpanContext,
    earlier: Option<SpanContext>,
    issued: u64,
    /// When it went on from a stage the last time.
    moved: u64,
    about: Map<String, Value>,
    /// What was done to it at the stage where it is.
    deeds: Vec<Deed>,
}

struct Failed {
    context: SpanContext,
    moved: u64,
}

struct Step {
    context: SpanContext,
    tickets: Vec<SpanContext>,
}

impl Default for Spans {
    fn default() -> Self {
        Self {
            ready: Vec::new(),
            lost: 0,
            epoch: events::now(),
            scope: InstrumentationScope::builder("addendum").with_version(env!("CARGO_PKG_VERSION")).build(),
            ids: RandomIdGenerator::default(),
            tracks: BTreeMap::new(),
            open: BTreeMap::new(),
            failed: BTreeMap::new(),
            steps: BTreeMap::new(),
        }
    }
}

impl Spans {
    pub fn hear(&mut self, moment: Moment) {
        match moment {
            Moment::Began { at } => self.epoch = events::now() - at.elapsed(),
            Moment::Track { track, name } => self.tracks.entry(track).or_default().name = name,
            Moment::Span { track, name, since, until, about } => self.done(track, name, since, until, about),
            Moment::Issued { ticket, at, about } => self.issued(ticket, at, about),
            Moment::Passed { ticket, stage, since, until, about } => self.passed(ticket, stage, since, until, about),
            Moment::Ended { ticket, at, about } => self.ended(ticket, at, about),
            _ => {}
        }
    }

    /// Something is over: part of a ticket's way, a step, or part of what will be over on the same track.
    fn done(&mut self, track: u32, name: &'static str, since: u64, until: u64, about: Value) {
        let Track { name: actor, deeds } = self.tracks.entry(track).or_default();
        let within = deeds.iter().position(|deed| deed.since >= since).unwrap_or(deeds.len());
        let deed = Deed { actor: actor.clone(), name, since, until, within: deeds.split_off(within), about };
        match (name, deed.about["ticket"].as_u64().map(TicketId), deed.about["step"].as_u64()) {
            // Part of nothing: a ticket's wait is in its own trace.
            ("waiting", ..) => {}
            (_, Some(ticket), _) if self.open.get(&ticket).is_some_and(|open| since >= open.moved) => {
                self.open.entry(ticket).and_modify(|open| open.deeds.push(deed));
            }
            // An attempt ends in the middle of what it failed at.
            (_, Some(ticket), _) if self.failed.get(&ticket).is_some_and(|failed| since >= failed.moved) => {
                let parent = self.failed[&ticket].context.clone();
                self.put_deed(deed, &parent);
            }
            ("step", _, Some(step)) if deed.actor == "learner" => self.stepped(step, deed),
            ("evaluating", ..) => {
                let context = self.new_trace();
                self.put_root(deed, context, Vec::new());
            }
            _ => {
                deeds.push(deed);
                if deeds.len() > DEEDS {
                    deeds.remove(0);
                }
            }
        }
    }

    fn issued(&mut self, id: TicketId, at: u64, about: Value) {
        let earlier = self.failed.remove(&id).map(|failed| failed.context);
        let about = if let Value::Object(about) = about { about } else { Map::new() };
        let (context, deeds) = (self.new_trace(), Vec::new());
        let ticket = Ticket { context, earlier, issued: at, moved: at, about, deeds };
        self.lost += usize::from(self.open.insert(id, ticket).is_some());
        self.lost += usize::from(keep(&mut self.open));
    }

    fn passed(&mut self, id: TicketId, stage: String, since: u64, until: u64, about: Value) {
        let Some(ticket) = self.open.get_mut(&id) else {
            self.lost += 1;
            return;
        };
        ticket.moved = until;
        let (root, deeds) = (ticket.context.clone(), std::mem::take(&mut ticket.deeds));
        let mut links = Vec::new();
        if let Some(step) = about["step"].as_u64() {
            links.push(self.step_of(step, &root));
        }
        let context = self.within(&root);
        if let Some(first) = deeds.iter().map(|deed| deed.since).min().filter(|first| *first > since) {
            let waiting = self.within(&root);
            self.put(waiting, context.span_id(), "waiting".into(), since, first);
        }
        deeds.into_iter().for_each(|deed| self.put_deed(deed, &context));
        let span = self.put(context, root.span_id(), stage, since, until);
        span.attributes = attributes(&about);
        span.links = linked(links);
        if let (Some(ticket), Value::Object(about)) = (self.open.get_mut(&id), about) {
            ticket.about.extend(about);
        }
    }

    fn ended(&mut self, id: TicketId, at: u64, about: Value) {
        let Some(Ticket { context, earlier, issued, moved, about: known, deeds }) = self.open.remove(&id) else {
            self.lost += 1;
            return;
        };
        deeds.into_iter().for_each(|deed| self.put_deed(deed, &context));
        let span = self.put(context.clone(), SpanId::INVALID, "ticket".into(), issued, at);
        span.attributes = attributes(&Value::Object(known));
        span.attributes.extend(attributes(&about));
        span.links = linked(earlier);
        if let Some(error) = about["error"].as_str() {
            span.status = Status::error(error.to_owned());
        }
        if about["ending"] != "trained" {
            self.failed.insert(id, Failed { context, moved });
            keep(&mut self.failed);
        }
    }

    /// The context of a step that a ticket is part of.
    fn step_of(&mut self, step: u64, ticket: &SpanContext) -> SpanContext {
        if !self.steps.contains_key(&step) {
            let context = self.new_trace();
            self.steps.insert(step, Step { context, tickets: Vec::new() });
            keep(&mut self.steps);
        }
        let Some(step) = self.steps.get_mut(&step) else { return SpanContext::NONE };
        step.tickets.push(ticket.clone());
        step.context.clone()
    }

    fn stepped(&mut self, step: u64, deed: Deed) {
        let (context, tickets) = match self.steps.remove(&step) {
            Some(Step { context, tickets }) => (context, tickets),
            None => (self.new_trace(), Vec::new()),
        };
        self.put_root(deed, context, tickets);
    }

    /// A trace of what an actor did.
    fn put_root(&mut self, deed: Deed, context: SpanContext, links: Vec<SpanContext>) {
        let Deed { actor, name, since, until, about, within } = deed;
        within.into_iter().for_each(|deed| self.put_deed(deed, &context));
        let span = self.put(context, SpanId::INVALID, name.into(), since, until);
        span.attributes = by(&actor, &about);
        span.links = linked(links);
    }

    fn put_deed(&mut self, deed: Deed, parent: &SpanContext) {
        let Deed { actor, name, since, until, about, within } = deed;
        let context = self.within(parent);
        within.into_iter().for_each(|deed| self.put_deed(deed, &context));
        self.put(context, parent.span_id(), name.into(), since, until).attributes = by(&actor, &about);
    }

    fn put(
        &mut self,
        span_context: SpanContext,
        parent: SpanId,
        name: String,
        since: u64,
        until: u64,
    ) -> &mut SpanData {
        let time = |at| self.epoch + Duration::from_micros(at);
        let span = SpanData {
            span_context,
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: time(since),
            end_time: time(until),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        };
        let place = self.ready.len();
        self.ready.push(span);
        &mut self.ready[place]
    }

    fn new_trace(&self) -> SpanContext {
        let (trace, span) = (self.ids.new_trace_id(), self.ids.new_span_id());
        SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
    }

    /// Another span of the same trace.
    fn within(&self, parent: &SpanContext) -> SpanContext {
        SpanContext::new(parent.trace_id(), self.ids.new_span_id(), TraceFlags::SAMPLED, false, TraceState::NONE)
    }
}

/// Forgets the oldest of too many; whether there was one.
fn keep<K: Ord, V>(map: &mut BTreeMap<K, V>) -> bool {
    map.len() > MOST && map.pop_first().is_some()
}

fn linked(contexts: impl IntoIterator<Item = SpanContext>) -> SpanLinks {
    let mut links = SpanLinks::default();
    links.links.extend(contexts.into_iter().map(|context| Link::new(context, Vec::new(), 0)));
    links
}

/// The name of an attribute.
pub(super) fn attribute(name: &str) -> String {
    format!("addendum.{name}")
}

fn by(actor: &str, about: &Value) -> Vec<KeyValue> {
    let mut attributes = attributes(about);
    attributes.push(KeyValue::new(attribute("actor"), actor.to_owned()));
    attributes
}

fn attributes(about: &Value) -> Vec<KeyValue> {
    let fields = about.as_object().into_iter().flatten();
    fields.map(|(name, value)| KeyValue::new(attribute(name), told(value))).collect()
}

fn told(value: &Value) -> Told {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Bool(is) => Told::Bool(*is),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Told::I64(whole),
            (None, number) => Told::F64(number.unwrap_or(f64::NAN)),
        },
        Value::Array(values) => {
            Told::Array(Array::String(values.iter().map(|value| StringValue::from(text(value))).collect()))
        }
        value => Told::String(text(value).into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: TicketId = TicketId(3);

    fn issued(at: u64, attempt: u64) -> Moment {
        Moment::Issued { ticket: ID, at, about: json!({"ticket": 3, "attempt": attempt}) }
    }

    fn passed(stage: &str, since: u64, until: u64) -> Moment {
        Moment::Passed { ticket: ID, stage: stage.into(), since, until, about: json!({"reports": 4}) }
    }

    fn span(track: u32, name: &'static str, since: u64, until: u64, about: Value) -> Moment {
        Moment::Span { track, name, since, until, about }
    }

    fn ended(at: u64, about: Value) -> Moment {
        Moment::Ended { ticket: ID, at, about }
    }

    /// Name, parent's name, and microseconds since the trace began.
    fn told(spans: &Spans) -> Vec<(String, String, u128, u128)> {
        let micros = |time: SystemTime| time.duration_since(spans.epoch).unwrap().as_micros();
        let parent = |id| spans.ready.iter().find(|span| span.span_context.span_id() == id);
        let told = spans.ready.iter().map(|span| {
            let parent = parent(span.parent_span_id).map_or_else(String::new, |parent| parent.name.to_string());
            (span.name.to_string(), parent, micros(span.start_time), micros(span.end_time))
        });
        told.collect()
    }

    fn row(name: &str, parent: &str, since: u128, until: u128) -> (String, String, u128, u128) {
        (name.into(), parent.into(), since, until)
    }

    #[test]
    fn a_stage_holds_the_wait_for_it_and_what_was_done_there_and_within_that() {
        let mut spans = Spans::default();
        spans.hear(Moment::Track { track: 1, name: "sampler-0".into() });
        let of_ticket = || json!({"ticket": 3});
        let heard = [
            span(1, "waiting", 0, 2, Value::Null),
            issued(2, 1),
            span(1, "reading", 4, 6, of_ticket()),
            // Of another ticket, which is not out, and on a track of its own.
            span(2, "processing", 5, 9, json!({"ticket": 4})),
            span(1, "encoding", 7, 9, Value::Null),
            span(1, "sampling", 6, 12, of_ticket()),
            passed("sampler", 2, 13),
            passed("replay", 13, 20),
            ended(21, json!({"ending": "trained"})),
        ];
        heard.into_iter().for_each(|moment| spans.hear(moment));
        let expected = [
            row("reading", "sampler", 4, 6),
            row("encoding", "sampling", 7, 9),
            row("sampling", "sampler", 6, 12),
            row("sampler", "ticket", 2, 13),
            row("replay", "ticket", 13, 20),
            row("ticket", "", 2, 21),
        ];
        let told = told(&spans);
        assert_eq!(told[0], row("waiting", "sampler", 2, 4));
        assert_eq!(told[1..], expected);
        assert_eq!((spans.lost, spans.open.len(), spans.failed.len()), (0, 0, 0));
        let trace = spans.ready[0].span_context.trace_id();
        assert!(spans.ready.iter().all(|span| span.span_context.trace_id() == trace));
    }

    #[test]
    fn an_attempt_that_failed_has_its_error_and_what_it_failed_at_and_the_next_one_is_linked_to_it() {
        let mut spans = Spans::default();
        let heard = [
            issued(0, 1),
            passed("sampler", 0, 5),
            ended(8, json!({"ending": "failed", "error": "no such service"})),
            // The stage learns of it last.
            span(1, "processing", 6, 9, json!({"ticket": 3})),
            issued(20, 2),
            passed("sampler", 20, 25),
            ended(30, json!({"ending": "trained"})),
        ];
        heard.into_iter().for_each(|moment| spans.hear(moment));
        let roots: Vec<&SpanData> = spans.ready.iter().filter(|span| span.name == "ticket").collect();
        assert_eq!(roots[0].status, Status::error("no such service"));
        assert_eq!(roots[1].status, Status::Unset);
        assert_ne!(roots[0].span_context.trace_id(), roots[1].span_context.trace_id());
        assert_eq!(roots[1].links.links[0].span_context, roots[0].span_context);
        let processing = spans.ready.iter().find(|span| span.name == "processing").unwrap();
        assert_eq!(processing.parent_span_id, roots[0].span_context.span_id());
        assert!(spans.failed.is_empty());
    }

    #[test]
    fn what_belongs_to_something_that_got_lost_is_counted_and_nothing_grows_without_end() {
        let mut spans = Spans::default();
        spans.hear(passed("editor", 1, 2));
        spans.hear(ended(3, json!({"ending": "trained"})));
        assert_eq!((spans.lost, spans.ready.len()), (2, 0));
        for ticket in 0..MOST as u64 + 5 {
            spans.hear(Moment::Issued { ticket: TicketId(ticket), at: 0, about: json!({}) });
            spans.hear(span(1, "writing", ticket, ticket + 1, Value::Null));
        }
        assert_eq!((spans.lost, spans.open.len(), spans.tracks[&1].deeds.len()), (7, MOST, DEEDS));
    }
}
