//! Supervised fine-tuning: loss, learning rate, tokens per second.

use super::{Job, row};
use crate::report::terminal::{duration, sparkline};

/// Watches supervised fine-tuning. Dropping it takes the bar away.
pub struct Fitting {
    job: Job,
    losses: Vec<f64>,
}

impl Fitting {
    pub(super) fn new(job: Job) -> Self {
        Self { job, losses: Vec::new() }
    }

    /// So many steps are done, the last of them with this mean loss per token (nats) and learning rate.
    pub fn step(&mut self, done: u64, loss: f64, learning_rate: f64, tokens_per_second: f64) {
        self.losses.push(loss);
        self.job.reach(done);
        let timing = self.job.timing();
        if self.job.is_live() {
            let paint = self.job.progress.paint();
            let figures = [
                format!("{} {}", paint.bold(format!("{loss:.4}")), paint.accent(sparkline(&self.losses, 24))),
                format!("lr {learning_rate:.1e}"),
                format!("{tokens_per_second:.0} tokens/s"),
            ];
            self.job.show(&timing, &[row(paint, "loss", &figures)]);
        } else if self.job.progress.has_events() {
            let Job { name, total, .. } = &self.job;
            tracing::info!(step = done, steps = total, loss, learning_rate, tokens_per_second, "{name}");
        } else if self.job.is_due() {
            let Job { name, done, total, progress, .. } = &self.job;
            progress.note(format!(
                "{name} {done}/{total}  loss {loss:.4}  lr {learning_rate:.1e}  {tokens_per_second:.0} tokens/s  {timing}"
            ));
        }
    }

    /// Takes the bar away and leaves a line that says what came of it.
    pub fn finish(self) {
        let took = duration(self.job.started.elapsed());
        let losses = match (self.losses.first(), self.losses.last()) {
            (Some(first), Some(last)) => format!(", loss {first:.4} → {last:.4}"),
            _ => String::new(),
        };
        let line = format!("{}: {} steps in {took}{losses}", self.job.name, self.losses.len());
        self.job.finish(&line);
    }
}

#[cfg(test)]
mod tests {
    use crate::report::progress::{Progress, testing::Paper};

    #[test]
    fn plain_fitting_writes_a_line_per_step_and_one_at_the_end() {
        let paper = Paper::default();
        let mut fitting = Progress::plain(paper.clone()).fitting("SFT", 2);
        fitting.step(1, 2.5, 1e-3, 1234.0);
        fitting.step(2, 1.25, 5e-4, 1234.0);
        fitting.finish();
        let text = paper.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("SFT 1/2  loss 2.5000  lr 1.0e-3  1234 tokens/s  "), "{text}");
        assert!(lines[1].starts_with("SFT 2/2  loss 1.2500"), "{text}");
        assert!(lines[2].starts_with("SFT: 2 steps in ") && lines[2].ends_with("loss 2.5000 → 1.2500"), "{text}");
        assert_eq!(lines.len(), 3);
    }
}
