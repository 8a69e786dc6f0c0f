//! Curves of an arm: its runs' values at the steps that all of them have, as mean and range.

use std::collections::BTreeMap;

use super::arms::Arm;
use crate::report::{chart::moving_average, run::Run};

/// A value at a step; `low` and `high` reach over the runs. Not finite where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
    pub low: f64,
    pub high: f64,
}

/// What runs say: steps, and a value for each.
pub(super) type Values = (Vec<f64>, Vec<f64>);

/// A column of the metrics.
pub(super) fn column(name: &str) -> impl Fn(&Run) -> Values + '_ {
    move |run| (run.metrics.column("step"), run.metrics.column(name))
}

/// A column within an object of the metrics.
pub(super) fn inner<'a>(object: &'a str, name: &'a str) -> impl Fn(&Run) -> Values + 'a {
    move |run| (run.metrics.column("step"), run.metrics.columns(object).remove(name).unwrap_or_default())
}

/// Values of the arm's runs, each smoothed over `window` steps first.
pub(super) fn of_arm(arm: &Arm<'_>, values: &dyn Fn(&Run) -> Values, window: usize) -> Vec<Point> {
    let mut runs: Vec<BTreeMap<u64, f64>> = Vec::new();
    for run in &arm.runs {
        let (steps, values) = values(run);
        let smooth = moving_average(&values, window);
        let known = steps.iter().zip(smooth).filter(|(step, _)| step.is_finite() && **step >= 0.0);
        let known: BTreeMap<u64, f64> = known.map(|(step, value)| (*step as u64, value)).collect();
        if !known.is_empty() {
            runs.push(known);
        }
    }
    let Some((first, others)) = runs.split_first() else { return Vec::new() };
    let shared = first.iter().filter(|(step, _)| others.iter().all(|other| other.contains_key(step)));
    shared
        .map(|(step, value)| {
            let all = others.iter().filter_map(|other| other.get(step)).chain([value]);
            let finite: Vec<f64> = all.copied().filter(|value| value.is_finite()).collect();
            let mean = finite.iter().sum::<f64>() / finite.len() as f64;
            let (low, high) =
                finite.iter().fold((mean, mean), |(low, high), value| (low.min(*value), high.max(*value)));
            Point { x: *step as f64, y: mean, low, high }
        })
        .collect()
}

/// The points in at most `most` parts of equal length: the means of each.
pub(super) fn thin(points: &[Point], most: usize) -> Vec<Point> {
    if points.len() <= most.max(1) {
        return points.to_vec();
    }
    points.chunks(points.len().div_ceil(most.max(1))).map(together).collect()
}

fn together(part: &[Point]) -> Point {
    let finite: Vec<&Point> = part.iter().filter(|point| point.y.is_finite()).collect();
    let mean = |value: fn(&Point) -> f64| finite.iter().map(|point| value(point)).sum::<f64>() / finite.len() as f64;
    Point {
        x: part.iter().map(|point| point.x).sum::<f64>() / part.len() as f64,
        y: mean(|point| point.y),
        low: mean(|point| point.low),
        high: mean(|point| point.high),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_has_the_steps_that_all_its_runs_have_and_gaps_count_for_nothing() {
        let runs = [Run { name: "2".into(), ..Run::default() }, Run { name: "3".into(), ..Run::default() }];
        let arm = Arm { name: String::new(), runs: runs.iter().collect() };
        let values = |run: &Run| match run.name.as_str() {
            "2" => (vec![0.0, 1.0, 2.0], vec![1.0, f64::NAN, 5.0]),
            _ => (vec![0.0, 1.0], vec![3.0, 4.0]),
        };
        let points = of_arm(&arm, &values, 1);
        assert_eq!(points[0], Point { x: 0.0, y: 2.0, low: 1.0, high: 3.0 });
        assert_eq!(points[1], Point { x: 1.0, y: 4.0, low: 4.0, high: 4.0 });
        assert_eq!(points.len(), 2);
        assert!(of_arm(&arm, &|_| Values::default(), 1).is_empty());
    }

    #[test]
    fn thinned_points_keep_their_mean_and_are_few() {
        let points: Vec<Point> = (0..1001u32).map(f64::from).map(|x| Point { x, y: x, low: x, high: x }).collect();
        let thin = thin(&points, 100);
        assert!(thin.len() <= 100 && thin[0].y == thin[0].x);
        let gap = Point { x: 0.0, y: f64::NAN, low: f64::NAN, high: f64::NAN };
        assert!(super::thin(&[gap; 10], 2)[0].y.is_nan());
    }
}
