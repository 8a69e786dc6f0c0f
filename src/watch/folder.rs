//! A run folder as a source: its files, read as they grow.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use addendum_actors::{StepRecord, status::STATUS};

use super::{
    error::SourceError,
    tail::{News, Tail},
    view::{Update, summary},
};
use crate::{
    report::{
        events::{EVENTS, Happening},
        run::{self, CONFIG, EVALUATIONS, Evaluated, Keys, METRICS, ROLLOUTS},
    },
    train::{Settings, Sources},
};

/// Bytes at the end of the rollouts that are read at first; only the last ones are shown.
const LAST_ROLLOUTS: u64 = 1 << 20;

/// The folder of a run.
pub struct Folder {
    path: PathBuf,
    settings: Option<SystemTime>,
    metrics: Tail,
    evaluations: Tail,
    rollouts: Tail,
    events: Tail,
    /// The step before, of a run that writes no events.
    before: Option<Box<StepRecord>>,
}

impl Folder {
    /// # Errors
    /// The folder cannot be read, or no run was begun there.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let folder = path.display().to_string();
        fs::read_dir(path).map_err(|reason| SourceError::Unreadable { folder: folder.clone(), reason })?;
        if !is_run(path) {
            return Err(SourceError::NoRun { folder, within: newest_run(path) });
        }
        Ok(Self {
            path: path.into(),
            settings: None,
            metrics: Tail::new(path.join(METRICS)),
            evaluations: Tail::new(path.join(EVALUATIONS)),
            rollouts: Tail::new(path.join(ROLLOUTS)).last(LAST_ROLLOUTS),
            events: Tail::new(path.join(EVENTS)),
            before: None,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn news(&mut self) -> Vec<Update> {
        let mut news = Vec::new();
        let mut problems: Vec<String> = Vec::new();
        let mut tell = |name: &str, read: io::Result<usize>| match read {
            Ok(0) => {}
            Ok(lines) => problems.push(format!("{name}: {lines} lines cannot be read")),
            Err(error) => problems.push(format!("{name}: {error}")),
        };
        tell(CONFIG, self.settings(&mut news));
        tell(METRICS, self.steps(&mut news));
        tell(EVALUATIONS, self.evaluations(&mut news));
        tell(ROLLOUTS, self.rollouts(&mut news));
        tell(EVENTS, self.events(&mut news));
        tell(STATUS, self.status(&mut news));
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        news.push(Update::Looked { now: seconds(SystemTime::now()), problem });
        news
    }

    fn settings(&mut self, news: &mut Vec<Update>) -> io::Result<usize> {
        let path = self.path.join(CONFIG);
        let Some(changed) = changed(&path)?.filter(|changed| self.settings != Some(*changed)) else { return Ok(0) };
        let keys = Keys::read(&path).map_err(io::Error::other)?.unwrap_or_default();
        self.settings = Some(changed);
        let steps = keys.get("run.steps").and_then(|steps| steps.as_integer()).and_then(|steps| steps.try_into().ok());
        // As the endpoint calls it; settings of another version are read as far as they can be.
        let known = Settings::load(&Sources { file: Some(&path), sets: &[] }).ok();
        let method = known.map(|settings| settings.method()).or(keys.text("run.variant")).map(str::to_owned);
        news.push(Update::Settings { method, steps });
        news.push(Update::Sign(seconds(changed)));
        Ok(0)
    }

    fn steps(&mut self, news: &mut Vec<Update>) -> io::Result<usize> {
        let News { anew, values, damaged } = self.metrics.read(|line| run::step(line).map(|(_, record)| record))?;
        if anew {
            self.before = None;
            news.push(Update::StepsAnew);
        }
        let writes_events = self.path.join(EVENTS).exists();
        for record in values.into_iter().map(Box::new) {
            if !writes_events {
                news.extend(self.before.iter().flat_map(|before| inferred(before, &record)).map(Update::Event));
                self.before = Some(record.clone());
            }
            news.push(Update::Step(record));
        }
        if let Some(changed) = changed(&self.path.join(METRICS))? {
            news.push(Update::Sign(seconds(changed)));
        }
        Ok(damaged)
    }

    fn evaluations(&mut self, news: &mut Vec<Update>) -> io::Result<usize> {
        let News { anew, values, damaged } = self.evaluations.read(|line| serde_json::from_slice::<Evaluated>(line))?;
        news.extend(anew.then_some(Update::EvaluationsAnew));
        let writes_events = self.path.join(EVENTS).exists();
        for evaluated in values {
            if !writes_events {
                let (version, text) = (Some(evaluated.version), summary(&evaluated.scores));
                let (kind, step) = ("evaluated".to_string(), evaluated.version);
                news.push(Update::Event(Happening { kind, step, version, text, ..Happening::default() }));
            }
            news.push(Update::Evaluated(evaluated));
        }
        Ok(damaged)
    }

    fn rollouts(&mut self, news: &mut Vec<Update>) -> io::Result<usize> {
        let News { anew, values, damaged } = self.rollouts.read(run::rollout)?;
        news.extend(anew.then_some(Update::RolloutsAnew));
        news.extend(values.into_iter().map(|rollout| Update::Rollout(Box::new(rollout))));
        Ok(damaged)
    }

    fn events(&mut self, news: &mut Vec<Update>) -> io::Result<usize> {
        let News { anew, values, damaged } = self.events.read(|line| serde_json::from_slice(line))?;
        news.extend(anew.then_some(Update::EventsAnew));
        news.extend(values.into_iter().map(Update::Event));
        Ok(damaged)
    }

    fn status(&self, news: &mut Vec<Update>) -> io::Result<usize> {
        match fs::read(self.path.join(STATUS)) {
            Ok(text) => news.push(Update::Status(serde_json::from_slice(&text).map_err(io::Error::other)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(0)
    }
}

fn is_run(folder: &Path) -> bool {
    [CONFIG, METRICS].iter().any(|name| folder.join(name).is_file())
}

/// The newest run in a folder of runs.
fn newest_run(folder: &Path) -> Option<String> {
    let runs = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(|path| is_run(path));
    let newest = runs.max_by_key(|path| changed(&path.join(METRICS)).ok().flatten())?;
    Some(newest.display().to_string())
}

/// When a file was changed last, if it is there.
fn changed(path: &Path) -> io::Result<Option<SystemTime>> {
    match fs::metadata(path) {
        Ok(metadata) => metadata.modified().map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What the counts of two steps tell of what happened between them.
fn inferred(before: &StepRecord, after: &StepRecord) -> Vec<Happening> {
    let counts = [
        ("restarted", before.restarts, after.restarts, "an actor, or several"),
        ("retried", before.retries, after.retries, "tickets that failed"),
        ("evicted", before.evictions, after.evictions, "groups that grew too old"),
        ("gave up", before.dead_letters, after.dead_letters, "tickets that failed too often"),
    ];
    let grown = counts.into_iter().filter(|(_, before, after, _)| after > before);
    let mut events: Vec<Happening> = grown
        .map(|(kind, before, after, what)| {
            let text = format!("{what}: {} more, {after} by now", after - before);
            Happening { kind: kind.into(), text, ..Happening::default() }
        })
        .collect();
    if after.stats.skipped {
        let (kind, text) = ("skipped".to_string(), "the update or its gradient was not finite".to_string());
        events.push(Happening { kind, text, ..Happening::default() });
    }
    events.iter_mut().for_each(|event| event.step = after.step + 1);
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::view::{State, View};

    fn write(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(name), text).unwrap();
    }

    fn refused(target: &Path) -> String {
        Folder::open(target).err().unwrap().to_string()
    }

    #[test]
    fn what_is_no_run_is_refused_and_a_run_in_it_is_named() {
        let runs = tempfile::tempdir().unwrap();
        assert!(refused(&runs.path().join("nowhere")).contains("nowhere: "));
        assert!(refused(runs.path()).ends_with("it has neither config.toml nor metrics.jsonl"));
        let run = runs.path().join("train-1");
        fs::create_dir(&run).unwrap();
        write(&run, CONFIG, "");
        assert!(refused(runs.path()).contains("the newest run in it is") && refused(runs.path()).ends_with("train-1"));
    }

    #[test]
    fn a_run_that_begins_goes_on_and_is_resumed_is_followed_without_being_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        write(path, CONFIG, "[run]\nsteps = 3\nvariant = \"edit_grpo\"\n");
        let mut source = Folder::open(path).unwrap();
        let mut view = View::new("a");
        let mut look = |view: &mut View| source.news().into_iter().for_each(|update| view.apply(update));
        look(&mut view);
        assert_eq!((view.steps, view.done, view.method.as_deref()), (Some(3), 0, Some("EditGRPO")));
        assert_eq!(view.state(), State::Running, "it has only begun");
        write(path, METRICS, "{\"step\":0,\"kl\":null,\"restarts\":0}\n{\"step\":1,\"restarts\":2}\n{\"st");
        look(&mut view);
        assert_eq!((view.done, view.events.len()), (2, 1));
        assert_eq!(view.events[0].text, "an actor, or several: 2 more, 2 by now");
        assert_eq!(view.problem, None);
        write(path, METRICS, "{\"step\":0}\n");
        write(path, EVALUATIONS, "{\"version\":0,\"scores\":{\"a/average\":0.5,\"b\":null}}\n");
        write(path, STATUS, "{\"state\":\"finished\",\"time\":5,\"steps\":3}");
        look(&mut view);
        assert_eq!((view.done, view.state(), view.held_out.len()), (1, State::Finished, 1));
        write(path, STATUS, "nonsense");
        look(&mut view);
        assert!(view.problem.as_deref().unwrap().starts_with("status.json: "), "{:?}", view.problem);
        let names = fs::read_dir(path).unwrap().count();
        assert_eq!(names, 4, "something was written");
    }
}
