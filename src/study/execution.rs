//! Does what of a study is not done yet: first what chooses, then the runs, the tests last.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use addendum_actors::FolderLock;
use anyhow::{Context, Result, anyhow};

use super::{
    job::Job,
    plan::{Choice, LevelPlan, Plan, Point},
    results::{lines, score},
    work::{Bench, Load},
};
use crate::{
    report::{progress::Progress, run_folder::RunFolder},
    train::{data::Data, interrupt::Interrupt},
};

/// How a study is carried out. None of it changes a result.
pub struct Execution {
    /// The study's folder.
    pub out: PathBuf,
    /// Jobs at a time, each on the device of that name, or where its settings say.
    pub places: Vec<Option<String>>,
    /// Where studies come from: [`Data::load`], unless a program brings its own.
    pub load: Box<Load>,
    /// Where progress is shown.
    pub progress: Progress,
    /// Ends the study in good order; what is done by then is kept.
    pub interrupt: Interrupt,
}

impl Execution {
    /// One job at a time, on the studies and devices that the settings name.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            places: vec![None],
            load: Box::new(Data::load),
            progress: Progress::stderr(),
            interrupt: Interrupt::never(),
        }
    }

    /// Does everything; what is done already is taken as it is.
    ///
    /// # Errors
    /// Another process is at work in the folder; the first job that fails, when those that ran beside it have ended; the
    /// user wants to stop. What is done by then is kept.
    pub fn run(&self, plan: &Plan) -> Result<Choice> {
        let folder = self.out.join("jobs");
        std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        RunFolder::open(&self.out)?;
        let _lock = FolderLock::take(&folder)?;
        self.complete(&plan.candidates())?;
        let choice = choose(plan, &self.out)?;
        self.complete(&plan.runs(&choice))?;
        self.complete(&plan.tests(&choice))?;
        Ok(choice)
    }

    /// Does these jobs and all that they need.
    fn complete(&self, jobs: &[Arc<Job>]) -> Result<()> {
        let queue = Queue { state: Mutex::new(State::default()), changed: Condvar::new() };
        queue.lock().waiting = missing(jobs, &self.out);
        thread::scope(|scope| {
            let worker = |place: &Option<String>| {
                let (queue, device) = (&queue, place.clone());
                scope.spawn(move || {
                    let (out, load) = (self.out.as_path(), &*self.load);
                    let bench = Bench {
                        out,
                        device: device.as_deref(),
                        load,
                        progress: &self.progress,
                        interrupt: &self.interrupt,
                    };
                    while let Some(job) = queue.next(out) {
                        // One that dies of a panic must not leave the others waiting.
                        let result = catch_unwind(AssertUnwindSafe(|| bench.work(&job)));
                        let result = result.unwrap_or_else(|_| Err(anyhow!("it panicked")));
                        queue.end(result.with_context(|| job.about.clone()));
                    }
                })
            };
            self.places.iter().map(worker).for_each(drop);
        });
        match queue.state.into_inner().unwrap_or_else(PoisonError::into_inner).failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// The points with the highest validation score, the first of equal ones.
///
/// # Errors
/// A scoring that is missing or damaged, or that lacks the metric.
pub fn choose(plan: &Plan, out: &Path) -> Result<Choice> {
    let best = |points: &[Point]| -> Result<usize> {
        let mut best = (0, f64::NEG_INFINITY);
        for (index, point) in points.iter().enumerate().filter(|_| points.len() > 1) {
            let score = validation(plan, point, out)?;
            if score > best.1 {
                best = (index, score);
            }
        }
        Ok(best.0)
    };
    let of_level = |level: &LevelPlan| level.arms.iter().map(|arm| best(&arm.points)).collect::<Result<Vec<_>>>();
    let decided = plan.levels.iter().filter(|level| plan.decides(level)).map(of_level).collect::<Result<Vec<_>>>()?;
    Ok(match (&decided[..], plan.levels.len()) {
        ([one], levels) => vec![one.clone(); levels],
        _ => decided,
    })
}

/// The score of a point that chooses, its mean over the grid's seeds.
///
/// # Errors
/// As [`choose`].
pub fn validation(plan: &Plan, point: &Point, out: &Path) -> Result<f64> {
    let choose = &plan.study.choose;
    let scores = plan
        .validation(point)
        .iter()
        .map(|job| score(&lines(&job.folder(out))?, &choose.metric, &choose.on))
        .collect::<Result<Vec<_>>>()?;
    Ok(scores.iter().sum::<f64>() / scores.len() as f64)
}

/// What is to be done for these jobs, each before those that need it.
pub fn missing(jobs: &[Arc<Job>], out: &Path) -> Vec<Arc<Job>> {
    fn visit(job: &Arc<Job>, out: &Path, seen: &mut BTreeSet<String>, missing: &mut Vec<Arc<Job>>) {
        if !seen.insert(job.id.clone()) || job.done(out).is_some() {
            return;
        }
        job.needs().for_each(|needed| visit(needed, out, seen, missing));
        missing.push(job.clone());
    }
    let (mut seen, mut missing) = (BTreeSet::new(), Vec::new());
    jobs.iter().for_each(|job| visit(job, out, &mut seen, &mut missing));
    missing
}

#[derive(Default)]
struct State {
    waiting: Vec<Arc<Job>>,
    running: usize,
    failed: Option<anyhow::Error>,
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job whose needs are done, once there is one.
    fn next(&self, out: &Path) -> Option<Arc<Job>> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() || state.waiting.is_empty() {
                return None;
            }
            let ready = |job: &Arc<Job>| job.needs().all(|needed| needed.done(out).is_some());
            match state.waiting.iter().position(ready) {
                Some(index) => {
                    state.running += 1;
                    return Some(state.waiting.remove(index));
                }
                None if state.running == 0 => {
                    state.failed = Some(anyhow!("{}: a mark that was written is gone", out.display()));
                }
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn end(&self, result: Result<()>) {
        let mut state = self.lock();
        state.running -= 1;
        if let Err(error) = result {
            state.failed.get_or_insert(error);
        }
        self.changed.notify_all();
    }
}
