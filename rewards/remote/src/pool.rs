//! The servers of one service: who takes part, and who is asked.
//!
//! A server takes part once it has answered a fixed question (the [`Probe`]) as the others did. One that fails is out, and is
//! asked that question again after a pause, by a thread that nobody waits for: a server that is lost costs the requests that
//! it holds one failure each, and no request is spent on finding out whether it is back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{
    Error, ServiceConfig,
    endpoint::Endpoint,
    error::Blame,
    probe::{Difference, Probe, compare},
    servers::{self, Form, LOOK, Pauses, Roster, Wanted, lock},
    telemetry,
    tries::Tries,
};

/// A server with its connections.
pub(super) struct Server {
    pub endpoint: Endpoint,
    trial: Mutex<Trial>,
}

/// Whether a server takes part.
enum Trial {
    /// It is to be asked the fixed question; `hopeless` if it answered last what time alone does not mend.
    Due {
        hopeless: bool,
    },
    UnderWay,
    Passed,
}

pub(super) type Member = servers::Member<Server>;
pub(super) type Seat<'a> = servers::Seat<'a, Server>;

/// The servers of one service.
pub(super) struct Pool {
    roster: Roster<Server>,
    bell: Arc<Bell>,
    probe: Probe,
    /// What each server answered to the probe when it did first, by its index.
    told: Mutex<BTreeMap<usize, Vec<f64>>>,
    /// For an answer to the probe: with a first server that says nothing, there is time left to ask another one.
    patience: Duration,
    pauses: Pauses,
    /// The longest pause that a server may ask for.
    longest_wish: Duration,
}

impl Server {
    fn passed(&self) -> bool {
        matches!(*lock(&self.trial), Trial::Passed)
    }

    fn hopeless(&self) -> bool {
        matches!(*lock(&self.trial), Trial::Due { hopeless: true })
    }
}

impl Pool {
    /// # Errors
    /// Addresses that are none, and a token that cannot be read.
    pub fn new(config: &ServiceConfig, form: Form, probe: Probe) -> Result<Arc<Self>, Error> {
        let addresses = config.addresses(form)?;
        // The only one is asked for what is wanted, whatever it answered before.
        let alone = config.is_alone();
        let (token, longest) = (config.token()?, config.longest_answer_bytes);
        let make = move |url: &str| {
            let trial = if alone { Trial::Passed } else { Trial::Due { hopeless: false } };
            Server { endpoint: Endpoint::new(url, token.clone(), longest), trial: Mutex::new(trial) }
        };
        let bell = Arc::<Bell>::default();
        let ring = bell.clone();
        let told = move |url: &str, in_flight, speed| {
            telemetry::load(url, in_flight, speed);
            telemetry::asked(url);
            ring.ring();
        };
        let most = if alone { usize::MAX } else { config.parallel };
        let roster = Roster::new(addresses, most, make, told).map_err(|bad| Error::Config {
            url: config.name(),
            field: bad.field,
            value: bad.value,
            expected: bad.expected.into(),
        })?;
        let seconds = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let pauses = Pauses {
            // What would be no pause at all would ask without end.
            first: seconds(config.backoff.first_delay_seconds).max(Duration::from_millis(1)),
            longest: seconds(config.backoff.longest_delay_seconds).max(Duration::from_millis(1)),
        };
        let longest_wish = seconds(config.backoff.deadline_seconds);
        let patience = config.timeout().min(longest_wish / 2).max(Duration::from_millis(1));
        Ok(Arc::new(Self { roster, bell, probe, told: Mutex::default(), patience, pauses, longest_wish }))
    }

    /// How many servers are listed.
    pub fn servers(&self) -> usize {
        self.roster.listed().len()
    }

    /// The first server's address.
    pub fn first(&self) -> String {
        self.roster.listed().first().map(|member| member.url.clone()).unwrap_or_default()
    }

    /// Says how many requests are to be made.
    pub fn wanted(&self, requests: usize) -> Wanted<'_, Server> {
        self.roster.wanted(requests)
    }

    /// Waits for a server that takes part and has room.
    ///
    /// # Errors
    /// There is none for longer than `tries` allows, or none that could be waited for.
    pub fn seat(self: &Arc<Self>, tries: &mut Tries) -> Result<Seat<'_>, Error> {
        let wanted = self.roster.wanted(1);
        loop {
            let rung = self.bell.rung();
            self.roster.look();
            self.begin_trials();
            if let Some(error) = tries.used_up() {
                return Err(error);
            }
            let may = |member: &Member| member.server.passed() && tries.may(member.index());
            if let Some(seat) = wanted.take(may) {
                tries.begin();
                return Ok(seat);
            }
            let (listed, now) = (self.roster.listed(), Instant::now());
            if !listed.iter().any(|member| may(member) && member.health().is_open(now)) {
                tries.begin();
                if let Some(error) = in_vain(&listed, tries) {
                    return Err(error);
                }
            }
            self.bell.wait(rung);
        }
    }

    /// The server answered.
    pub fn answered(&self, seat: Seat<'_>) {
        seat.member().health().succeeded();
        telemetry::up(&seat.member().url, true);
        seat.answered();
    }

    /// The server failed at a request: it takes part no longer, until it has answered the probe. `after` is the time that it
    /// asks for.
    pub fn failed(&self, seat: Seat<'_>, error: &Error, after: Option<Duration>) {
        let member = seat.member();
        // Somebody has seen it already, who asked at the same time.
        let first = {
            let mut trial = lock(&member.server.trial);
            let passed = matches!(*trial, Trial::Passed);
            if passed {
                *trial = Trial::Due { hopeless: false };
            }
            passed
        };
        self.pause(member, seat.began(), after, error);
        if first {
            tracing::warn!("{error}; others are asked, and this server again when it answers");
        }
    }

    fn pause(&self, member: &Member, began: Instant, after: Option<Duration>, error: &Error) {
        // A page that a proxy shows meanwhile may ask for a day.
        let after = after.map(|after| after.min(self.longest_wish));
        member.health().failed(self.pauses, began, Instant::now(), after, error.to_string());
        telemetry::up(&member.url, false);
    }

    /// Asks those the probe that are new, or were out for long enough. Until one has answered they are asked in the order of
    /// the list, so that it is not chance which of them the others are compared with.
    fn begin_trials(self: &Arc<Self>) {
        let (now, known) = (Instant::now(), !lock(&self.told).is_empty());
        for member in self.roster.listed() {
            let (open, down) = {
                let health = member.health();
                (health.is_open(now), health.is_down())
            };
            let due = {
                let mut trial = lock(&member.server.trial);
                let due = open && matches!(*trial, Trial::Due { .. });
                if due {
                    *trial = Trial::UnderWay;
                }
                due
            };
            if due {
                let (pool, tried) = (self.clone(), member.clone());
                let thread = thread::Builder::new().name("probe".into());
                if let Err(error) = thread.spawn(move || pool.tried(&tried, now)) {
                    let error = Error::Transport { url: member.url.clone(), reason: error.to_string() };
                    self.out(&member, now, None, &error);
                }
            }
            if !known && !down {
                return;
            }
        }
    }

    fn tried(&self, member: &Member, began: Instant) {
        match member.server.endpoint.ask(&self.probe.body, self.patience, &*self.probe.read) {
            Ok(answer) => match self.compared(member, answer) {
                Ok(()) => {
                    *lock(&member.server.trial) = Trial::Passed;
                    telemetry::up(&member.url, true);
                    tracing::info!("{} takes part", member.url);
                    self.bell.ring();
                }
                Err(error) => self.out(member, began, None, &error),
            },
            Err((error, after)) => {
                telemetry::failed(&member.url);
                self.out(member, began, after, &error);
            }
        }
    }

    /// Compares a server's answer to the probe with the first one's of all that ever took part, listed or not: a run has
    /// one measure from its first step to its last.
    fn compared(&self, member: &Member, answer: Vec<f64>) -> Result<(), Error> {
        let (all, mut told) = (self.roster.all(), lock(&self.told));
        let first = all.iter().find_map(|other| Some((other, told.get(&other.index())?)));
        let Some((other, expected)) = first else {
            told.insert(member.index(), answer);
            return Ok(());
        };
        match compare(&answer, expected) {
            Difference::Models(theirs, ours) => {
                return Err(Error::Differs { url: member.url.clone(), other: other.url.clone(), theirs, ours });
            }
            Difference::Rounding(by) => tracing::warn!(
                "{} rounds otherwise than {} (by {by:.1e}): the same seed may not give the same adapter",
                member.url,
                other.url
            ),
            Difference::None => {}
        }
        told.entry(member.index()).or_insert(answer);
        Ok(())
    }

    /// A server did not pass.
    fn out(&self, member: &Member, began: Instant, after: Option<Duration>, error: &Error) {
        let text = error.to_string();
        if member.health().last() != Some(&text) {
            tracing::warn!("{text}; this server takes no part until it answers otherwise");
        }
        self.pause(member, began, after, error);
        *lock(&member.server.trial) = Trial::Due { hopeless: error.blame() != Blame::Moment };
        self.bell.ring();
    }
}

/// Why nobody can be waited for, while nobody can be asked.
fn in_vain(listed: &[Arc<Member>], tries: &mut Tries) -> Option<Error> {
    if listed.iter().all(|member| !tries.may(member.index()))
        && let Some(error) = tries.give_up()
    {
        return Some(error);
    }
    // A wrong answer is final where there is nobody else but servers that are down.
    let down = |member: &Arc<Member>| !tries.may(member.index()) || member.health().is_down();
    if tries.blames_a_server()
        && listed.iter().all(down)
        && let Some(error) = tries.give_up()
    {
        return Some(error);
    }
    let hopeless = !listed.is_empty() && listed.iter().all(|member| member.server.hopeless());
    if !hopeless && !tries.over() {
        return None;
    }
    let last = listed.iter().find_map(|member| member.health().last().map(str::to_owned));
    let last = last.unwrap_or_else(|| "none is listed".into());
    let nobody = Error::Nobody { servers: listed.len(), seconds: tries.elapsed().as_secs_f64(), last };
    Some(tries.give_up().unwrap_or(nobody))
}

/// Wakes whoever waits for a server.
#[derive(Default)]
struct Bell {
    rung: Mutex<u64>,
    heard: Condvar,
}

impl Bell {
    /// How often it was rung.
    fn rung(&self) -> u64 {
        *lock(&self.rung)
    }

    fn ring(&self) {
        let mut rung = lock(&self.rung);
        *rung = rung.wrapping_add(1);
        self.heard.notify_all();
    }

    /// Until it is rung again, or it is time to look by oneself.
    fn wait(&self, since: u64) {
        let rung = lock(&self.rung);
        drop(self.heard.wait_timeout_while(rung, LOOK, |rung| *rung == since));
    }
}
