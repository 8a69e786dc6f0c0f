//! Waiting between attempts: exponential, bounded in attempts and in time, and the same on every run.
//!
//! Knows nothing of what is attempted.
//!
//! Of the `backon` crate only a loop of ten lines would be used here: its blocking retries know no wait that a failure
//! asks for (`Retry-After`), its limit of time counts the waits but not the attempts between them, and its jitter adds to
//! the longest delay.

use std::{
    thread,
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often and how long to try. The delay before attempt n+1 is `first_delay_seconds` · 2^(n-1), at most
/// `longest_delay_seconds`, times a factor in [0.5, 1) that depends on the work and n alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Backoff {
    /// How often a call is made before it has failed for good; at least 1.
    #[schemars(extend("x-resume" = "free"))]
    pub attempts: u32,
    /// Seconds to wait after the first failure, 0 to 86400; each further wait is twice as long.
    #[schemars(extend("x-resume" = "free"))]
    pub first_delay_seconds: f64,
    /// Seconds of the longest wait between two attempts, 0 to 86400.
    #[schemars(extend("x-resume" = "free"))]
    pub longest_delay_seconds: f64,
    /// Seconds after the first attempt beyond which no other begins, 0 to 86400.
    #[schemars(extend("x-resume" = "free"))]
    pub deadline_seconds: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { attempts: 4, first_delay_seconds: 0.25, longest_delay_seconds: 8., deadline_seconds: 120. }
    }
}

/// A failed attempt.
pub(super) struct Failed<E> {
    pub error: E,
    /// Another attempt may end differently.
    pub transient: bool,
    /// The least time to wait, if the other side told.
    pub after: Option<Duration>,
}

/// The last failure, and how many attempts in how much time led to it.
pub(super) struct GaveUp<E> {
    pub error: E,
    pub attempts: u32,
    pub elapsed: Duration,
}

/// The clock; tests have one that needs no time.
pub(super) trait Clock {
    fn elapsed(&self) -> Duration;
    fn sleep(&self, time: Duration);
}

/// Real time since its creation.
pub(super) struct Wall(Instant);

impl Wall {
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Wall {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

impl Backoff {
    /// The first value that makes no sense: its name, the value, what is expected.
    pub fn problem(&self) -> Option<(&'static str, String, &'static str)> {
        let times = [
            ("backoff.first_delay_seconds", self.first_delay_seconds),
            ("backoff.longest_delay_seconds", self.longest_delay_seconds),
            ("backoff.deadline_seconds", self.deadline_seconds),
        ];
        if self.attempts == 0 {
            return Some(("backoff.attempts", "0".into(), "at least 1"));
        }
        let bad = times.into_iter().find(|(_, value)| !(0. ..=86_400.).contains(value));
        bad.map(|(name, value)| (name, value.to_string(), "seconds, 0 to 86400"))
    }

    /// The wait after failed attempt `attempt` (from 1) at the work that `salt` stands for.
    pub fn delay(&self, attempt: u32, salt: u64) -> Duration {
        let doubled = self.first_delay_seconds * 2f64.powi(attempt.saturating_sub(1).min(64) as i32);
        let jitter = 0.5 + 0.5 * unit(salt ^ u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Duration::try_from_secs_f64(doubled.min(self.longest_delay_seconds) * jitter).unwrap_or_default()
    }

    /// Calls `attempt` with the time left until it succeeds, fails for good, or attempts or time are used up.
    pub(super) fn run<T, E>(
        &self,
        salt: u64,
        clock: &impl Clock,
        mut attempt: impl FnMut(Duration) -> Result<T, Failed<E>>,
    ) -> Result<T, GaveUp<E>> {
        let deadline = Duration::try_from_secs_f64(self.deadline_seconds).unwrap_or_default();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let failed = match attempt(deadline.saturating_sub(clock.elapsed())) {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            let wait = self.delay(attempts, salt).max(failed.after.unwrap_or_default());
            let elapsed = clock.elapsed();
            if !failed.transient || attempts >= self.attempts || elapsed.saturating_add(wait) >= deadline {
                return Err(GaveUp { error: failed.error, attempts, elapsed });
            }
            clock.sleep(wait);
        }
    }
}

/// A number in [0, 1) from 64 bits, by splitmix64.
fn unit(bits: u64) -> f64 {
    let mut z = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// A salt for some bytes: FNV-1a.
pub(super) fn salt(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use proptest::prelude::*;

    use super::*;

    /// Time passes only by sleeping and by attempts that take some.
    #[derive(Default)]
    struct Still {
        now: Cell<Duration>,
        sleeps: RefCell<Vec<Duration>>,
    }

    impl Clock for Still {
        fn elapsed(&self) -> Duration {
            self.now.get()
        }

        fn sleep(&self, time: Duration) {
            self.now.set(self.now.get() + time);
            self.sleeps.borrow_mut().push(time);
        }
    }

    fn failed(transient: bool, after: Option<u64>) -> Result<u8, Failed<&'static str>> {
        Err(Failed { error: "down", transient, after: after.map(Duration::from_secs) })
    }

    #[test]
    fn a_transient_failure_is_tried_again_and_the_later_answer_counts() {
        let (clock, mut calls) = (Still::default(), 0);
        let result = Backoff::default().run(7, &clock, |_| {
            calls += 1;
            if calls < 3 { failed(true, None) } else { Ok(5) }
        });
        assert_eq!(result.ok(), Some(5));
        assert_eq!(clock.sleeps.borrow().len(), 2);
    }

    #[test]
    fn attempts_and_time_are_bounded_and_a_lasting_failure_is_not_tried_again() {
        let run = |backoff: Backoff, transient, after, each: u64| {
            let clock = Still::default();
            let gave_up = backoff.run(7, &clock, |_| {
                clock.now.set(clock.now.get() + Duration::from_secs(each));
                failed(transient, after)
            });
            (gave_up.err().unwrap().attempts, clock.now.get())
        };
        let base = Backoff::default;
        assert_eq!(run(base(), true, None, 0).0, 4);
        assert_eq!(run(base(), false, None, 0).0, 1);
        // Four attempts of 50 s do not fit into 120 s.
        assert_eq!(run(base(), true, None, 50).0, 3);
        // A server that wants more time than there is is not asked again.
        assert_eq!(run(base(), true, Some(300), 0), (1, Duration::ZERO));
        assert!(run(base(), true, Some(3), 0).1 >= Duration::from_secs(9));
    }

    #[test]
    fn values_without_sense_are_named() {
        let problem = |backoff: Backoff| backoff.problem().map(|(name, ..)| name);
        let base = Backoff::default;
        assert_eq!(problem(base()), None);
        assert_eq!(problem(Backoff { attempts: 0, ..base() }), Some("backoff.attempts"));
        assert_eq!(problem(Backoff { deadline_seconds: f64::NAN, ..base() }), Some("backoff.deadline_seconds"));
        assert_eq!(problem(Backoff { first_delay_seconds: -1., ..base() }), Some("backoff.first_delay_seconds"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn delays_grow_within_their_bounds_and_are_reproducible(salt in any::<u64>(), attempt in 1u32..100) {
            let backoff = Backoff::default();
            let delay = backoff.delay(attempt, salt);
            let full = (0.25 * 2f64.powi(attempt as i32 - 1)).min(8.);
            prop_assert_eq!(delay, backoff.delay(attempt, salt));
            prop_assert!(delay.as_secs_f64() >= 0.5 * full - 1e-9 && delay.as_secs_f64() <= full);
        }
    }
}
