//! Which servers are there, before a run begins.

use std::{thread, time::Duration};

use addendum_rewards_remote::servers::Addresses;

use super::{VllmConfig, VllmError, server::Server};

/// How long a server may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why each of the servers that cannot be asked cannot: a run waits for one that is not up yet, and for ever where the token
/// is wrong.
///
/// # Errors
/// A file of addresses or a token that cannot be read.
pub fn unreachable(addresses: &Addresses, config: &VllmConfig) -> Result<Vec<VllmError>, VllmError> {
    let token = config.token()?;
    let ask =
        |url: String| Server::new(url, token.clone(), PATIENCE).ask("/v1/models", "the list of models", None, PATIENCE);
    let listed = addresses.read()?;
    Ok(thread::scope(|scope| {
        let asked: Vec<_> = listed.into_iter().map(|url| scope.spawn(|| ask(url))).collect();
        asked.into_iter().filter_map(|answer| answer.join().ok()?.err()).collect()
    }))
}
