//! Supervised training that goes on where it was stopped or killed.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use addendum_policy::{Policy, checkpoint::write_whole, learner::LearnerState, sft::SftTrainer};
use addendum_studies::Dataset;
use anyhow::{Context, Result, ensure};

use super::job::METRICS;
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
}

/// What is there between two steps.
struct Saved {
    /// Spent so far.
    seconds: f64,
    /// A line per step.
    metrics: String,
    state: LearnerState,
}

impl Saved {
    /// Checksum, seconds and the length of the metrics (little-endian), the metrics, the learner's state.
    fn write(&self, folder: &Path) -> Result<()> {
        let mut bytes = vec![0; 4];
        bytes.extend(self.seconds.to_le_bytes());
        bytes.extend((self.metrics.len() as u64).to_le_bytes());
        bytes.extend(self.metrics.as_bytes());
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
        let (length, rest) = rest.split_first_chunk()?;
        let (metrics, state) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        Some(Self {
            seconds: f64::from_le_bytes(*seconds),
            metrics: String::from_utf8(metrics.into()).ok()?,
            state: LearnerState::from_bytes(state).ok()?,
        })
    }
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
        let (mut metrics, spent, start) = match Saved::read(&self.folder) {
            Some(Saved { seconds, metrics, state }) => (metrics, seconds, Some(state)),
            None => (String::new(), 0.0, None),
        };
        let mut fitting = self.progress.fitting(self.about, plan.steps);
        let (clock, mut tokens) = (Instant::now(), 0);
        let trainer = supervised::train_on(policy, studies, order, plan, start.as_ref(), |step, stats, trainer| {
            ensure!(stats.loss.is_finite(), "step {}: the loss is {}", step + 1, stats.loss);
            tokens += stats.tokens;
            let here = clock.elapsed().as_secs_f64();
            fitting.step(step + 1, stats.loss, stats.learning_rate, tokens as f64 / here);
            let line = serde_json::json!({"step": step, "loss": stats.loss, "gradient_norm": stats.gradient_norm});
            metrics += &format!("{line}\n");
            let stopped = self.interrupt.check();
            if stopped.is_err() || (step + 1) % self.save_every == 0 {
                let metrics = metrics.clone();
                Saved { seconds: spent + here, metrics, state: trainer.state()? }.write(&self.folder)?;
            }
            stopped?;
            let over = minutes.is_some_and(|minutes| spent + here >= 60.0 * minutes);
            Ok(if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        fitting.finish();
        write_whole(&self.folder.join(METRICS), metrics.as_bytes())?;
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
            };
            let order = supervised::epochs(plan.seed, 8);
            let trainer = lesson.train(&policy, &Rationed::new(studies), order, &plan, None);
            trainer.map(|(trainer, _)| (trainer.state().unwrap(), fs::read_to_string(folder.join(METRICS)).unwrap()))
        };
        let whole = train("whole", 10).unwrap();
        assert!(train("broken", 9).is_err());
        assert!(begun(&dir.path().join("broken")), "nothing was saved");
        // Four steps are saved: the fifth needs two studies.
        assert_eq!(train("broken", 2).unwrap(), whole);
    }

    #[test]
    fn a_damaged_save_is_no_save() {
        let dir = tempfile::tempdir().unwrap();
        let state = LearnerState { parameters: vec![1, 2], optimizer: vec![3], steps: 7 };
        Saved { seconds: 1.5, metrics: "{}\n".into(), state: state.clone() }.write(dir.path()).unwrap();
        let saved = Saved::read(dir.path()).unwrap();
        assert_eq!((saved.seconds, saved.metrics.as_str(), saved.state), (1.5, "{}\n", state));
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
