//! The editor's settings that a command line can change.

use addendum_editor::{EditConfig, Extractor, Granularity};
use clap::Args;

use crate::values::variant;

/// What of `[edit]` a command line can change; what is not named stays as it is.
#[derive(Args, Clone, Debug, Default)]
pub struct EditOptions {
    /// Entities are similar above this; 0.6 without it.
    #[arg(long, allow_negative_numbers = true)]
    pub tau: Option<f64>,
    /// Rule (b) replaces a sentence from this mean similarity on; tau without it.
    #[arg(long, allow_negative_numbers = true)]
    pub replace_threshold: Option<f64>,
    /// Edits per report, at most; 1 without it.
    #[arg(long, alias = "operations", value_name = "COUNT")]
    pub operations_per_report: Option<usize>,
    /// sentence, or report: the whole reference takes the place of a report that needs an edit.
    #[arg(long, value_parser = variant::<Granularity>)]
    pub granularity: Option<Granularity>,
    /// Whose entities the edit rule sees: rate, radgraph (entities match by their words) or lexicon.
    #[arg(long, value_parser = variant::<Extractor>)]
    pub extractor: Option<Extractor>,
    /// The edit rule of the paper's published code.
    #[arg(long)]
    pub reference_code: bool,
}

impl EditOptions {
    /// Puts what is named into `config`.
    pub fn apply(&self, config: &mut EditConfig) {
        config.tau = self.tau.unwrap_or(config.tau);
        config.replace_threshold = self.replace_threshold.or(config.replace_threshold);
        config.operations_per_report = self.operations_per_report.unwrap_or(config.operations_per_report);
        config.granularity = self.granularity.unwrap_or(config.granularity);
        config.extractor = self.extractor.unwrap_or(config.extractor);
        config.reference_code |= self.reference_code;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        edit: EditOptions,
    }

    fn changed(mut config: EditConfig, arguments: &str) -> EditConfig {
        let arguments = ["x"].into_iter().chain(arguments.split_whitespace());
        Cli::try_parse_from(arguments).unwrap().edit.apply(&mut config);
        config
    }

    #[test]
    fn only_what_is_named_changes() {
        let other =
            EditConfig { tau: 0.4, replace_threshold: Some(0.3), reference_code: true, ..EditConfig::default() };
        assert_eq!(changed(other.clone(), ""), other);
        let expected =
            EditConfig { tau: 0.5, extractor: Extractor::Radgraph, operations_per_report: 2, ..other.clone() };
        assert_eq!(changed(other, "--tau 0.5 --extractor radgraph --operations 2"), expected);
        let report = changed(EditConfig::default(), "--granularity report --reference-code");
        assert_eq!((report.granularity, report.reference_code), (Granularity::Report, true));
        let unknown = Cli::try_parse_from(["x", "--extractor", "bert"]).err().unwrap().to_string();
        assert!(unknown.contains("radgraph"), "{unknown}");
    }
}
