//! `addendum check-device`: a device against the CPU.

mod comparison;

use addendum::policy::device::device;
use anyhow::{Result, ensure};
use candle_core::DType;
use clap::Args;

use super::{exit::beforehand, output::print};

#[derive(Args)]
pub struct CheckArgs {
    /// cuda:N, in a build with the feature `cuda`.
    device: String,
}

pub fn run(args: &CheckArgs) -> Result<()> {
    let device = beforehand(device(&args.device).map_err(Into::into))?;
    let mut passed = true;
    print(&format!("{:<8} {:<24} {:>12} {:>12}\n", "weights", args.device, "difference", "tolerance"))?;
    for (name, dtype) in [("f32", DType::F32), ("bf16", DType::BF16)] {
        for row in comparison::against_cpu(&device, dtype)? {
            let verdict = if row.passes() { "ok" } else { "FAILED" };
            print(&format!(
                "{name:<8} {:<24} {:>12.2e} {:>12.0e}  {verdict}\n",
                row.what, row.difference, row.tolerance
            ))?;
            passed &= row.passes();
        }
    }
    ensure!(passed, "{} does not compute what the CPU computes", args.device);
    Ok(())
}
