//! What the edit rule does to sampled reports under different settings: how often each rule fires, and what the reward
//! gains. `docs/editor.md` shows its output.
//!
//!     cargo run --release --example edit_rules -- --help

use std::path::PathBuf;

use addendum::{
    editor::{EditConfig, Editor, Extractor, Granularity, Reading, Rule},
    policy::{Policy, SamplingConfig},
    qwen::Prompts,
    rewards::{Backends, Scorer},
    train::{
        data::{Data, PhantomConfig},
        held_out::sampled_reports,
        settings::Settings,
    },
};
use anyhow::Result;
use candle_core::{DType, Device};
use clap::Parser;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// Edit sampled reports of phantom studies under many settings.
#[derive(Parser)]
struct Args {
    /// The checkpoint that writes the reports.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/checkpoints/phantom-tiny"))]
    policy: PathBuf,
    #[arg(long, default_value_t = 300)]
    studies: usize,
    /// Reports per study.
    #[arg(long, default_value_t = 4)]
    samples: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// A sampled report, its reference and its reward.
struct Sample {
    text: String,
    reference: String,
    reward: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let backends = Backends::lexicon();
    let scorer = Scorer::new(backends.clone(), &Settings::default().reward)?;
    let data = Data::of_phantoms(&PhantomConfig { training: args.studies, held_out: 1, ..PhantomConfig::default() })?;
    let prompts = Prompts::new(Policy::load(&args.policy, DType::F32, &Device::Cpu)?.into(), 0);
    let sampling = SamplingConfig { max_new_tokens: 96, ..SamplingConfig::default() };
    let mut samples = Vec::new();
    for (reference, reports) in sampled_reports(&prompts, &*data.training, &sampling, args.samples, args.seed)? {
        let texts: Vec<&str> = reports.iter().map(String::as_str).collect();
        let rewards = scorer.score(&reference, &texts)?;
        samples.extend(reports.into_iter().zip(rewards).map(|(text, reward)| {
            let reference = reference.clone();
            Sample { text, reference, reward: reward.total }
        }));
    }
    let mean = samples.iter().map(|sample| sample.reward).sum::<f64>() / samples.len() as f64;
    println!("{} sampled reports of {} studies, mean reward {mean:.3}\n", samples.len(), args.studies);
    println!("| settings | (a) | (b) | (c) | (d) | (e) new | unchanged | gain | gain if edited | made worse |");
    println!("|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (name, config) in settings() {
        println!("{}", Effect::of(&config, &samples, &backends, &scorer, args.seed)?.row(&name));
    }
    Ok(())
}

fn settings() -> Vec<(String, EditConfig)> {
    let paper = EditConfig::default();
    let threshold = |config: &EditConfig, value| EditConfig { replace_threshold: Some(value), ..config.clone() };
    let code = EditConfig { reference_code: true, ..paper.clone() };
    let reading = |change: fn(&mut Reading)| {
        let mut config = paper.clone();
        change(&mut config.reading);
        config
    };
    let mut settings: Vec<(String, EditConfig)> = [0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
        .map(|value| (format!("replace_threshold {value}"), threshold(&paper, value)))
        .into();
    settings.extend([
        ("text as printed, no guards".into(), EditConfig { reading: Reading::CANONICAL, ..paper.clone() }),
        ("conflict_needs_same_text".into(), reading(|reading| reading.conflict_needs_same_text = true)),
        ("b_over_all_of_e".into(), reading(|reading| reading.b_over_all_of_e = true)),
        ("missing_ignores_label".into(), reading(|reading| reading.missing_ignores_label = true)),
        ("neutral_matches_anything".into(), reading(|reading| reading.neutral_matches_anything = true)),
        ("2 operations per report".into(), EditConfig { operations_per_report: 2, ..paper.clone() }),
        ("3 operations per report".into(), EditConfig { operations_per_report: 3, ..paper.clone() }),
        ("radgraph".into(), EditConfig { extractor: Extractor::Radgraph, ..paper.clone() }),
        ("report granularity".into(), EditConfig { granularity: Granularity::Report, ..paper.clone() }),
        ("reference_code".into(), code.clone()),
        ("reference_code, replace_threshold 0.3".into(), threshold(&code, 0.3)),
        ("reference_code, replace_threshold 0".into(), threshold(&code, 0.)),
    ]);
    settings
}

/// What became of the reports.
#[derive(Default)]
struct Effect {
    reports: usize,
    /// First edits by rule, in the order of the table.
    rules: [usize; 5],
    edited: usize,
    worse: usize,
    gain: f64,
}

impl Effect {
    fn of(config: &EditConfig, samples: &[Sample], backends: &Backends, scorer: &Scorer, seed: u64) -> Result<Self> {
        let editor = Editor::from_backends(config.clone(), backends)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut effect = Self { reports: samples.len(), ..Self::default() };
        for sample in samples {
            let edited = editor.edit(&sample.text, &sample.reference, &mut rng)?;
            let Some(first) = edited.log.first() else { continue };
            let order = [Rule::Conflict, Rule::Similar, Rule::Spurious, Rule::Missing, Rule::Empty];
            for (count, rule) in effect.rules.iter_mut().zip(order) {
                *count += usize::from(rule == first.rule);
            }
            let reward: f64 = scorer.score(&sample.reference, &[&edited.text])?.iter().map(|reward| reward.total).sum();
            effect.edited += 1;
            effect.worse += usize::from(reward < sample.reward - 1e-9);
            effect.gain += reward - sample.reward;
        }
        Ok(effect)
    }

    fn row(&self, name: &str) -> String {
        let share = |count: usize, of: usize| format!("{:.1} %", 100. * count as f64 / of.max(1) as f64);
        let rules = self.rules.map(|count| share(count, self.reports)).join(" | ");
        let unchanged = share(self.reports - self.edited, self.reports);
        let (gain, each) = (self.gain / self.reports as f64, self.gain / self.edited.max(1) as f64);
        let worse = share(self.worse, self.edited);
        format!("| {name} | {rules} | {unchanged} | {gain:+.3} | {each:+.3} | {worse} |")
    }
}
