//! Entities from `POST /analyze`.

use super::{Malformed, Node, ServiceConfig, probe::Probe, servers::Form, service::Service, wire::AnalyzeRequest};
use addendum_rewards::{Entity, EntityExtractor, EntityType, Result};

/// By the entities of this sentence servers with other models are told apart.
const PROBE: &str = "Small left pleural effusion with adjacent atelectasis, but no pneumothorax.";

/// Extracts entities by a service.
///
/// Each sentence is sent as the ground truth of an empty generation: its entities are what that generation misses.
pub struct ExtractorService {
    service: Service,
}

impl ExtractorService {
    /// # Errors
    /// Impossible settings.
    pub fn new(config: &ServiceConfig) -> Result<Self> {
        let probe = Probe::new(&request(&[PROBE]), |answer| {
            let found = entities(&answer, 1)?.into_iter().flatten();
            let told = |entity: Entity| {
                [f64::from(entity.kind as u8)].into_iter().chain(entity.embedding.into_iter().map(f64::from))
            };
            Ok(found.flat_map(told).collect())
        });
        Ok(Self { service: Service::new(config, Form::Path("/analyze"), probe)? })
    }

    fn ask(&self, sentences: &[&str]) -> Result<Vec<Vec<Entity>>> {
        Ok(self.service.ask(&request(sentences), |answer| entities(&answer, sentences.len()))?)
    }
}

impl EntityExtractor for ExtractorService {
    /// Sentences without words have no entities and are not sent. The answer's dimension of embeddings is whatever the
    /// service's model has, the same for all.
    fn extract(&self, sentences: &[&str]) -> Result<Vec<Vec<Entity>>> {
        let spoken: Vec<&str> = sentences.iter().copied().filter(|sentence| !sentence.trim().is_empty()).collect();
        let batches: Vec<&[&str]> = spoken.chunks(self.service.batch).collect();
        let found = self.service.each(&batches, |batch| self.ask(batch))?;
        let mut found = found.into_iter().flatten();
        let of = |sentence: &&str| match sentence.trim().is_empty() {
            true => Vec::new(),
            false => found.next().unwrap_or_default(),
        };
        Ok(sentences.iter().map(of).collect())
    }
}

fn request(sentences: &[&str]) -> AnalyzeRequest {
    AnalyzeRequest {
        generations: vec![String::new(); sentences.len()],
        ground_truth: sentences.iter().map(|&sentence| sentence.to_owned()).collect(),
    }
}

fn entities(answer: &Node, sentences: usize) -> std::result::Result<Vec<Vec<Entity>>, Malformed> {
    let result = answer.get("result");
    if result.text()? != "success" {
        return Err(result.malformed("`success`"));
    }
    let results = answer.get("data").get("predictions").get("analysis_results");
    let mut width = None;
    let mut of_sentence = |analysis: &Node| {
        analysis.get("error").without_reason()?;
        analysis.get("false_negatives").items()?.iter().map(|node| entity(node, &mut width)).collect()
    };
    results.exactly(sentences, "one analysis per generation")?.iter().map(&mut of_sentence).collect()
}

fn entity(node: &Node, width: &mut Option<usize>) -> std::result::Result<Entity, Malformed> {
    let kind: EntityType = node.get("type").parsed("one of RaTEScore's five entity types")?;
    let embedding = node.get("embedding");
    let values = match *width {
        None => embedding.items()?,
        Some(width) => embedding.exactly(width, "an embedding as long as the others")?,
    };
    if values.is_empty() {
        return Err(embedding.malformed("an embedding"));
    }
    *width = Some(values.len());
    let narrow = |value: &Node| match value.number()? as f32 {
        narrow if narrow.is_finite() => Ok(narrow),
        _ => Err(value.malformed("a number in the range of f32")),
    };
    let embedding = values.iter().map(narrow).collect::<std::result::Result<_, _>>()?;
    Ok(Entity { text: node.get("text_span").text()?.to_owned(), kind, embedding })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Scripted, quick};

    fn entity(text: &str, embedding: Value) -> Value {
        json!({"text_span": text, "type": "NON-DISEASE", "original_label": "NON-DISEASE", "sentence": "", "embedding": embedding})
    }

    fn answer(analyses: &[Vec<Value>]) -> String {
        let analysis = |missing: &Vec<Value>| {
            json!({"contradictions": [], "false_positives": [], "false_negatives": missing,
                "ref_entities_grouped_by_sentence": {}})
        };
        let results: Vec<Value> = analyses.iter().map(analysis).collect();
        json!({"result": "success", "data": {"predictions": {"analysis_results": results}}}).to_string()
    }

    fn extract(body: &str, sentences: &[&str]) -> Result<Vec<Vec<Entity>>> {
        let server = Scripted::new(vec![(200, body)]);
        ExtractorService::new(&ServiceConfig { batch: 8, ..quick(&server.url) }).unwrap().extract(sentences)
    }

    #[test]
    fn entities_come_back_to_their_sentences_and_silence_is_not_sent() {
        let body = answer(&[vec![entity("effusion", json!([0.25, -1e-3]))], vec![]]);
        let found = extract(&body, &["No effusion.", " ", "And so on."]).unwrap();
        let effusion = Entity { text: "effusion".into(), kind: EntityType::NonDisease, embedding: vec![0.25, -1e-3] };
        assert_eq!(found, [vec![effusion], vec![], vec![]]);
    }

    #[test]
    fn what_is_missing_or_of_another_kind_is_an_error_with_its_field() {
        let place = "`data.predictions.analysis_results[0].false_negatives[0]";
        let untyped = json!({"text_span": "effusion", "type": "ORGAN", "embedding": [1.0]});
        let cases = [
            (answer(&[]), "analysis_results` is a list of 0, expected one analysis per generation".to_owned()),
            (answer(&[vec![entity("a", json!([]))]]), format!("{place}.embedding` is a list of 0")),
            (answer(&[vec![entity("a", json!([null]))]]), format!("{place}.embedding[0]` is null")),
            (answer(&[vec![entity("a", json!([1e300]))]]), "range of f32".to_owned()),
            (answer(&[vec![untyped]]), format!("{place}.type` is a string, expected one of")),
            (
                answer(&[vec![entity("a", json!([1, 2])), entity("b", json!([1]))]]),
                "an embedding as long as the others".to_owned(),
            ),
            (
                answer(&[vec![]]).replace("{\"contra", "{\"error\":\"no string\",\"contra"),
                "analysis_results[0].error` is \"no string\", expected none".to_owned(),
            ),
            (json!({"status": "error", "message": "x"}).to_string(), "`result` is missing".to_owned()),
        ];
        for (body, expected) in cases {
            let message = extract(&body, &["No effusion."]).unwrap_err().to_string();
            assert!(message.contains("http://127.0.0.1") && message.contains(&expected), "{body}: {message}");
        }
    }
}
