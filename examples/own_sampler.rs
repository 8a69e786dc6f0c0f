//! A sampler of one's own: four requests at a time, each answered when it is ready. This one lets the built-in policy
//! decode on threads of tokio's; a client of an inference server has the same shape.
//!
//!     cargo run --release --example own_sampler

use std::sync::Arc;

use addendum::{
    actors::{AsyncSampler, EngineError, Request, Sampled, Sampler as _},
    policy::{Adapter, SamplingConfig},
    qwen::{Prompts, Sampler},
    train::{Settings, Sources, Training},
};

struct Engine {
    prompts: Arc<Prompts>,
    sampling: SamplingConfig,
}

impl AsyncSampler<Adapter> for Engine {
    fn capacity(&self) -> usize {
        4
    }

    async fn sample(&self, request: Request<Adapter>) -> Result<Vec<Sampled>, EngineError> {
        let mut sampler = Sampler::new(self.prompts.clone(), self.sampling.clone())?;
        tokio::task::spawn_blocking(move || sampler.sample(request)).await?
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let sets = ["run.steps=4", "learner.schedule.warmup_steps=0", "run.batch_groups=4", "data.phantoms.held_out=16"]
        .map(String::from);
    let file = Some("configs/phantoms.toml".as_ref());
    let settings = Settings::load(&Sources { file, sets: &sets })?;
    let sampling = settings.sampling.clone();
    let engine = move |_, prompts: Arc<Prompts>| {
        let suppressed_tokens = prompts.policy().tokenizer().misplaced_tokens();
        Ok(Engine { prompts, sampling: SamplingConfig { suppressed_tokens, ..sampling.clone() } })
    };
    let run = Training::new(settings).async_sampler(engine).prepare()?;
    let (run, _) = run.train().await?;
    println!("the adapter is in {}", run.folder().path().join("adapter").display());
    Ok(())
}
