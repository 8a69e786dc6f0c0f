//! What the actors of a run did and when: the beginning of a trace, as a run keeps it in its folder.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind, Read},
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;

use super::ReportError;

/// The file of a run folder that holds it, in the form of `addendum train --trace`.
pub const TIMELINE: &str = "timeline.json";

/// Entries that a run keeps: about half a megabyte, and some ten steps of eight studies.
pub const ENTRIES: u32 = 3000;

/// Bytes of a trace that are read.
const MOST_BYTES: u64 = 8 << 20;

/// Spans by track.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Names of tracks: an actor, or one of several things that it does at the same time.
    pub tracks: Vec<String>,
    /// In order of their starts; what is within another span comes after it.
    pub spans: Vec<Span>,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The place of its track.
    pub track: usize,
    /// What it was, such as `sampling`.
    pub name: String,
    /// Seconds since the trace began.
    pub start: f64,
    /// How long it took.
    pub seconds: f64,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    ph: String,
    #[serde(default)]
    ts: f64,
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    tid: u64,
    #[serde(default)]
    args: Value,
}

impl Timeline {
    /// Reads the beginning of a trace; none if the file is not there or holds no span. What a killed run left of its last
    /// line is left out.
    ///
    /// # Errors
    /// The file cannot be read, or holds a line that is none of a trace.
    pub fn read(path: &Path) -> Result<Option<Self>, ReportError> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(ReportError::io(path))?,
        };
        let mut tracks: BTreeMap<u64, usize> = BTreeMap::new();
        let mut timeline = Self::default();
        let mut reader = BufReader::new(file.take(MOST_BYTES));
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(ReportError::io(path))? == 0 {
                break;
            }
            let whole = line.ends_with(b"\n");
            let text = line.trim_ascii().strip_suffix(b",").unwrap_or(line.trim_ascii());
            if matches!(text, b"" | b"[" | b"]") {
                continue;
            }
            let entry: Entry = match serde_json::from_slice(text) {
                Ok(entry) => entry,
                Err(_) if !whole => break,
                Err(error) => {
                    return Err(ReportError::Line { path: path.into(), line: number, reason: super::not_json(&error) });
                }
            };
            timeline.add(entry, &mut tracks);
        }
        timeline.spans.sort_by(|a, b| a.start.total_cmp(&b.start).then(b.seconds.total_cmp(&a.seconds)));
        Ok((!timeline.spans.is_empty()).then_some(timeline))
    }

    fn add(&mut self, entry: Entry, tracks: &mut BTreeMap<u64, usize>) {
        let known = tracks.len();
        let mut track = || *tracks.entry(entry.tid).or_insert(known);
        match entry.ph.as_str() {
            "M" if entry.name == "thread_name" => {
                let place = track();
                self.tracks.resize(self.tracks.len().max(place + 1), String::new());
                self.tracks[place] = entry.args["name"].as_str().unwrap_or_default().to_owned();
            }
            "X" => {
                let track = track();
                self.tracks.resize(self.tracks.len().max(track + 1), String::new());
                self.spans.push(Span { track, name: entry.name, start: entry.ts / 1e6, seconds: entry.dur / 1e6 });
            }
            _ => {}
        }
    }
}

/// Copies the beginning of a trace into a run folder, as if the run had kept no more.
///
/// # Errors
/// A file that cannot be read or written.
pub fn keep(trace: &Path, folder: &Path) -> Result<(), ReportError> {
    let file = File::open(trace).map_err(ReportError::io(trace))?;
    let mut text = Vec::new();
    for line in BufReader::new(file).split(b'\n').take(ENTRIES as usize) {
        text.extend(line.map_err(ReportError::io(trace))?);
        text.push(b'\n');
    }
    let path = folder.join(TIMELINE);
    fs::write(&path, text).map_err(ReportError::io(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"[
{"name":"process_name","ph":"M","ts":0,"pid":1,"tid":0,"args":{"name":"addendum"}},
{"name":"thread_name","ph":"M","ts":0,"pid":1,"tid":7,"args":{"name":"learner"}},
{"name":"training","ph":"X","ts":20,"dur":10,"pid":1,"tid":7},
{"name":"step","ph":"X","ts":20,"dur":30,"pid":1,"tid":7,"args":{"step":0}},
{"name":"ticket","ph":"b","ts":1,"pid":1,"tid":0,"cat":"ticket","id":3},
{"name":"größe","ph":"X","ts":60,"dur":1,"pid":1,"tid":9}
]
"#;

    #[test]
    fn a_trace_that_ends_anywhere_is_read_up_to_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(TIMELINE);
        assert_eq!(Timeline::read(&path).unwrap(), None);
        for end in 0..=TRACE.len() {
            fs::write(&path, &TRACE.as_bytes()[..end]).unwrap();
            Timeline::read(&path).unwrap();
        }
        let timeline = Timeline::read(&path).unwrap().unwrap();
        assert_eq!(timeline.tracks, ["learner", ""]);
        let names: Vec<&str> = timeline.spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["step", "training", "größe"]);
        assert!((timeline.spans[0].seconds - 3e-5).abs() < 1e-12);
        fs::write(&path, "[\nnonsense\n{}\n").unwrap();
        assert!(Timeline::read(&path).unwrap_err().to_string().contains("timeline.json, line 2: is not JSON"));
    }

    #[test]
    fn the_beginning_of_a_long_trace_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("trace.json");
        let line = "{\"name\":\"a\",\"ph\":\"X\",\"ts\":1,\"dur\":1,\"tid\":1},\n";
        fs::write(&trace, format!("[\n{}", line.repeat(2 * ENTRIES as usize))).unwrap();
        keep(&trace, folder.path()).unwrap();
        let kept = Timeline::read(&folder.path().join(TIMELINE)).unwrap().unwrap();
        assert_eq!(kept.spans.len(), ENTRIES as usize - 1);
    }
}
