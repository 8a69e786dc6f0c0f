//! What a run sampled, kept so that another run can train on it again: `sampled.jsonl` in the run folder.
//!
//! A line per step says how many groups it was trained on; a line per group follows, with the reports as the sampler gave
//! them. Edits and rewards are not recorded: they are made again, and may be made otherwise.

mod lines;
mod replayed;

use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use addendum_replay::{Drawn, Mode, Plan, TicketId};

use self::lines::{GroupLine, StepLine};
pub(crate) use self::{lines::RecordedStep, replayed::Replayed};
use crate::{EngineError, RunConfig, RunError, Sampled};

/// The file of a run folder that recorded reports are in.
pub const SAMPLED: &str = "sampled.jsonl";

/// More than any group that fits into memory beside a model.
const LONGEST_LINE: u64 = 1 << 30;

/// What an earlier run sampled and trained on, in its folder. Reports are read when they are asked for.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    batch_groups: u64,
    steps: Vec<Vec<Place>>,
    digest: u32,
}

/// Where a group is in the file.
#[derive(Debug)]
struct Place {
    offset: u64,
    length: u64,
    crc32: u32,
    drawn: Drawn,
    reports: usize,
}

impl Recording {
    /// The recording of the run in `folder`, checked from its first line to the last whole step. Every token id must be
    /// below `vocabulary`, every study below `studies`.
    ///
    /// # Errors
    /// There is no recording, it does not begin with the run's first step, or a line is not as it must be; with file and
    /// line.
    pub fn open(folder: &Path, vocabulary: usize, studies: usize) -> Result<Self, RunError> {
        let path = folder.join(SAMPLED);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(RunError::recording(path, "not there: a run records with `run.record_sampled = true`"));
            }
            opened => opened.map_err(RunError::io(&path))?,
        };
        let mut reading = Reading { reader: BufReader::new(file), path: &path, offset: 0, line: 0 };
        let mut recording = Self { path: path.clone(), batch_groups: 0, steps: Vec::new(), digest: 0 };
        let mut first = crc32fast::Hasher::new();
        while let Some((line, _)) = reading.next()? {
            let step: StepLine = reading.parse(&line)?;
            let expected = recording.steps.len() as u64;
            if step.step != expected {
                return Err(reading.wrong(format!("step {} stands where step {expected} is expected", step.step)));
            }
            if step.groups as u64 > step.batch_groups || step.batch_groups == 0 {
                let StepLine { groups, batch_groups, .. } = step;
                return Err(reading.wrong(format!("{groups} groups in batches of {batch_groups}")));
            }
            if expected == 0 {
                recording.batch_groups = step.batch_groups;
                first.update(&line);
            } else if step.batch_groups != recording.batch_groups {
                let (before, now) = (recording.batch_groups, step.batch_groups);
                return Err(reading.wrong(format!("batches of {now} groups after those of {before}")));
            }
            let mut places = Vec::new();
            for _ in 0..step.groups {
                let Some((line, offset)) = reading.next()? else { return recording.begun() };
                let group: GroupLine = reading.parse(&line)?;
                group.check(step.step, vocabulary, studies).map_err(|reason| reading.wrong(reason))?;
                if expected == 0 {
                    first.update(&line);
                }
                places.push(Place {
                    offset,
                    length: line.len() as u64,
                    crc32: crc32fast::hash(&line),
                    drawn: group.drawn(),
                    reports: group.reports.len(),
                });
            }
            recording.digest = first.clone().finalize();
            recording.steps.push(places);
        }
        recording.begun()
    }

    /// Itself, if it has a step. What follows the last whole step was being written when the run ended.
    fn begun(self) -> Result<Self, RunError> {
        match self.steps.is_empty() {
            true => Err(RunError::recording(self.path, "no step is recorded in it")),
            false => Ok(self),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The steps that can be trained on again.
    pub fn steps(&self) -> u64 {
        self.steps.len() as u64
    }

    /// Of its first step: tells this recording from others, and stays the same while it grows.
    pub fn digest(&self) -> u32 {
        self.digest
    }

    /// What a gate follows.
    pub(crate) fn plan(&self) -> Plan {
        let drawn = |places: &Vec<Place>| places.iter().map(|place| place.drawn).collect();
        Plan::new(self.batch_groups, self.steps.iter().map(drawn).collect())
    }

    /// Whether a run with this configuration can train on it.
    ///
    /// # Errors
    /// Other steps, groups or mode than those of the recorded run.
    pub fn suits(&self, config: &RunConfig) -> Result<(), RunError> {
        let wrong = |reason: String| Err(RunError::recording(&self.path, reason));
        if config.batch_groups != self.batch_groups {
            let (own, recorded) = (config.batch_groups, self.batch_groups);
            return wrong(format!("its steps have {recorded} groups, `run.batch_groups` is {own}; expected the same"));
        }
        if config.steps > self.steps() {
            let (own, recorded) = (config.steps, self.steps());
            return wrong(format!("{recorded} steps are recorded, `run.steps` is {own}; expected no more"));
        }
        if config.mode != Mode::FixedLag {
            return wrong("`run.mode` is latest; expected fixed_lag, whatever the recorded run's was".into());
        }
        for place in self.steps.iter().flatten() {
            let (ticket, wanted) = (place.drawn.ticket, config.sampled(place.drawn.ticket));
            if place.reports != wanted {
                let reports = place.reports;
                return wrong(format!(
                    "{ticket} has {reports} sampled reports, these settings ask for {wanted}; expected `run.group_size`, \
                     `run.variant` and the share of edits to be those of the recorded run"
                ));
            }
        }
        Ok(())
    }

    /// What was sampled in the place of a ticket: the study and its reports. `None` if the recorded run trained on
    /// nothing there.
    ///
    /// # Errors
    /// The file cannot be read any more, or has changed.
    pub(crate) fn reports(&self, ticket: TicketId) -> Result<Option<(String, Vec<Sampled>)>, EngineError> {
        let step = usize::try_from(ticket.0 / self.batch_groups)?;
        let group = usize::try_from(ticket.0 % self.batch_groups)?;
        let Some(place) = self.steps.get(step).and_then(|places| places.get(group)) else { return Ok(None) };
        let mut line = vec![0; usize::try_from(place.length)?];
        let mut file = File::open(&self.path).map_err(RunError::io(&self.path))?;
        file.seek(SeekFrom::Start(place.offset))
            .and_then(|_| file.read_exact(&mut line))
            .map_err(RunError::io(&self.path))?;
        // What was checked then is not checked again.
        if crc32fast::hash(&line) != place.crc32 {
            return Err(RunError::recording(&self.path, "it has changed since the run began").into());
        }
        let group: GroupLine = serde_json::from_slice(&line)?;
        Ok(Some((group.study.clone(), group.into_reports())))
    }
}

/// Lines of the file, one after the other.
struct Reading<'a> {
    reader: BufReader<File>,
    path: &'a Path,
    offset: u64,
    line: u64,
}

impl Reading<'_> {
    /// The next whole line and where it begins; `None` at the end.
    fn next(&mut self) -> Result<Option<(Vec<u8>, u64)>, RunError> {
        let (mut line, begins) = (Vec::new(), self.offset);
        let read = self.reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        self.offset += read.map_err(RunError::io(self.path))? as u64;
        self.line += 1;
        if line.len() as u64 == LONGEST_LINE {
            return Err(self.wrong(format!("longer than {LONGEST_LINE} bytes")));
        }
        Ok(line.ends_with(b"\n").then_some((line, begins)))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, line: &[u8]) -> Result<T, RunError> {
        serde_json::from_slice(line).map_err(|error| self.wrong(error.to_string()))
    }

    fn wrong(&self, reason: impl std::fmt::Display) -> RunError {
        RunError::recording(self.path, format!("line {}: {reason}", self.line))
    }
}
