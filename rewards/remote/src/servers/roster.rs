//! All servers together: which are listed, which may be asked, and what each is asked for at the moment.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, TryLockError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{Addresses, Health, Unusable, credit::Credit, listing::Listing, lock};

/// Servers; of each `T` is known besides its health.
pub struct Roster<T> {
    listing: Mutex<Listing>,
    /// A server's index stays its own.
    members: Mutex<Vec<Arc<Member<T>>>>,
    credit: Mutex<Credit>,
    /// What is wanted and has no server yet.
    wanted: AtomicUsize,
    make: Box<dyn Fn(&str) -> T + Send + Sync>,
    told: Told,
}

/// Is told a server's address, what it is asked for, and its speed per second.
type Told = Box<dyn Fn(&str, usize, f64) + Send + Sync>;

/// A server and what is known of it.
pub struct Member<T> {
    /// Its address.
    pub url: String,
    /// What `make` made of its address.
    pub server: T,
    index: usize,
    listed: AtomicBool,
    health: Mutex<Health>,
}

impl<T> Member<T> {
    /// Its place among all servers.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What became of what it was asked for.
    pub fn health(&self) -> MutexGuard<'_, Health> {
        lock(&self.health)
    }
}

impl<T> Roster<T> {
    /// Servers of which each may be asked for `most` at a time. `make` is called once for each address; `told` is told a
    /// server's address, what it is asked for and its speed (per second) whenever these have changed.
    ///
    /// # Errors
    /// As [`Addresses::read`].
    pub fn new(
        addresses: Addresses,
        most: usize,
        make: impl Fn(&str) -> T + Send + Sync + 'static,
        told: impl Fn(&str, usize, f64) + Send + Sync + 'static,
    ) -> Result<Self, Unusable> {
        let (listing, listed) = Listing::new(addresses, Instant::now())?;
        let roster = Self {
            listing: Mutex::new(listing),
            members: Mutex::default(),
            credit: Mutex::new(Credit::new(most)),
            wanted: AtomicUsize::new(0),
            make: Box::new(make),
            told: Box::new(told),
        };
        roster.list(&listed);
        Ok(roster)
    }

    /// All that were ever listed.
    pub fn all(&self) -> Vec<Arc<Member<T>>> {
        lock(&self.members).clone()
    }

    /// Those that are listed, in the order in which they were first.
    pub fn listed(&self) -> Vec<Arc<Member<T>>> {
        self.all().into_iter().filter(|member| member.listed.load(Ordering::Relaxed)).collect()
    }

    /// Sees whether the file of addresses has changed.
    pub fn look(&self) {
        // Somebody looks already; a slow disk holds up nobody else.
        let mut listing = match self.listing.try_lock() {
            Ok(listing) => listing,
            Err(TryLockError::Poisoned(listing)) => listing.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        match listing.look(Instant::now()) {
            Ok(Some(addresses)) => self.list(&addresses),
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}; the servers from before are asked"),
        }
    }

    /// Says that `amount` is wanted, as long as the answer lives: how much waits decides whether a slow server is asked.
    pub fn wanted(&self, amount: usize) -> Wanted<'_, T> {
        self.wanted.fetch_add(amount, Ordering::Relaxed);
        Wanted { roster: self, amount: AtomicUsize::new(amount) }
    }

    /// These addresses from now on; what is known of others is kept, should they come back.
    fn list(&self, addresses: &[String]) {
        let mut members = lock(&self.members);
        for url in addresses {
            if !members.iter().any(|member| &member.url == url) {
                let (server, index) = ((self.make)(url), members.len());
                let listed = AtomicBool::new(true);
                members.push(Arc::new(Member { url: url.clone(), server, index, listed, health: Mutex::default() }));
            }
        }
        let mut credit = lock(&self.credit);
        credit.grow(members.len());
        for member in members.iter() {
            member.listed.store(addresses.contains(&member.url), Ordering::Relaxed);
        }
    }
}

/// What somebody wants servers for.
pub struct Wanted<'a, T> {
    roster: &'a Roster<T>,
    amount: AtomicUsize,
}

impl<'a, T> Wanted<'a, T> {
    /// Takes credit for all of it from the one that will be done first, of those that are listed, healthy, and `may` be
    /// asked; `None` while there is none.
    pub fn take(&self, may: impl Fn(&Member<T>) -> bool) -> Option<Seat<'a, T>> {
        let (roster, amount) = (self.roster, self.amount.load(Ordering::Relaxed));
        // Held together, in this order: no server joins in between whose account would be open.
        let (members, now) = (lock(&roster.members), Instant::now());
        let mut credit = lock(&roster.credit);
        for member in members.iter() {
            let open = member.listed.load(Ordering::Relaxed) && member.health().is_open(now) && may(member);
            credit.set_open(member.index, open);
        }
        let waiting = roster.wanted.load(Ordering::Relaxed).saturating_sub(amount);
        let member = members[credit.take(amount, waiting, now)?].clone();
        let load = (credit.in_flight(member.index), credit.speed(member.index));
        drop((credit, members));
        (roster.told)(&member.url, load.0, load.1);
        Some(Seat { roster, member, amount, began: now, answered: false })
    }

    /// One less is wanted from here: somebody else wants it now.
    pub fn passed_on(&self) {
        let less = |amount: usize| amount.checked_sub(1);
        if self.amount.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            self.roster.wanted.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<T> Drop for Wanted<'_, T> {
    fn drop(&mut self) {
        self.roster.wanted.fetch_sub(self.amount.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Credit that was taken, and comes back whatever happens.
pub struct Seat<'a, T> {
    roster: &'a Roster<T>,
    member: Arc<Member<T>>,
    amount: usize,
    began: Instant,
    answered: bool,
}

impl<T> Seat<'_, T> {
    /// The server to ask.
    pub fn member(&self) -> &Arc<Member<T>> {
        &self.member
    }

    /// When it was taken.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Gives the credit back: the server answered, and its speed is known better now.
    pub fn answered(mut self) {
        self.answered = true;
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let (index, took) = (self.member.index, self.answered.then(|| self.began.elapsed()));
        let mut credit = lock(&self.roster.credit);
        credit.give_back(index, self.amount, took, Instant::now());
        let load = (credit.in_flight(index), credit.speed(index));
        drop(credit);
        (self.roster.told)(&self.member.url, load.0, load.1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::servers::{LOOK, Pauses};

    const PAUSES: Pauses = Pauses { first: Duration::from_secs(60), longest: Duration::from_secs(60) };

    fn roster(addresses: Addresses) -> Roster<usize> {
        Roster::new(addresses, 2, str::len, |_, _, _| {}).unwrap()
    }

    fn url(seat: Option<Seat<'_, usize>>) -> Option<String> {
        seat.map(|seat| seat.member().url.clone())
    }

    #[test]
    fn a_paused_server_and_one_that_may_not_be_asked_are_passed_over() {
        let urls = ["http://a", "http://b", "http://c"].map(str::to_owned).to_vec();
        let roster = roster(Addresses { urls, ..Addresses::default() });
        assert_eq!(url(roster.wanted(1).take(|_| true)).as_deref(), Some("http://a"));
        let now = Instant::now();
        roster.all()[0].health().failed(PAUSES, now, now, None, "down");
        assert_eq!(url(roster.wanted(1).take(|_| true)).as_deref(), Some("http://b"));
        assert_eq!(url(roster.wanted(1).take(|member| member.url != "http://b")).as_deref(), Some("http://c"));
        assert!(roster.wanted(1).take(|_| false).is_none());
    }

    #[test]
    fn credit_comes_back_with_its_seat_and_is_told() {
        let told: Arc<Mutex<Vec<usize>>> = Arc::default();
        let (urls, heard) = (vec!["http://a".into()], told.clone());
        let addresses = Addresses { urls, ..Addresses::default() };
        let roster = Roster::new(addresses, 1, |_| (), move |_, load, _| lock(&heard).push(load)).unwrap();
        let seat = roster.wanted(1).take(|_| true);
        assert!(seat.is_some() && roster.wanted(1).take(|_| true).is_none());
        drop(seat);
        roster.wanted(1).take(|_| true).unwrap().answered();
        assert_eq!(*lock(&told), [1, 0, 1, 0]);
        assert!(lock(&roster.credit).speed(0) > 0.0);
    }

    #[test]
    fn what_is_wanted_is_counted_until_it_is_passed_on_or_given_up() {
        let addresses = Addresses { urls: vec!["http://a".into()], ..Addresses::default() };
        let roster = roster(addresses);
        let wanted = || roster.wanted.load(Ordering::Relaxed);
        let queue = roster.wanted(3);
        let one = roster.wanted(1);
        (0..2).for_each(|_| queue.passed_on());
        assert_eq!(wanted(), 2);
        drop(one);
        (0..9).for_each(|_| queue.passed_on());
        assert_eq!(wanted(), 0);
        drop((queue, roster.wanted(5)));
        assert_eq!(wanted(), 0);
    }

    #[test]
    fn servers_may_join_while_others_are_asked() {
        for _ in 0..20 {
            let roster = roster(Addresses { urls: vec!["http://0".into()], ..Addresses::default() });
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    // Each new server is wanted by all of them.
                    scope.spawn(|| {
                        let mut held = Vec::new();
                        while held.len() < 60 {
                            held.extend(roster.wanted(1).take(|_| true));
                        }
                    });
                }
                let mut urls = Vec::new();
                for i in 0..100 {
                    urls.push(format!("http://{i}"));
                    roster.list(&urls);
                }
            });
            assert!((0..100).all(|server| lock(&roster.credit).in_flight(server) == 0));
        }
    }

    #[test]
    fn a_server_that_leaves_and_comes_back_is_the_one_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("servers.txt");
        let list = |text: &str| std::fs::write(&path, text).unwrap();
        list("http://a\nhttp://bb\n");
        let roster = roster(Addresses { file: Some(path.clone()), ..Addresses::default() });
        let listed = || {
            for _ in 0..2 {
                std::thread::sleep(LOOK);
                roster.look();
            }
            roster.listed().iter().map(|member| (member.index, member.server)).collect::<Vec<_>>()
        };
        list("http://bb\n");
        assert_eq!(listed(), [(1, 9)]);
        assert_eq!(url(roster.wanted(1).take(|_| true)).as_deref(), Some("http://bb"));
        list("http://ccc\nhttp://a\n");
        assert_eq!(listed(), [(0, 8), (2, 10)]);
        assert_eq!(roster.all().len(), 3);
    }
}
