//! The gallery: studies with their radiographs and references, what the editor changed in a sampled report, and what the
//! policy wrote before and after training.

mod choice;
mod text;

use std::collections::BTreeMap;

use addendum_actors::RolloutSample;
use addendum_rewards::{
    Backends,
    assess::{Explanation, explain},
};
use addendum_studies::Study;

use super::{
    arms::Arm,
    detail::Detail,
    html::{Section, clip, escape, points, short, signed_points},
    picture,
    place::{Find, Place},
};
use crate::report::{
    run::Run,
    tested::{Tested, Written},
};
use choice::{Chosen, Pair};
use text::{Marked, marked};

/// Arms whose reports on a study stand side by side.
const ARMS: usize = 4;

/// What the marks in a report mean.
const MARKS: &str = "<p class=\"marks\"><del>taken out</del> <ins>put in</ins> <span class=\"e p\">said to be present</span> \
                     <span class=\"e a\">said to be absent</span></p>\n";

/// Edited reports of a training; nothing, where none was recorded.
pub(super) fn edited(arms: &[Arm<'_>], find: &Find<'_>, detail: Detail) -> Option<Section> {
    let per_arm = (detail.studies / arms.len().max(1)).max(1);
    let mut cards = String::new();
    for arm in arms.iter().take(detail.studies) {
        let Some(run) = arm.runs.iter().find(|run| !run.rollouts.is_empty()) else { continue };
        for pair in choice::pairs(&run.rollouts, per_arm) {
            let of_arm = if arms.len() > 1 { format!("{}: ", arm.name) } else { String::new() };
            cards += &edit(&of_arm, run, &pair, find, detail);
        }
    }
    let lead = "Sampled reports of the training, and their copies after one correction. For each kind of edit, the one that \
                earned most and one in the middle; then the one that did most harm.";
    (!cards.is_empty()).then(|| Section {
        id: "edited",
        title: "How reports are corrected",
        lead: lead.into(),
        body: format!("{MARKS}{cards}"),
    })
}

/// Reports on test studies before and after training; nothing, where none were kept.
pub(super) fn tested(arms: &[Arm<'_>], find: &Find<'_>, detail: Detail) -> Option<Section> {
    let run = arms.iter().flat_map(|arm| &arm.runs).find(|run| !run.tests.is_empty())?;
    let others: Vec<(&str, &Run)> = arms
        .iter()
        .filter_map(|arm| Some((arm.name.as_str(), *arm.runs.iter().find(|run| !run.tests.is_empty())?)))
        .take(ARMS)
        .collect();
    let cards: String = choice::studies(&run.tests, detail.studies)
        .iter()
        .map(|chosen| test(chosen, run, &others, find, detail))
        .collect();
    let lead = "Greedy reports on test studies before and after training: of each set those that gained most, one in the \
                middle, and the one that lost most, by the mean of RadGraph F1 and RaTEScore.";
    (!cards.is_empty()).then(|| Section {
        id: "studies",
        title: "Before and after",
        lead: lead.into(),
        body: format!("{MARKS}{cards}"),
    })
}

fn edit(of_arm: &str, run: &Run, pair: &Pair<'_>, find: &Find<'_>, detail: Detail) -> String {
    let Pair { source, copy } = pair;
    let place = Place::Training { ticket: copy.ticket, draw: copy.draw };
    let study = find(run, &place).and_then(|study| known(study, &copy.study));
    let reference = study.as_ref().ok().map(|study| study.reference.text().to_owned());
    let operation = copy.edits.iter().map(|edit| edit.operation.as_str()).collect::<Vec<_>>().join(", ");
    let rule = copy.edits.first().map_or("", |edit| edit.rule.as_str());
    let title = format!("{of_arm}{}", copy.study);
    let about = format!(
        "Step {}; {operation} (rule {rule}); reward {} → {} ({}{})",
        copy.step,
        short(source.reward),
        short(copy.reward),
        if copy.reward >= source.reward { "+" } else { "" },
        short(copy.reward - source.reward)
    );
    let [before, after] = text::difference(&clip(&source.text, detail.text), &clip(&copy.text, detail.text));
    let texts = [
        written("Sampled report", &before, reference.as_deref(), &source.text, &rewards(source)),
        written("Edited report", &after, reference.as_deref(), &copy.text, &rewards(copy)),
    ];
    card(&title, &about, &study, reference.as_deref(), &texts.concat(), detail)
}

fn rewards(rollout: &RolloutSample) -> String {
    let components =
        rollout.components.iter().take(8).map(|(name, value)| format!("{} {}", name.replace('_', " "), short(*value)));
    let parts = components.collect::<Vec<_>>().join(", ");
    format!("reward {}{}{parts}", short(rollout.reward), if parts.is_empty() { "" } else { ": " })
}

fn test(chosen: &Chosen<'_>, run: &Run, arms: &[(&str, &Run)], find: &Find<'_>, detail: Detail) -> String {
    let Chosen { study: tested, place, change } = chosen;
    let place = Place::Test { set: tested.set.clone(), index: *place };
    let study = find(run, &place).and_then(|study| known(study, &tested.study));
    let about = format!("{}; {} points", clip(&tested.set, 100), signed_points(*change));
    let Some(first) = tested.reports.first() else { return String::new() };
    let clipped = |text: &str| clip(text, detail.text);
    let scores = |report: &Written| {
        let cut = if report.truncated { ", cut at the length limit" } else { "" };
        format!("RadGraph F1 {}, RaTE {}{cut}", points(report.radgraph), points(report.rate))
    };
    let mut texts = String::new();
    for (place, (name, run)) in arms.iter().enumerate() {
        let same = |other: &&Tested| other.set == tested.set && other.study == tested.study;
        let Some(last) = run.tests.iter().find(same).and_then(|study| study.reports.last()) else { continue };
        let [before, after] = text::difference(&clipped(&first.report), &clipped(&last.report));
        if place == 0 {
            let name = format!("Before training ({})", first.policy);
            texts += &written(&name, &before, Some(&tested.reference), &first.report, &scores(first));
        }
        let name = if arms.len() > 1 {
            format!("After training: {name}")
        } else {
            format!("After training ({})", last.policy)
        };
        texts += &written(&name, &after, Some(&tested.reference), &last.report, &scores(last));
    }
    card(&tested.study, &about, &study, Some(&tested.reference), &texts, detail)
}

/// The study, if it is the one that the run speaks of.
fn known(study: Study, id: &str) -> Result<Study, String> {
    match study.id == id {
        true => Ok(study),
        false => Err(format!("the dataset holds {} in its place", study.id)),
    }
}

fn card(
    title: &str,
    about: &str,
    study: &Result<Study, String>,
    reference: Option<&str>,
    texts: &str,
    detail: Detail,
) -> String {
    let views = match study {
        _ if detail.picture == 0 => Err("left out, for the size of the page".into()),
        Ok(study) => picture::of(study, detail.picture),
        Err(reason) => Err(reason.clone()),
    };
    let views = views.unwrap_or_else(|reason| {
        format!("<p class=\"note\">No radiograph: {}.</p>", escape(&clip(reason.trim_end_matches('.'), 200)))
    });
    let reference = match reference {
        Some(text) => {
            let marked = marked(&clip(text, detail.text));
            format!("<div class=\"text\"><h4>Reference</h4>{}</div>\n", marked.html())
        }
        None => String::new(),
    };
    format!(
        "<article class=\"study\">\n<h3>{}</h3>\n<p class=\"note\">{}</p>\n<div class=\"views\">{views}</div>\n\
         <div class=\"texts\">{reference}{texts}</div>\n</article>\n",
        escape(&clip(title, 200)),
        escape(&clip(about, 400))
    )
}

/// A report with its scores, and what of the reference it says.
fn written(name: &str, marked: &Marked, reference: Option<&str>, whole: &str, scores: &str) -> String {
    let found = reference.map_or_else(String::new, |reference| findings(whole, reference));
    format!(
        "<div class=\"text\"><h4>{}</h4>{}<p class=\"scores\">{}</p>{found}</div>\n",
        escape(&clip(name, 200)),
        marked.html(),
        escape(&clip(scores, 300))
    )
}

/// Findings of a report by what the reference says, as the lexicon reads both.
fn findings(report: &str, reference: &str) -> String {
    let lexicon = Backends::lexicon();
    let explained = explain(&lexicon, &[&clip(report, 4000)], &[&clip(reference, 4000)]);
    let Ok([Explanation { findings, .. }]) = explained.as_deref() else { return String::new() };
    let lists = BTreeMap::from([
        ((0, "Right", "hit"), &findings.matched),
        ((1, "Missed", "miss"), &findings.missing),
        ((2, "Not in the reference", "extra"), &findings.spurious),
    ]);
    let items = lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|((_, name, class), list)| {
        format!("<li class=\"{class}\"><b>{name}:</b> {}</li>", escape(&clip(&list.join(", "), 400)))
    });
    let items: String = items.collect();
    if items.is_empty() { String::new() } else { format!("<ul class=\"findings\">{items}</ul>") }
}
