//! `addendum doctor`: whether a plan fits this machine.

mod plan;

use std::{fmt::Write, path::PathBuf};

use addendum::{
    host,
    policy::{
        Config, LoraConfig,
        device::{device, free_memory},
        learner::Recompute,
        memory::DeviceKind,
    },
    train::placement::WeightType,
};
use anyhow::Result;
use clap::Args;

use super::{exit::beforehand, output::print};
use plan::Plan;

#[derive(Args)]
pub struct DoctorArgs {
    /// A folder with a model's `config.json`.
    #[arg(long, value_name = "DIR")]
    model_config: PathBuf,
    /// Only on paper; otherwise the model is built with random weights and takes one training step.
    #[arg(long)]
    estimate: bool,
    /// Of the weight matrices; activations, adapter and optimiser are f32.
    #[arg(long, value_enum, default_value = "bf16")]
    dtype: WeightType,
    #[arg(long, default_value_t = 2)]
    images: usize,
    /// Of an image.
    #[arg(long, default_value_t = 401_408)]
    pixels: usize,
    /// Prompt tokens that are text.
    #[arg(long, default_value_t = 64)]
    text_tokens: usize,
    #[arg(long, default_value_t = 4)]
    group_size: usize,
    #[arg(long, default_value_t = 128)]
    response_tokens: usize,
    #[arg(long, default_value_t = 16)]
    lora_rank: usize,
    /// Memory of the device in GiB. Without it: what this machine can still give, what a GPU can give that is not only on paper, and no limit otherwise.
    #[arg(long)]
    memory: Option<f64>,
    /// Compute layers again in the backward pass even where their activations would fit.
    #[arg(long)]
    recompute: bool,
    /// What the memory is predicted for, and where the dry run takes place: cpu or cuda:N. With --estimate it need not be
    /// there.
    #[arg(long, default_value = "cpu")]
    device: String,
}

pub fn run(args: &DoctorArgs) -> Result<()> {
    const GIB: f64 = (1u64 << 30) as f64;
    let kind = beforehand(DeviceKind::named(&args.device).map_err(Into::into))?;
    // On paper the device need not be there.
    let device = match (args.estimate, kind) {
        (true, DeviceKind::Cuda) => None,
        _ => Some(beforehand(device(&args.device).map_err(Into::into))?),
    };
    let free = match kind {
        DeviceKind::Cpu => host::available_memory(),
        DeviceKind::Cuda => device.as_ref().and_then(free_memory),
    };
    let plan = Plan {
        config: beforehand(Config::load(&args.model_config.join("config.json")).map_err(Into::into))?,
        dtype: args.dtype.into(),
        kind,
        lora: LoraConfig { rank: args.lora_rank, ..LoraConfig::default() },
        images: args.images,
        pixels: args.pixels,
        text_tokens: args.text_tokens,
        group_size: args.group_size,
        response_tokens: args.response_tokens,
        limit: args.memory.map(|gib| (gib * GIB) as u64).or(free),
        recompute: if args.recompute { Recompute::Always } else { Recompute::WhenNeeded },
    };
    let estimate = plan.estimate()?;
    let millions = |count: u64| format!("{:.1} M", count as f64 / 1e6);
    let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / GIB);
    let mut out = String::new();
    writeln!(out, "parameters")?;
    writeln!(out, "  vision tower      {:>12}", millions(estimate.parameters.vision))?;
    writeln!(out, "  language model    {:>12}", millions(estimate.parameters.language))?;
    writeln!(out, "  vocabulary        {:>12}", millions(estimate.parameters.vocabulary))?;
    writeln!(out, "  adapter           {:>12}", millions(estimate.lora_parameters))?;
    writeln!(out, "memory")?;
    writeln!(out, "  weights           {:>12}", gib(estimate.weights))?;
    if estimate.context > 0 {
        writeln!(out, "  CUDA              {:>12}", gib(estimate.context))?;
    }
    writeln!(out, "  encoding a study  {:>12}", gib(estimate.vision))?;
    writeln!(out, "  sampling          {:>12}", gib(estimate.sampling))?;
    let how = if estimate.step.recompute { ", layers computed again" } else { "" };
    let (step, parts) = (estimate.step.memory.total(), estimate.step.micro_batches);
    writeln!(out, "  training step     {:>12}  ({parts} micro-batches{how})", gib(step))?;
    writeln!(out, "  predicted peak    {:>12}", gib(estimate.peak))?;
    if let Some(limit) = plan.limit {
        writeln!(
            out,
            "  limit             {:>12}  {}",
            gib(limit),
            if estimate.fits { "fits" } else { "does not fit" }
        )?;
    }
    print(&std::mem::take(&mut out))?;
    let Some(device) = device.filter(|_| !args.estimate) else { return Ok(()) };
    let run = plan.dry_run(&device)?;
    writeln!(out, "dry run")?;
    writeln!(out, "  building          {:>10.1} s", run.build_seconds)?;
    writeln!(out, "  encoding          {:>10.1} s", run.vision_seconds)?;
    writeln!(out, "  training step     {:>10.1} s", run.step_seconds)?;
    writeln!(out, "    reference       {:>10.1} s", run.reference_seconds)?;
    writeln!(out, "    forward         {:>10.1} s", run.forward_seconds)?;
    writeln!(out, "    backward        {:>10.1} s", run.backward_seconds)?;
    if let Some(peak) = run.peak.filter(|_| device.is_cpu()) {
        let off = 100.0 * (peak as f64 / estimate.peak as f64 - 1.0);
        writeln!(out, "  measured peak     {:>12}  ({off:+.1} % of the prediction)", gib(peak))?;
    }
    print(&out)
}
