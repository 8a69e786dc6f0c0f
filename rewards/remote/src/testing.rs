//! A server that answers as it is told.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use super::{Backoff, ServiceConfig};

/// Serves the given answers, one per connection, then refuses connections.
pub(super) struct Scripted {
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
    server: Option<JoinHandle<()>>,
}

impl Scripted {
    pub fn new(answers: Vec<(u16, &str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/path", listener.local_addr().unwrap());
        let answers: Vec<(u16, String)> = answers.into_iter().map(|(status, body)| (status, body.to_owned())).collect();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let server = thread::spawn(move || {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let request = read(&mut stream);
                seen.lock().unwrap().push(request);
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
                     Location: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n"
                );
                // A client that has seen enough may be gone.
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
            }
        });
        Self { url, requests, server: Some(server) }
    }

    /// What arrived, once every answer is given.
    pub fn requests(mut self) -> Vec<String> {
        self.server.take().unwrap().join().unwrap();
        self.requests.lock().unwrap().clone()
    }
}

fn read(stream: &mut impl Read) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return whole;
            }
        }
        match stream.read(&mut buffer).unwrap() {
            0 => return whole,
            n => text.extend_from_slice(&buffer[..n]),
        }
    }
}

/// A config that hardly waits.
pub(super) fn quick(url: &str) -> ServiceConfig {
    let backoff =
        Backoff { attempts: 3, first_delay_seconds: 0.001, longest_delay_seconds: 0.002, deadline_seconds: 10. };
    ServiceConfig { timeout_seconds: 5., parallel: 1, backoff, ..ServiceConfig::at(url) }
}
