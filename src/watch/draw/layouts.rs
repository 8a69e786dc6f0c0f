//! What stands where, by the room that there is.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
};

use super::{
    actors,
    chart::{Curve, chart},
    events, figures, rollout,
    theme::Theme,
    tickets,
};
use crate::watch::{ui::Ui, view::View};

/// From here on there is room for curves beside the figures.
const SOME: u16 = 34;

/// What matters most, on a small terminal.
pub fn overview(frame: &mut Frame, area: Rect, view: &View, ui: &Ui, theme: Theme) {
    // Nobody works in a run that is over, so its curves take their place.
    let is_over = view.actors().is_empty();
    let flow = if is_over { 0 } else { actors::rows(view).max(tickets::rows(view)) + 2 };
    let charts = if area.height >= SOME {
        area.height / 3
    } else if is_over {
        area.height / 2
    } else {
        0
    };
    let rows = [
        Constraint::Length(figures::HEIGHT),
        Constraint::Length(charts),
        Constraint::Length(flow.min(area.height.saturating_sub(figures::HEIGHT + charts + 4))),
        Constraint::Min(0),
    ];
    let [top, middle, flow, rest] = Layout::vertical(rows).areas(area);
    figures::draw(frame, top, view, theme);
    if charts > 0 {
        let [left, right] = halves(middle);
        reward(frame, left, view, theme);
        single(frame, right, view, "KL", theme);
    }
    let [left, right] = Layout::horizontal([Constraint::Fill(4), Constraint::Fill(3)]).areas(flow);
    actors::draw(frame, left, view, 0, theme);
    tickets::draw(frame, right, view, 0, theme);
    events::draw(frame, rest, view, ui, theme);
}

/// Everything at once, on a large one.
pub fn everything(frame: &mut Frame, area: Rect, view: &View, ui: &Ui, theme: Theme) {
    let rows = [Constraint::Fill(5), Constraint::Fill(4), Constraint::Fill(6)];
    let [top, middle, bottom] = Layout::vertical(rows).areas(area);
    let [left, center, right] = Layout::horizontal([Constraint::Fill(1); 3]).areas(top);
    reward(frame, left, view, theme);
    components(frame, center, view, theme);
    held_out(frame, right, view, theme);
    let singles = ["KL", "entropy", "gradient norm", "tokens a report", "tokens a second"];
    let places: [Rect; 5] = Layout::horizontal([Constraint::Fill(1); 5]).areas(middle);
    for (name, place) in singles.into_iter().zip(places) {
        single(frame, place, view, name, theme);
    }
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(bottom);
    let flow = actors::rows(view).max(tickets::rows(view)) + 2;
    let [flow, happened] =
        Layout::vertical([Constraint::Length(flow.min(left.height * 2 / 3)), Constraint::Min(0)]).areas(left);
    let [who, places] = Layout::horizontal([Constraint::Fill(4), Constraint::Fill(3)]).areas(flow);
    actors::draw(frame, who, view, 0, theme);
    tickets::draw(frame, places, view, 0, theme);
    events::draw(frame, happened, view, ui, theme);
    rollout::draw(frame, right, view, ui, theme);
}

/// As many curves as there is room for.
pub fn curves(frame: &mut Frame, area: Rect, view: &View, theme: Theme) {
    let singles = [
        "KL",
        "entropy",
        "gradient norm",
        "tokens a report",
        "spread in a group",
        "gain of edits",
        "loss",
        "staleness",
    ];
    let columns = (area.width / 38).clamp(1, 4);
    let rows = (area.height / 9).clamp(1, 3);
    let lines = Layout::vertical(vec![Constraint::Fill(1); rows.into()]).split(area);
    let places = lines
        .iter()
        .flat_map(|line| Layout::horizontal(vec![Constraint::Fill(1); columns.into()]).split(*line).to_vec());
    for (index, place) in places.enumerate() {
        match index {
            0 => reward(frame, place, view, theme),
            1 => components(frame, place, view, theme),
            2 => held_out(frame, place, view, theme),
            _ => {
                if let Some(name) = singles.get(index - 3) {
                    single(frame, place, view, name, theme);
                }
            }
        }
    }
}

fn halves(area: Rect) -> [Rect; 2] {
    Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area)
}

fn reward(frame: &mut Frame, area: Rect, view: &View, theme: Theme) {
    let curves = ["sampled", "edited"].map(|name| Curve { name, points: view.curve(name) });
    chart(frame, area, "Reward", &curves, theme);
}

fn components(frame: &mut Frame, area: Rect, view: &View, theme: Theme) {
    let curves: Vec<Curve> = view.components.iter().map(|(name, points)| Curve { name, points }).collect();
    chart(frame, area, "Components", &curves, theme);
}

fn held_out(frame: &mut Frame, area: Rect, view: &View, theme: Theme) {
    let curves: Vec<Curve> = view.averages().into_iter().map(|(name, points)| Curve { name, points }).collect();
    chart(frame, area, "Held out", &curves, theme);
}

fn single(frame: &mut Frame, area: Rect, view: &View, name: &str, theme: Theme) {
    let mut title = name[..1].to_uppercase();
    title.push_str(&name[1..]);
    chart(frame, area, &title, &[Curve { name, points: view.curve(name) }], theme);
}
