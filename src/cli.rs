//! The commands of the `addendum` binary, one file each.

mod bench;
mod check_device;
mod completions;
mod config;
mod data;
mod doctor;
#[cfg(test)]
mod documented;
mod edit;
mod eval;
mod exit;
mod generate;
mod init;
mod merge;
mod metrics;
mod output;
mod phantoms;
mod policy;
mod probe;
mod report;
mod score;
mod serve_rewards;
mod sft;
mod studies;
mod study;
mod train;
mod watch;

use std::process::ExitCode;

use addendum::report::{log::LogFormat, progress::Progress};
use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

/// Asynchronous reinforcement learning for clinically accurate chest X-ray reports.
#[derive(Parser)]
#[command(version, after_help = exit::HELP)]
pub struct Cli {
    /// How diagnostics are written to the standard error stream; with json there are no progress bars.
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Post-train a checkpoint on studies, by a settings file; or go on with a run.
    Train(train::TrainArgs),
    /// Watch a run in the terminal, while it goes on or afterwards: curves, actors, tickets, rollouts, events.
    Watch(watch::WatchArgs),
    /// Carry out an experiment from a file: arms, seeds and grids, or what is left of them; then a table and curves.
    Study(study::StudyArgs),
    /// Print the whole settings file with what each key means, or its JSON schema.
    Config(config::ConfigArgs),
    /// Teach a policy to write reports, by supervised fine-tuning: all weights or an adapter.
    Sft(sft::SftArgs),
    /// Score a policy's reports on held-out studies.
    Eval(eval::EvalArgs),
    /// Write reports for images, or for the studies of a dataset folder.
    Generate(generate::GenerateArgs),
    /// Explain a run, or compare several, as one HTML page: curves, edits, who worked when, results and examples.
    Report(report::ReportArgs),
    /// Score reports against their references.
    Score(score::ScoreArgs),
    /// Correct one report from its reference, and show why.
    Edit(edit::EditArgs),
    /// Serve rewards and report analyses over HTTP, in place of the two services of the EditGRPO code.
    ServeRewards(serve_rewards::ServeArgs),
    /// Merge an adapter into its base model: a checkpoint folder that any library loads.
    Merge(merge::MergeArgs),
    /// Tell whether a model of a given shape can be trained on this machine; no weights are needed.
    Doctor(doctor::DoctorArgs),
    /// Compare a device with the CPU: features, log-probabilities, gradients, tokens and a training step.
    CheckDevice(check_device::CheckArgs),
    /// Write what a policy computes of one given group: features, log-probabilities and gradients, as safetensors.
    Probe(probe::ProbeArgs),
    /// Time sampling, a learning step, a whole iteration, rewards, or the actors; prints one JSON object or a table.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Write a model folder with random weights, for benchmarks.
    Init(init::InitArgs),
    /// Write phantom studies as a dataset folder (PNG and JSON).
    Phantoms(phantoms::PhantomArgs),
    /// Make dataset folders of public datasets, and check any.
    #[command(subcommand)]
    Data(data::Data),
    /// Print what every metric means, as docs/metrics.md has it.
    #[command(hide = true)]
    Metrics,
    /// Print a script that completes commands and options in a shell.
    Completions(completions::CompletionArgs),
}

impl Cli {
    /// Runs the command that was named, and tells of its error.
    pub fn run(self) -> ExitCode {
        let result = self.log_format.install().map_err(Into::into).and_then(|progress| self.command.run(&progress));
        let Err(error) = result else { return ExitCode::SUCCESS };
        let status = exit::status(&error);
        match self.log_format {
            LogFormat::Text => tracing::error!("Error: {error:?}"),
            LogFormat::Json => tracing::error!(status, "{error:#}"),
        }
        status.into()
    }
}

impl Command {
    fn run(&self, progress: &Progress) -> Result<()> {
        match self {
            Self::Train(args) => train::run(args, progress),
            Self::Watch(args) => watch::run(args),
            Self::Study(args) => study::run(args, progress),
            Self::Config(args) => config::run(args),
            Self::Sft(args) => sft::run(args, progress),
            Self::Eval(args) => eval::run(args, progress),
            Self::Generate(args) => generate::run(args),
            Self::Report(args) => report::run(args),
            Self::Score(args) => score::run(args),
            Self::Edit(args) => edit::run(args),
            Self::ServeRewards(args) => serve_rewards::run(args),
            Self::Merge(args) => merge::run(args),
            Self::Doctor(args) => doctor::run(args),
            Self::CheckDevice(args) => check_device::run(args),
            Self::Probe(args) => probe::run(args),
            Self::Bench(bench) => output::print(&bench.run()?),
            Self::Init(args) => init::run(args),
            Self::Phantoms(args) => phantoms::run(args),
            Self::Data(command) => data::run(command, progress),
            Self::Metrics => metrics::run(),
            Self::Completions(args) => completions::run(args, Cli::command()),
        }
    }
}
