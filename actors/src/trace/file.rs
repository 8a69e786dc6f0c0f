//! The file of a trace: one event a line, in the array form of Google's "Trace Event Format", which needs no end. Whoever
//! computes waits for no disk.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use addendum_replay::TicketId;
use crossbeam::channel::{Receiver, Sender, TrySendError};
use serde::Serialize;
use serde_json::{Value, json};

use super::Moment;

/// Messages that may wait for the disk; those beyond are lost, and counted.
pub(super) const WAITING: usize = 1 << 16;

/// Bytes that are written at once, unless nothing more is to be written.
const BLOCK: usize = 1 << 16;

/// The process that tracks and tickets belong to.
const PROCESS: u32 = 1;

/// What the events of tickets have in common.
const TICKET: &str = "ticket";

/// An event of the format; times count microseconds from the start of the trace.
#[derive(Debug, Serialize)]
struct Entry {
    name: Cow<'static, str>,
    /// X: a span; M: a name; b and e: begin and end of what is on no track; i: an instant.
    ph: char,
    ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<u64>,
    pid: u32,
    tid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Value::is_null")]
    args: Value,
}

impl Entry {
    fn new(name: impl Into<Cow<'static, str>>, ph: char, ts: u64) -> Self {
        let (pid, tid) = (PROCESS, 0);
        Self { name: name.into(), ph, ts, dur: None, pid, tid, cat: None, id: None, args: Value::Null }
    }

    fn named(what: &'static str, tid: u32, name: &str) -> Self {
        Self { tid, args: json!({"name": name}), ..Self::new(what, 'M', 0) }
    }

    fn of_ticket(id: TicketId, name: impl Into<Cow<'static, str>>, ph: char, ts: u64, args: Value) -> Self {
        Self { cat: Some(TICKET), id: Some(id.0), args, ..Self::new(name, ph, ts) }
    }
}

/// How many entries a moment has in the file.
pub(super) fn entries_of(moment: &Moment) -> i64 {
    if matches!(moment, Moment::Passed { .. }) { 2 } else { 1 }
}

fn entries(moment: Moment) -> Vec<Entry> {
    match moment {
        Moment::Began { .. } => vec![Entry::named("process_name", 0, "addendum")],
        Moment::Track { track, name } => vec![Entry::named("thread_name", track, &name)],
        Moment::Span { track, name, since, until, about } => {
            vec![Entry { dur: Some(until - since), tid: track, args: about, ..Entry::new(name, 'X', since) }]
        }
        Moment::Issued { ticket, at, about } => vec![Entry::of_ticket(ticket, TICKET, 'b', at, about)],
        Moment::Passed { ticket, stage, since, until, about } => vec![
            Entry::of_ticket(ticket, stage.clone(), 'b', since, about),
            Entry::of_ticket(ticket, stage, 'e', until, Value::Null),
        ],
        Moment::Ended { ticket, at, about } => vec![Entry::of_ticket(ticket, TICKET, 'e', at, about)],
    }
}

pub(super) enum Message {
    Moment(Moment),
    /// So many were lost.
    Lost {
        moments: u64,
        at: u64,
    },
    End,
}

/// Where entries are put.
pub(super) struct Inlet {
    pub messages: Sender<Message>,
    pub lost: AtomicU64,
}

impl Inlet {
    pub fn put(&self, moment: Moment) {
        if let Err(TrySendError::Full(_)) = self.messages.try_send(Message::Moment(moment)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes what comes until the end of it. What a moment has is written together or not at all.
pub(super) fn write(mut file: File, messages: &Receiver<Message>) -> io::Result<()> {
    let mut text = b"[".to_vec();
    let mut first = true;
    while let Ok(message) = messages.recv() {
        let entries = match message {
            Message::Moment(moment) => entries(moment),
            Message::Lost { moments, at } => {
                vec![Entry::new(format!("{moments} events are missing: the disk was too slow"), 'i', at)]
            }
            Message::End => break,
        };
        for entry in entries {
            text.extend_from_slice(if first { b"\n" } else { b",\n" });
            first = false;
            serde_json::to_writer(&mut text, &entry)?;
        }
        if text.len() >= BLOCK || messages.is_empty() {
            file.write_all(&text)?;
            text.clear();
        }
    }
    text.extend_from_slice(b"\n]\n");
    file.write_all(&text)
}
