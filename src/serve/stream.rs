//! A TCP stream whose other end must take what is written in time. Knows nothing of HTTP.

use std::{
    io::{Error, ErrorKind, IoSlice, Result},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// A write fails once its reader has left an answer untaken for too long, however slowly it reads on.
pub(super) struct Stream {
    inner: TcpStream,
    limit: Duration,
    late: Pin<Box<Sleep>>,
    /// Whether the reader is behind, and `late` runs.
    behind: bool,
}

impl Stream {
    pub fn new(inner: TcpStream, limit: Duration) -> Self {
        Self { inner, limit, late: Box::pin(sleep(limit)), behind: false }
    }

    fn in_time<T>(&mut self, context: &mut Context<'_>, written: Poll<Result<T>>) -> Poll<Result<T>> {
        if written.is_ready() {
            return written;
        }
        if !self.behind {
            self.behind = true;
            self.late.as_mut().reset(Instant::now() + self.limit);
        }
        ready!(self.late.as_mut().poll(context));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the answer is not taken")))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.in_time(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(context, parts);
        this.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Asked for when all of an answer is written, so the time of the next one begins anew.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_flush(context))?;
        this.behind = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, io::Read, thread};

    use tokio::net::TcpListener;

    use super::*;

    /// Writes parts of one answer to a reader until one fails, or all are written.
    async fn write(read: fn(&mut std::net::TcpStream), parts: usize) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reader = thread::spawn(move || read(&mut std::net::TcpStream::connect(address).unwrap()));
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = Stream::new(stream, Duration::from_millis(300));
        let part = vec![0; 1 << 16];
        let mut written = Ok(0);
        for _ in 0..parts {
            written = poll_fn(|context| Pin::new(&mut stream).poll_write(context, &part)).await;
            if written.is_err() {
                break;
            }
        }
        drop(stream);
        reader.join().unwrap();
        written.map(|_| ())
    }

    #[tokio::test]
    async fn an_answer_must_be_taken_in_time_however_steadily_it_is_taken() {
        let silent = |reader: &mut std::net::TcpStream| {
            thread::sleep(Duration::from_secs(2));
            let _ = reader.read_to_end(&mut Vec::new());
        };
        let slow = |reader: &mut std::net::TcpStream| {
            while reader.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                thread::sleep(Duration::from_millis(1));
            }
        };
        let fast = |reader: &mut std::net::TcpStream| drop(reader.read_to_end(&mut Vec::new()));
        for read in [silent, slow] {
            assert_eq!(write(read, 10_000).await.unwrap_err().kind(), ErrorKind::TimedOut);
        }
        assert!(write(fast, 1_000).await.is_ok());
    }
}
