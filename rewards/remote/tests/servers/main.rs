//! One reward service on several servers, over stand-ins of different speed and different faults.

mod stand_in;

use std::{
    thread,
    time::{Duration, Instant},
};

use addendum_rewards::{Reward, RewardConfig};
use addendum_rewards_remote::{Backoff, RewardService, ServiceConfig};

use stand_in::{Mood, StandIn, score};

const AT_ONCE: Duration = Duration::ZERO;
const WATCHDOG: Duration = Duration::from_secs(60);

fn config(servers: &[&StandIn]) -> ServiceConfig {
    let backoff =
        Backoff { attempts: 2, first_delay_seconds: 0.02, longest_delay_seconds: 0.1, deadline_seconds: 30.0 };
    let urls = servers.iter().map(|server| server.url.clone()).collect();
    ServiceConfig { urls, parallel: 2, backoff, ..ServiceConfig::default() }
}

fn service(config: &ServiceConfig) -> RewardService {
    let weights = [("rate".to_owned(), 1.0)].into();
    RewardService::new(config, &RewardConfig { weights, ..RewardConfig::default() }).unwrap()
}

fn reports(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("Finding number {i}.")).collect()
}

fn scored(service: &RewardService, reports: &[String]) -> addendum_rewards::Result<Vec<Reward>> {
    service.score("No pneumothorax.", &reports.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Scores all reports, each as any server scores it.
fn all_right(service: &RewardService, reports: &[String]) {
    let totals: Vec<f64> = scored(service, reports).unwrap().into_iter().map(|reward| reward.total).collect();
    assert_eq!(totals, reports.iter().map(|report| score(report)).collect::<Vec<_>>());
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < WATCHDOG, "{what} does not happen");
    }
}

#[test]
fn the_faster_a_server_the_more_it_is_asked_and_a_slow_one_holds_no_batch() {
    let (fast, slow) = (StandIn::new(Duration::from_millis(2), 0.0), StandIn::new(Duration::from_millis(200), 0.0));
    let service = service(&config(&[&slow, &fast]));
    for _ in 0..10 {
        all_right(&service, &reports(20));
    }
    assert_eq!(fast.asked() + slow.asked(), 200);
    assert!(slow.asked() > 0 && slow.asked() * 3 < fast.asked(), "{} and {}", slow.asked(), fast.asked());
}

#[test]
fn a_server_that_dies_costs_nothing_and_comes_back_by_itself() {
    let (mut mortal, other) = (StandIn::new(AT_ONCE, 0.0), StandIn::new(Duration::from_millis(1), 0.0));
    let service = service(&config(&[&mortal, &other]));
    until("a first answer", || {
        all_right(&service, &reports(8));
        mortal.asked() > 8
    });
    thread::scope(|scope| {
        // In the middle of what it is asked.
        let scoring = scope.spawn(|| (0..20).for_each(|_| all_right(&service, &reports(8))));
        mortal.kill();
        scoring.join().unwrap();
    });
    let (dead, others) = (mortal.asked(), other.asked());
    all_right(&service, &reports(8));
    assert_eq!((mortal.asked(), other.asked()), (dead, others + 8));
    mortal.restart();
    until("its return", || {
        all_right(&service, &reports(8));
        mortal.asked() > dead
    });
    assert!(mortal.probed() >= 2, "it must answer the probe again");
}

#[test]
fn what_one_server_fails_at_another_answers() {
    let faults = [
        Mood::Status(500),
        Mood::Status(503),
        Mood::Status(429),
        Mood::Status(401),
        Mood::Status(404),
        Mood::Status(302),
        Mood::Hangs,
        Mood::Cuts,
        Mood::Garbage,
        Mood::Empty,
    ];
    for fault in faults {
        let (faulty, well) = (StandIn::new(AT_ONCE, 0.0), StandIn::new(Duration::from_millis(5), 0.0));
        let service = service(&ServiceConfig { timeout_seconds: 0.5, ..config(&[&faulty, &well]) });
        faulty.mood(fault.clone());
        until("a request to the faulty one", || {
            all_right(&service, &reports(8));
            faulty.asked() > 0
        });
        faulty.mood(Mood::Well);
        let failed = faulty.asked();
        until("its return", || {
            all_right(&service, &reports(8));
            faulty.asked() > failed
        });
    }
}

#[test]
fn what_nobody_would_answer_is_asked_once() {
    for (mood, told) in [
        (Mood::Status(400), "status 400: as told"),
        (Mood::Status(413), "status 413"),
        (Mood::Reason, "an unreadable report"),
    ] {
        let servers = [StandIn::new(AT_ONCE, 0.0), StandIn::new(AT_ONCE, 0.0)];
        let service = service(&config(&[&servers[0], &servers[1]]));
        until("that both take part", || {
            all_right(&service, &reports(8));
            servers.iter().all(|server| server.asked() > 0)
        });
        let asked = || servers[0].asked() + servers[1].asked();
        let before = asked();
        servers.iter().for_each(|server| server.mood(mood.clone()));
        let message = scored(&service, &reports(1)).unwrap_err().to_string();
        assert!(message.contains(told), "{message}");
        assert_eq!(asked(), before + 1);
        // And neither is out.
        servers.iter().for_each(|server| server.mood(Mood::Well));
        let probes = servers[0].probed() + servers[1].probed();
        all_right(&service, &reports(8));
        assert_eq!(servers[0].probed() + servers[1].probed(), probes);
    }
}

#[test]
fn an_answer_that_is_wrong_everywhere_is_told_after_each_was_asked_once() {
    let servers = [StandIn::new(AT_ONCE, 0.0), StandIn::new(AT_ONCE, 0.0)];
    let service = service(&config(&[&servers[0], &servers[1]]));
    servers.iter().for_each(|server| server.mood(Mood::Empty));
    let message = scored(&service, &reports(1)).unwrap_err().to_string();
    assert!(message.contains("one score per pair") && message.contains("tried 2 times"), "{message}");
    // The other one is asked as soon as it takes part.
    assert_eq!((servers[0].asked(), servers[1].asked()), (1, 1));
}

#[test]
fn a_failure_of_all_is_tried_as_often_at_each_as_the_settings_say() {
    let servers = [StandIn::new(AT_ONCE, 0.0), StandIn::new(AT_ONCE, 0.0)];
    let service = service(&config(&[&servers[0], &servers[1]]));
    servers.iter().for_each(|server| server.mood(Mood::Status(500)));
    let message = scored(&service, &reports(1)).unwrap_err().to_string();
    assert!(message.contains("status 500: as told (tried 4 times"), "{message}");
    assert_eq!((servers[0].asked(), servers[1].asked()), (2, 2));
}

#[test]
fn a_server_with_other_models_is_never_asked() {
    let (mut first, other) = (StandIn::new(Duration::from_millis(5), 0.0), StandIn::new(AT_ONCE, -0.125));
    let mut config = config(&[&first, &other]);
    let service_of_both = service(&config);
    until("a probe of the other one", || {
        all_right(&service_of_both, &reports(8));
        other.probed() > 2
    });
    assert_eq!(other.asked(), 0);
    first.kill();
    config.backoff.deadline_seconds = 5.0;
    let message = scored(&service(&config), &reports(1)).map(|rewards| rewards[0].total);
    // Alone it is what it says it is.
    assert_eq!(message.unwrap(), score("Finding number 0.") - 0.125);
    // To those who know the first one it is not.
    let waiting = thread::spawn(move || scored(&service_of_both, &reports(1)).map(|rewards| rewards[0].total));
    thread::sleep(Duration::from_millis(300));
    first.restart();
    assert_eq!(waiting.join().unwrap().unwrap(), score("Finding number 0."));
}

#[test]
fn nobody_is_waited_for_no_longer_than_the_settings_say() {
    let mut servers = [StandIn::new(AT_ONCE, 0.0), StandIn::new(AT_ONCE, 0.0)];
    let mut config = config(&[&servers[0], &servers[1]]);
    config.backoff.deadline_seconds = 0.3;
    let service = service(&config);
    // On a busy machine the first probe may take longer than that.
    until("the first answer", || scored(&service, &reports(8)).is_ok());
    servers.iter_mut().for_each(StandIn::kill);
    // The first requests find out who is down, and are told what they met.
    until("that nobody is there", || {
        let message = scored(&service, &reports(1)).unwrap_err().to_string();
        message.contains("none of the 2 servers can be asked") && message.contains("http://127.0.0.1")
    });
    servers.iter_mut().for_each(StandIn::restart);
    until("their return", || scored(&service, &reports(8)).is_ok());
}

#[test]
fn servers_that_are_wrong_from_the_start_are_told_at_once() {
    let servers = [StandIn::new(AT_ONCE, 0.0), StandIn::new(AT_ONCE, 0.0)];
    servers.iter().for_each(|server| server.mood(Mood::Locked));
    let mut config = config(&[&servers[0], &servers[1]]);
    // Nobody waits for so long.
    config.backoff.deadline_seconds = 80_000.0;
    let service = service(&config);
    let message = scored(&service, &reports(1)).unwrap_err().to_string();
    assert!(message.contains("none of the 2 servers can be asked") && message.contains("status 401"), "{message}");
    assert_eq!((servers[0].asked(), servers[1].asked()), (0, 0));
    servers[1].mood(Mood::Well);
    until("its part", || scored(&service, &reports(1)).is_ok());
}

#[test]
fn a_server_joins_by_a_line_and_leaves_by_its_end() {
    let (first, second) = (StandIn::new(Duration::from_millis(2), 0.0), StandIn::new(AT_ONCE, 0.0));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("servers.txt");
    std::fs::write(&file, format!("{}\n", first.url)).unwrap();
    let service = service(&ServiceConfig { urls_file: Some(file.clone()), ..config(&[]) });
    all_right(&service, &reports(8));
    std::fs::write(&file, format!("{}\n{}/predict # joins\n", first.url, second.url)).unwrap();
    until("its first request", || {
        all_right(&service, &reports(8));
        second.asked() > 0
    });
    std::fs::write(&file, format!("{}/predict\n", second.url)).unwrap();
    // Two looks, each by a request, and what is under way.
    for _ in 0..4 {
        thread::sleep(Duration::from_millis(300));
        all_right(&service, &reports(8));
    }
    let asked = first.asked();
    (0..20).for_each(|_| all_right(&service, &reports(8)));
    assert_eq!(first.asked(), asked, "a server that is not listed any more is asked");
    // One that was emptied, as by somebody who writes it, changes nothing.
    std::fs::write(&file, "").unwrap();
    for _ in 0..4 {
        thread::sleep(Duration::from_millis(300));
        all_right(&service, &reports(8));
    }
}

#[test]
fn servers_that_replace_all_others_are_compared_with_those_that_are_gone() {
    let (first, like, unlike) = (StandIn::new(AT_ONCE, 0.0), StandIn::new(AT_ONCE, 0.0), StandIn::new(AT_ONCE, -0.125));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("servers.txt");
    std::fs::write(&file, format!("{}\n", first.url)).unwrap();
    let service = service(&ServiceConfig { urls_file: Some(file.clone()), ..config(&[]) });
    all_right(&service, &reports(8));
    std::fs::write(&file, format!("{}\n{}\n", unlike.url, like.url)).unwrap();
    until("the other two's turn", || {
        all_right(&service, &reports(8));
        unlike.probed() > 1 && like.asked() > 20
    });
    assert_eq!(unlike.asked(), 0);
}
