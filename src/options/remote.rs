//! Services that score and annotate in the place of local back ends.

use addendum_rewards_remote::ServiceConfig;
use clap::{ArgGroup, Args};

use crate::train::reward_services::Services;

/// Services in the place of local back ends; none without them.
#[derive(Args, Clone, Debug, Default)]
#[command(group(ArgGroup::new("service").args(["reward_service", "edit_service"]).multiple(true)))]
pub struct RemoteOptions {
    /// The reward comes from POST /predict of a service, as in http://127.0.0.1:5000/predict. Scores of the tests do not.
    /// Given several times, of the same service on several servers.
    #[arg(long, value_name = "URL", conflicts_with_all = ["reward_workers", "class_frequencies"])]
    pub reward_service: Vec<String>,
    /// The editor's entities come from POST /analyze of a service, as in http://127.0.0.1:5000/analyze; given several times,
    /// of several servers.
    #[arg(long, value_name = "URL")]
    pub edit_service: Vec<String>,
    /// The environment variable that holds the services' bearer token.
    #[arg(long, value_name = "NAME", requires = "service")]
    pub service_token_variable: Option<String>,
    /// Reports or sentences per request, 1 without it. Only `addendum serve-rewards` understands more.
    #[arg(long, value_name = "COUNT", requires = "service")]
    pub service_batch: Option<usize>,
}

impl RemoteOptions {
    /// The services that are named, each request limited to `timeout_seconds` where there is such a limit.
    pub fn services(&self, timeout_seconds: Option<f64>) -> Services {
        let at = |urls: &[String]| {
            let usual = match urls {
                [] => return None,
                [url] => ServiceConfig::at(url),
                several => ServiceConfig { urls: several.to_vec(), ..ServiceConfig::default() },
            };
            Some(ServiceConfig {
                token_variable: self.service_token_variable.clone(),
                batch: self.service_batch.unwrap_or(usual.batch),
                timeout_seconds: timeout_seconds.unwrap_or(usual.timeout_seconds),
                ..usual
            })
        };
        Services { reward: at(&self.reward_service), edit: at(&self.edit_service) }
    }
}
