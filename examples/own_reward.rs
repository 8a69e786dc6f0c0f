//! A reward of one's own, weighed by its name in the settings file like the built-in ones.
//!
//!     cargo run --release --example own_reward

use addendum::{
    rewards::{Case, ScoreError},
    train::{Settings, Sources, Training},
};

const SETTINGS: &str = r#"
[data]
phantoms = { held_out = 16 }

[policy]
path = "examples/checkpoints/phantom-tiny"

[run]
steps = 4
batch_groups = 2

[sampling]
max_new_tokens = 96

[reward.weights]
radgraph = 1.0
rate = 1.0
brevity = 0.2
"#;

/// One for a report that ends within forty tokens, less for longer ones, nothing for one that was cut.
fn brevity(case: &Case<'_>) -> Result<Vec<f64>, ScoreError> {
    let value = |tokens: usize, cut: bool| if cut { 0.0 } else { (40.0 / tokens.max(1) as f64).min(1.0) };
    Ok(case.reports.iter().map(|report| value(report.tokens.len(), report.truncated)).collect())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, SETTINGS)?;
    let settings = Settings::load(&Sources { file: Some(&file), sets: &[] })?;
    let run = Training::new(settings).reward("brevity", brevity)?.out(folder.path().join("run")).prepare()?;
    let (run, _) = run.train().await?;
    let metrics = std::fs::read_to_string(run.folder().path().join("metrics.jsonl"))?;
    for line in metrics.lines() {
        let step: serde_json::Value = serde_json::from_str(line)?;
        println!("step {}: brevity {}", step["step"], step["reward_components"]["brevity"]);
    }
    Ok(())
}
