//! Pictures of a [`View`] for a terminal of any size: nothing is decided here and nothing remembered.

mod actors;
mod chart;
mod events;
mod figures;
mod header;
mod help;
mod layouts;
mod panel;
mod rollout;
mod theme;
mod tickets;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Modifier,
    text::{Line, Span},
    widgets::Paragraph,
};

pub use theme::Theme;
pub(super) use {
    actors::state as actor_state,
    events::{age, text as event_text},
    header::{alarm, state, timing},
    panel::{difference, number},
    tickets::out,
};

use super::{
    ui::{Page, Ui},
    view::View,
};

/// The least that something can be seen in.
const LEAST: (u16, u16) = (40, 10);
/// From here on there is room for everything at once.
const ALL: (u16, u16) = (140, 40);

/// Draws everything.
pub fn draw(frame: &mut Frame, view: &View, ui: &Ui, theme: Theme) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("{}×{} is too small: {}×{} at least", area.width, area.height, LEAST.0, LEAST.1);
        return frame.render_widget(Paragraph::new(text).wrap(Default::default()), area);
    }
    let rows = [Constraint::Length(header::height(view)), Constraint::Min(0), Constraint::Length(1)];
    let [top, body, bottom] = Layout::vertical(rows).areas(area);
    header::draw(frame, top, view, ui.paused, theme);
    match ui.page {
        Page::Overview if area.width >= ALL.0 && area.height >= ALL.1 => {
            layouts::everything(frame, body, view, ui, theme)
        }
        Page::Overview => layouts::overview(frame, body, view, ui, theme),
        Page::Curves => layouts::curves(frame, body, view, theme),
        Page::Actors => {
            let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(body);
            actors::draw(frame, left, view, ui.scroll, theme);
            tickets::draw(frame, right, view, ui.scroll, theme);
        }
        Page::Rollout => rollout::draw(frame, body, view, ui, theme),
        Page::Events => events::draw(frame, body, view, ui, theme),
    }
    pages(frame, bottom, ui, theme);
    if ui.help {
        help::draw(frame, area, theme);
    }
}

fn pages(frame: &mut Frame, area: Rect, ui: &Ui, theme: Theme) {
    let page = |(index, page): (usize, &Page)| {
        let style = if *page == ui.page { theme.accent().add_modifier(Modifier::REVERSED) } else { theme.dim() };
        [Span::styled(format!(" {} {} ", index + 1, page.name()), style), Span::raw(" ")]
    };
    let spans: Vec<Span> = Page::ALL.iter().enumerate().flat_map(page).collect();
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
    if area.width >= 80 {
        frame.render_widget(Paragraph::new(Line::styled("? help  q quit ", theme.dim()).right_aligned()), area);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::watch::view::{Update, testing};

    fn screen(view: &View, ui: &Ui, (width, height): (u16, u16), colours: bool) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view, ui, Theme { colours })).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_string();
        (0..height).map(line).collect::<Vec<_>>().join("\n")
    }

    fn holds(screen: &str, texts: &[&str]) {
        texts.iter().for_each(|text| assert!(screen.contains(text), "{text} is missing from\n{screen}"));
    }

    #[test]
    fn a_small_terminal_shows_the_essentials() {
        let screen = screen(&testing::full(), &Ui::default(), (80, 24), true);
        holds(
            &screen,
            &[
                "● runs/train-7  running  editgrpo",
                "step 142/250 ━",
                "57 %  3.10 s/step  5m 35s left",
                "reward   2.695 · ▁",
                "chexbert 0.799 · radgraph 0.799",
                "KL 0.0199 · entropy 0.230",
                "validation 70.0 (+20.0)",
                "sampler-0      █",
                "editor ×2",
                "starved  95 %",
                "Tickets 19 of 24",
                "○○○",
                "restarted",
                "sampler-0: panicked",
                " 1 Overview ",
                "? help",
            ],
        );
    }

    #[test]
    fn a_large_terminal_shows_everything_at_once() {
        let mut ui = Ui::default();
        let view = testing::full();
        ui.follow(&view);
        let screen = screen(&view, &ui, (200, 60), true);
        holds(
            &screen,
            &[
                "Reward ━ sampled 2.695 ━ edited",
                "Components ━ chexbert",
                "Held out 0.700",
                "KL 0.0199",
                "Gradient norm",
                "Actors",
                "Tickets",
                "Events 2",
                "step 142 · phantom-0-A-train-000391",
                "edited: replace (conflict)",
                "1.500 → 2.500  +1.000",
                "The lungs are clear. [-The heart is enlarged.-] [+Heart size is normal.+] No effusion.",
            ],
        );
    }

    #[test]
    fn no_size_and_no_state_of_a_run_breaks_it_and_what_is_too_small_says_so() {
        let mut ended = testing::full();
        ended.apply(Update::Looked { now: 2e9, problem: Some("metrics.jsonl: permission denied".into()) });
        for view in [View::new("a"), testing::full(), ended] {
            for page in Page::ALL {
                for help in [false, true] {
                    let mut ui = Ui::default();
                    (ui.page, ui.help, ui.scroll) = (page, help, 7);
                    for size in [
                        (1, 1),
                        (3, 60),
                        (39, 9),
                        (40, 10),
                        (41, 13),
                        (80, 24),
                        (120, 35),
                        (140, 40),
                        (200, 12),
                        (300, 90),
                    ] {
                        let screen = screen(&view, &ui, size, false);
                        assert_eq!(screen.contains("too small"), size == (39, 9));
                    }
                }
            }
        }
    }

    #[test]
    fn what_must_not_be_overlooked_stands_in_the_header() {
        let mut view = testing::full();
        view.apply(Update::Looked { now: view.now + 75.0, problem: None });
        holds(&screen(&view, &Ui::default(), (80, 24), false), &["silent for 1m 16s", "! the run does not move"]);
        view.apply(Update::Looked { now: view.now, problem: Some("no answer".into()) });
        holds(&screen(&view, &Ui::default(), (80, 24), false), &["! no answer"]);
    }

    #[test]
    fn nothing_is_coloured_where_no_colours_are_wanted() {
        let mut ui = Ui::default();
        let view = testing::full();
        ui.follow(&view);
        for (colours, expected) in [(true, true), (false, false)] {
            let mut terminal = Terminal::new(TestBackend::new(200, 60)).unwrap();
            terminal.draw(|frame| draw(frame, &view, &ui, Theme { colours })).unwrap();
            let reset = ratatui::style::Color::Reset;
            let coloured =
                terminal.backend().buffer().content().iter().any(|cell| cell.fg != reset || cell.bg != reset);
            assert_eq!(coloured, expected);
        }
    }
}
