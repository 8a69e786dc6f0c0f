//! Live progress: bars and a few lines of figures where there is a terminal, one line of plain text per step where there
//! is none.
//!
//! Everything goes to the standard error stream, so the standard output is left to results.

mod counting;
mod fitting;
mod training;

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal::{Paint, duration, rough_duration};

pub use counting::Counting;
pub use fitting::Fitting;
pub use training::Training;

/// Where progress is shown. Clones show it in the same place.
#[derive(Clone)]
pub struct Progress {
    place: Arc<Place>,
}

enum Place {
    Live { bars: MultiProgress, paint: Paint },
    Plain(Mutex<Box<dyn Write + Send>>),
    Events,
    Nowhere,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.place {
            Place::Live { .. } => "Progress(live)",
            Place::Plain(_) => "Progress(plain)",
            Place::Events => "Progress(events)",
            Place::Nowhere => "Progress(nowhere)",
        })
    }
}

impl Progress {
    /// Live if the standard error stream is a terminal, plain lines there if it is not.
    pub fn stderr() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        if bars.is_hidden() {
            return Self::plain(io::stderr());
        }
        Self::at(Place::Live { bars, paint: Paint::stderr() })
    }

    /// Plain lines, written to `writer`.
    pub fn plain(writer: impl Write + Send + 'static) -> Self {
        Self::at(Place::Plain(Mutex::new(Box::new(writer))))
    }

    /// Events of [`tracing`], for a program that has a subscriber: every step with its figures as fields.
    pub fn events() -> Self {
        Self::at(Place::Events)
    }

    /// Shows nothing.
    pub fn none() -> Self {
        Self::at(Place::Nowhere)
    }

    fn at(place: Place) -> Self {
        Self { place: Arc::new(place) }
    }

    /// Watches `steps` steps of reinforcement learning, called `name`:
    ///
    /// ```ignore
    /// let training = progress.training("EditGRPO", config.steps);
    /// let summary = pipeline.observer(training.observer()).run().await?;
    /// training.finish();
    /// ```
    pub fn training(&self, name: impl Into<String>, steps: u64) -> Training {
        Training::new(Job::new(self.clone(), name.into(), steps, 4))
    }

    /// Watches `steps` steps of supervised fine-tuning, called `name`.
    pub fn fitting(&self, name: impl Into<String>, steps: u64) -> Fitting {
        Fitting::new(Job::new(self.clone(), name.into(), steps, 1))
    }

    /// Counts to `total` of what `unit` names in the plural, such as "studies".
    pub fn counting(&self, name: impl Into<String>, total: u64, unit: &'static str) -> Counting {
        Counting::new(Job::new(self.clone(), name.into(), total, 0), unit)
    }

    /// A line that stays, above whatever moves.
    pub fn note(&self, line: impl AsRef<str>) {
        match &*self.place {
            Place::Live { bars, .. } => drop(bars.println(line)),
            Place::Plain(writer) => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                // A closed pipe must not end the run that is only being watched.
                let _ = writeln!(writer, "{}", line.as_ref()).and_then(|()| writer.flush());
            }
            Place::Events => tracing::info!("{}", line.as_ref()),
            Place::Nowhere => {}
        }
    }

    fn has_events(&self) -> bool {
        matches!(*self.place, Place::Events)
    }

    fn paint(&self) -> Paint {
        match *self.place {
            Place::Live { paint, .. } => paint,
            _ => Paint::PLAIN,
        }
    }
}

/// One thing that advances: a bar with rows of figures under it, or lines.
struct Job {
    progress: Progress,
    name: String,
    total: u64,
    done: u64,
    started: Instant,
    pace: Pace,
    bar: Option<ProgressBar>,
    rows: Vec<ProgressBar>,
}

impl Job {
    fn new(progress: Progress, name: String, total: u64, rows: usize) -> Self {
        let now = Instant::now();
        let mut job =
            Self { name, total, done: 0, started: now, pace: Pace::new(now), bar: None, rows: Vec::new(), progress };
        if let Place::Live { bars, paint } = &*job.progress.place {
            let bar = bars.add(ProgressBar::new(total));
            bar.set_style(bar_style(*paint));
            bar.set_prefix(paint.bold(format!("{:<NAME$}", job.name)));
            bar.enable_steady_tick(Duration::from_millis(500));
            job.bar = Some(bar);
            job.rows = (0..rows).map(|_| bars.add(ProgressBar::no_length())).collect();
            job.rows.iter().for_each(|row| row.set_style(template("{wide_msg}")));
        }
        job
    }

    fn is_live(&self) -> bool {
        self.bar.is_some()
    }

    /// Whether plain text should tell of the state reached: the first and the last, and about a hundred between.
    fn is_due(&self) -> bool {
        self.done == 1 || self.done >= self.total || self.done.is_multiple_of((self.total / 100).max(1))
    }

    fn reach(&mut self, done: u64) {
        self.done = done;
        self.pace.reach(Instant::now(), done);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// `3.10 s/step · 3m 02s left`; nothing before the first step.
    fn timing(&self) -> String {
        match self.pace.each() {
            Some(each) => format!("{}/step · {}", duration(each), self.left()),
            None => String::new(),
        }
    }

    /// `3m 02s left`; nothing before anything is done.
    fn left(&self) -> String {
        let Some(each) = self.pace.each() else {
            return String::new();
        };
        let left = each.mul_f64(self.total.saturating_sub(self.done) as f64);
        format!("{} left", rough_duration(left))
    }

    fn show(&self, beside_bar: &str, rows: &[String]) {
        if let Some(bar) = &self.bar {
            bar.set_message(beside_bar.to_string());
        }
        for (bar, row) in self.rows.iter().zip(rows) {
            bar.set_message(row.clone());
        }
    }

    /// Takes the bar away and leaves a line instead.
    fn finish(self, line: &str) {
        let progress = self.progress.clone();
        drop(self);
        progress.note(line);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.rows.iter().chain(&self.bar).for_each(ProgressBar::finish_and_clear);
    }
}

/// Characters for the names at the left.
const NAME: usize = 10;

fn bar_style(paint: Paint) -> ProgressStyle {
    let bar = if paint.has_colours() { "{bar:32.cyan/black.bright}" } else { "{bar:32}" };
    template(&format!("{{prefix}} {bar} {{pos}}/{{len}}  {{msg}}")).progress_chars("━╸─")
}

fn template(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A row of figures under a bar.
fn row(paint: Paint, name: &str, figures: &[String]) -> String {
    let name = format!("  {name:<width$} ", width = NAME - 2);
    let separator = paint.dim(" · ");
    format!("{}{}", paint.dim(name), figures.join(&separator))
}

/// Time per unit of work, over the last units only: the estimate of a bar, which there is only on a terminal, forgets by
/// seconds, of which a step may take hundreds.
struct Pace {
    reached: VecDeque<(Instant, u64)>,
}

impl Pace {
    const WINDOW: usize = 16;

    fn new(now: Instant) -> Self {
        Self { reached: VecDeque::from([(now, 0)]) }
    }

    fn reach(&mut self, now: Instant, done: u64) {
        if let (1, Some(start)) = (self.reached.len(), self.reached.front_mut()) {
            // A resumed run does not start at zero.
            start.1 = done.saturating_sub(1);
        }
        self.reached.push_back((now, done));
        if self.reached.len() > Self::WINDOW {
            self.reached.pop_front();
        }
    }

    fn each(&self) -> Option<Duration> {
        let ((start, before), (end, after)) = (self.reached.front()?, self.reached.back()?);
        let units = after.checked_sub(*before).filter(|units| *units > 0)?;
        Some(end.duration_since(*start).div_f64(units as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_steps_and_knows_resumed_runs() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.each(), None);
        pace.reach(start + Duration::from_secs(4), 61);
        assert_eq!(pace.each(), Some(Duration::from_secs(4)));
        for step in 1..=20 {
            pace.reach(start + Duration::from_secs(4 + step), 61 + step);
        }
        assert_eq!(pace.each(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn about_a_hundred_lines_are_written_whatever_the_number_of_steps() {
        for total in [1, 7, 100, 150, 5000] {
            let mut job = Job::new(Progress::none(), String::new(), total, 0);
            let is_due = |done: u64| {
                job.reach(done);
                job.is_due()
            };
            let lines = (1..=total).map(is_due).filter(|due| *due).count();
            assert!(lines <= 151 && lines >= total.min(100) as usize, "{lines} lines for {total} steps");
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A writer whose text can be read while it is written to.
    #[derive(Clone, Default)]
    pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
