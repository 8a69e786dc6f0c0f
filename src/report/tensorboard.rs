//! Scalars of a run in TensorBoard's event files: TFRecord framing around two small protobuf messages, `Event` and `Summary`
//! (tensorflow/core/util/event.proto and framework/summary.proto).

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime},
};

use addendum_actors::Event;
use serde_json::Value;

use super::ReportError;

/// One event file, written as a run goes on.
pub struct Tensorboard {
    path: PathBuf,
    /// None once it could not be written.
    file: Option<File>,
    begun: bool,
}

impl Tensorboard {
    /// A new file in `folder`. A run that is resumed has several, which TensorBoard joins.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(folder: &Path) -> Result<Self, ReportError> {
        fs::create_dir_all(folder).map_err(ReportError::io(folder))?;
        let path = folder.join(format!("events.out.tfevents.{}.{}", since_1970().as_secs(), process::id()));
        let mut file = File::create_new(&path).map_err(ReportError::io(&path))?;
        file.write_all(&record(&event(0, |out| field(3, b"brain.Event:2", out)))).map_err(ReportError::io(&path))?;
        Ok(Self { path, file: Some(file), begun: false })
    }

    /// Writes the figures of steps and evaluations; what cannot be written is told once, and ends no run.
    pub fn observe(&mut self, event: &Event) {
        let (step, scalars) = match event {
            Event::Step(record) => (record.step, scalars("step", &serde_json::to_value(record).unwrap_or_default())),
            Event::Evaluated { version, scores } => {
                (version.0, scalars("evaluation", &serde_json::to_value(scores).unwrap_or_default()))
            }
            _ => return,
        };
        let Some(file) = &mut self.file else { return };
        let mut written = Vec::new();
        // Whatever an earlier file has from here on was lost with its process.
        if !std::mem::replace(&mut self.begun, true) {
            written.extend(record(&self::event(step, |out| field(7, &[1 << 3, 1], out))));
        }
        written.extend(record(&self::event(step, |out| field(5, &summary(&scalars), out))));
        if let Err(reason) = file.write_all(&written) {
            tracing::warn!("{}: {reason}; the rest of the run is missing there", self.path.display());
            self.file = None;
        }
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Every number in a value, under its path.
fn scalars(path: &str, value: &Value) -> Vec<(String, f32)> {
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, field)| scalars(&format!("{path}/{name}"), field)).collect()
        }
        value => value.as_f64().map(|number| (path.to_owned(), number as f32)).into_iter().collect(),
    }
}

fn summary(scalars: &[(String, f32)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, number) in scalars {
        let mut value = Vec::new();
        field(1, tag.as_bytes(), &mut value);
        value.push(2 << 3 | 5);
        value.extend(number.to_le_bytes());
        field(1, &value, &mut summary);
    }
    summary
}

/// An `Event`: the time, the step, and `what` it tells.
fn event(step: u64, what: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(since_1970().as_secs_f64().to_le_bytes());
    event.push(2 << 3);
    varint(step, &mut event);
    what(&mut event);
    event
}

/// A field that is a message or a string.
fn field(number: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(content.len() as u64, out);
    out.extend(content);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A TFRecord: length, its checksum, content, its checksum.
fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), content, &masked(content)].concat()
}

fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC-32C (RFC 3720, appendix B.4), a bit at a time: there are few bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use addendum_actors::{Scores, StepRecord};
    use addendum_replay::PolicyVersion;

    use super::*;

    /// What Python's reader finds, a line for each scalar.
    const READ: &str = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0}, purge_orphaned_data=True)
events.Reload()
for tag in sorted(events.Tags()['scalars']):
    print(tag, [(event.step, round(event.value, 4)) for event in events.Scalars(tag)])
";

    fn step(step: u64, reward_mean: f64) -> Event {
        let reward_components = [("rate".to_owned(), 0.5)].into();
        Event::Step(Box::new(StepRecord { step, reward_mean, reward_components, ..StepRecord::default() }))
    }

    #[test]
    fn records_are_framed_with_the_checksums_of_their_format() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        let record = record(b"ab");
        assert_eq!(record.len(), 8 + 4 + 2 + 4);
        assert_eq!(record[..8], [2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&record[12..14], b"ab");
        let mut long = Vec::new();
        varint(300, &mut long);
        assert_eq!(long, [0xac, 0x02]);
        assert_eq!(summary(&[("a".into(), 1.0)]), [10, 8, 10, 1, b'a', 21, 0, 0, 0x80, 0x3f]);
    }

    #[test]
    fn a_resumed_runs_figures_are_what_tensorboard_reads_where_it_is_installed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tensorboard");
        let mut board = Tensorboard::create(&folder).unwrap();
        [step(0, 0.25), step(1, f64::NAN), step(2, 0.75)].iter().for_each(|event| board.observe(event));
        let scores = Scores::from([("validation/rate".to_owned(), 0.125)]);
        board.observe(&Event::Evaluated { version: PolicyVersion(2), scores });
        drop(board);
        let first = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        assert!(fs::metadata(&first).unwrap().len() > 500);
        // A resumed run has another process.
        fs::rename(&first, folder.join("events.out.tfevents.1.1")).unwrap();
        let mut board = Tensorboard::create(&folder).unwrap();
        [step(2, 0.5), step(300, 1.0)].iter().for_each(|event| board.observe(event));

        let read = Command::new("python3").args(["-c", READ]).arg(&folder).output();
        let Some(read) = read.ok().filter(|read| read.status.success()) else { return };
        let read = String::from_utf8(read.stdout).unwrap();
        let expected = [
            "evaluation/validation/rate [(2, 0.125)]",
            "step/reward_mean [(0, 0.25), (2, 0.5), (300, 1.0)]",
            "step/reward_components/rate [(0, 0.5), (1, 0.5), (2, 0.5), (300, 0.5)]",
        ];
        for line in expected {
            assert!(read.contains(line), "{line} is not in\n{read}");
        }
    }
}
