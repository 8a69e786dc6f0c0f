//! Rewards and edits from servers in processes of their own.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use addendum::{
    actors::{Stage, StageError},
    remote::ServiceConfig,
    replay::{Rollout, RolloutGroup, Scored},
    rewards::{Backends, Components},
    train::reward_services::Services,
};

use crate::{bytes, finish, policy, settings, studies, unscored};

/// Our own reward server in a process of its own, ended with the test.
struct Server(Child, String);

impl Server {
    fn start() -> Self {
        Self::listen("127.0.0.1:0", 1)
    }

    fn listen(address: &str, threads: usize) -> Self {
        let arguments = ["serve-rewards", "--listen", address, "--threads", &threads.to_string()];
        let mut command = Command::new(env!("CARGO_BIN_EXE_addendum"));
        let mut child = command.args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, line.trim().strip_prefix("listening on ").unwrap().to_owned())
    }

    fn at(&self, path: &str) -> Option<ServiceConfig> {
        Some(ServiceConfig { batch: 4, ..ServiceConfig::at(format!("{}{path}", self.1)) })
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// What it tells of itself.
    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.1.trim_start_matches("http://")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Every report that passes, with its reward.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<BTreeMap<String, Scored>>>);

impl Stage for Witness {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        let rewarded =
            |rollout: &Rollout| Some((format!("{}: {}", group.study.id, rollout.text), rollout.reward.clone()?));
        self.0.lock().unwrap().extend(group.rollouts.iter().filter_map(rewarded));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_our_own_reward_server_has_the_edits_and_scores_of_a_local_one() {
    let studies = studies(40);
    let policy = policy(&*studies);
    let server = Server::start();
    let mut local = settings();
    local.run.steps = 1;
    let mut served = local.clone();
    served.services = Services { reward: server.at("/predict"), edit: server.at("/analyze") };
    let mut seen = Vec::new();
    for settings in [local, served] {
        settings.validate().unwrap();
        let witness = Witness::default();
        let (chain, stage) = (unscored(&policy, &studies, settings.clone(), Duration::ZERO), witness.clone());
        let chain = settings.append_reward(chain, Backends::lexicon(), &Components::default()).unwrap();
        assert!(finish(chain.stage("witness", 1, move || Ok(stage.clone()))).await.finished);
        seen.push(std::mem::take(&mut *witness.0.lock().unwrap()));
    }
    let asked = server.metrics();
    for endpoint in ["predict", "analyze"] {
        assert!(asked.contains(&format!(r#"_requests_total{{endpoint="{endpoint}",status="200"}}"#)), "{asked}");
    }
    let [local, served] = &seen[..] else { unreachable!() };
    assert!(local.values().any(|reward| reward.total > 0.), "no reward to compare");
    assert_eq!(local.keys().collect::<Vec<_>>(), served.keys().collect::<Vec<_>>());
    for (report, expected) in local {
        let reward = &served[report];
        assert!((reward.total - expected.total).abs() < 1e-6, "{report}");
        assert_eq!(reward.components.keys().collect::<Vec<_>>(), expected.components.keys().collect::<Vec<_>>());
        for (name, value) in &expected.components {
            assert!((reward.components[name] - value).abs() < 1e-6, "{name} of {report}");
        }
    }
}

/// Kills a server when a few groups have passed, and starts it again a few groups later.
#[derive(Clone)]
struct Killer(Arc<Mutex<(usize, Server)>>);

impl Stage for Killer {
    fn process(&mut self, _: &mut RolloutGroup) -> Result<(), StageError> {
        let mut held = self.0.lock().unwrap();
        let (passed, server) = &mut *held;
        *passed += 1;
        match *passed {
            3 => server.kill(),
            7 => *server = Server::listen(server.1.trim_start_matches("http://"), 2),
            _ => {}
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rewards_from_two_servers_of_which_one_is_killed_give_the_adapter_of_local_ones() {
    let studies = studies(40);
    let policy = policy(&*studies);
    let servers = [Server::listen("127.0.0.1:0", 1), Server::listen("127.0.0.1:0", 2)];
    let mut local = settings();
    local.run.steps = 6;
    let urls = servers.iter().map(|server| server.1.clone()).collect();
    let service = Some(ServiceConfig { urls, batch: 2, ..ServiceConfig::default() });
    let mut served = local.clone();
    served.services = Services { reward: service.clone(), edit: service };
    let [mortal, other] = servers;
    let killer = Killer(Arc::new(Mutex::new((0, mortal))));
    let mut adapters = Vec::new();
    for settings in [local, served] {
        settings.validate().unwrap();
        let chain = unscored(&policy, &studies, settings.clone(), Duration::ZERO);
        let chain = settings.append_reward(chain, Backends::lexicon(), &Components::default()).unwrap();
        let chain = match adapters.is_empty() {
            true => chain,
            false => {
                let stage = killer.clone();
                chain.stage("killer", 1, move || Ok(stage.clone()))
            }
        };
        let summary = finish(chain).await;
        assert!(summary.finished && summary.dead_letters.is_empty());
        adapters.push(bytes(&summary));
    }
    assert!(adapters[0] == adapters[1], "the adapters differ");
    assert!(killer.0.lock().unwrap().0 > 7, "nobody was killed");
    let asked = other.metrics();
    for endpoint in ["predict", "analyze"] {
        assert!(asked.contains(&format!(r#"_requests_total{{endpoint="{endpoint}",status="200"}}"#)), "{asked}");
    }
}
