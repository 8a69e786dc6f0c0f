//! Supervised training that goes on where it was stopped or killed.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use addendum_actors::Scores;
use addendum_policy::{Policy, checkpoint::write_whole, learner::LearnerState, sft::SftTrainer};
use addendum_studies::Dataset;
use anyhow::{Context, Result, ensure};

use super::job::{EVALUATIONS, METRICS};
use crate::{
    report::progress::Progress,
    train::{
        interrupt::Interrupt,
        supervised::{self, SftPlan},
    },
};

/// The file of what is needed to go on.
const STATE: &str = "training.bin";

/// Steps between two saves, where nothing else is said.
pub const SAVE_EVERY: u64 = 100;

/// A training in a folder of its own.
pub struct Supervision<'a> {
    pub folder: PathBuf,
    pub about: &'a str,
    pub save_every: u64,
    pub progress: &'a Progress,
    pub interrupt: &'a Interrupt,
    pub held_out: Option<HeldOutScores<'a>>,
}

/// Scores on held-out studies, after every so many steps.
pub struct HeldOutScores<'a> {
    pub every: u64,
    pub score: &'a dyn Fn(&SftTrainer) -> Result<Scores>,
}

impl HeldOutScores<'_> {
    /// A line of the scores after `steps`; nothing where they are not asked for.
    fn line(&self, steps: u64, trainer: &SftTrainer) -> Result<String> {
        if !steps.is_multiple_of(self.every) {
            return Ok(String::new());
        }
        let scores = (self.score)(trainer)?;
        Ok(format!("{}\n", serde_json::json!({"version": steps, "scores": scores})))
    }
}

/// What was measured so far.
#[derive(Clone, Debug, Default, PartialEq)]
struct Measured {
    seconds: f64,
    /// A line per step.
    metrics: String,
    /// A line per evaluation.
    evaluations: String,
}

/// What is there between two steps.
struct Saved {
    measured: Measured,
    state: LearnerState,
}

impl Saved {
    /// Checksum and seconds; the metrics and the evaluations, each behind its length; the learner's state. Numbers are
    /// little-endian.
    fn write(&self, folder: &Path) -> Result<()> {
        let mut bytes = vec![0; 4];
        bytes.extend(self.measured.seconds.to_le_bytes());
        for text in [&self.measured.metrics, &self.measured.evaluations] {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend(self.state.to_bytes());
        let sum = crc32fast::hash(&bytes[4..]).to_le_bytes();
        bytes[..4].copy_from_slice(&sum);
        Ok(write_whole(&folder.join(STATE), &bytes)?)
    }

    /// What was saved in a folder; `None` where nothing was, or it is damaged.
    fn read(folder: &Path) -> Option<Self> {
        let bytes = fs::read(folder.join(STATE)).ok()?;
        let (sum, rest) = bytes.split_first_chunk()?;
        if crc32fast::hash(rest) != u32::from_le_bytes(*sum) {
            return None;
        }
        let (seconds, rest) = rest.split_first_chunk()?;
        let (metrics, rest) = text(rest)?;
        let (evaluations, state) = text(rest)?;
        let measured = Measured { seconds: f64::from_le_bytes(*seconds), metrics, evaluations };
        Some(Self { measured, state: LearnerState::from_bytes(state).ok()? })
    }
}

/// A text behind its length, and what follows it.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some((String::from_utf8(text.into()).ok()?, rest))
}

/// Whether a training was begun in this folder that can go on.
pub fn begun(folder: &Path) -> bool {
    Saved::read(folder).is_some()
}

impl Supervision<'_> {
    /// Trains to the plan's end, or for so many minutes; `order` names the studies from the first step on. Returns the
    /// seconds that it took, those before it was stopped included.
    ///
    /// # Errors
    /// A study that cannot be read; a loss that is not finite; the user wants to stop, and the state is saved.
    pub fn train(
        &self,
        policy: &Policy,
        studies: &(dyn Dataset + 'static),
        order: impl Iterator<Item = usize> + Send,
        plan: &SftPlan,
        minutes: Option<f64>,
    ) -> Result<(SftTrainer, f64)> {
        let (mut measured, start) = match Saved::read(&self.folder) {
            Some(Saved { measured, state }) => (measured, Some(state)),
            None => (Measured::default(), None),
        };
        let spent = measured.seconds;
        let mut fitting = self.progress.fitting(self.about, plan.steps);
        let (clock, mut tokens) = (Instant::now(), 0);
        let trainer = supervised::train_on(policy, studies, order, plan, start.as_ref(), |step, stats, trainer| {
            ensure!(stats.loss.is_finite(), "step {}: the loss is {}", step + 1, stats.loss);
            tokens += stats.tokens;
            let here = clock.elapsed().as_secs_f64();
            fitting.step(step + 1, stats.loss, stats.learning_rate, tokens as f64 / here);
            let line = serde_json::json!({"step": step, "loss": stats.loss, "gradient_norm": stats.gradient_norm});
            measured.metrics += &format!("{line}\n");
            if let Some(held_out) = &self.held_out {
                measured.evaluations += &held_out.line(step + 1, trainer)?;
            }
            measured.seconds = spent + here;
            let stopped = self.interrupt.check();
            if stopped.is_err() || (step + 1) % self.save_every == 0 {
                Saved { measured: measured.clone(), state: trainer.state()? }.write(&self.folder)?;
            }
            stopped?;
            let over = minutes.is_some_and(|minutes| measured.seconds >= 60.0 * minutes);
            Ok(if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        fitting.finish();
        write_whole(&self.folder.join(METRICS), measured.metrics.as_bytes())?;
        if !measured.evaluations.is_empty() {
            write_whole(&self.folder.join(EVALUATIONS), measured.evaluations.as_bytes())?;
        }
        Ok((trainer, spent + clock.elapsed().as_secs_f64()))
    }

    /// Removes what only a training that goes on needs.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn end(&self) -> Result<()> {
        let path = self.folder.join(STATE);
        match path.exists() {
            true => fs::remove_file(&path).with_context(|| format!("{}: cannot be removed", path.display())),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use addendum_studies::{Error, Phantom, PhantomConfig, Study};
    use candle_core::Device;

    use super::*;

    /// Phantoms of which only so many can be read.
    struct Rationed {
        phantoms: Phantom,
        left: AtomicUsize,
    }

    impl Rationed {
        fn new(left: usize) -> Self {
            let phantoms = Phantom::new(PhantomConfig { count: 8, ..PhantomConfig::default() }).unwrap();
            Self { phantoms, left: AtomicUsize::new(left) }
        }
    }

    impl Dataset for Rationed {
        fn len(&self) -> usize {
            self.phantoms.len()
        }

        fn study(&self, index: usize) -> addendum_studies::Result<Study> {
            match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => self.phantoms.study(index),
                Err(_) => Err(Error::OutOfRange { index, len: 0 }),
            }
        }
    }

    fn scores(trainer: &SftTrainer) -> Scores {
        Scores::from([("steps".to_owned(), trainer.steps() as f64)])
    }

    #[test]
    fn a_training_that_failed_goes_on_from_its_last_save_and_ends_in_the_same_weights() {
        let plan = SftPlan { steps: 5, batch_size: 2, warmup_steps: 1, vocab_size: 300, ..SftPlan::default() };
        let policy = supervised::fresh_policy(&Rationed::new(8), &plan, &Device::Cpu).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (progress, interrupt) = (Progress::plain(std::io::sink()), Interrupt::never());
        let train = |name: &str, studies: usize| {
            let folder = dir.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            let lesson = Supervision {
                folder: folder.clone(),
                about: "a test",
                save_every: 2,
                progress: &progress,
                interrupt: &interrupt,
                held_out: Some(HeldOutScores { every: 2, score: &|trainer| Ok(scores(trainer)) }),
            };
            let order = supervised::epochs(plan.seed, 8);
            let trainer = lesson.train(&policy, &Rationed::new(studies), order, &plan, None);
            let read = |name| fs::read_to_string(folder.join(name)).unwrap();
            trainer.map(|(trainer, _)| (trainer.state().unwrap(), read(METRICS), read(EVALUATIONS)))
        };
        let whole = train("whole", 10).unwrap();
        assert_eq!(whole.2.lines().count(), 2, "{}", whole.2);
        assert!(train("broken", 9).is_err());
        assert!(begun(&dir.path().join("broken")), "nothing was saved");
        // Four steps are saved: the fifth needs two studies.
        assert_eq!(train("broken", 2).unwrap(), whole);
    }

    #[test]
    fn a_damaged_save_is_no_save() {
        let dir = tempfile::tempdir().unwrap();
        let state = LearnerState { parameters: vec![1, 2], optimizer: vec![3], steps: 7 };
        let measured = Measured { seconds: 1.5, metrics: "{}\n".into(), evaluations: "ä".into() };
        Saved { measured: measured.clone(), state: state.clone() }.write(dir.path()).unwrap();
        let saved = Saved::read(dir.path()).unwrap();
        assert_eq!((saved.measured, saved.state), (measured, state));
        let path = dir.path().join(STATE);
        let good = fs::read(&path).unwrap();
        for (at, length) in [(5, good.len()), (good.len() - 1, good.len()), (0, 11)] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            bad.truncate(length);
            fs::write(&path, &bad).unwrap();
            assert!(!begun(dir.path()), "byte {at}, {length} bytes");
        }
    }
}
