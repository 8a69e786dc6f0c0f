//! The file under a trace: one event a line, in the array form of the trace event format, which needs no end. Whoever
//! computes waits for no disk.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use crossbeam::channel::{Receiver, Sender, TrySendError};
use serde::Serialize;
use serde_json::Value;

/// Messages that may wait for the disk; those beyond are lost, and counted.
pub(super) const WAITING: usize = 1 << 16;

/// Bytes that are written at once, unless nothing more is to be written.
const BLOCK: usize = 1 << 16;

/// The process that tracks and tickets belong to.
const PROCESS: u32 = 1;

/// An event of the format; times count microseconds from the start of the trace.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub name: Cow<'static, str>,
    /// X: a span; M: a name; b and e: begin and end of what is on no track; i: an instant.
    pub ph: char,
    pub ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dur: Option<u64>,
    pub pid: u32,
    pub tid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cat: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub args: Value,
}

impl Entry {
    pub fn new(name: impl Into<Cow<'static, str>>, ph: char, ts: u64) -> Self {
        let (pid, tid) = (PROCESS, 0);
        Self { name: name.into(), ph, ts, dur: None, pid, tid, cat: None, id: None, args: Value::Null }
    }
}

pub(super) enum Message {
    /// They are written together or not at all.
    Entries(Vec<Entry>),
    End,
}

/// Where entries are put.
pub(super) struct Inlet {
    pub messages: Sender<Message>,
    pub lost: AtomicU64,
}

impl Inlet {
    pub fn put(&self, entries: Vec<Entry>) {
        if let Err(TrySendError::Full(Message::Entries(entries))) = self.messages.try_send(Message::Entries(entries)) {
            self.lost.fetch_add(entries.len() as u64, Ordering::Relaxed);
        }
    }
}

/// Writes what comes until the end of it.
pub(super) fn write(mut file: File, messages: &Receiver<Message>) -> io::Result<()> {
    let mut text = b"[".to_vec();
    let mut first = true;
    while let Ok(Message::Entries(entries)) = messages.recv() {
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
