//! The policy of a run, from the files of its checkpoint that are no weights and the headers of those that are.

use std::path::PathBuf;

use addendum_policy::{
    Config, Processor,
    checkpoint::{
        folder::{self, CONFIG},
        weight_shapes,
    },
    memory::{DeviceKind, Memory},
    weights::misfits,
};
use serde::Serialize;

use super::findings::Findings;
use crate::train::{Settings, memory::Parameters};

/// Tensors that do not fit are named up to this many; a wrong config would name all of them.
const NAMED: usize = 5;

/// The policy and its adapter.
#[derive(Clone, Debug, Serialize)]
pub struct ModelPlan {
    pub path: PathBuf,
    /// What adapters name as their base.
    pub name: String,
    pub parameters: Parameters,
    /// Adapted modules of a layer, by name.
    pub modules: Vec<String>,
    pub rank: usize,
    pub adapter_parameters: u64,
}

/// The policy as far as its files tell, what reads prompts for it, and what it takes of a device.
pub fn check(settings: &Settings, findings: &mut Findings) -> (Option<ModelPlan>, Option<Processor>, Option<Memory>) {
    const KEY: &str = "policy.path";
    let dir = &settings.policy.path;
    if dir.as_os_str().is_empty() {
        // Told with the settings.
        return (None, None, None);
    }
    let config = findings.note(KEY, Config::load(&dir.join(CONFIG)));
    let tokenizer = findings.note(KEY, folder::tokenizer(dir));
    let images = findings.note(KEY, folder::images(dir));
    let shapes = findings.note(KEY, weight_shapes(dir));
    let Some(config) = config else { return (None, None, None) };
    if let Some(shapes) = shapes {
        let wrong = misfits(&shapes, &config);
        wrong.iter().take(NAMED).for_each(|reason| findings.problem(KEY, format!("{}: {reason}", dir.display())));
        if wrong.len() > NAMED {
            findings.problem(KEY, format!("{}: and {} more tensors", dir.display(), wrong.len() - NAMED));
        }
    }
    let processor = tokenizer.zip(images).and_then(|(tokenizer, images)| {
        let processor = Processor::new(config.clone(), tokenizer, images);
        let shown = |error| format!("{}: {error}", dir.display());
        let processor = findings.note(KEY, processor.map_err(shown))?;
        match settings.policy.pixels {
            Some(limits) => findings.note("policy.pixels", processor.with_pixels(limits)),
            None => Some(processor),
        }
    });
    let kind = DeviceKind::named(settings.policy.learner_devices.first().unwrap_or(&settings.policy.device));
    // Another name is told with the settings.
    let kind = kind.unwrap_or(DeviceKind::Cpu);
    let memory = Memory::new(&config, settings.policy.dtype.into(), &settings.lora, kind);
    let plan = ModelPlan {
        path: dir.clone(),
        name: settings.policy.base_name(),
        parameters: Parameters::of(&config),
        modules: settings.lora.target_modules.iter().map(|module| module.name().to_string()).collect(),
        rank: settings.lora.rank,
        adapter_parameters: memory.adapter() / 4,
    };
    (Some(plan), processor, Some(memory))
}
