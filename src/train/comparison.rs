//! The paper's comparison (EditGRPO, section 4): the same checkpoint, studies and number of learner steps for every
//! method, and supervised fine-tuning for as long as a method took.

use std::{path::Path, sync::Arc, time::Instant};

use anyhow::{Result, ensure};

use super::{
    Training,
    interrupt::Interrupt,
    settings::{Arm, Settings},
    supervised,
};
use crate::{qwen::Prompts, report::run_folder::RunFolder};

/// Methods that are compared, after the checkpoint itself and its continued supervision.
const ARMS: [Arm; 3] = [Arm::DrGrpo, Arm::EditGrpo, Arm::EditGrpoPara];

/// Runs every method under every seed, each in a folder of its own within `out`, and reports one table.
///
/// # Errors
/// No seeds, or one that comes twice; those of the runs.
pub async fn compare(settings: &Settings, seeds: &[u64], out: Option<&Path>, interrupt: &Interrupt) -> Result<()> {
    let distinct: std::collections::BTreeSet<_> = seeds.iter().collect();
    ensure!(!seeds.is_empty() && distinct.len() == seeds.len(), "--seeds {seeds:?}: expected seeds that differ");
    let folder = match out {
        Some(path) => RunFolder::create(path)?,
        None => RunFolder::numbered("runs".as_ref(), "comparison")?,
    };
    let mut rows = vec![("SFT", vec![]), ("SFT continued", vec![])];
    rows.extend(ARMS.map(|arm| (arm.name(), vec![])));
    let mut last = None;
    for &seed in seeds {
        let mut seconds = 0.0;
        for (row, arm) in ARMS.into_iter().enumerate() {
            let mut settings = arm.settings(settings);
            settings.run.seed = seed;
            let place = folder.path().join(format!("{}-{seed}", arm.name()));
            let run = Training::new(settings).out(place).name(arm.name()).interrupt(interrupt.clone()).prepare()?;
            if rows[0].1.is_empty() {
                rows[0].1.push(run.evaluate(None)?);
            }
            let clock = Instant::now();
            let (run, adapter) = run.train().await?;
            seconds = clock.elapsed().as_secs_f64();
            rows[row + 2].1.push(run.evaluate(Some(&adapter))?);
            last = Some(run);
        }
        if let Some(run) = &last {
            let policy = run.placement().home().policy();
            let continued = supervised::continued(policy, &*run.data().training, seed, seconds)?;
            rows[1].1.push(run.evaluate_policy(&Arc::new(Prompts::new(Arc::new(continued), 0)))?);
        }
    }
    match last {
        Some(run) => crate::report::results::publish(&run.data().tests, &rows, &folder),
        None => Ok(()),
    }
}
