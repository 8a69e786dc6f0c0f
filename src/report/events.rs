//! What happened to a run besides its steps: one line of `events.jsonl` for each [`Event`], to be read again by people and
//! programs. A line that cannot be written ends the file, not the run.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    time::{Instant, SystemTime},
};

use addendum_actors::Event;
use serde::{Deserialize, Serialize};

/// The file of a run folder that holds them.
pub const EVENTS: &str = "events.jsonl";

/// The time of day, for what people read.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Something that happened. What an older or newer version does not write is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Happening {
    /// `started`, `resumed`, `evaluated`, `evaluation failed`, `checkpoint`, `trace stopped`, `restarted`, `stalled`,
    /// `diverging`, `set back`, `ended`, `stopped` or `failed`.
    pub kind: String,
    /// Steps that were done by then.
    pub step: u64,
    /// Seconds since the process began to train; they begin anew when a run is resumed.
    pub seconds: f64,
    /// The same moment in seconds since 1970, UTC.
    pub unix: f64,
    /// The policy version that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The actor that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// In words.
    pub text: String,
}

impl Happening {
    fn of(kind: &str, text: &str) -> Self {
        Self { kind: kind.into(), text: text.into(), ..Self::default() }
    }

    fn version(self, version: u64) -> Self {
        Self { version: Some(version), ..self }
    }
}

/// Writes events as they come.
pub struct EventLog {
    file: Option<File>,
    started: Instant,
    step: u64,
}

impl EventLog {
    /// Goes on at the end of the file in a run folder. A last line that an interruption cut off goes.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(EVENTS);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file: Some(file), started: Instant::now(), step: 0 })
    }

    /// Writes what an event says; the first error.
    ///
    /// # Errors
    /// The disk; nothing more is written then.
    pub fn observe(&mut self, event: &Event) -> io::Result<()> {
        if let Event::Step(record) = event {
            self.step = record.step + 1;
        }
        if let Event::Resumed { version, .. } = event {
            self.step = version.0;
        }
        happening(event).map_or(Ok(()), |happening| self.put(happening))
    }

    /// Writes what no event says: that training begins, ends or fails.
    ///
    /// # Errors
    /// As [`EventLog::observe`].
    pub fn say(&mut self, kind: &str, text: &str) -> io::Result<()> {
        self.put(Happening::of(kind, text))
    }

    fn put(&mut self, happening: Happening) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let seconds = self.started.elapsed().as_secs_f64();
        let unix = now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let mut line = serde_json::to_vec(&Happening { step: self.step, seconds, unix, ..happening })?;
        line.push(b'\n');
        let written = file.write_all(&line);
        if written.is_err() {
            self.file = None;
        }
        written
    }
}

/// What is written of an event; a step has its line in `metrics.jsonl`.
fn happening(event: &Event) -> Option<Happening> {
    let of = Happening::of;
    Some(match event {
        Event::Resumed { version, path, skipped } => {
            let from = match path {
                Some(path) => format!("from {}", path.display()),
                None => "from the beginning: there was no checkpoint".into(),
            };
            let damaged = skipped.iter().map(|(path, reason)| format!("; not from {}: {reason}", path.display()));
            of("resumed", &(from + &damaged.collect::<String>())).version(version.0)
        }
        Event::Evaluated { version, scores } => {
            let scores: Vec<String> = scores
                .iter()
                .filter(|(name, _)| name.rsplit('/').next() == Some("average"))
                .map(|(name, score)| format!("{name} {score:.3}"))
                .collect();
            of("evaluated", &scores.join(", ")).version(version.0)
        }
        Event::EvaluationFailed { version, error } => of("evaluation failed", error).version(version.0),
        Event::Checkpoint { version, path } => of("checkpoint", &path.display().to_string()).version(version.0),
        Event::TraceStopped { path, reason } => of("trace stopped", &format!("{}: {reason}", path.display())),
        Event::Restarted { actor, reason } => Happening { actor: Some(actor.clone()), ..of("restarted", reason) },
        Event::Failed { ticket, reason, given_up } => {
            of(if *given_up { "gave up" } else { "retried" }, &format!("{ticket}: {reason}"))
        }
        Event::Stalled { seconds, report } => of("stalled", &format!("nothing has moved for {seconds} s\n{report}")),
        Event::Diverging { found, .. } => of("diverging", &found.to_string()),
        Event::SetBack { version, path } => of("set back", &path.display().to_string()).version(version.0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use addendum_replay::PolicyVersion;

    use super::*;
    use crate::report::lines;

    fn read(folder: &Path) -> Vec<Happening> {
        lines::read(&folder.join(EVENTS), |line| serde_json::from_slice(line)).unwrap()
    }

    #[test]
    fn a_log_goes_on_after_a_line_that_ends_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let restarted = Event::Restarted { actor: "größer".into(), reason: "out of\nmemory".into() };
        EventLog::open(folder.path()).unwrap().observe(&restarted).unwrap();
        let whole = std::fs::read(folder.path().join(EVENTS)).unwrap();
        for end in 0..=whole.len() {
            std::fs::write(folder.path().join(EVENTS), &whole[..end]).unwrap();
            let mut log = EventLog::open(folder.path()).unwrap();
            let resumed = Event::Resumed { version: PolicyVersion(7), path: None, skipped: Vec::new() };
            log.observe(&resumed).unwrap();
            log.say("failed", "disk full").unwrap();
            let happened = read(folder.path());
            let kinds: Vec<&str> = happened.iter().map(|one| one.kind.as_str()).collect();
            let expected =
                if end == whole.len() { &["restarted", "resumed", "failed"][..] } else { &["resumed", "failed"] };
            assert_eq!(kinds, expected, "cut after {end} bytes");
            assert!(happened.iter().rev().take(2).all(|one| one.step == 7));
        }
        assert_eq!(read(folder.path())[0].text, "out of\nmemory");
    }

    #[test]
    fn steps_are_counted_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(folder.path()).unwrap();
        log.say("started", "").unwrap();
        log.observe(&Event::Step(Box::default())).unwrap();
        log.observe(&Event::Checkpoint { version: PolicyVersion(1), path: "a".into() }).unwrap();
        let happened = read(folder.path());
        assert_eq!(
            happened.iter().map(|one| (one.kind.as_str(), one.step)).collect::<Vec<_>>(),
            [("started", 0), ("checkpoint", 1)]
        );
        assert_eq!(happened[1].version, Some(1));
        assert!(happened[0].seconds <= happened[1].seconds && happened[1].unix > 1e9);
    }
}
