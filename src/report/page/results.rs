//! The section of results: scores on test studies before and after, differences with their intervals, as tables and drawn.

use std::fmt::Write;

use addendum_actors::Scores;
use addendum_rewards::{
    assess::{Gap, Pair, Resampling, Seeds, gaps},
    evaluate::{Judged, pool},
};

use super::{
    arms::Arm,
    html::{Section, clip, escape, points, signed_points, table},
    plot::{self, drawing, figure, legend, line, text},
};
use crate::report::{
    run::Run,
    scale::{Scale, number, round_range},
    table::{CLINICAL, Row, Stat},
    tested::Tested,
};

/// The most sets that have a table.
const MOST: usize = 6;

/// Characters of a name.
const LONGEST: usize = 100;

/// The scores of all arms on one set.
pub(super) struct Scored {
    pub set: String,
    pub studies: Option<usize>,
    /// The checkpoint first, then a row per arm; where arms began with different checkpoints, each after its own.
    pub rows: Vec<Row>,
    pub differences: Vec<Difference>,
}

/// What an arm has on another row.
pub(super) struct Difference {
    /// Rows.
    pub of: usize,
    pub from: usize,
    /// By the columns of [`CLINICAL`].
    pub gaps: Vec<Option<Gap>>,
    /// Whether the gaps have intervals.
    pub sure: bool,
}

/// Where scores come from, the best first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Tests,
    Summary,
    HeldOut,
}

/// A table for each set that all arms have scores on, from what tells most of them.
pub(super) fn tables(arms: &[Arm<'_>]) -> Vec<Scored> {
    let all = |known: &dyn Fn(&Run) -> bool| arms.iter().all(|arm| arm.runs.iter().any(|run| known(run)));
    let source = if all(&|run| !run.tests.is_empty()) && same_studies(arms) {
        Source::Tests
    } else if all(&|run| run.summary.len() > 1) {
        Source::Summary
    } else {
        Source::HeldOut
    };
    let arms: Vec<Column<'_>> = arms.iter().map(|arm| Column::of(arm, source)).collect();
    let Some(first) = arms.first() else { return Vec::new() };
    let sets = first.sets.iter().take(MOST);
    sets.filter_map(|set| scored(set, &arms, source)).collect()
}

/// Whether all test results are about the same studies in the same order, so that they may be compared in pairs.
fn same_studies(arms: &[Arm<'_>]) -> bool {
    let mut lists = arms.iter().flat_map(|arm| &arm.runs).filter(|run| !run.tests.is_empty());
    let Some(first) = lists.next() else { return false };
    let same = |run: &Run| {
        let pairs = run.tests.iter().zip(&first.tests);
        run.tests.len() == first.tests.len() && pairs.into_iter().all(|(a, b)| (&a.set, &a.study) == (&b.set, &b.study))
    };
    lists.all(|run| same(run))
}

/// An arm's runs that have scores.
struct Column<'a> {
    name: &'a str,
    runs: Vec<&'a Run>,
    sets: Vec<String>,
}

/// A policy on a set: its scores under each seed, and what a paired test needs of it.
struct Policy {
    name: String,
    scores: Vec<Scores>,
    pairs: Seeds,
}

impl<'a> Column<'a> {
    fn of(arm: &'a Arm<'_>, source: Source) -> Self {
        let known = |run: &&&Run| match source {
            Source::Tests => !run.tests.is_empty(),
            Source::Summary => run.summary.len() > 1,
            Source::HeldOut => run.evaluations.len() > 1,
        };
        let runs: Vec<&Run> = arm.runs.iter().filter(known).copied().collect();
        let mut sets: Vec<String> = Vec::new();
        let mut add = |set: &str| {
            if !sets.iter().any(|known| known == set) {
                sets.push(set.to_owned());
            }
        };
        match (source, runs.first()) {
            (Source::Tests, Some(run)) => run.tests.iter().for_each(|study| add(&study.set)),
            (Source::Summary, Some(run)) => {
                let count = run.summary.first().map_or(0, |(_, sets)| sets.len());
                // The summary of an older run names no sets; these are those of its tables.
                (0..count).for_each(|place| add(&place.to_string()));
            }
            (Source::HeldOut, Some(run)) => {
                let keys = run.evaluations.iter().flat_map(|one| one.scores.keys());
                keys.for_each(|key| add(key.rsplit_once('/').map_or("", |(set, _)| set)));
            }
            (_, None) => {}
        }
        Self { name: &arm.name, runs, sets }
    }

    /// The policy before training and the one after it.
    fn policies(&self, set: &str, source: Source) -> Option<[Policy; 2]> {
        let mut both = [(); 2].map(|()| Policy { name: String::new(), scores: Vec::new(), pairs: Seeds::new() });
        for run in &self.runs {
            for (after, policy) in both.iter_mut().enumerate() {
                match source {
                    Source::Tests => {
                        let studies: Vec<_> = run.tests.iter().filter(|study| study.set == set).collect();
                        let place = |study: &Tested| if after == 1 { study.reports.len() - 1 } else { 0 };
                        let judged: Vec<Judged> = studies
                            .iter()
                            .filter(|study| !study.reports.is_empty())
                            .filter_map(|study| study.judged(place(study)))
                            .collect();
                        if judged.is_empty() || judged.len() != studies.len() {
                            return None;
                        }
                        policy.name = studies[0].reports[place(studies[0])].policy.clone();
                        policy.scores.push(pool(&judged.iter().collect::<Vec<_>>()).by_name());
                        policy.pairs.push(judged.iter().map(Pair::from).collect());
                    }
                    Source::Summary => {
                        let (name, sets) = if after == 1 { run.summary.last()? } else { run.summary.first()? };
                        policy.name = name.clone();
                        policy.scores.push(sets.get(set.parse::<usize>().ok()?)?.clone());
                    }
                    Source::HeldOut => {
                        let one = if after == 1 { run.evaluations.last()? } else { run.evaluations.first()? };
                        let prefix = if set.is_empty() { String::new() } else { format!("{set}/") };
                        let own = |(key, score): (&String, &f64)| Some((key.strip_prefix(&prefix)?.to_owned(), *score));
                        policy.name = if after == 1 { "after".into() } else { "Before training".into() };
                        policy.scores.push(one.scores.iter().filter_map(own).collect());
                    }
                }
            }
        }
        let [before, _] = &mut both;
        // A checkpoint that all seeds began with counts once.
        if before.scores.windows(2).all(|pair| pair[0] == pair[1]) {
            before.scores.truncate(1);
            before.pairs.truncate(1);
        }
        Some(both)
    }
}

fn scored(set: &str, arms: &[Column<'_>], source: Source) -> Option<Scored> {
    let mut policies: Vec<Policy> = Vec::new();
    let mut between: Vec<(usize, usize)> = Vec::new();
    let mut trained: Vec<usize> = Vec::new();
    for arm in arms {
        let [before, mut after] = arm.policies(set, source)?;
        let known = policies.iter().position(|policy| policy.scores == before.scores);
        let base = known.unwrap_or_else(|| {
            policies.push(before);
            policies.len() - 1
        });
        if arms.len() > 1 || after.name == "after" {
            after.name = arm.name.to_owned();
        }
        policies.push(after);
        between.push((policies.len() - 1, base));
        trained.push(policies.len() - 1);
    }
    // The first arm is what the others are compared with.
    between.extend(trained.iter().skip(1).map(|arm| (*arm, trained[0])));
    let rows: Vec<Row> =
        policies.iter().map(|policy| Row::clinical(clip(&policy.name, LONGEST), &policy.scores)).collect();
    let pairs: Vec<Seeds> = policies.iter().map(|policy| policy.pairs.clone()).collect();
    let tested = match source {
        Source::Tests => gaps(&pairs, &between, &Resampling::default()).ok(),
        Source::Summary | Source::HeldOut => None,
    };
    let difference = |(place, (of, from)): (usize, &(usize, usize))| {
        let plain = |column: usize| {
            let value = |row: usize| rows[row].values.get(column).copied().flatten().map(|stat: Stat| stat.mean);
            let difference = value(*of)? - value(*from)?;
            Some(Gap { difference, low: difference, high: difference })
        };
        let gaps = match &tested {
            // The first qualities are the table's columns.
            Some(tested) => tested[place].iter().take(CLINICAL.len()).copied().map(Some).collect(),
            None => (0..CLINICAL.len()).map(plain).collect(),
        };
        Difference { of: *of, from: *from, gaps, sure: tested.is_some() }
    };
    let differences = between.iter().enumerate().map(difference).collect();
    let name = match source {
        Source::Summary if arms.first().is_some_and(|arm| arm.sets.len() == 1) => "Test studies".into(),
        Source::Summary => format!("Test set {}", set.parse::<usize>().map_or(0, |place| place + 1)),
        Source::HeldOut if set.is_empty() => "Validation studies".into(),
        Source::HeldOut => format!("Validation studies, {}", clip(set, LONGEST)),
        Source::Tests => format!("Test studies, {}", clip(set, LONGEST)),
    };
    let studies = pairs.first().and_then(|seeds| seeds.first()).map(Vec::len);
    Some(Scored { set: name, studies, rows, differences })
}

/// Nothing, if nothing was scored.
pub(super) fn section(arms: &[Arm<'_>], tables: &[Scored]) -> Option<Section> {
    if tables.is_empty() {
        return None;
    }
    let body: String = tables
        .iter()
        .map(|scored| format!("<div class=\"result\">\n{}{}</div>\n", of_set(scored), forest(scored)))
        .collect();
    let sure = tables[0].differences.iter().any(|difference| difference.sure);
    let mut lead = String::from(if sure {
        "Greedy reports on test studies, which nothing was tuned on. Differences come with the middle 95 % of 1000 paired \
         resamples over studies and seeds; those in bold leave out zero."
    } else {
        "Greedy reports on held-out studies. The folders tell no results by study, so differences have no intervals."
    });
    if arms.iter().any(|arm| arm.runs.len() > 1) {
        lead += " ± is the standard deviation over seeds.";
    }
    Some(Section { id: "results", title: "Results", lead, body })
}

fn of_set(scored: &Scored) -> String {
    let caption = match scored.studies {
        Some(studies) => format!("{}, {studies} studies", scored.set),
        None => scored.set.clone(),
    };
    let header: Vec<String> = ["Policy"].into_iter().chain(CLINICAL.map(|(name, _)| name)).map(str::to_owned).collect();
    let best = |column: usize| {
        let means = scored.rows.iter().filter_map(|row| row.values.get(column).copied().flatten());
        means.map(|stat| stat.mean).max_by(f64::total_cmp).map(points)
    };
    let cell = |column: usize, stat: &Option<Stat>| match stat {
        None => "–".into(),
        Some(stat) => {
            let spread = if stat.n > 1 { format!(" <small>± {}</small>", points(stat.spread)) } else { String::new() };
            match best(column) == Some(points(stat.mean)) {
                true => format!("<strong>{}</strong>{spread}", points(stat.mean)),
                false => format!("{}{spread}", points(stat.mean)),
            }
        }
    };
    let row = |row: &Row| -> Vec<String> {
        let cells = row.values.iter().enumerate().map(|(column, stat)| cell(column, stat));
        [escape(&row.name)].into_iter().chain(cells).collect()
    };
    let mut rows: Vec<Vec<String>> = scored.rows.iter().map(row).collect();
    for difference in &scored.differences {
        let name =
            format!("{} − {}", escape(&scored.rows[difference.of].name), escape(&scored.rows[difference.from].name));
        let cell = |gap: &Option<Gap>| match gap {
            None => "–".into(),
            Some(gap) if !difference.sure => signed_points(gap.difference),
            Some(gap) => {
                let (low, high) = (points(gap.low), points(gap.high));
                let value = signed_points(gap.difference);
                let value = if is_sure(gap) { format!("<strong>{value}</strong>") } else { value };
                format!("{value} <small>{low} to {high}</small>")
            }
        };
        rows.push(
            [format!("<span class=\"difference\">{name}</span>")]
                .into_iter()
                .chain(difference.gaps.iter().map(cell))
                .collect(),
        );
    }
    table(&caption, &header, &rows)
}

/// Whether the interval leaves out zero.
pub(super) fn is_sure(gap: &Gap) -> bool {
    gap.low > 0.0 || gap.high < 0.0
}

const WIDE: f64 = 360.0;
const LEFT: f64 = 98.0;

/// The differences and their intervals, drawn; nothing where there are none.
fn forest(scored: &Scored) -> String {
    let known: Vec<&Difference> = scored.differences.iter().filter(|difference| difference.sure).take(8).collect();
    if known.is_empty() {
        return String::new();
    }
    let row = 12.0 + 9.0 * known.len() as f64;
    let bottom = 10.0 + row * CLINICAL.len() as f64;
    let ends = known.iter().flat_map(|difference| difference.gaps.iter().flatten());
    let (limits, step) = round_range(ends.flat_map(|gap| [100.0 * gap.low, 100.0 * gap.high, 0.0]), 5);
    let x = Scale::new(limits, (LEFT, WIDE - 12.0));
    let name = |difference: &Difference| {
        format!("{} − {}", scored.rows[difference.of].name, scored.rows[difference.from].name)
    };
    let mut said = String::new();
    let mut drawn = String::new();
    for tick in x.ticks(step) {
        let at = x.pixel(tick);
        line(&mut drawn, (at, 6.0), (at, bottom), if tick == 0.0 { "zero" } else { "grid" });
        text(&mut drawn, (at, bottom + 15.0), "middle", &number(tick, step, 0));
    }
    for (column, (quality, _)) in CLINICAL.iter().enumerate() {
        let top = 10.0 + row * column as f64;
        text(&mut drawn, (LEFT - 10.0, top + row / 2.0 + 2.0), "end", quality);
        for (place, difference) in known.iter().enumerate() {
            let Some(gap) = difference.gaps.get(column).copied().flatten() else { continue };
            let at = top + 5.0 + 9.0 * (place as f64 + 0.5);
            let class = plot::look(place);
            let (low, middle, high) =
                (x.pixel(100.0 * gap.low), x.pixel(100.0 * gap.difference), x.pixel(100.0 * gap.high));
            line(&mut drawn, (low, at), (high, at), &format!("reach {class}"));
            let _ = writeln!(drawn, "<circle class=\"dot {class}\" cx=\"{middle:.1}\" cy=\"{at:.1}\" r=\"3.4\"/>");
            let _ = write!(
                said,
                " {}, {quality}: {} points, {} to {}.",
                name(difference),
                signed_points(gap.difference),
                points(gap.low),
                points(gap.high)
            );
        }
    }
    text(&mut drawn, ((LEFT + WIDE) / 2.0, bottom + 31.0), "middle", "difference in points");
    let title = format!("Differences, {}", scored.set);
    let svg = drawing(WIDE, bottom + 36.0, &title, &format!("{title}.{said}")) + &drawn + "</svg>\n";
    let names: Vec<String> = known.iter().map(|difference| name(difference)).collect();
    let keys = legend(names.iter().enumerate().map(|(index, name)| (index, name.as_str(), String::new())));
    figure(
        "Differences",
        "Dots are differences, lines the middle 95 % of paired resamples. The table has the numbers.",
        &keys,
        &svg,
        "",
    )
}

/// The difference of an arm to its checkpoint that matters most: that of the averages on the first set.
pub(super) fn headline(tables: &[Scored]) -> Vec<(String, f64, f64, Option<Gap>)> {
    let Some(scored) = tables.first() else { return Vec::new() };
    let average = CLINICAL.len() - 1;
    let mean = |row: usize| scored.rows[row].values[average].map_or(f64::NAN, |stat| stat.mean);
    let to_checkpoint = scored.differences.iter().filter(|difference| difference.from < difference.of);
    let mut seen: Vec<usize> = Vec::new();
    let mut lines = Vec::new();
    for difference in to_checkpoint {
        if !seen.contains(&difference.of) {
            seen.push(difference.of);
            let gap = difference.gaps[average].filter(|_| difference.sure);
            lines.push((scored.rows[difference.of].name.clone(), mean(difference.from), mean(difference.of), gap));
        }
    }
    lines
}
