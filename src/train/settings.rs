//! The settings of a run, all of them, in one TOML file; and the arms that the paper compares (EditGRPO, section 4).

mod error;
mod file;
mod identity;
mod presets;
pub mod schema;
mod text;

use std::{path::Path, sync::Arc};

use addendum_actors::{RunConfig, RunError, Variant};
use addendum_editor::EditConfig;
use addendum_policy::{
    LearnerConfig, LoraConfig, SamplingConfig,
    algorithm::{Algorithm, AlgorithmConfig},
    objective::Aggregation,
    schedule::Decay,
};
use addendum_replay::Mode;
use addendum_rewards::{Components, RewardConfig};
use addendum_rewards_remote::Patience;
use addendum_studies::World;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use error::{Place, Problem, SettingsError};
pub use file::Sources;
pub use identity::{Differences, Flat};
pub use presets::{merge, set};

use super::{
    data::{DataConfig, PhantomConfig},
    evaluation::EvaluationConfig,
    placement::PolicyConfig,
    prometheus::TelemetryConfig,
    reward_models::Weights,
    reward_pools::RewardPools,
    reward_services::Services,
    sampler::{Engine, SamplerConfig},
};

/// A way to post-train by reinforcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// Group-normalised advantages, mean over each response's tokens (Shao et al. 2024).
    Grpo,
    /// Advantages not normalised, sums over tokens divided by a constant (Liu et al. 2025).
    DrGrpo,
    /// Dr. GRPO over groups whose second half is edited.
    EditGrpo,
    /// The same with GRPO's normalised advantages and means.
    EditGrpoNorm,
    /// EditGRPO with one member of each group replaced by the whole reference report.
    EditGrpoPara,
}

impl Arm {
    /// As the paper's tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpo => "GRPO",
            Self::DrGrpo => "Dr. GRPO",
            Self::EditGrpo => "EditGRPO",
            Self::EditGrpoNorm => "EditGRPO(norm)",
            Self::EditGrpoPara => "EditGRPO(para)",
        }
    }

    /// `base` with what makes this arm.
    pub fn settings(self, base: &Settings) -> Settings {
        let mut settings = base.clone();
        settings.run.variant = match self {
            Self::Grpo | Self::DrGrpo => Variant::Grpo,
            Self::EditGrpo | Self::EditGrpoNorm => Variant::EditGrpo,
            Self::EditGrpoPara => Variant::EditGrpoPara,
        };
        let (name, aggregation) = match self {
            Self::Grpo | Self::EditGrpoNorm => ("grpo", Aggregation::SeqMeanTokenMean),
            Self::DrGrpo | Self::EditGrpo | Self::EditGrpoPara => ("dr-grpo", Aggregation::SeqMeanTokenSumNorm),
        };
        settings.algorithm.name = name.into();
        settings.learner.objective.aggregation = aggregation;
        settings
    }
}

/// Everything about a run. `addendum config` prints it with what each key means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The studies.
    pub data: DataConfig,
    /// The supervised checkpoint to start from, and where it runs.
    pub policy: PolicyConfig,
    /// How long, how many, how fresh, in which order.
    pub run: RunConfig,
    /// The adapter that is trained.
    pub lora: LoraConfig,
    /// What makes advantages of rewards.
    pub algorithm: AlgorithmConfig,
    /// What a step does with the advantages.
    pub learner: LearnerConfig,
    /// How reports are sampled.
    pub sampling: SamplingConfig,
    /// Who samples, and how much at a time.
    pub sampler: SamplerConfig,
    /// The edit rule.
    pub edit: EditConfig,
    /// What a report is rewarded for.
    pub reward: RewardConfig,
    /// On how many actors the reward is computed.
    #[schemars(extend("x-resume" = "free"))]
    pub reward_pools: RewardPools,
    /// The published models behind reward and edits, by file and folder. What is not named, the lexicon does.
    pub reward_models: Weights,
    /// Services over HTTP in the place of local back ends.
    pub services: Services,
    /// With the back ends of rewards, edits and evaluations.
    #[schemars(extend("x-resume" = "free"))]
    pub patience: Patience,
    /// The scores on held-out studies.
    #[schemars(extend("x-resume" = "free"))]
    pub evaluation: EvaluationConfig,
    /// How the run can be watched.
    #[schemars(extend("x-resume" = "free"))]
    pub telemetry: TelemetryConfig,
}

impl Settings {
    /// What the phantom benchmark was tuned to, on validation studies.
    pub fn phantoms() -> Self {
        let mut settings = Self::default();
        let world = Some(World { tail: [0.02, 0.06], ..World::default() });
        settings.data.phantoms =
            Some(PhantomConfig { version: 2, supervised: 0, held_out: 1000, world, ..PhantomConfig::default() });
        settings.run.steps = 250;
        settings.run.batch_groups = 8;
        settings.run.group_size = 8;
        settings.sampling.max_new_tokens = 160;
        settings.evaluation.max_new_tokens = 160;
        settings.learner.objective.norm_length = 160.0;
        settings.learner.objective.kl_coefficient = 0.01;
        settings.learner.schedule.learning_rate = 1e-3;
        settings.learner.schedule.warmup_steps = 20;
        settings.learner.schedule.decay = Decay::Linear;
        settings.learner.schedule.total_steps = 250;
        settings
    }

    /// What the paper calls runs like this one; of what it has no name for, "variant" or "after".
    pub fn method(&self) -> &'static str {
        if self.run.variant != Variant::Grpo && !self.edits_as_published() {
            return "variant";
        }
        let arms = [Arm::Grpo, Arm::DrGrpo, Arm::EditGrpo, Arm::EditGrpoNorm, Arm::EditGrpoPara];
        let like = |arm: &Arm| {
            let other = arm.settings(self);
            (other.run.variant, other.algorithm.name) == (self.run.variant, self.algorithm.name.clone())
        };
        arms.into_iter().find(like).map_or("after", Arm::name)
    }

    /// Whether the edited half is the paper's, none of what docs/variants.md has.
    fn edits_as_published(&self) -> bool {
        let (run, objective, usual) = (&self.run, &self.learner.objective, RunConfig::default());
        let share = |run: &RunConfig| (run.edited_share, run.edited_share_end, run.select);
        let tokens = (objective.edited_from, objective.off_policy);
        share(run) == share(&usual) && tokens == Default::default() && self.edit.sentences_per_edit == 0
    }

    /// Refuses what a run would refuse later, when time was already spent on it.
    ///
    /// # Errors
    /// The first setting out of its range, by its key.
    pub fn validate(&self) -> Result<(), Problem> {
        self.validate_with(&Components::default(), None, false)
    }

    /// The same for a program that brings components of the reward, the algorithm of this name, or its own studies.
    pub(super) fn validate_with(
        &self,
        components: &Components,
        algorithm: Option<&Arc<dyn Algorithm>>,
        own_data: bool,
    ) -> Result<(), Problem> {
        if !own_data {
            self.data.validate().map_err(within("data"))?;
        }
        self.policy.validate().map_err(within("policy"))?;
        self.run.validate().map_err(|error| match error {
            RunError::Config { field, value, expected } => {
                Problem::new(format!("run.{field}"), format!("is {value}, expected {expected}"))
            }
            other => Problem::new("run", other),
        })?;
        self.lora.validate().map_err(policy("lora"))?;
        self.sampling.validate().map_err(policy("sampling"))?;
        self.sampler.batch().validate().map_err(policy("sampler"))?;
        self.sampler.validate().map_err(within("sampler"))?;
        let longest = self.sampling.max_new_tokens;
        match algorithm {
            Some(own) => self.algorithm.around(own.clone(), longest).map(drop),
            None => self.algorithm.build(longest).map(drop),
        }
        .map_err(policy("algorithm"))?;
        self.learner.validate().map_err(policy("learner"))?;
        self.edit.validate().map_err(|error| match error {
            addendum_editor::Error::Config { field, value, expected } => {
                Problem::new(format!("edit.{field}"), format!("is {value}, expected {expected}"))
            }
            other => Problem::new("edit", other),
        })?;
        self.services
            .validate(&self.reward, components, &self.reward_pools, &self.edit)
            .map_err(|error| reward_problem(&error))?;
        self.patience.validate().map_err(|error| match error.field() {
            Some(field) => Problem::new(format!("patience.{field}"), error),
            None => Problem::new("patience", error),
        })?;
        self.evaluation.validate().map_err(within("evaluation"))?;
        self.telemetry.validate().map_err(within("telemetry"))
    }

    /// Whether what is sampled is recorded: where nothing is said, it is if no seed brings it back.
    pub fn records(&self) -> bool {
        self.run.record_sampled.unwrap_or(self.run.records() || self.sampler.engine == Engine::Vllm)
    }

    /// The settings of a run that trains again on what the run in `folder` has recorded.
    pub fn replaying(&self, folder: &Path) -> Self {
        let mut settings = self.clone();
        settings.sampler.engine = Engine::Recorded;
        settings.sampler.recording = Some(folder.to_owned());
        // The batches are those of the recorded run, in whichever way they came about.
        settings.run.mode = Mode::FixedLag;
        settings.run.swap = false;
        settings
    }

    /// The same with paths that hold wherever the process is started.
    ///
    /// # Errors
    /// The working directory cannot be told.
    pub fn absolute(&self) -> std::io::Result<Self> {
        let mut settings = self.clone();
        let models = &mut settings.reward_models;
        let optional = [
            &mut settings.data.folder,
            &mut models.chexbert,
            &mut models.bert,
            &mut models.rate_tagger,
            &mut models.rate_embedder,
            &mut models.radgraph,
            &mut models.radgraph_bert,
            &mut settings.sampler.recording,
            &mut settings.sampler.urls_file,
            &mut settings.sampler.vllm.token_file,
            &mut settings.sampler.vllm.adapters_folder,
        ];
        let services = [&mut settings.services.reward, &mut settings.services.edit].into_iter().flatten();
        let of_services = services.flat_map(|service| [&mut service.urls_file, &mut service.token_file]);
        let named = optional.into_iter().chain(of_services).filter_map(Option::as_mut);
        let named = named.chain([&mut settings.policy.path]);
        for path in named.filter(|path| !path.as_os_str().is_empty()) {
            *path = std::path::absolute(&*path)?;
        }
        Ok(settings)
    }
}

/// What is wrong with the reward: its own key where that is known.
fn reward_problem(error: &anyhow::Error) -> Problem {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return problem.clone();
    }
    let field = error.downcast_ref::<addendum_rewards::Error>().and_then(addendum_rewards::Error::field);
    let key = match field {
        Some(field) if field.starts_with("workers") => format!("reward_pools.{field}"),
        Some(field) => format!("reward.{field}"),
        None => "reward".to_string(),
    };
    Problem::new(key, format!("{error:#}"))
}

/// Puts a problem's key into its section.
fn within(section: &'static str) -> impl Fn(Problem) -> Problem {
    move |problem| problem.within(section)
}

fn policy(section: &'static str) -> impl Fn(addendum_policy::Error) -> Problem {
    move |error| match error {
        addendum_policy::Error::Invalid { what, reason } => Problem::new(format!("{section}.{what}"), reason),
        other => Problem::new(section, other),
    }
}

#[cfg(test)]
mod tests {
    use addendum_actors::When;
    use addendum_policy::objective::{EditedFrom, OffPolicy};

    use super::*;

    #[test]
    fn a_setting_of_any_part_that_is_out_of_range_is_named() {
        let base = || {
            let mut settings = Settings::phantoms();
            settings.policy.path = "checkpoint".into();
            settings
        };
        assert!(base().validate().is_ok());
        let message = |change: fn(&mut Settings)| {
            let mut settings = base();
            change(&mut settings);
            settings.validate().unwrap_err().to_string()
        };
        assert!(message(|s| s.run.group_size = 7).starts_with("run.group_size: is 7"));
        let varied = |s: &mut Settings| s.run.select.when = When::LowVariance;
        assert!(message(varied).starts_with("run.select.std_below: is 0, expected a finite number above 0"));
        let floor = message(|s| s.learner.objective.off_policy_floor = 0.0);
        assert!(floor.starts_with("learner.objective.off_policy_floor: 0"), "{floor}");
        assert!(message(|s| s.lora.rank = 0).starts_with("lora.rank: 0"));
        assert!(
            message(|s| s.learner.schedule.learning_rate = f64::NAN).starts_with("learner.schedule.learning_rate: NaN")
        );
        assert!(message(|s| s.sampling.top_p = 2.0).starts_with("sampling.top_p: 2"));
        assert!(message(|s| s.sampler.max_sequences = 0).starts_with("sampler.max_sequences: 0"));
        assert!(message(|s| s.edit.tau = -1.0).starts_with("edit.tau: is -1"));
        assert!(message(|s| s.reward.negation_weight = 2.0).starts_with("reward.negation_weight: "));
    }

    #[test]
    fn no_variant_goes_by_the_name_of_the_papers_method() {
        let paper = Arm::EditGrpo.settings(&Settings::default());
        assert_eq!(paper.method(), "EditGRPO");
        let changes: [fn(&mut Settings); 5] = [
            |s| s.run.select.when = When::LowVariance,
            |s| s.run.edited_share = 0.25,
            |s| s.learner.objective.edited_from = EditedFrom::Difference,
            |s| s.learner.objective.off_policy = OffPolicy::Shaped,
            |s| s.edit.sentences_per_edit = 4,
        ];
        for change in changes {
            let mut varied = paper.clone();
            change(&mut varied);
            assert_eq!(varied.method(), "variant");
            // Without edits there is nothing to vary.
            varied.run.variant = Variant::Grpo;
            assert_eq!(varied.method(), "Dr. GRPO");
        }
    }

    #[test]
    fn settings_survive_a_round_trip() {
        let settings = Arm::EditGrpoPara.settings(&Settings::default());
        let json = serde_json::to_string(&settings).unwrap();
        let back: Settings = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), json);
    }
}
