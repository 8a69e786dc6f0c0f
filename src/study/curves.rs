//! A study's curves over steps: each arm a line, with a band of one standard deviation over its seeds.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, Result};

use super::{
    results::Curve,
    summary::{LevelSummary, Summary},
};
use crate::report::{
    chart::{Figure, GREY, Kind, PALETTE, Panel, Series},
    table::Stat,
};

/// A drawing: its file, its title, and the curves on it with what is on their axes. A name that ends in a stroke stands
/// for all curves below it.
type Drawing = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const DRAWINGS: [Drawing; 6] = [
    (
        "held-out",
        "Greedy reports on validation studies",
        &[
            ("held_out/average", "Average of the clinical scores"),
            ("held_out/micro_recall_14", "Recall over the 14 observations"),
            ("held_out/micro_precision_14", "Precision over the 14 observations"),
            ("held_out/macro_f1_14", "Macro F1 over the 14 observations"),
            ("held_out/normal_share", "Share of normal reports"),
            ("held_out/distinct_share", "Distinct reports per report"),
        ],
    ),
    (
        "reward",
        "Reward",
        &[
            ("reward_sampled", "Mean reward of sampled reports"),
            ("zero_variance_share", "Share of groups whose rewards are all equal"),
        ],
    ),
    (
        "samples",
        "Sampled reports",
        &[
            ("sampled/recall", "Recall over the 14 observations"),
            ("sampled/precision", "Precision over the 14 observations"),
            ("sampled/macro_f1", "Macro F1 over the 14 observations"),
            ("sampled/normal_share", "Share of normal reports"),
            ("sampled/distinct_share", "Distinct reports per report"),
        ],
    ),
    ("watched", "Watched findings", &[("said/", "Share of the samples that say it where the reference does")]),
    (
        "edits",
        "Edits",
        &[("edits/", "Share of the edited copies"), ("gains/", "Gain in reward"), ("edit_gain", "Mean gain in reward")],
    ),
    (
        "policy",
        "Policy",
        &[
            ("entropy", "Entropy, nats per token"),
            ("kl", "KL to the checkpoint, nats per token"),
            ("gradient_norm", "Gradient norm before clipping"),
            ("loss", "Loss"),
        ],
    ),
];

impl Summary {
    /// Draws all curves into the folder `plots` of `out`, those of a level into one of its own.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn draw(&self, out: &Path) -> Result<()> {
        for (index, level) in self.levels.iter().enumerate() {
            let mut folder = out.join("plots");
            if self.levels.len() > 1 {
                folder = folder.join(format!("level-{}", index + 1));
            }
            std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
            for (name, figure) in figures(level) {
                let path = folder.join(name).with_extension("svg");
                std::fs::write(&path, figure.svg())
                    .with_context(|| format!("{}: cannot be written", path.display()))?;
            }
        }
        Ok(())
    }
}

fn figures(level: &LevelSummary) -> Vec<(&'static str, Figure)> {
    let drawing = |(file, title, curves): &Drawing| {
        let names: BTreeSet<&String> = level.arms.iter().flat_map(|arm| arm.curves.keys()).collect();
        let wanted = curves.iter().flat_map(|(pattern, title)| {
            let fits = |name: &&&String| **name == *pattern || (pattern.ends_with('/') && name.starts_with(pattern));
            let named = |name: &&String| match name.strip_prefix(pattern).filter(|rest| !rest.is_empty()) {
                Some(rest) => ((*name).clone(), format!("{title}: {rest}")),
                None => ((*name).clone(), (*title).to_owned()),
            };
            names.iter().filter(fits).map(named).collect::<Vec<_>>()
        });
        let wanted: Vec<(String, String)> = wanted.collect();
        let all =
            || level.arms.iter().flat_map(|arm| wanted.iter().filter_map(|(name, _)| arm.curves.get(name))).flatten();
        let mut steps: Vec<f64> = all().flat_map(|curve| &curve.steps).copied().collect();
        steps.sort_by(f64::total_cmp);
        steps.dedup();
        let panels: Vec<Panel> = wanted.iter().map(|(name, title)| panel(level, name, title, &steps)).collect();
        let title = if level.name.is_empty() { (*title).to_owned() } else { format!("{title}, {}", level.name) };
        let subtitle = "Lines: mean over seeds. Bands: one standard deviation over seeds.".into();
        (*file, Figure { title, subtitle, axis: "learner step".into(), steps, panels })
    };
    DRAWINGS.iter().map(drawing).filter(|(_, figure)| !figure.panels.is_empty()).collect()
}

fn panel(level: &LevelSummary, name: &str, title: &str, steps: &[f64]) -> Panel {
    let colours = PALETTE.iter().chain([&GREY]).cycle();
    let arms = level.arms.iter().zip(colours);
    let series = arms.filter_map(|(arm, colour)| {
        let seeds: Vec<Vec<f64>> = arm.curves.get(name)?.iter().map(|curve| on(steps, curve)).collect();
        let at = |step: usize| {
            Stat::of(&seeds.iter().map(|values| values[step]).filter(|v| v.is_finite()).collect::<Vec<_>>())
        };
        let stats: Vec<Option<Stat>> = (0..steps.len()).map(at).collect();
        let values = stats.iter().map(|stat| stat.map_or(f64::NAN, |stat| stat.mean)).collect();
        let reach = |stat: &Option<Stat>| {
            stat.map_or((f64::NAN, f64::NAN), |stat| (stat.mean - stat.spread, stat.mean + stat.spread))
        };
        let band = if seeds.len() > 1 { stats.iter().map(reach).collect() } else { Vec::new() };
        Some(Series { name: arm.name.clone(), colour, values, band })
    });
    Panel { title: title.into(), kind: Kind::Lines, series: series.collect() }
}

/// The values of a curve at these steps, ascending as its own; none where it has none.
fn on(steps: &[f64], curve: &Curve) -> Vec<f64> {
    let value = |step: &f64| {
        let place = curve.steps.binary_search_by(|other| other.total_cmp(step)).ok();
        place.and_then(|place| curve.values.get(place)).copied().unwrap_or(f64::NAN)
    };
    steps.iter().map(value).collect()
}
