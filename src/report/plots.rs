//! The plots of a run: which columns of `metrics.jsonl` are worth looking at, and next to which others.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    ReportError,
    chart::{Figure, GREY, Kind, PALETTE, Panel, Series},
    metrics::Metrics,
};

const AXIS: &str = "training step";
const SMOOTHING: &str = "Thin: per step. Thick: moving average.";

/// Draws all plots of the run in `folder` into its subfolder `plots` and returns their paths.
///
/// # Errors
/// `metrics.jsonl` is missing or damaged, or a plot cannot be written.
pub fn write(folder: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let metrics = Metrics::read(&folder.join("metrics.jsonl"))?;
    let plots = folder.join("plots");
    fs::create_dir_all(&plots).map_err(ReportError::io(&plots))?;
    let write = |(name, figure): (&str, Figure)| {
        let path = plots.join(name).with_extension("svg");
        fs::write(&path, figure.svg()).map_err(ReportError::io(&path))?;
        Ok(path)
    };
    figures(&metrics).into_iter().map(write).collect()
}

/// All plots by name. A run without edits has no plot of edits.
pub(crate) fn figures(metrics: &Metrics) -> Vec<(&'static str, Figure)> {
    let plots = [
        ("reward", reward(metrics)),
        ("edits", edits(metrics)),
        ("staleness", staleness(metrics)),
        ("policy", policy(metrics)),
        ("flow", flow(metrics)),
    ];
    plots.into_iter().filter(|(_, figure)| !figure.panels.is_empty()).collect()
}

fn reward(metrics: &Metrics) -> Figure {
    let totals = match metrics.columns("edits").is_empty() {
        true => &[("reward_sampled", "sampled")][..],
        false => &[("reward_sampled", "sampled"), ("reward_edited", "edited")],
    };
    let gain = &totals[1..].iter().map(|_| ("edit_gain", "gain")).collect::<Vec<_>>();
    let panels = vec![
        panel("Mean reward of the reports of a step", Kind::Lines, named(metrics, totals)),
        panel("Its components, unweighted", Kind::Lines, inner(metrics, "reward_components")),
        panel("Reward of edited reports minus that of their sources", Kind::Lines, named(metrics, gain)),
    ];
    figure(metrics, "Reward", SMOOTHING, panels)
}

fn edits(metrics: &Metrics) -> Figure {
    let mut series = inner(metrics, "edits");
    let rank = |name: &str| ["replace", "delete", "append"].iter().position(|known| *known == name).unwrap_or(3);
    series.sort_by_key(|series| (series.name == "none", rank(&series.name)));
    recolour(&mut series);
    for series in &mut series {
        series.values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
        if series.name == "none" {
            series.name = "no edit".into();
            series.colour = GREY;
        }
    }
    let subtitle = "What the editor did to the copies of the sampled reports; moving average.";
    let panels = vec![panel("Share of edited copies", Kind::Shares, series)];
    figure(metrics, "Edits by operation", subtitle, panels)
}

fn staleness(metrics: &Metrics) -> Figure {
    let lags = named(metrics, &[("staleness_max", "oldest"), ("staleness_mean", "mean")]);
    let subtitle = "How many versions the policy that sampled a report was behind the one that trained on it.";
    figure(metrics, "Staleness", subtitle, vec![panel("Policy versions", Kind::Measured, lags)])
}

fn policy(metrics: &Metrics) -> Figure {
    let one = |column, name| named(metrics, &[(column, name)]);
    let panels = vec![
        panel("KL to the reference policy, nats per token", Kind::Lines, one("kl", "KL")),
        panel("Entropy, nats per token", Kind::Lines, one("entropy", "entropy")),
        panel("Tokens per sampled report", Kind::Lines, one("response_length", "length")),
    ];
    figure(metrics, "Policy", SMOOTHING, panels)
}

fn flow(metrics: &Metrics) -> Figure {
    let busy = named(metrics, &[("sampler_busy", "sampler"), ("learner_busy", "learner")]);
    let mut waits = inner(metrics, "queue_wait");
    waits.sort_by_key(|series| busy.iter().position(|busy| busy.name == series.name).unwrap_or(busy.len()));
    recolour(&mut waits);
    let panels = vec![
        panel("Share of the time spent computing", Kind::Percent, busy),
        panel("Mean wait, seconds", Kind::Lines, waits),
        panel("Sampled tokens per second", Kind::Lines, named(metrics, &[("tokens_per_second", "tokens/s")])),
    ];
    let subtitle = "Samplers wait for tickets, the learner for a batch, groups for a free worker of a stage.";
    figure(metrics, "Who waits on whom", subtitle, panels)
}

/// A figure of those panels that have anything to show.
fn figure(metrics: &Metrics, title: &str, subtitle: &str, panels: Vec<Panel>) -> Figure {
    let has_data =
        |panel: &Panel| panel.series.iter().any(|series| series.values.iter().any(|value| value.is_finite()));
    Figure {
        title: title.into(),
        subtitle: subtitle.into(),
        axis: AXIS.into(),
        steps: metrics.column("step"),
        panels: panels.into_iter().filter(has_data).collect(),
    }
}

fn panel(title: &str, kind: Kind, series: Vec<Series>) -> Panel {
    Panel { title: title.into(), kind, series }
}

fn named(metrics: &Metrics, columns: &[(&str, &str)]) -> Vec<Series> {
    let series = |(column, name): &(&str, &str)| (name.to_string(), metrics.column(column));
    coloured(columns.iter().map(series))
}

fn inner(metrics: &Metrics, object: &str) -> Vec<Series> {
    coloured(metrics.columns(object))
}

fn coloured(columns: impl IntoIterator<Item = (String, Vec<f64>)>) -> Vec<Series> {
    let series = columns.into_iter().map(|(name, values)| Series {
        name: name.replace('_', " "),
        colour: GREY,
        values,
        band: Vec::new(),
    });
    let mut series: Vec<Series> = series.collect();
    recolour(&mut series);
    series
}

fn recolour(series: &mut [Series]) {
    for (series, colour) in series.iter_mut().zip(PALETTE.iter().cycle()) {
        series.colour = colour;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &str = r#"{"step":0,"reward_sampled":1.0,"reward_edited":1.2,"edit_gain":0.2,"reward_components":{"rate":0.5},"edits":{"none":1,"append":2,"replace":5},"staleness_mean":0,"staleness_max":0,"kl":0,"queue_wait":{"learner":0.5}}
{"step":1,"reward_sampled":1.1,"reward_edited":1.3,"edit_gain":0.2,"reward_components":{"rate":0.6},"edits":{"delete":1},"staleness_mean":0.5,"staleness_max":1,"kl":null,"queue_wait":{"learner":0.4}}
"#;

    #[test]
    fn a_run_folder_gets_its_plots_and_the_same_bytes_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("metrics.jsonl"), STEPS).unwrap();
        let read = |paths: &[PathBuf]| paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>();
        let paths = write(folder.path()).unwrap();
        let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["reward.svg", "edits.svg", "staleness.svg", "policy.svg", "flow.svg"]);
        let first = read(&paths);
        for (plot, series) in
            [(0, "edited"), (0, "rate"), (1, "replace"), (1, "no edit"), (2, "oldest"), (4, "learner")]
        {
            assert!(first[plot].contains(&format!(">{series}<")), "{series} in {}", names[plot]);
        }
        assert_eq!(read(&write(folder.path()).unwrap()), first);
    }

    #[test]
    fn a_run_without_edits_has_no_plot_of_edits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "{\"step\":0,\"reward_sampled\":1,\"reward_edited\":0,\"edits\":{}}\n").unwrap();
        let figures = figures(&Metrics::read(&path).unwrap());
        assert!(figures.iter().all(|(name, _)| *name != "edits"));
        assert!(!figures[0].1.svg().contains(">edited<"));
    }

    #[test]
    fn stacked_edits_end_with_what_was_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, STEPS).unwrap();
        let figure = edits(&Metrics::read(&path).unwrap());
        let names: Vec<&str> = figure.panels[0].series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["replace", "delete", "append", "no edit"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = write(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(message.contains("/nowhere/metrics.jsonl"), "{message}");
    }
}
