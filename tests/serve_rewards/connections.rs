//! Floods, slow and endless bodies, and connections while the server stops.

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    sync::mpsc,
    thread,
    time::Duration,
};

use addendum::{
    rewards::Backends,
    serve::{ServerConfig, ServiceOptions},
};

use crate::running::Running;

const REPORT: &str = r#"{"hyps":["Edema."],"refs":["Edema."],"type":"free_form"}"#;

fn with(config: ServerConfig) -> Running {
    Running::with(config, Backends::lexicon(), ServiceOptions::default())
}

fn head(path: &str, length: u64) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
}

#[test]
fn connections_that_keep_the_server_waiting_make_room_for_requests() {
    let server = with(ServerConfig { connections: 4, ..ServerConfig::default() });
    let silent = (0..4).map(|_| server.open(b""));
    let half_a_head = (0..4).map(|_| server.open(b"POST /predict HTTP/1.1\r\nHost: x"));
    let half_a_body = (0..4).map(|_| server.open(format!("{}{{", head("/predict", 100)).as_bytes()));
    let flood: Vec<TcpStream> = silent.chain(half_a_head).chain(half_a_body).collect();
    assert_eq!(server.post("/predict", REPORT).0, 200);
    drop(flood);
}

#[test]
fn a_body_announced_as_too_long_is_refused_before_it_comes() {
    let server = Running::lexicon();
    let answer = server.raw(head("/predict", 1_000_000_000_000_000_000).as_bytes()).to_lowercase();
    assert!(answer.starts_with("http/1.1 413") && answer.contains("connection: close"), "{answer}");
}

#[test]
fn a_client_that_sends_too_much_reads_why() {
    let server = with(ServerConfig { most_body_bytes: 1000, ..ServerConfig::default() });
    let body = format!("{REPORT}{}", " ".repeat(1 << 18));
    let (status, answer) = server.post("/predict", &body);
    assert_eq!((status, &answer["data"]["message"]), (413, &"The body is longer than 1000 bytes".into()));
    let chunks = format!(
        "{}{:x}\r\n{body}\r\n0\r\n\r\n",
        head("/predict", 0).replace("Content-Length: 0", "Transfer-Encoding: chunked\r\nConnection: close"),
        body.len()
    );
    let answer = server.raw(chunks.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn a_refusal_leaves_the_connection_sound_or_says_that_it_ends() {
    let server = Running::lexicon();
    let last = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (refused, status) in [
        (format!("{}abc", head("/nowhere", 3)), 404),
        (format!("{}abc", head("/health", 3)), 405),
        (format!("{}abc", head("/predict", 3).replace("/json", "/xml")), 415),
        (format!("{}abc", head("/predict", 3)), 400),
    ] {
        let answers = server.raw(format!("{refused}{last}").as_bytes());
        assert!(answers.starts_with(&format!("HTTP/1.1 {status}")), "{answers}");
        assert!(answers.contains("HTTP/1.1 200 OK") && answers.ends_with('}'), "{answers}");
    }
    for path in ["/nowhere", "/health"] {
        let answer = server.raw(format!("{}abc", head(path, 1000)).as_bytes()).to_lowercase();
        assert!(answer.starts_with("http/1.1 40") && answer.contains("connection: close"), "{answer}");
    }
}

#[test]
fn a_head_without_end_ends_the_connection() {
    let server = Running::lexicon();
    let mut stream = server.open(format!("GET /health HTTP/1.1\r\nX: {}", "x".repeat(100_000)).as_bytes());
    let mut answer = [0; 12];
    // What the server does not read may break the connection before its answer is seen.
    match stream.read_exact(&mut answer) {
        Ok(()) => assert_eq!(&answer, b"HTTP/1.1 431"),
        Err(error) => assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}"),
    }
}

#[test]
fn a_stopped_server_takes_nothing_new_and_waits_no_longer_than_it_may() {
    let drain = Duration::from_millis(300);
    let mut server = with(ServerConfig { drain, ..ServerConfig::default() });
    let address = server.address;
    let mut silent = server.open(b"");
    let mut half = server.open(format!("{}{{", head("/predict", 100)).as_bytes());
    // Both are accepted once this is answered.
    assert_eq!(server.post("/predict", REPORT).0, 200);
    server.stop();
    let (tell, ended) = mpsc::channel();
    thread::spawn(move || {
        drop(server);
        let _ = tell.send(());
    });
    ended.recv_timeout(Duration::from_secs(20)).expect("the server ends");
    for stream in [&mut silent, &mut half] {
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() && read.map_or_else(|e| e.kind() == ErrorKind::ConnectionReset, |_| true));
    }
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
