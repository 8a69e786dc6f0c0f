//! GREEN asked of any OpenAI-compatible chat endpoint (vLLM, llama.cpp, SGLang and others serve the published
//! `StanfordAIMI/GREEN-radllama2-7b`). What is asked and how answers are read is `addendum_rewards::green`.

use std::{convert::Infallible, path::PathBuf};

use addendum_rewards::green::{AnswerError, Grade, Graded, Prompt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Error, Malformed, Node, ServiceConfig, probe::Probe, servers::Form, service::Service};

/// Where the model is and how it is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GreenConfig {
    /// How the endpoint is reached. Its `url` is the API's base, as in `http://127.0.0.1:8000/v1`, or the whole address of `chat/completions`.
    pub service: ServiceConfig,
    /// The name under which the endpoint serves the model.
    pub model: String,
    /// A file with `{reference}` and `{candidate}` once each, to be asked instead of the built-in prompt; the published
    /// figures belong to the wording in the package of the authors.
    pub prompt: Option<PathBuf>,
    /// Tokens of an answer; the endpoint's own limit without it.
    pub longest_answer_tokens: Option<u32>,
}

/// The grader. Shareable between threads.
pub struct Green {
    service: Service,
    model: String,
    prompt: Prompt,
    longest_answer_tokens: Option<u32>,
}

impl Green {
    /// # Errors
    /// Impossible settings and an unusable prompt file.
    pub fn new(config: &GreenConfig) -> Result<Self, Error> {
        if config.model.trim().is_empty() {
            let (url, value) = (config.service.name(), "empty".into());
            return Err(Error::Config { url, field: "model".into(), value, expected: "the name of a model".into() });
        }
        let prompt = Prompt::read(config.prompt.as_deref())
            .map_err(|reason| Error::Prompt { url: config.service.name(), reason: Box::new(reason) })?;
        // Any answer will do: what a model says is not the same on all servers.
        let hello = json!({"model": config.model, "messages": [{"role": "user", "content": "1"}], "max_tokens": 1});
        let probe = Probe::new(&hello, |answer| content(answer).map(|_| Vec::new()));
        Ok(Self {
            service: Service::new(&config.service, Form::Under("/chat/completions"), probe)?,
            model: config.model.clone(),
            prompt,
            longest_answer_tokens: config.longest_answer_tokens,
        })
    }

    /// Grades one report.
    ///
    /// # Errors
    /// The endpoint fails, or its answer lacks the counts, is ambiguous or was cut.
    pub fn grade(&self, reference: &str, candidate: &str) -> Result<Grade, Error> {
        let mut request = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": self.prompt.ask(reference, candidate)}],
            "temperature": 0,
        });
        if let (Some(tokens), Value::Object(members)) = (self.longest_answer_tokens, &mut request) {
            members.insert("max_tokens".into(), tokens.into());
        }
        let (text, cut) = self.service.ask(&request, content)?;
        let grade = if cut { Err(AnswerError::Cut) } else { Grade::parse(&text) };
        grade.map_err(|reason| Error::Green { url: self.service.name().to_owned(), reason })
    }

    /// Grades each pair of reference and candidate. A failure is that pair's alone.
    pub fn grade_all(&self, pairs: &[(&str, &str)]) -> Graded<Error> {
        let grade = |&(reference, candidate): &(&str, &str)| Ok::<_, Infallible>(self.grade(reference, candidate));
        let Ok(grades) = self.service.each(pairs, grade);
        Graded { grades }
    }
}

/// The text of a chat completion, and whether it was cut.
fn content(answer: Node) -> Result<(String, bool), Malformed> {
    let choices = answer.get("choices");
    let Some(choice) = choices.items()?.into_iter().next() else {
        return Err(choices.malformed("at least one choice"));
    };
    let cut = choice.get("finish_reason").text().is_ok_and(|reason| reason == "length");
    Ok((choice.get("message").get("content").text()?.to_owned(), cut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scripted, quick};

    #[derive(Deserialize)]
    struct Exchange {
        name: String,
        reference: String,
        candidate: String,
        status: u16,
        response: Value,
        /// Or `error`.
        score: Option<f64>,
        significant: Option<[u32; 6]>,
        insignificant: Option<[u32; 6]>,
        matched: Option<u32>,
        error: Option<String>,
    }

    /// Written by hand in the forms of the published model, of other models and of common endpoints.
    fn written() -> Vec<Exchange> {
        serde_json::from_str(include_str!("green/written.json")).unwrap()
    }

    fn green(url: &str) -> Green {
        let mut service = quick(&url.replace("/path", "/v1"));
        service.backoff.attempts = 1;
        Green::new(&GreenConfig { service, model: "green".into(), ..GreenConfig::default() }).unwrap()
    }

    #[test]
    fn written_answers_give_their_counts_or_their_error() {
        for case in written() {
            let server = Scripted::new(vec![(case.status, &case.response.to_string())]);
            let grade = green(&server.url).grade(&case.reference, &case.candidate);
            match case.error {
                None => {
                    let grade = grade.unwrap_or_else(|error| panic!("{}: {error}", case.name));
                    assert_eq!(Some(grade.significant), case.significant, "{}", case.name);
                    assert_eq!(grade.insignificant, case.insignificant, "{}", case.name);
                    assert_eq!(Some(grade.matched), case.matched, "{}", case.name);
                    assert!((grade.score() - case.score.unwrap()).abs() < 1e-12, "{}", case.name);
                }
                Some(expected) => {
                    let message = grade.expect_err(&case.name).to_string();
                    assert!(message.contains(&server.url.replace("/path", "/v1/chat/completions")), "{message}");
                    assert!(message.contains(&expected), "{}: {message}", case.name);
                }
            }
            let request = server.requests().remove(0);
            assert!(request.starts_with("POST /v1/chat/completions "), "{request}");
            let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
            let question = body["messages"][0]["content"].as_str().unwrap();
            assert!(question.contains(&case.reference) && question.contains(&case.candidate));
            assert_eq!((&body["model"], &body["temperature"]), (&json!("green"), &json!(0)));
        }
    }

    #[test]
    fn a_failed_report_is_counted_and_in_no_mean() {
        let good = written().into_iter().find(|case| case.score == Some(0.75)).unwrap().response.to_string();
        let server = Scripted::new(vec![(200, &good), (200, r#"{"choices": []}"#), (200, &good)]);
        let graded = green(&server.url).grade_all(&[("a", "b"), ("c", "d"), ("e", "f")]);
        assert_eq!((graded.mean(), graded.failures()), (Some(0.75), 1));
        assert!(graded.grades[1].as_ref().unwrap_err().to_string().contains("`choices` is a list of 0"));
        assert_eq!(Graded::<Error> { grades: vec![] }.mean(), None);
    }

    #[test]
    fn a_model_must_be_named_and_a_prompt_must_hold_both_reports() {
        let dir = tempfile::tempdir().unwrap();
        let prompt = dir.path().join("prompt.txt");
        std::fs::write(&prompt, "Compare {reference} with itself.").unwrap();
        let service = ServiceConfig::at("http://127.0.0.1:1/v1");
        let refusal = |config: GreenConfig| Green::new(&config).err().unwrap().to_string();
        assert!(
            refusal(GreenConfig { service: service.clone(), ..GreenConfig::default() }).contains("`model` is empty")
        );
        let config = GreenConfig { service, model: "green".into(), prompt: Some(prompt), ..GreenConfig::default() };
        assert!(refusal(config).contains("`{candidate}` once each"));
    }
}
