//! `addendum generate`: reports for images, or for the studies of a dataset folder.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use addendum::{
    policy::{Adapter, SamplingConfig, generate::GenerateRequest, sampling::TokenSampler},
    qwen::Prompts,
    studies::{Dataset, ImageSource, Projection, Prompt, Reference, Split, Study, Timing, View},
    train::{held_out::seeds, interrupt::Interrupt},
};
use anyhow::{Context, Result, ensure};
use clap::{ArgGroup, Args};
use rayon::prelude::*;
use serde::Serialize;

use super::{exit::beforehand, output, policy::Writer, studies};

/// Studies that are written for between two looks at whether the user wants to stop.
const BATCH: usize = 16;

#[derive(Args)]
#[command(group(ArgGroup::new("source").args(["images", "data"]).required(true)))]
pub struct GenerateArgs {
    #[command(flatten)]
    writer: Writer,
    /// An image of the study (PNG, JPEG or DICOM); once for each of its images.
    #[arg(long = "image", value_name = "FILE")]
    images: Vec<PathBuf>,
    /// The role of each image, in their order: `current frontal`, `current lateral`, `prior frontal` or `prior lateral`.
    /// A single image is a current frontal one without it.
    #[arg(long = "view", value_name = "ROLE", value_parser = role, requires = "images")]
    views: Vec<(Timing, Projection)>,
    /// Why the study was made.
    #[arg(long, value_name = "TEXT", requires = "images")]
    indication: Option<String>,
    /// How the study was made.
    #[arg(long, value_name = "TEXT", requires = "images")]
    technique: Option<String>,
    /// What the study is to be compared with.
    #[arg(long, value_name = "TEXT", requires = "images")]
    comparison: Option<String>,
    /// A dataset folder, for reports of all studies of a split.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leave out entries of the folder that are no studies, and list them; they are refused without it.
    #[arg(long, requires = "data")]
    skip_bad: bool,
    /// train, val or test.
    #[arg(long, default_value = "test")]
    split: Split,
    /// Only so many of the first studies.
    #[arg(long, value_name = "COUNT", requires = "data")]
    studies: Option<usize>,
    /// Remove the least likely tokens while their total probability stays within 1 − this.
    #[arg(long, default_value_t = 1.)]
    top_p: f64,
    /// Reports per study; more than one needs a temperature above 0.
    #[arg(long, default_value_t = 1, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    samples: usize,
    /// Of the random choices.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write to this file, one JSON object per report. Without it a single report is printed as text, and several as
    /// JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A line of the output.
#[derive(Serialize)]
struct Report {
    id: String,
    sample: usize,
    report: String,
    truncated: bool,
}

struct Job {
    prompts: Prompts,
    adapter: Option<Adapter>,
    studies: Arc<dyn Dataset>,
    count: usize,
    sampler: TokenSampler,
    out: Option<(PathBuf, File)>,
}

/// # Errors
/// What cannot be read or used; a failure while computing; the user wants to stop. The reports before that are out.
pub fn run(args: &GenerateArgs) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let mut job = beforehand(prepare(args))?;
    let alone = job.count * args.samples == 1;
    for first in (0..job.count).step_by(BATCH) {
        interrupt.check()?;
        let batch: Vec<usize> = (first..(first + BATCH).min(job.count)).collect();
        let written: Vec<Vec<Report>> =
            batch.into_par_iter().map(|index| job.write(index, args)).collect::<Result<_>>()?;
        let reports: Vec<Report> = written.into_iter().flatten().collect();
        let lines =
            || reports.iter().map(|report| Ok(serde_json::to_string(report)? + "\n")).collect::<Result<String>>();
        match &mut job.out {
            Some((path, file)) => {
                file.write_all(lines()?.as_bytes())
                    .with_context(|| format!("{}: cannot be written", path.display()))?;
            }
            None if alone => reports.iter().try_for_each(|report| output::print(&format!("{}\n", report.report)))?,
            None => output::print(&lines()?)?,
        }
        for Report { id, .. } in reports.iter().filter(|report| report.truncated) {
            tracing::warn!("{id}: the report was cut at the length limit; --max-new-tokens raises it");
        }
    }
    Ok(())
}

fn prepare(args: &GenerateArgs) -> Result<Job> {
    let Writer { temperature, .. } = args.writer;
    ensure!(
        args.samples == 1 || temperature > 0.,
        "--samples {}: expected --temperature above 0, or all are one",
        args.samples
    );
    let sampling = SamplingConfig { temperature, top_p: args.top_p, ..SamplingConfig::greedy(args.writer.longest()?) };
    let sampler = TokenSampler::new(sampling)?;
    let studies: Arc<dyn Dataset> = match &args.data {
        Some(folder) => studies::of(Some(folder), args.split, args.skip_bad, 0)?.sets.swap_remove(0).1,
        None => Arc::new(vec![study(args)?]),
    };
    let (policy, adapter) = args.writer.load()?;
    let create = |path: &PathBuf| -> Result<(PathBuf, File)> {
        let file = File::create(path).with_context(|| format!("{}: cannot be written", path.display()))?;
        Ok((path.clone(), file))
    };
    let out = args.out.as_ref().map(create).transpose()?;
    let count = studies.len().min(args.studies.unwrap_or(usize::MAX));
    Ok(Job { prompts: Prompts::new(Arc::new(policy), 0), adapter, studies, count, sampler, out })
}

/// The study whose images are named.
fn study(args: &GenerateArgs) -> Result<Study> {
    let roles = match (args.images.len(), args.views.len()) {
        (1, 0) => vec![(Timing::Current, Projection::Frontal)],
        (images, views) if images == views => args.views.clone(),
        (images, views) => anyhow::bail!("--view: {views} for {images} images, expected one for each"),
    };
    let view = |((timing, projection), path): ((Timing, Projection), &PathBuf)| -> Result<View> {
        let image = View { projection, timing, image: ImageSource::File(path.clone()) };
        image.load().with_context(|| format!("--image {}", path.display()))?;
        Ok(image)
    };
    let mut views = roles.into_iter().zip(&args.images).map(view).collect::<Result<Vec<_>>>()?;
    views.sort_by_key(|view| (view.timing, view.projection));
    let name = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok(Study {
        id: args.images.first().and_then(|path| name(path)).unwrap_or_default(),
        views,
        indication: args.indication.clone(),
        technique: args.technique.clone(),
        comparison: args.comparison.clone(),
        reference: Reference::new(""),
    })
}

fn role(text: &str) -> Result<(Timing, Projection), String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let timing = |word: &str| match word {
        "current" => Some(Timing::Current),
        "prior" => Some(Timing::Prior),
        _ => None,
    };
    let projection = |word: &str| match word {
        "frontal" => Some(Projection::Frontal),
        "lateral" => Some(Projection::Lateral),
        _ => None,
    };
    match words.as_slice() {
        [first, second] => timing(first).zip(projection(second)),
        _ => None,
    }
    .ok_or_else(|| "expected `current` or `prior`, then `frontal` or `lateral`".to_owned())
}

impl Job {
    /// The reports of one study, which depend on the seed and its place alone.
    fn write(&self, index: usize, args: &GenerateArgs) -> Result<Vec<Report>> {
        let study = self.studies.study(index)?;
        let prompt = self.prompts.encode(&study.id, &Prompt::new(&study))?;
        let request = GenerateRequest { prompt, seeds: seeds(args.seed, index, args.samples) };
        let policy = self.prompts.policy();
        let samples = policy.generate(self.adapter.as_ref(), &[request], &self.sampler)?;
        let report = |(sample, written): (usize, &addendum::policy::generate::Sample)| Report {
            id: study.id.clone(),
            sample,
            report: policy.tokenizer().decode(&written.tokens),
            truncated: written.truncated,
        };
        Ok(samples.iter().flatten().enumerate().map(report).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_a_time_and_a_projection() {
        assert_eq!(role("Prior  lateral"), Ok((Timing::Prior, Projection::Lateral)));
        for wrong in ["frontal", "lateral prior", "current frontal view", ""] {
            assert!(role(wrong).is_err(), "{wrong}");
        }
    }
}
