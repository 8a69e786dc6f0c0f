//! Where time goes: what every actor does and waits for, on tracks of its name, and the way of every ticket from its issue
//! to its end. A file of it opens in <https://ui.perfetto.dev> and chrome://tracing; a listener hears it as it happens.
//!
//! A run without a trace holds empty handles, which allocate nothing and ask no clock. Tracks are not threads: an actor's
//! work may move between threads, and its track follows it.

mod file;
mod moment;

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

use file::{Inlet, Message, WAITING};
pub use moment::Moment;

/// Who hears every moment of a trace, on the thread that it happens on.
pub(crate) type Listener = Arc<dyn Fn(&Moment) + Send + Sync>;

/// The trace of a run, or none.
#[derive(Clone, Default)]
pub(crate) struct Trace(Option<Arc<Recording>>);

struct Recording {
    started: Instant,
    file: Option<Output>,
    listener: Option<Listener>,
    tracks: Mutex<Tracks>,
    /// When each ticket that is out began what it is at.
    tickets: Mutex<BTreeMap<TicketId, u64>>,
}

/// A file that is written.
pub(crate) struct Output {
    inlet: Inlet,
    /// Entries that may still be put.
    left: AtomicI64,
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

impl Output {
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
        let inlet = Inlet { messages, lost: AtomicU64::new(0) };
        Ok(Self { inlet, left: AtomicI64::new(entries.into()), writer: Mutex::new(Some(writer)) })
    }

    fn has_room(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// Ends the file with the entries that fill it.
    fn put(&self, moment: Moment) {
        let count = file::entries_of(&moment);
        let left = self.left.fetch_sub(count, Ordering::Relaxed);
        if left > 0 {
            self.inlet.put(moment);
        }
        if (1..=count).contains(&left) {
            // Where no message has room now, closing the trace sends it.
            let _ = self.inlet.messages.try_send(Message::End);
        }
    }

    /// Waits for the disk.
    fn close(&self, at: u64) {
        let Some(writer) = lock(&self.writer).take() else { return };
        let moments = self.inlet.lost.load(Ordering::Relaxed);
        // A writer that has failed listens no more, and has ended.
        if moments > 0 {
            let _ = self.inlet.messages.send(Message::Lost { moments, at });
        }
        let _ = self.inlet.messages.send(Message::End);
        let _ = writer.join();
    }
}

impl Trace {
    /// Tells the file and the listener from now on; nothing without both.
    pub fn begin(file: Option<Output>, listener: Option<Listener>) -> Self {
        if file.is_none() && listener.is_none() {
            return Self::default();
        }
        let (started, tracks, tickets) = (Instant::now(), Mutex::default(), Mutex::default());
        let recording = Recording { started, file, listener, tracks, tickets };
        recording.put(Moment::Began { at: started });
        Self(Some(Arc::new(recording)))
    }

    /// Nothing, from when nobody has room for more.
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
        let at = recording.now();
        lock(&recording.tickets).insert(ticket.id(), at);
        let about = json!({
            "ticket": ticket.id().0, "study_index": ticket.study(), "version": ticket.snapshot().0, "draw": ticket.draw(),
            "attempt": ticket.attempt(),
        });
        recording.put(Moment::Issued { ticket: ticket.id(), at, about });
    }

    /// The group has been through `stage`, waiting included.
    pub fn passed(&self, group: &RolloutGroup, stage: &str) {
        self.passed_with(group, stage, |_| {});
    }

    /// The group has been through `step` of the learner.
    pub fn learnt(&self, group: &RolloutGroup, step: u64) {
        self.passed_with(group, "learner", |about| about["step"] = json!(step));
    }

    fn passed_with(&self, group: &RolloutGroup, stage: &str, more: impl FnOnce(&mut Value)) {
        let Some(recording) = self.recording() else { return };
        let (ticket, until) = (group.ticket.id(), recording.now());
        let Some(since) = lock(&recording.tickets).insert(ticket, until) else { return };
        let mut about = about(group);
        more(&mut about);
        recording.put(Moment::Passed { ticket, stage: stage.to_owned(), since, until, about });
    }

    /// The ticket is back at the gate, or has ended.
    pub fn ended(&self, ticket: TicketId, ending: Ending) {
        let Some(recording) = self.recording() else { return };
        lock(&recording.tickets).remove(&ticket);
        let about = match ending {
            Ending::Trained => json!({"ending": "trained"}),
            Ending::Redrawn => json!({"ending": "redrawn"}),
            Ending::Evicted => json!({"ending": "evicted"}),
            Ending::Failed(error) => json!({"ending": "failed", "error": error}),
            Ending::Lost => json!({"ending": "lost"}),
            Ending::Dead(error) => json!({"ending": "dead", "error": error}),
            Ending::Closed => json!({"ending": "closed"}),
        };
        recording.put(Moment::Ended { ticket, at: recording.now(), about });
    }

    pub fn has_file(&self) -> bool {
        self.0.as_ref().is_some_and(|recording| recording.file.is_some())
    }

    /// Ends the file; what happens from now on is not in it. Waits for the disk.
    pub fn close(&self) {
        let Some(recording) = &self.0 else { return };
        recording.file.iter().for_each(|file| file.close(recording.now()));
    }
}

impl Recording {
    fn now(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    fn has_room(&self) -> bool {
        self.listener.is_some() || self.file.as_ref().is_some_and(Output::has_room)
    }

    fn put(&self, moment: Moment) {
        if let Some(hear) = &self.listener {
            hear(&moment);
        }
        if let Some(file) = &self.file {
            file.put(moment);
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
            self.put(Moment::Track { track: *count, name });
        }
        own[index].1 = true;
        Place { recording: self.clone(), actor: actor.to_owned(), index, id: own[index].0 }
    }
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
        let (until, about) = (recording.now(), std::mem::take(&mut self.args));
        recording.put(Moment::Span { track: *id, name: self.name, since: self.since, until, about });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn into(path: &Path, entries: u32) -> Trace {
        Trace::begin(Some(Output::create(path, entries, |error| panic!("{error}")).unwrap()), None)
    }

    #[test]
    fn an_empty_trace_asks_for_nothing() {
        let track = Trace::default().track("learner");
        let span = track.span("step").about(|| panic!("nobody will read this"));
        assert!(track.0.is_none() && span.0.is_none());
    }

    #[test]
    fn what_an_actor_does_at_the_same_time_is_on_tracks_of_its_own_which_are_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let trace = into(&folder.path().join("trace.json"), u32::MAX);
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
        // The names of the process and of the track are two.
        let trace = into(&path, 4);
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
