//! An algorithm of one's own, chosen by its name: RLOO's leave-one-out baseline (Ahmadian et al., arXiv 2402.14740),
//! written out, with dynamic sampling: studies whose reports all earn the same are replaced before a step is spent on
//! them. The built-in `rloo` is the same.
//!
//!     cargo run --release --example own_algorithm

use addendum::{
    policy::algorithm::{Algorithm, Member},
    train::{Settings, Sources, Training},
};

struct LeaveOneOut;

impl Algorithm for LeaveOneOut {
    fn advantages(&self, group: &[Member]) -> addendum::policy::Result<Vec<f64>> {
        let (sum, others) = (group.iter().map(|member| member.reward).sum::<f64>(), group.len().max(2) as f64 - 1.0);
        Ok(group.iter().map(|member| member.reward - (sum - member.reward) / others).collect())
    }

    fn worthwhile(&self, group: &[Member]) -> bool {
        group.iter().any(|member| (member.reward - group[0].reward).abs() > 0.05)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let sets = [
        "algorithm.name=leave-one-out",
        "algorithm.dynamic_sampling=true",
        "learner.objective.aggregation=seq-mean-token-sum",
        "learner.schedule.learning_rate=1e-4",
        "learner.schedule.warmup_steps=0",
        "run.steps=4",
        "run.batch_groups=2",
        "run.variant=grpo",
        "data.phantoms.held_out=16",
    ];
    let file = Some("configs/phantoms.toml".as_ref());
    let settings = Settings::load(&Sources { file, sets: &sets.map(String::from) })?;
    let run = Training::new(settings).algorithm("leave-one-out", LeaveOneOut).prepare()?;
    let (run, _) = run.train().await?;
    let metrics = std::fs::read_to_string(run.folder().path().join("metrics.jsonl"))?;
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap_or("{}"))?;
    println!("{} studies were replaced by others", last["redraws"]);
    Ok(())
}
