//! The commands of the `addendum` binary, one file each.

mod bench;
mod check_device;
mod config;
mod doctor;
mod edit;
mod init;
mod merge;
mod output;
mod phantoms;
mod score;
mod serve_rewards;
mod sft;
mod train;

use std::io::{self, Write};

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Asynchronous reinforcement learning for clinically accurate chest X-ray reports.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Post-train a checkpoint on studies, by a settings file; or go on with a run.
    Train(train::TrainArgs),
    /// Print the whole settings file with what each key means, or its JSON schema.
    Config(config::ConfigArgs),
    /// Teach a small policy from scratch to write reports, by supervised fine-tuning.
    Sft(sft::SftArgs),
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
    /// Time sampling, a learning step, a whole iteration, or rewards; prints one JSON object.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Write a model folder with random weights, for benchmarks.
    Init(init::InitArgs),
    /// Write phantom studies as a dataset folder (PNG and JSON).
    Phantoms(phantoms::PhantomArgs),
}

impl Cli {
    /// Runs the command that was named.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Train(args) => train::run(&args),
            Command::Config(args) => config::run(&args),
            Command::Sft(args) => sft::run(&args),
            Command::Score(args) => score::run(&args),
            Command::Edit(args) => edit::run(&args),
            Command::ServeRewards(args) => serve_rewards::run(&args),
            Command::Merge(args) => merge::run(&args),
            Command::Doctor(args) => doctor::run(&args),
            Command::CheckDevice(args) => check_device::run(&args),
            Command::Bench(bench) => Ok(writeln!(io::stdout(), "{}", bench.run()?)?),
            Command::Init(args) => init::run(&args),
            Command::Phantoms(args) => phantoms::run(&args),
        }
    }
}
