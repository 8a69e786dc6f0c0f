//! A small reward service that is as fast, as wrong or as dead as it is told to be.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};

/// What it does with a request; the probe is answered well, unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub enum Mood {
    Well,
    /// This status.
    Status(u16),
    /// 401, to the probe too.
    Locked,
    /// Nothing, for longer than anybody waits.
    Hangs,
    /// Half of an answer, then nothing.
    Cuts,
    /// No JSON.
    Garbage,
    /// No scores.
    Empty,
    /// A reason why there is no score.
    Reason,
}

struct Inner {
    mood: Mutex<Mood>,
    /// Added to all scores, also to those of the probe: other models.
    shift: f64,
    /// One request after the other takes this long.
    time: Duration,
    busy: Mutex<()>,
    asked: AtomicU64,
    probed: AtomicU64,
}

pub struct StandIn {
    pub url: String,
    address: SocketAddr,
    inner: Arc<Inner>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// What any of them says of a report.
pub fn score(report: &str) -> f64 {
    report.bytes().map(u32::from).sum::<u32>() as f64 % 97.0 / 97.0
}

impl StandIn {
    pub fn new(time: Duration, shift: f64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, busy) = (Mutex::new(Mood::Well), Mutex::default());
        let inner =
            Arc::new(Inner { mood, shift, time, busy, asked: AtomicU64::default(), probed: AtomicU64::default() });
        let mut server = Self { url: format!("http://{address}"), address, inner, running: None };
        server.serve(listener);
        server
    }

    pub fn mood(&self, mood: Mood) {
        *self.inner.mood.lock().unwrap() = mood;
    }

    /// Requests but those of the probe.
    pub fn asked(&self) -> u64 {
        self.inner.asked.load(Ordering::SeqCst)
    }

    pub fn probed(&self) -> u64 {
        self.inner.probed.load(Ordering::SeqCst)
    }

    /// Ends it, connections included.
    pub fn kill(&mut self) {
        if let Some((alive, thread)) = self.running.take() {
            alive.store(false, Ordering::SeqCst);
            // Wakes the listener.
            drop(TcpStream::connect(self.address));
            thread.join().unwrap();
        }
    }

    /// Starts it again at the same address.
    pub fn restart(&mut self) {
        self.serve(TcpListener::bind(self.address).unwrap());
    }

    fn serve(&mut self, listener: TcpListener) {
        let (alive, inner) = (Arc::new(AtomicBool::new(true)), self.inner.clone());
        let lives = alive.clone();
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if !lives.load(Ordering::SeqCst) {
                    return;
                }
                let (inner, lives) = (inner.clone(), lives.clone());
                thread::spawn(move || inner.answer(stream.unwrap(), &lives));
            }
        });
        self.running = Some((alive, thread));
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Inner {
    fn answer(&self, mut stream: TcpStream, alive: &AtomicBool) {
        let Some(request) = read(&mut stream) else { return };
        let reports: Vec<&str> =
            request["hyps"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        let probe = reports[0].contains("endotracheal");
        if !probe {
            let _one_at_a_time = self.busy.lock().unwrap();
            thread::sleep(self.time);
        }
        if !alive.load(Ordering::SeqCst) {
            return;
        }
        (if probe { &self.probed } else { &self.asked }).fetch_add(1, Ordering::SeqCst);
        let scores: Vec<f64> = reports.iter().map(|report| score(report) + self.shift).collect();
        let well = json!({"result": "success", "data": {"predictions": {"rate_scores": scores}}}).to_string();
        let mood = self.mood.lock().unwrap().clone();
        let mood = if probe && mood != Mood::Locked { Mood::Well } else { mood };
        let (status, body) = match mood {
            Mood::Well => (200, well.clone()),
            Mood::Status(status) => (status, r#"{"result": "error", "data": {"message": "as told"}}"#.into()),
            Mood::Locked => (401, "{}".into()),
            Mood::Hangs => return thread::sleep(Duration::from_secs(5)),
            Mood::Cuts => (200, well[..well.len() / 2].to_owned()),
            Mood::Garbage => (200, "<html>".into()),
            Mood::Empty => (200, r#"{"result": "success", "data": {"predictions": {"rate_scores": []}}}"#.into()),
            Mood::Reason => {
                let reason = json!({"rate_scores": [null], "errors": ["an unreadable report"]});
                (200, json!({"result": "success", "data": {"predictions": reason}}).to_string())
            }
        };
        let length = if body.len() < well.len() && well.starts_with(&body) { well.len() } else { body.len() };
        // In one piece: small pieces wait for each other.
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// The body of a request; `None` where somebody only knocked.
fn read(stream: &mut TcpStream) -> Option<Value> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer).unwrap_or(0) {
            0 => return None,
            n => bytes.extend_from_slice(&buffer[..n]),
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && let Ok(request) = serde_json::from_str(body)
        {
            return Some(request);
        }
    }
}
