//! What a server's answers say, checked.

use addendum_actors::Sampled;
use addendum_rewards_remote::{Malformed, Node};
use serde_json::Value;

/// A report as a server gives it.
#[derive(Debug, PartialEq)]
pub(super) struct Answered {
    /// Token ids, end token included unless truncated.
    pub tokens: Vec<u32>,
    /// Log-probability (nats) of each.
    pub logprobs: Vec<f32>,
    pub truncated: bool,
}

/// The answer to a chat: the prompt's tokens as the server reads them, and the reports in order.
///
/// # Errors
/// Another number of reports than was asked for, a token without a log-probability, anything that is no number.
pub(super) fn chat(answer: &Value, reports: usize) -> Result<(Vec<u32>, Vec<Answered>), Malformed> {
    let root = Node::root(answer);
    let prompt = ids(&root.get("prompt_token_ids"))?;
    let mut choices = root.get("choices").exactly(reports, "one choice per report asked for")?;
    choices.sort_by_key(|choice| choice.get("index").parsed::<u64>("an index").unwrap_or(u64::MAX));
    let read = choices.iter().map(report).collect::<Result<_, _>>()?;
    Ok((prompt, read))
}

fn report(choice: &Node<'_>) -> Result<Answered, Malformed> {
    let tokens = ids(&choice.get("token_ids"))?;
    if tokens.is_empty() {
        return Err(choice.get("token_ids").malformed("at least one token"));
    }
    let content = choice.get("logprobs").get("content").exactly(tokens.len(), "one log-probability per token")?;
    let logprobs = content.iter().map(|entry| logprob(&entry.get("logprob"))).collect::<Result<_, _>>()?;
    let truncated = match choice.get("finish_reason").text()? {
        "stop" => false,
        "length" => true,
        _ => return Err(choice.get("finish_reason").malformed("\"stop\" or \"length\"")),
    };
    Ok(Answered { tokens, logprobs, truncated })
}

/// The log-probabilities (nats) of a prompt's tokens from the second on.
///
/// # Errors
/// One that is missing, or no number.
pub(super) fn prompt_logprobs(answer: &Value, prompt: &[u32]) -> Result<Vec<f32>, Malformed> {
    let choices = Node::root(answer).get("choices").exactly(1, "one choice")?;
    let listed = choices[0].get("prompt_logprobs").exactly(prompt.len(), "one entry per token of the prompt")?;
    let pairs = prompt.iter().zip(&listed).skip(1);
    pairs.map(|(token, entry)| logprob(&entry.get(&token.to_string()).get("logprob"))).collect()
}

/// The log-probability (nats) of the only token of a completion.
///
/// # Errors
/// It is not there, or no number.
pub(super) fn first_logprob(answer: &Value) -> Result<f32, Malformed> {
    let choices = Node::root(answer).get("choices").exactly(1, "one choice")?;
    let logprobs = choices[0].get("logprobs").get("token_logprobs").exactly(1, "one log-probability")?;
    logprob(&logprobs[0])
}

fn ids(list: &Node<'_>) -> Result<Vec<u32>, Malformed> {
    list.items()?.iter().map(|id| id.parsed("a token id")).collect()
}

/// What is above 0 by more than rounding is no log-probability.
fn logprob(node: &Node<'_>) -> Result<f32, Malformed> {
    let value = node.number()?;
    if !(-1e4..=1e-3).contains(&value) {
        return Err(node.malformed("a log-probability, -10000 to 0"));
    }
    Ok(value.min(0.0) as f32)
}

/// The reports as a run takes them, all tokens drawn with one policy version.
pub(super) fn sampled(
    reports: Vec<Answered>,
    version: addendum_replay::PolicyVersion,
    decode: impl Fn(&[u32]) -> String,
) -> Vec<Sampled> {
    let sampled = reports.into_iter().map(|Answered { tokens, logprobs, truncated }| Sampled {
        text: decode(&tokens),
        versions: vec![version; tokens.len()],
        tokens,
        logprobs,
        truncated,
    });
    sampled.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn choice(index: u64, tokens: &[u32], reason: &str) -> Value {
        let content: Vec<_> = tokens.iter().map(|id| json!({"token": "x", "logprob": -f64::from(*id) / 8.0})).collect();
        json!({"index": index, "token_ids": tokens, "logprobs": {"content": content}, "finish_reason": reason})
    }

    #[test]
    fn reports_come_in_order_with_a_log_probability_for_each_token() {
        let choices = json!([choice(1, &[4, 2], "stop"), choice(0, &[8], "length")]);
        let (prompt, reports) = chat(&json!({"prompt_token_ids": [1, 5], "choices": choices}), 2).unwrap();
        assert_eq!(prompt, [1, 5]);
        assert_eq!(reports[0], Answered { tokens: vec![8], logprobs: vec![-1.0], truncated: true });
        assert_eq!(reports[1], Answered { tokens: vec![4, 2], logprobs: vec![-0.5, -0.25], truncated: false });
    }

    #[test]
    fn an_answer_that_lacks_something_is_named_by_its_field() {
        let good = || json!({"prompt_token_ids": [1], "choices": [choice(0, &[4, 2], "stop")]});
        let spoilt = |pointer: &str, value: Value| {
            let mut answer = good();
            *answer.pointer_mut(pointer).unwrap() = value;
            chat(&answer, 1).unwrap_err().to_string()
        };
        assert!(chat(&good(), 1).is_ok());
        assert!(chat(&good(), 2).unwrap_err().to_string().contains("`choices` is a list of 1"));
        assert!(spoilt("/prompt_token_ids", json!(null)).contains("prompt_token_ids"));
        assert!(spoilt("/choices/0/token_ids", json!([])).contains("token_ids"));
        assert!(spoilt("/choices/0/token_ids", json!([1.5, 2])).contains("token_ids[0]"));
        assert!(spoilt("/choices/0/token_ids", json!([1, 2, 3])).contains("one log-probability per token"));
        assert!(spoilt("/choices/0/logprobs/content/1/logprob", json!(null)).contains("content[1].logprob"));
        assert!(spoilt("/choices/0/logprobs/content/0/logprob", json!(0.5)).contains("a log-probability"));
        assert!(spoilt("/choices/0/finish_reason", json!("abort")).contains("finish_reason"));
    }

    #[test]
    fn log_probabilities_of_a_prompt_are_those_of_its_own_tokens() {
        let entry = |id: u32, value: f64| json!({id.to_string(): {"logprob": value}, "99": {"logprob": -0.1}});
        let answer = json!({"choices": [{"prompt_logprobs": [null, entry(7, -2.0), entry(8, -3.0)]}]});
        assert_eq!(prompt_logprobs(&answer, &[6, 7, 8]), Ok(vec![-2.0, -3.0]));
        assert!(prompt_logprobs(&answer, &[6, 7, 9]).unwrap_err().to_string().contains("prompt_logprobs[2].9"));
        assert!(prompt_logprobs(&answer, &[6, 7]).is_err());
    }

    /// The answers of a real vLLM to requests of these kinds.
    fn recorded(path: &str) -> Vec<Value> {
        let all: Value = serde_json::from_str(include_str!("../../tests/fixtures/vllm/exchanges.json")).unwrap();
        let of_path = |exchange: &&Value| exchange["path"] == path && exchange["status"] == 200;
        all["exchanges"].as_array().unwrap().iter().filter(of_path).cloned().collect()
    }

    #[test]
    fn what_a_real_server_answered_is_read() {
        let chats = recorded("/v1/chat/completions");
        let (prompt, reports) = chat(&chats[0]["answer"], 2).unwrap();
        // The image, which the checkpoint's least number of pixels enlarged to 112 × 112.
        assert_eq!(prompt.iter().filter(|id| **id == most_frequent(&prompt)).count(), 16);
        assert!(reports.iter().all(|report| report.tokens.len() == report.logprobs.len() && report.tokens.len() <= 12));
        let completions = recorded("/v1/completions");
        assert_eq!(prompt_logprobs(&completions[0]["answer"], &[5, 6, 7, 8]).unwrap().len(), 3);
        // That server gave log-probabilities before filters.
        assert!(first_logprob(&completions[1]["answer"]).unwrap() < -1.0);
    }

    fn most_frequent(ids: &[u32]) -> u32 {
        ids.iter().copied().max_by_key(|id| ids.iter().filter(|other| *other == id).count()).unwrap()
    }
}
