//! Counting: n of m studies.

use super::Job;
use crate::report::terminal::duration;

/// Counts work done. Dropping it takes the bar away.
pub struct Counting {
    job: Job,
    unit: &'static str,
}

impl Counting {
    pub(super) fn new(job: Job, unit: &'static str) -> Self {
        Self { job, unit }
    }

    /// `count` more are done. Plain text tells of every tenth of the whole.
    pub fn advance(&mut self, count: u64) {
        let total = self.job.total;
        let tenth = |done: u64| (10 * done).checked_div(total);
        let before = tenth(self.job.done);
        self.job.reach(self.job.done + count);
        let left = self.job.left();
        if self.job.is_live() {
            self.job.show(&format!("{}  {left}", self.unit), &[]);
        } else if tenth(self.job.done) > before {
            let Job { name, done, total, progress, .. } = &self.job;
            match progress.has_events() {
                true => tracing::info!(done, total, unit = self.unit, "{name}"),
                false => progress.note(format!("{name} {done}/{total} {}  {left}", self.unit)),
            }
        }
    }

    /// Takes the bar away and leaves a line that says how long it took.
    pub fn finish(self) {
        let (name, done) = (&self.job.name, self.job.done);
        let line = format!("{name}: {done} {} in {}", self.unit, duration(self.job.started.elapsed()));
        self.job.finish(&line);
    }
}

#[cfg(test)]
mod tests {
    use crate::report::progress::{Progress, testing::Paper};

    #[test]
    fn plain_counting_tells_of_tenths_only() {
        let paper = Paper::default();
        let mut counting = Progress::plain(paper.clone()).counting("evaluation", 200, "studies");
        for _ in 0..200 {
            counting.advance(1);
        }
        counting.finish();
        let text = paper.text();
        assert_eq!(text.lines().count(), 11, "{text}");
        assert!(text.starts_with("evaluation 20/200 studies"), "{text}");
        assert!(text.contains("\nevaluation: 200 studies in "), "{text}");
    }

    #[test]
    fn counting_to_nothing_says_nothing_on_the_way() {
        let paper = Paper::default();
        let mut counting = Progress::plain(paper.clone()).counting("evaluation", 0, "studies");
        counting.advance(0);
        assert_eq!(paper.text(), "");
    }
}
