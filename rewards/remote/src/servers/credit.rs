//! Who is asked next: credit for each server by its speed. Pure; a clock is handed in.
//!
//! What servers are asked for is called reports here, as samplers count; rewards count requests.

use std::time::Duration;

/// Weight of the newest measurement in a server's speed.
const NEWEST: f64 = 0.3;

/// What one server may be asked for, in reports, and how fast it has been.
#[derive(Clone, Debug, Default, PartialEq)]
struct Account {
    /// Reports asked for and not answered.
    in_flight: usize,
    /// Reports per second while it had something to do; `None` before its first answer.
    speed: Option<f64>,
    /// Whether it may be asked.
    open: bool,
}

/// The servers' accounts. A server's index stays its own.
///
/// A report is asked of the server that is expected to be done with it first. A server among faster ones may hold as many
/// reports as it would take for them to write theirs, so that the last report of a step is not left with it; the fastest
/// holds `most`.
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

    /// How many accounts there are.
    pub fn servers(&self) -> usize {
        self.accounts.len()
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

    /// Takes credit for so many reports from the server that will be done first; `None` while no open server has any left.
    /// A server with nothing to do takes a study of any size.
    pub fn take(&mut self, reports: usize) -> Option<usize> {
        let fastest = self.accounts.iter().filter(|a| a.open).filter_map(|a| a.speed).reduce(f64::max);
        let speed = |account: &Account| account.speed.or(fastest).unwrap_or(1.0);
        let limit = |account: &Account| match fastest {
            Some(fastest) if fastest > 0.0 => (self.most as f64 * speed(account) / fastest).ceil(),
            _ => self.most as f64,
        };
        let has_room = |account: &Account| {
            account.in_flight == 0 || (account.in_flight + reports) as f64 <= limit(account).max(reports as f64)
        };
        let done = |account: &Account| (account.in_flight + reports) as f64 / speed(account).max(f64::MIN_POSITIVE);
        let open = self.accounts.iter().enumerate().filter(|(_, account)| account.open && has_room(account));
        let (server, _) = open.min_by(|(_, a), (_, b)| done(a).total_cmp(&done(b)))?;
        self.accounts[server].in_flight += reports;
        Some(server)
    }

    /// Gives credit back: the reports were answered after `took`, or (`None`) not at all.
    pub fn give_back(&mut self, server: usize, reports: usize, took: Option<Duration>) {
        let account = &mut self.accounts[server];
        // All in flight are written at the same time, so this is what the server does in that time, not what the study does.
        if let Some(seconds) = took.map(|took| took.as_secs_f64()).filter(|seconds| *seconds > 0.0) {
            let now = account.in_flight as f64 / seconds;
            account.speed = Some(account.speed.map_or(now, |before| before + NEWEST * (now - before)));
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
        // (remaining work in reports, when asked) of each study at each server.
        let mut held: Vec<Vec<(f64, f64)>> = vec![Vec::new(); speeds.len()];
        let (mut now, mut busy) = (0.0, vec![0.0; speeds.len()]);
        while now < seconds {
            while held.iter().map(Vec::len).sum::<usize>() < tickets {
                let Some(server) = credit.take(reports) else { break };
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
                    credit.give_back(server, reports, Some(Duration::from_secs_f64(now - since)));
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

    #[test]
    fn the_fast_one_gets_more_as_soon_as_both_have_answered() {
        let mut credit = Credit::new(40);
        credit.grow(2);
        assert_eq!((credit.take(5), credit.take(5)), (Some(0), Some(1)));
        credit.give_back(0, 5, Some(Duration::from_secs(1)));
        credit.give_back(1, 5, Some(Duration::from_secs(10)));
        let taken: Vec<_> = std::iter::from_fn(|| credit.take(5)).collect();
        let of = |server| taken.iter().filter(|taken| **taken == server).count();
        assert_eq!((of(0), of(1)), (8, 1), "{taken:?}");
    }

    #[test]
    fn a_closed_server_is_not_asked_and_credit_is_never_more_than_is_in_flight() {
        let mut credit = Credit::new(10);
        credit.grow(2);
        credit.set_open(0, false);
        assert_eq!((credit.take(10), credit.take(1)), (Some(1), None));
        credit.give_back(1, 10, None);
        assert_eq!(credit.in_flight(1), 0);
        credit.set_open(1, false);
        assert_eq!(credit.take(1), None);
        credit.set_open(0, true);
        assert_eq!(credit.take(25), Some(0), "a study larger than the credit, at an idle server");
        assert_eq!(credit.take(1), None);
    }

    proptest::proptest! {
        #[test]
        fn all_credit_comes_back(takes in proptest::collection::vec((1usize..20, proptest::option::of(1u64..5000)), 1..60)) {
            let mut credit = Credit::new(16);
            credit.grow(3);
            let mut held: BinaryHeap<(u64, usize, usize)> = BinaryHeap::new();
            for (reports, millis) in takes {
                match credit.take(reports) {
                    Some(server) => held.push((millis.unwrap_or(0), server, reports)),
                    None => {
                        let (millis, server, reports) = held.pop().unwrap();
                        credit.give_back(server, reports, Some(Duration::from_millis(millis)));
                    }
                }
            }
            for (millis, server, reports) in held {
                credit.give_back(server, reports, Some(Duration::from_millis(millis)));
            }
            proptest::prop_assert!((0..3).all(|server| credit.in_flight(server) == 0));
        }
    }
}
