//! Where time goes, as a file that <https://ui.perfetto.dev> and chrome://tracing open: what every actor does and waits
//! for, as spans on tracks of its name, and the way of every ticket from its issue to its end.
//!
//! A run without a trace holds empty handles, which allocate nothing and ask no clock. The format is Google's "Trace Event
//! Format". Tracks are not threads: an actor's work may move between threads, and its track follows it.

mod file;

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use addendum_replay::{Ending, RolloutGroup, Ticket, TicketId};
use crossbeam::channel;
use serde_json::{Value, json};

use file::{Entry, Inlet, Message, WAITING};

/// What the ticket's events have in common.
const TICKET: &str = "ticket";

/// The trace of a run, or none.
#[derive(Clone, Default)]
pub(crate) struct Trace(Option<Arc<Recording>>);

struct Recording {
    started: Instant,
    inlet: Inlet,
    /// Entries that may still be put.
    left: AtomicI64,
    tracks: Mutex<Tracks>,
    /// When each ticket that is out began what it is at.
    tickets: Mutex<BTreeMap<TicketId, u64>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// The tracks of each actor, and whether they are in use.
#[derive(Default)]
struct Tracks {
    of: BTreeMap<String, Vec<(u32, bool)>>,
    count: u32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trace {
    /// Writes to `path` from now on, on a thread of its own, up to about so many `entries`. `stopped` hears when that is no
    /// longer possible.
    pub fn create(path: &Path, entries: u32, stopped: impl FnOnce(io::Error) + Send + 'static) -> io::Result<Self> {
        let file = File::create(path)?;
        let (messages, queue) = channel::bounded(WAITING);
        let writer = thread::Builder::new().name("trace".into()).spawn(move || {
            if let Err(error) = file::write(file, &queue) {
                drop(queue);
                stopped(error);
            }
        })?;
        let recording = Recording {
            started: Instant::now(),
            inlet: Inlet { messages, lost: AtomicU64::new(0) },
            left: AtomicI64::new(entries.into()),
            tracks: Mutex::default(),
            tickets: Mutex::default(),
            writer: Mutex::new(Some(writer)),
        };
        recording.put(vec![named("process_name", 0, "addendum")]);
        Ok(Self(Some(Arc::new(recording))))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Nothing, from when the trace is full on.
    fn recording(&self) -> Option<&Arc<Recording>> {
        self.0.as_ref().filter(|recording| recording.has_room())
    }

    /// A track for one thing that the actor does at a time; the actor's first one that is free.
    pub fn track(&self, actor: &str) -> Track {
        Track(self.recording().map(|recording| Arc::new(recording.place(actor))))
    }

    /// The ticket leaves the gate.
    pub fn issued(&self, ticket: &Ticket) {
        let Some(recording) = self.recording() else { return };
        let now = recording.now();
        lock(&recording.tickets).insert(ticket.id(), now);
        let args = json!({
            "ticket": ticket.id().0, "study": ticket.study(), "version": ticket.snapshot().0, "draw": ticket.draw(),
            "attempt": ticket.attempt(),
        });
        recording.put(vec![Entry { args, ..of_ticket(ticket.id(), TICKET.to_owned(), 'b', now) }]);
    }

    /// The group has been through `stage`, waiting included.
    pub fn passed(&self, group: &RolloutGroup, stage: &str) {
        let Some(recording) = self.recording() else { return };
        let (id, now) = (group.ticket.id(), recording.now());
        let Some(since) = lock(&recording.tickets).insert(id, now) else { return };
        let entry = |ph, at| of_ticket(id, stage.to_owned(), ph, at);
        recording.put(vec![Entry { args: about(group), ..entry('b', since) }, entry('e', now)]);
    }

    /// The ticket is back at the gate, or has ended.
    pub fn ended(&self, id: TicketId, ending: Ending) {
        let Some(recording) = self.recording() else { return };
        lock(&recording.tickets).remove(&id);
        let args = match ending {
            Ending::Trained => json!({"ending": "trained"}),
            Ending::Redrawn => json!({"ending": "redrawn"}),
            Ending::Evicted => json!({"ending": "evicted"}),
            Ending::Failed(error) => json!({"ending": "failed", "error": error}),
            Ending::Lost => json!({"ending": "lost"}),
            Ending::Dead(error) => json!({"ending": "dead", "error": error}),
            Ending::Closed => json!({"ending": "closed"}),
        };
        recording.put(vec![Entry { args, ..of_ticket(id, TICKET.to_owned(), 'e', recording.now()) }]);
    }

    /// Ends the file; what happens from now on is not in it. Waits for the disk.
    pub fn close(&self) {
        let Some(recording) = &self.0 else { return };
        let Some(writer) = lock(&recording.writer).take() else { return };
        let lost = recording.inlet.lost.load(Ordering::Relaxed);
        if lost > 0 {
            let entry = Entry::new(format!("{lost} events are missing: the disk was too slow"), 'i', recording.now());
            let _ = recording.inlet.messages.send(Message::Entries(vec![entry]));
        }
        // A writer that has failed listens no more, and has ended.
        let _ = recording.inlet.messages.send(Message::End);
        let _ = writer.join();
    }
}

impl Recording {
    fn now(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    fn has_room(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// Ends the file with the entries that fill it.
    fn put(&self, entries: Vec<Entry>) {
        let count = entries.len() as i64;
        let left = self.left.fetch_sub(count, Ordering::Relaxed);
        if left > 0 {
            self.inlet.put(entries);
        }
        if (1..=count).contains(&left) {
            // Where no message has room now, closing the trace sends it.
            let _ = self.inlet.messages.try_send(Message::End);
        }
    }

    fn place(self: &Arc<Self>, actor: &str) -> Place {
        let mut tracks = lock(&self.tracks);
        let Tracks { of, count } = &mut *tracks;
        let own = of.entry(actor.to_owned()).or_default();
        let free = own.iter().position(|(_, used)| !used);
        let index = free.unwrap_or(own.len());
        if free.is_none() {
            *count += 1;
            own.push((*count, false));
            let name = if index == 0 { actor.to_owned() } else { format!("{actor} ({})", index + 1) };
            self.put(vec![named("thread_name", *count, &name)]);
        }
        own[index].1 = true;
        Place { recording: self.clone(), actor: actor.to_owned(), index, id: own[index].0 }
    }
}

fn named(what: &'static str, track: u32, name: &str) -> Entry {
    Entry { tid: track, args: json!({"name": name}), ..Entry::new(what, 'M', 0) }
}

fn of_ticket(id: TicketId, name: String, ph: char, ts: u64) -> Entry {
    Entry { cat: Some(TICKET), id: Some(id.0), ..Entry::new(name, ph, ts) }
}

/// What a group holds by now.
fn about(group: &RolloutGroup) -> Value {
    let tokens: usize = group.rollouts.iter().map(|rollout| rollout.tokens.len()).sum();
    let mut about = json!({"study": group.study.id, "reports": group.rollouts.len(), "tokens": tokens});
    let rewards: Vec<_> = group.rollouts.iter().filter_map(|rollout| rollout.reward.as_ref()).collect();
    if let Some(first) = rewards.first() {
        about["rewards"] = first.components.keys().cloned().collect();
        about["reward_mean"] = json!(rewards.iter().map(|reward| reward.total).sum::<f64>() / rewards.len() as f64);
    }
    about
}

/// A row of the trace. Clones are the same one; when the last is gone, it is the actor's next free one.
#[derive(Clone, Default)]
pub struct Track(Option<Arc<Place>>);

struct Place {
    recording: Arc<Recording>,
    actor: String,
    index: usize,
    id: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(own) = lock(&self.recording.tracks).of.get_mut(&self.actor) {
            own[self.index].1 = false;
        }
    }
}

impl Track {
    /// Something that begins now and ends when it is dropped. What begins within it ends within it.
    pub fn span(&self, name: &'static str) -> Span {
        let place = self.0.as_ref().filter(|place| place.recording.has_room());
        Span(place.map(|place| Open { place: place.clone(), name, since: place.recording.now(), args: Value::Null }))
    }
}

/// Something under way.
#[must_use = "it ends when it is dropped"]
#[derive(Default)]
pub struct Span(Option<Open>);

struct Open {
    place: Arc<Place>,
    name: &'static str,
    since: u64,
    args: Value,
}

impl Span {
    /// What there is to know about it, asked for only if somebody will read it.
    pub fn about(mut self, args: impl FnOnce() -> Value) -> Self {
        if let Some(open) = &mut self.0 {
            open.args = args();
        }
        self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Place { recording, id, .. } = &*self.place;
        let (dur, args) = (recording.now() - self.since, std::mem::take(&mut self.args));
        recording.put(vec![Entry { dur: Some(dur), tid: *id, args, ..Entry::new(self.name, 'X', self.since) }]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_trace_asks_for_nothing() {
        let track = Trace::default().track("learner");
        let span = track.span("step").about(|| panic!("nobody will read this"));
        assert!(track.0.is_none() && span.0.is_none());
    }

    #[test]
    fn what_an_actor_does_at_the_same_time_is_on_tracks_of_its_own_which_are_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let trace = Trace::create(&folder.path().join("trace.json"), u32::MAX, |error| panic!("{error}")).unwrap();
        let id = |track: &Track| track.0.as_ref().map(|place| place.id);
        let (first, second) = (trace.track("a"), trace.track("a"));
        assert_ne!(id(&first), id(&second));
        let (freed, span) = (id(&first), first.span("x"));
        drop(first);
        let third = trace.track("a");
        assert!(id(&third) != freed, "a span is open on it");
        drop(span);
        assert_eq!(id(&trace.track("a")), freed);
        assert_ne!(id(&trace.track("b")), freed);
    }

    #[test]
    fn a_full_trace_is_whole_on_disk_and_asks_for_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.json");
        let trace = Trace::create(&path, 4, |error| panic!("{error}")).unwrap();
        // The names of the process and of the track are two.
        let track = trace.track("learner");
        drop(track.span("first"));
        let open = track.span("second");
        drop(track.span("third"));
        drop(open);
        assert!(track.span("fourth").about(|| panic!("nobody will read this")).0.is_none());
        assert!(trace.track("editor").0.is_none());
        trace.close();
        let entries: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let names: Vec<&str> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["process_name", "thread_name", "first", "third"]);
    }
}
