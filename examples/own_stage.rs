//! A stage of one's own that asks a service over HTTP, many groups at a time, between the editor and the reward: edited
//! reports that the service does not like leave their group.
//!
//!     cargo run --release --example own_stage [URL]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use addendum::{
    actors::{AsyncStage, Pool, StageError},
    replay::RolloutGroup,
    train::{Settings, Sources, Training},
};

struct Veto(String);

impl AsyncStage for Veto {
    async fn process(&self, group: &mut RolloutGroup) -> Result<(), StageError> {
        let mut kept = Vec::new();
        for rollout in std::mem::take(&mut group.rollouts) {
            let (url, text) = (self.0.clone(), rollout.text.clone());
            let ask = move || ureq::post(&url).send(text.as_str())?.body_mut().read_to_string();
            if rollout.is_sampled() || tokio::task::spawn_blocking(ask).await?? == "fine" {
                kept.push(rollout);
            }
        }
        group.rollouts = kept;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).map_or_else(service, Ok)?;
    let sets = ["run.steps=4", "learner.schedule.warmup_steps=0", "run.batch_groups=2", "data.phantoms.held_out=16"]
        .map(String::from);
    let file = Some("configs/phantoms.toml".as_ref());
    let settings = Settings::load(&Sources { file, sets: &sets })?;
    let stage = Pool::asynchronous("veto", 8, move || Ok(Veto(url.clone()))).timeout(Duration::from_secs(10));
    let run = Training::new(settings).pipeline(|chain| Ok(chain.after("editor", stage)?)).prepare()?;
    run.train().await.map(|_| ())
}

/// A stand-in for the service: it finds long reports tiresome.
fn service() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    std::thread::spawn(move || listener.incoming().flatten().for_each(|client| drop(answer(client))));
    Ok(url)
}

fn answer(mut client: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let head: Vec<String> = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let length = head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let verdict = if length.unwrap_or(0) < 300 { "fine" } else { "long" };
    std::io::copy(&mut reader.take(length.unwrap_or(0)), &mut std::io::sink())?;
    write!(client, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\n{verdict}")
}
