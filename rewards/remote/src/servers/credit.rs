//! Who is asked next: credit for each server by its speed. Pure; a clock is handed in.
//!
//! What servers are asked for is called reports here, as samplers count; rewards count requests.

use std::time::{Duration, Instant};

/// Weight of the newest measurement in a server's speed.
const NEWEST: f64 = 0.3;

/// What one server may be asked for, in reports, and how fast it has been.
#[derive(Clone, Debug, Default, PartialEq)]
struct Account {
    /// Reports asked for and not answered.
    in_flight: usize,
    /// Reports per second while it had something to do; `None` before its first answer.
    speed: Option<f64>,
    /// When it answered last, or was asked for something after it had nothing to do.
    since: Option<Instant>,
    /// Whether it may be asked.
    open: bool,
}

impl Account {
    /// Reports per second to reckon with, `usual` if they have never been measured. Whoever has been silent for longer than
    /// it usually takes is no longer as fast as it was.
    fn speed(&self, usual: f64, now: Instant) -> f64 {
        let silent = self.since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64());
        let usual = self.speed.unwrap_or(usual);
        if self.in_flight > 0 && silent > 0.0 { usual.min(self.in_flight as f64 / silent) } else { usual }
    }
}

/// The servers' accounts. A server's index stays its own.
///
/// A report is asked of the server that is expected to be done with it first, be it after those that wait for that server
/// now. A server among faster ones may hold as many reports as it would take for them to write theirs, so that the last report
/// of a step is not left with it; the fastest holds `most`.
#[derive(Clone, Debug)]
pub struct Credit {
    most: usize,
    accounts: Vec<Account>,
}

impl Credit {
    /// `most` reports in flight per server, at least 1.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), accounts: Vec::new() }
    }

    /// Opens the accounts of as many servers.
    pub fn grow(&mut self, servers: usize) {
        if self.accounts.len() < servers {
            self.accounts.resize(servers, Account { open: true, ..Account::default() });
        }
    }
    /// Whether the server may be asked at all.
    pub fn set_open(&mut self, server: usize, open: bool) {
        self.accounts[server].open = open;
    }

    /// Reports in flight at a server.
    pub fn in_flight(&self, server: usize) -> usize {
        self.accounts[server].in_flight
    }

    /// Reports per second; 0 before the first answer.
    pub fn speed(&self, server: usize) -> f64 {
        self.accounts[server].speed.unwrap_or(0.0)
    }

    /// Takes credit for so many reports from the server that will be done first; `None` while no open server has any left,
    /// or where waiting for a fast one is faster than a slow one would be. `waiting` are the reports that wait besides. A
    /// server with nothing to do takes a study of any size.
    pub fn take(&mut self, reports: usize, waiting: usize, now: Instant) -> Option<usize> {
        let open = || self.accounts.iter().enumerate().filter(|(_, account)| account.open);
        let usual = open().filter_map(|(_, account)| account.speed).reduce(f64::max).unwrap_or(1.0);
        let speed = |account: &Account| account.speed(usual, now).max(f64::MIN_POSITIVE);
        let fastest = open().map(|(_, account)| speed(account)).reduce(f64::max)?;
        let has_room = |account: &Account| {
            let limit = (self.most as f64 * speed(account) / fastest).ceil();
            account.in_flight == 0 || (account.in_flight + reports) as f64 <= limit.max(reports as f64)
        };
        let done = |account: &Account| {
            let before = if has_room(account) { 0 } else { waiting };
            (account.in_flight + before + reports) as f64 / speed(account)
        };
        let (server, first) = open().min_by(|(_, a), (_, b)| done(a).total_cmp(&done(b)))?;
        if !has_room(first) {
            return None;
        }
        let account = &mut self.accounts[server];
        if account.in_flight == 0 {
            account.since = Some(now);
        }
        account.in_flight += reports;
        Some(server)
    }

    /// Gives credit back: the reports were answered after `took`, or (`None`) not at all.
    pub fn give_back(&mut self, server: usize, reports: usize, took: Option<Duration>, now: Instant) {
        let account = &mut self.accounts[server];
        // All in flight are written at the same time, so this is what the server does in that time, not what the study does.
        if let Some(seconds) = took.map(|took| took.as_secs_f64()).filter(|seconds| *seconds > 0.0) {
            let measured = account.in_flight as f64 / seconds;
            account.speed = Some(account.speed.map_or(measured, |before| before + NEWEST * (measured - before)));
            account.since = Some(now);
        }
        account.in_flight = account.in_flight.saturating_sub(reports);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use super::*;

    /// Servers that write `speed` reports per second in all, shared evenly by what they hold, asked for studies of
    /// `reports` each by a source that always has another one. Returns the share of the time that each had work.
    fn simulate(speeds: &[f64], reports: usize, most: usize, tickets: usize, seconds: f64) -> Vec<f64> {
        let mut credit = Credit::new(most);
        credit.grow(speeds.len());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs_f64(seconds);
        // (remaining work in reports, when asked) of each study at each server.
        let mut held: Vec<Vec<(f64, f64)>> = vec![Vec::new(); speeds.len()];
        let (mut now, mut busy) = (0.0, vec![0.0; speeds.len()]);
        while now < seconds {
            loop {
                let left = tickets - held.iter().map(Vec::len).sum::<usize>();
                let waiting = left.saturating_sub(1) * reports;
                let Some(server) =
                    Some(left).filter(|left| *left > 0).and_then(|_| credit.take(reports, waiting, at(now)))
                else {
                    break;
                };
                held[server].push((reports as f64, now));
            }
            // To the next study that ends.
            let rates: Vec<f64> = (0..speeds.len()).map(|s| speeds[s] / held[s].len().max(1) as f64).collect();
            let ends = (0..speeds.len()).flat_map(|s| held[s].iter().map(move |(left, _)| (s, *left)));
            let next = ends.map(|(s, left)| left / rates[s]).reduce(f64::min).unwrap();
            now += next;
            for (server, rate) in rates.into_iter().enumerate() {
                let each = rate * next;
                if !held[server].is_empty() {
                    busy[server] += next;
                }
                held[server].iter_mut().for_each(|(left, _)| *left -= each);
                let (done, left): (Vec<_>, Vec<_>) = held[server].iter().copied().partition(|(left, _)| *left <= 1e-9);
                held[server] = left;
                for (_, since) in done {
                    credit.give_back(server, reports, Some(Duration::from_secs_f64(now - since)), at(now));
                }
            }
        }
        busy.iter().map(|busy| busy / now).collect()
    }

    #[test]
    fn servers_of_different_speed_are_both_busy() {
        for tickets in [8, 16, 64] {
            let busy = simulate(&[20.0, 4.0], 5, 40, tickets, 1000.0);
            assert!(busy.iter().all(|busy| *busy >= 0.9), "{tickets} tickets: {busy:?}");
        }
    }

    /// Two servers, of which the first has answered ten times as fast.
    fn fast_and_slow(most: usize) -> (Credit, Instant) {
        let (mut credit, start) = (Credit::new(most), Instant::now());
        credit.grow(2);
        assert_eq!((credit.take(5, 5, start), credit.take(5, 0, start)), (Some(0), Some(1)));
        let later = |seconds| start + Duration::from_secs(seconds);
        credit.give_back(0, 5, Some(Duration::from_secs(1)), later(1));
        credit.give_back(1, 5, Some(Duration::from_secs(10)), later(10));
        (credit, later(10))
    }

    #[test]
    fn the_fast_one_gets_more_as_soon_as_both_have_answered() {
        let (mut credit, now) = fast_and_slow(40);
        let taken: Vec<_> = std::iter::from_fn(|| credit.take(5, 500, now)).collect();
        let of = |server| taken.iter().filter(|taken| **taken == server).count();
        assert_eq!((of(0), of(1)), (8, 1), "{taken:?}");
    }

    #[test]
    fn the_last_of_many_waits_for_the_fast_one_and_those_before_it_do_not() {
        let (mut credit, now) = fast_and_slow(10);
        assert_eq!((credit.take(5, 0, now), credit.take(5, 0, now)), (Some(0), Some(0)));
        // The fast one is done with all 15 in 3 s, the slow one with 5 in 10 s.
        assert_eq!(credit.take(5, 0, now), None);
        // With as many waiting that the fast one takes longer.
        assert_eq!(credit.take(5, 40, now), Some(1));
    }

    #[test]
    fn a_fast_one_that_is_silent_for_longer_than_usual_is_not_waited_for() {
        let (mut credit, now) = fast_and_slow(10);
        assert_eq!((credit.take(5, 0, now), credit.take(5, 0, now)), (Some(0), Some(0)));
        assert_eq!(credit.take(5, 0, now + Duration::from_secs(2)), None);
        let later = now + Duration::from_secs(20);
        assert_eq!((credit.take(5, 0, later), credit.take(5, 0, later)), (Some(1), Some(1)));
        // It answers: it was slow once.
        credit.give_back(0, 5, Some(Duration::from_secs(20)), later);
        assert_eq!(credit.take(5, 0, later), Some(0));
    }

    #[test]
    fn a_closed_server_is_not_asked_and_credit_is_never_more_than_is_in_flight() {
        let (mut credit, now) = (Credit::new(10), Instant::now());
        credit.grow(2);
        credit.set_open(0, false);
        assert_eq!((credit.take(10, 0, now), credit.take(1, 0, now)), (Some(1), None));
        credit.give_back(1, 10, None, now);
        assert_eq!(credit.in_flight(1), 0);
        credit.set_open(1, false);
        assert_eq!(credit.take(1, 0, now), None);
        credit.set_open(0, true);
        assert_eq!(credit.take(25, 0, now), Some(0), "a study larger than the credit, at an idle server");
        assert_eq!(credit.take(1, 0, now), None);
    }

    proptest::proptest! {
        #[test]
        fn all_credit_comes_back(takes in proptest::collection::vec((1usize..20, proptest::option::of(1u64..5000)), 1..60)) {
            let (mut credit, now) = (Credit::new(16), Instant::now());
            credit.grow(3);
            let mut held: BinaryHeap<(u64, usize, usize)> = BinaryHeap::new();
            for (reports, millis) in takes {
                match credit.take(reports, 0, now) {
                    Some(server) => held.push((millis.unwrap_or(0), server, reports)),
                    None => {
                        let (millis, server, reports) = held.pop().unwrap();
                        credit.give_back(server, reports, Some(Duration::from_millis(millis)), now);
                    }
                }
            }
            for (millis, server, reports) in held {
                credit.give_back(server, reports, Some(Duration::from_millis(millis)), now);
            }
            proptest::prop_assert!((0..3).all(|server| credit.in_flight(server) == 0));
        }
    }
}
