//! Bodies of requests: read within bounds, or turned away.

use std::{future::poll_fn, pin::Pin, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::StatusCode,
};

use super::Refused;

/// For so long a body that nobody wants is still taken: a client that is sending would find a broken connection in the
/// place of its answer.
const UNWANTED: Duration = Duration::from_secs(1);

/// The bytes of a body.
///
/// # Errors
/// A body of more than `most` bytes, which may be known before it arrives; one that takes longer than `time`, or breaks
/// off.
pub(super) async fn read(body: &mut Body, most: usize, time: Duration) -> Result<Vec<u8>, Refused> {
    let too_long = || Refused::too_large(format!("The body is longer than {most} bytes"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_long());
    }
    let whole = async {
        let mut bytes = Vec::new();
        while let Some(part) = next(body).await {
            let part = part.map_err(|error| Refused::bad(format!("The body could not be read: {error}")))?;
            if part.len() > most - bytes.len() {
                return Err(too_long());
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    };
    let late = |_| Refused::new(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time");
    tokio::time::timeout(time, whole).await.map_err(late)?
}

/// Lets a body arrive that nobody reads; whether its end came, and the connection can go on.
pub(super) async fn discard(body: &mut Body) -> bool {
    let end = async {
        loop {
            match next(body).await {
                Some(Ok(_)) => {}
                Some(Err(_)) => return false,
                None => return true,
            }
        }
    };
    tokio::time::timeout(UNWANTED, end).await.unwrap_or(false)
}

/// The next bytes of a body; none of its trailers.
async fn next(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}
