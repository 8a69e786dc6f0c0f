//! A plan as text.

use std::fmt::{self, Display, Formatter};

use super::Plan;
use crate::train::settings::Problem;

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.fmt_work(f)?;
        self.fmt_studies(f)?;
        self.fmt_model(f)?;
        self.fmt_memory(f)?;
        writeln!(f, "rewards and edits")?;
        for (name, source) in &self.rewards {
            line(f, name, source)?;
        }
        list(f, "warning", &self.warnings)?;
        list(f, "problem", &self.problems)?;
        if self.problems.is_empty() {
            writeln!(f, "nothing is in the way of this run")?;
        }
        Ok(())
    }
}

impl Plan {
    fn fmt_work(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let work = &self.work;
        writeln!(f, "run")?;
        line(f, "method", &work.method)?;
        let folder = work.folder.display();
        line(f, "folder", format!("{folder}{}", if work.resumed { ", resumed" } else { "" }))?;
        let (groups, size) = (work.groups, work.group_size);
        line(f, "work", format!("{} steps, {groups} groups of {size} reports", work.steps))?;
        line(f, "reports", format!("{}, {} of them sampled", work.rollouts, work.sampled))?;
        if let Some(epochs) = work.epochs {
            line(f, "epochs", format!("{epochs:.2}"))?;
        }
        line(f, "evaluations", work.evaluations)
    }

    fn fmt_studies(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "studies")?;
        for set in &self.sets {
            line(f, &set.name, format!("{} ({} read)", set.studies, set.sampled))?;
        }
        for (name, lengths) in [("prompts", self.prompts), ("references", self.references)] {
            if let Some(lengths) = lengths {
                line(f, name, format!("{} tokens, the longest {}", lengths.typical, lengths.longest))?;
            }
        }
        Ok(())
    }

    fn fmt_model(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(model) = &self.model else { return Ok(()) };
        writeln!(f, "policy")?;
        line(f, "checkpoint", model.path.display())?;
        line(f, "base", &model.name)?;
        line(f, "parameters", millions(model.parameters.total()))?;
        let (adapter, rank) = (millions(model.adapter_parameters), model.rank);
        line(f, "adapter", format!("{adapter}, rank {rank}, on {}", model.modules.join(", ")))
    }

    fn fmt_memory(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for plan in &self.devices {
            writeln!(f, "memory of {}", plan.device)?;
            line(f, "weights", size(plan.weights))?;
            if plan.context > 0 {
                line(f, "CUDA", size(plan.context))?;
            }
            line(f, "kept features", format!("up to {}", size(plan.features)))?;
            if plan.samplers > 0 {
                line(f, "sampling", format!("{} by {} samplers", size(plan.sampling), plan.samplers))?;
            }
            if let Some(parts) = plan.micro_batches {
                line(f, "training step", format!("{}, a group in {parts} micro-batches", size(plan.learning)))?;
            }
            if plan.evaluation > 0 {
                line(f, "evaluation", size(plan.evaluation))?;
            }
            let available = plan.available.map_or(String::new(), |bytes| format!(" of {}", size(bytes)));
            line(f, "together", format!("{}{available}", size(plan.total)))?;
        }
        let Some(disk) = &self.disk else { return Ok(()) };
        writeln!(f, "disk")?;
        let free = disk.free.map_or(String::new(), |bytes| format!(" of {}", size(bytes)));
        line(f, "checkpoints", format!("up to {}{free}", size(disk.checkpoints)))?;
        disk.recording.map_or(Ok(()), |bytes| line(f, "reports", format!("up to {}, recorded", size(bytes))))
    }
}

fn line(f: &mut Formatter<'_>, name: &str, value: impl Display) -> fmt::Result {
    writeln!(f, "  {name:<26} {value}")
}

fn list(f: &mut Formatter<'_>, what: &str, found: &[Problem]) -> fmt::Result {
    if !found.is_empty() {
        writeln!(f, "{} {what}{}", found.len(), if found.len() == 1 { "" } else { "s" })?;
    }
    found.iter().try_for_each(|one| writeln!(f, "  {one}"))
}

fn millions(count: u64) -> String {
    format!("{:.1} M", count as f64 / 1e6)
}

fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}
