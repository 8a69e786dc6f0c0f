//! Whether a server may be asked: what it fails at has it left alone for a while, twice as long after each further failure.
//! Pure; a clock is handed in.

use std::time::{Duration, Instant};

/// How long a server is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// After its first failure.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

/// What became of what a server was asked for.
#[derive(Clone, Debug, Default)]
pub struct Health {
    paused: Option<Pause>,
    refused: Option<String>,
    last: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    since: Instant,
    until: Instant,
    length: Duration,
}

impl Health {
    /// Whether it may be asked.
    pub fn is_open(&self, now: Instant) -> bool {
        self.refused.is_none() && self.paused.is_none_or(|pause| now >= pause.until)
    }

    /// Whether it has failed since it answered last.
    pub fn is_down(&self) -> bool {
        self.paused.is_some()
    }

    /// Why it is never asked again, if so.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// What was wrong with it last.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// It answered; whether it was down.
    pub fn succeeded(&mut self) -> bool {
        self.paused.take().is_some()
    }

    /// It failed at what it was asked when it `began`, and is left alone, at least for as long as it wishes itself; whether
    /// it was up. What was under way together fails together, and counts once.
    pub fn failed(
        &mut self,
        pauses: Pauses,
        began: Instant,
        now: Instant,
        least: Option<Duration>,
        reason: impl Into<String>,
    ) -> bool {
        self.last = Some(reason.into());
        if self.paused.is_some_and(|pause| began < pause.since) {
            return false;
        }
        let length = self.paused.map_or(pauses.first, |pause| (2 * pause.length).min(pauses.longest));
        let until = now.checked_add(length.max(least.unwrap_or_default())).unwrap_or(now + pauses.longest);
        self.paused.replace(Pause { since: now, until, length }).is_none()
    }

    /// Something was wrong that says nothing about later requests.
    pub fn note(&mut self, reason: impl Into<String>) {
        self.last = Some(reason.into());
    }

    /// It is never asked again.
    pub fn refuse(&mut self, reason: impl Into<String>) {
        let reason = reason.into();
        (self.last, self.refused) = (Some(reason.clone()), Some(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Pauses = Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(5) };

    #[test]
    fn pauses_double_up_to_their_bound_until_it_answers() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        for seconds in [1, 2, 4, 5, 5] {
            assert!(health.is_open(now));
            health.failed(PAUSES, now, now, None, "late");
            assert!(!health.is_open(now) && health.is_down());
            now += Duration::from_secs(seconds);
            assert!(!health.is_open(now - Duration::from_millis(1)), "{seconds} s");
        }
        assert!(health.is_open(now), "it comes back by itself");
        assert!(health.succeeded() && health.is_open(now) && !health.is_down());
        assert!(health.failed(PAUSES, now, now, None, "late") && !health.is_open(now));
        assert!(health.is_open(now + PAUSES.first), "as after a first failure");
    }

    #[test]
    fn what_fails_together_counts_once() {
        let (mut health, began) = (Health::default(), Instant::now());
        let now = began + Duration::from_secs(3);
        assert!(health.failed(PAUSES, began, now, None, "cut"));
        for _ in 0..7 {
            assert!(!health.failed(PAUSES, began, now, None, "cut too"));
        }
        assert!(health.is_open(now + PAUSES.first));
        assert_eq!(health.last(), Some("cut too"));
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it() {
        let (mut health, now) = (Health::default(), Instant::now());
        let wished = Duration::from_secs(30);
        health.failed(PAUSES, now, now, Some(wished), "busy");
        assert!(!health.is_open(now + PAUSES.longest) && health.is_open(now + wished));
        // More time than there is.
        health.failed(PAUSES, now + wished, now + wished, Some(Duration::MAX), "busy");
        assert!(health.is_open(now + wished + PAUSES.longest));
    }

    #[test]
    fn a_refused_one_stays_so() {
        let (mut health, now) = (Health::default(), Instant::now());
        health.refuse("other weights");
        health.succeeded();
        assert!(!health.is_open(now + PAUSES.longest));
        assert_eq!(health.refused(), Some("other weights"));
    }
}
