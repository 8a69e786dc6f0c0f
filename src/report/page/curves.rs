//! The section of curves: what is worth following over a training, and next to what.

use std::collections::BTreeSet;

use addendum_actors::Scores;

use super::{
    arms::Arm,
    detail::Detail,
    html::{Section, clip},
    plot::{Kind, Line, Plot},
    series::{Point, Values, column, inner, of_arm, thin},
};
use crate::report::run::Run;

pub(super) const STEP: &str = "training step";

/// The scores on held-out studies that are drawn, by their names in an evaluation.
const HELD_OUT: [(&str, &str); 4] =
    [("average", "average"), ("micro_f1_14", "Micro-F1-14"), ("radgraph_f1", "RadGraph F1"), ("rate", "RaTE")];

/// The most components of the reward, or held-out sets, that are drawn.
const MOST: usize = 12;

/// Characters of a name.
const LONGEST: usize = 60;

/// Something that a run says at some of its steps.
pub(super) struct Quantity<'a> {
    pub name: String,
    pub values: Box<dyn Fn(&Run) -> Values + 'a>,
}

impl<'a> Quantity<'a> {
    pub fn new(name: impl Into<String>, values: impl Fn(&Run) -> Values + 'a) -> Self {
        Self { name: clip(&name.into(), LONGEST), values: Box::new(values) }
    }
}

/// A plot of quantities that belong together.
pub(super) struct Panel<'a> {
    pub title: String,
    pub note: &'a str,
    pub kind: Kind,
    pub quantities: Vec<Quantity<'a>>,
    /// Whether a moving average calms the values, which are drawn as they are otherwise.
    pub smooth: bool,
}

/// A plot of one quantity, named like it.
pub(super) fn one<'a>(title: &str, note: &'a str, name: &'a str) -> Panel<'a> {
    let quantities = vec![Quantity::new(title, column(name))];
    Panel { title: title.into(), note, kind: Kind::Lines, quantities, smooth: true }
}

/// Steps that a moving average goes over: short enough to follow, long enough to calm.
pub(super) fn window(arms: &[Arm<'_>]) -> usize {
    let longest = arms.iter().flat_map(|arm| &arm.runs).map(|run| run.metrics.len()).max().unwrap_or(0);
    (longest / 12) | 1
}

/// The figures of panels. One arm shows the quantities of a panel together; several arms show each by itself, side by side.
pub(super) fn figures(panels: Vec<Panel<'_>>, arms: &[Arm<'_>], detail: Detail) -> String {
    let window = window(arms);
    let of_panel = |panel: Panel<'_>| -> String {
        let window = if panel.smooth { window } else { 1 };
        let line = |arm: &Arm<'_>, quantity: &Quantity<'_>, name: &str, look: usize| {
            let points = of_arm(arm, &*quantity.values, window);
            let alone = arm.runs.len() == 1 && arms.len() == 1 && window > 1;
            let raw = if alone { of_arm(arm, &*quantity.values, 1) } else { Vec::new() };
            let most = (2 * detail.points / arms.len().max(1)).clamp(30, detail.points);
            let thin = |points: &[Point]| thin(points, most);
            Line {
                name: name.into(),
                look,
                points: thin(&points),
                raw: thin(&raw),
                dots: !panel.smooth && points.len() <= 60,
            }
        };
        let plot = |title: &str, lines| Plot {
            title: title.into(),
            note: panel.note.into(),
            axis: STEP,
            kind: panel.kind,
            lines,
        };
        let plots: Vec<Plot> = match arms {
            [arm] => {
                let quantities = panel.quantities.iter().enumerate();
                let lines = quantities.map(|(look, quantity)| line(arm, quantity, &quantity.name, look)).collect();
                vec![plot(&panel.title, lines)]
            }
            arms => panel
                .quantities
                .iter()
                .map(|quantity| {
                    let title = match panel.quantities.len() {
                        1 => panel.title.clone(),
                        _ => format!("{}: {}", panel.title, quantity.name),
                    };
                    let lines = arms.iter().enumerate().map(|(look, arm)| line(arm, quantity, &arm.name, look));
                    // An arm without edits is no line in a plot of them.
                    let has_values = |line: &Line| line.points.iter().any(|point| point.y.is_finite());
                    plot(&title, lines.filter(has_values).collect())
                })
                .collect(),
        };
        plots.iter().filter_map(Plot::html).collect()
    };
    panels.into_iter().map(of_panel).collect()
}

/// How the curves are to be read.
fn lead(arms: &[Arm<'_>]) -> String {
    let smooth = match window(arms) {
        1 => return "Lines are steps as they were measured; bands, where an arm has several runs, reach from the lowest to the highest.".into(),
        steps => format!("a moving average over {steps} steps"),
    };
    match (arms, arms.iter().map(|arm| arm.runs.len()).max().unwrap_or(0)) {
        ([_], ..=1) => format!("Thin lines are steps as they were measured, thick ones {smooth}."),
        (_, ..=1) => format!("Every line is a run, as {smooth}."),
        _ => format!(
            "Lines are means over the runs of an arm, each as {smooth}; bands reach from the lowest run to the highest."
        ),
    }
}

/// Nothing, if no run has made a step.
pub(super) fn section(arms: &[Arm<'_>], detail: Detail) -> Option<Section> {
    let runs = || arms.iter().flat_map(|arm| &arm.runs);
    let edits = runs().any(|run| !run.metrics.columns("edits").is_empty());
    let components: BTreeSet<String> =
        runs().flat_map(|run| run.metrics.columns("reward_components").into_keys()).collect();
    let components: Vec<String> = components.into_iter().take(MOST).collect();
    let mut rewards = vec![Quantity::new("sampled reports", column("reward_sampled"))];
    if edits {
        rewards.push(Quantity::new("edited reports", column("reward_edited")));
    }
    let of_component = |name: &'_ String| {
        let key = name.clone();
        Quantity::new(name.replace('_', " "), move |run: &Run| inner("reward_components", &key)(run))
    };
    let mut panels = vec![
        Panel {
            title: "Reward".into(),
            note: "Mean of the reports of a step.",
            kind: Kind::Lines,
            quantities: rewards,
            smooth: true,
        },
        Panel {
            title: "Reward by component".into(),
            note: "Unweighted, over all reports of a step.",
            kind: Kind::Lines,
            quantities: components.iter().map(of_component).collect(),
            smooth: true,
        },
    ];
    let sets: BTreeSet<String> = runs().flat_map(|run| &run.evaluations).flat_map(|one| sets(&one.scores)).collect();
    panels.extend(sets.into_iter().take(MOST).map(|set| held_out(&set, arms.len() > 1)));
    panels.extend([
        one("KL to the checkpoint", "Nats per token.", "kl"),
        one("Entropy", "Nats per token.", "entropy"),
        one("Gradient norm", "Before clipping.", "gradient_norm"),
        one("Response length", "Mean tokens of a sampled report.", "response_length"),
        one("Spread of rewards", "Standard deviation within a group, mean over groups.", "reward_std"),
    ]);
    let body = figures(panels, arms, detail);
    let body = format!("<div class=\"plots\">\n{body}</div>\n");
    (runs().any(|run| !run.metrics.is_empty())).then(|| Section {
        id: "training",
        title: "Training",
        lead: lead(arms),
        body,
    })
}

/// The sets that scores are of; the empty name where they are of none.
fn sets(scores: &Scores) -> impl Iterator<Item = String> + '_ {
    scores.keys().map(|key| key.rsplit_once('/').map_or("", |(set, _)| set).to_owned())
}

fn held_out(set: &str, average_alone: bool) -> Panel<'static> {
    let chosen = if average_alone { &HELD_OUT[..1] } else { &HELD_OUT[..] };
    let quantity = |(score, name): &(&'static str, &'static str)| {
        let key = if set.is_empty() { (*score).to_owned() } else { format!("{set}/{score}") };
        Quantity::new(*name, move |run: &Run| {
            let value = |scores: &Scores| scores.get(&key).map_or(f64::NAN, |score| 100.0 * score);
            run.evaluations.iter().map(|one| (one.version as f64, value(&one.scores))).unzip()
        })
    };
    let title =
        if set.is_empty() { "Held-out scores".into() } else { format!("Held-out scores, {}", clip(set, LONGEST)) };
    let note = "Greedy reports on validation studies; points of 100.";
    Panel { title, note, kind: Kind::Lines, quantities: chosen.iter().map(quantity).collect(), smooth: false }
}
