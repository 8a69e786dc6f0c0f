//! What whoever watches has chosen to see, by key.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::view::View;

/// Seconds for which a rollout stays, so that it can be read, before a newer one takes its place.
const READING: f64 = 8.0;

/// What fills a terminal that is too small for everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    #[default]
    Overview,
    Curves,
    Actors,
    Rollout,
    Events,
}

impl Page {
    /// In the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Overview, Self::Curves, Self::Actors, Self::Rollout, Self::Events];

    pub fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Curves => "Curves",
            Self::Actors => "Actors",
            Self::Rollout => "Rollout",
            Self::Events => "Events",
        }
    }

    fn beside(self, steps: usize) -> Self {
        let at = Self::ALL.iter().position(|page| *page == self).unwrap_or_default();
        Self::ALL[(at + steps) % Self::ALL.len()]
    }
}

/// The choices.
#[derive(Clone, Debug, Default)]
pub struct Ui {
    pub page: Page,
    /// Lines that were scrolled: down a rollout, back in the events.
    pub scroll: u16,
    /// Nothing moves until it is pressed again.
    pub paused: bool,
    pub help: bool,
    /// The rollout on show by its number, and since when.
    rollout: Option<(u64, f64)>,
    /// It was chosen by hand and stays.
    chosen: bool,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Go,
    Quit,
}

impl Ui {
    /// A key was pressed.
    pub fn press(&mut self, key: KeyEvent, view: &View) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::Go;
        }
        let help = std::mem::take(&mut self.help);
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Wish::Quit,
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Esc if !help => return Wish::Quit,
            KeyCode::Char('?' | 'h') => self.help = !help,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Tab => self.turn(self.page.beside(1)),
            KeyCode::BackTab => self.turn(self.page.beside(Page::ALL.len() - 1)),
            KeyCode::Char(digit @ '1'..='5') => self.turn(Page::ALL[digit as usize - '1' as usize]),
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down => self.scroll = self.scroll.saturating_add(1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(10),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(10),
            KeyCode::Home => self.scroll = 0,
            KeyCode::Left => self.choose(view, -1),
            KeyCode::Right => self.choose(view, 1),
            _ => {}
        }
        Wish::Go
    }

    fn turn(&mut self, page: Page) {
        (self.page, self.scroll) = (page, 0);
    }

    /// The rollout before or after; the newest one follows the run again.
    fn choose(&mut self, view: &View, steps: i64) {
        if let Some(number) = view.rollouts.beside(self.rollout(), steps) {
            self.rollout = Some((number, view.now));
            self.chosen = view.rollouts.age(number) > 0;
            self.scroll = 0;
        }
    }

    /// The number of the rollout on show.
    pub fn rollout(&self) -> Option<u64> {
        self.rollout.map(|(number, _)| number)
    }

    pub fn has_chosen(&self) -> bool {
        self.chosen
    }

    /// Goes with the run, slowly enough to read.
    pub fn follow(&mut self, view: &View) {
        let newest = view.rollouts.get(None).map(|newest| newest.number);
        let is_due = self.rollout.is_none_or(|(number, since)| {
            let gone = view.rollouts.get(Some(number)).is_none_or(|shown| shown.number != number);
            gone || (!self.chosen && (view.now - since).abs() >= READING)
        });
        if is_due && newest != self.rollout() {
            self.rollout = newest.map(|number| (number, view.now));
            self.chosen = false;
        }
    }

    /// Scrolls no further than the last of `lines` that do not fit into `height`.
    pub fn scrolled(&self, lines: usize, height: u16) -> u16 {
        self.scroll.min(u16::try_from(lines).unwrap_or(u16::MAX).saturating_sub(height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::view::{Update, testing};

    fn press(ui: &mut Ui, view: &View, code: KeyCode) -> Wish {
        ui.press(KeyEvent::new(code, KeyModifiers::NONE), view)
    }

    #[test]
    fn q_escape_and_control_c_quit_and_escape_first_closes_the_help() {
        let view = View::new("a");
        let mut ui = Ui::default();
        assert_eq!(press(&mut ui, &view, KeyCode::Char('?')), Wish::Go);
        assert!(ui.help);
        assert_eq!(press(&mut ui, &view, KeyCode::Esc), Wish::Go);
        assert!(!ui.help);
        assert_eq!(press(&mut ui, &view, KeyCode::Esc), Wish::Quit);
        assert_eq!(press(&mut ui, &view, KeyCode::Char('q')), Wish::Quit);
        assert_eq!(press(&mut ui, &view, KeyCode::Char('c')), Wish::Go);
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(ui.press(control, &view), Wish::Quit);
    }

    #[test]
    fn pages_turn_in_a_circle_and_by_number_from_their_top() {
        let (view, mut ui) = (View::new("a"), Ui::default());
        press(&mut ui, &view, KeyCode::Down);
        press(&mut ui, &view, KeyCode::BackTab);
        assert_eq!((ui.page, ui.scroll), (Page::Events, 0));
        press(&mut ui, &view, KeyCode::Tab);
        assert_eq!(ui.page, Page::Overview);
        press(&mut ui, &view, KeyCode::Char('4'));
        assert_eq!(ui.page, Page::Rollout);
        press(&mut ui, &view, KeyCode::Up);
        assert_eq!(ui.scroll, 0);
        ui.scroll = 90;
        assert_eq!((ui.scrolled(10, 4), ui.scrolled(3, 4)), (6, 0));
    }

    #[test]
    fn a_rollout_stays_while_it_is_read_and_as_long_as_one_wants_if_it_was_chosen() {
        let (mut view, mut ui) = (testing::full(), Ui::default());
        let start = view.now;
        ui.follow(&view);
        let first = ui.rollout();
        let later = |view: &mut View, ui: &mut Ui, seconds: f64| {
            let next = addendum_actors::RolloutSample { ticket: seconds as u64, ..testing::rollout(0, None, "Clear.") };
            view.apply(Update::Rollout(Box::new(next)));
            view.apply(Update::Looked { now: start + seconds, problem: None });
            ui.follow(view);
            ui.rollout()
        };
        assert_eq!(later(&mut view, &mut ui, 2.0), first);
        let second = later(&mut view, &mut ui, 9.0);
        assert_ne!(second, first);
        press(&mut ui, &view, KeyCode::Left);
        let chosen = ui.rollout();
        assert_ne!(chosen, second);
        assert_eq!(later(&mut view, &mut ui, 99.0), chosen);
        for _ in 0..9 {
            press(&mut ui, &view, KeyCode::Right);
        }
        assert!(!ui.has_chosen());
        assert_ne!(later(&mut view, &mut ui, 199.0), chosen);
    }
}
