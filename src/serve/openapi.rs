//! The description of the service, made from the types that it reads and writes.

use std::sync::OnceLock;

use addendum_rewards_remote::wire::{Analyses, AnalyzeRequest, PredictRequest, Predictions, Refusal, Success};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::route::Route;

/// Where the schemas of types stand in the document.
const SCHEMAS: &str = "/components/schemas";

/// The document: OpenAPI 3.1, whose schemas are those of JSON Schema 2020-12.
pub(super) fn document() -> &'static [u8] {
    static DOCUMENT: OnceLock<Vec<u8>> = OnceLock::new();
    DOCUMENT.get_or_init(|| describe().to_string().into_bytes())
}

/// The types of requests and of answers, which differ in what may be absent.
struct Types {
    asked: SchemaGenerator,
    answered: SchemaGenerator,
}

fn describe() -> Value {
    let settings = || SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = SCHEMAS.into());
    let mut types = Types {
        asked: settings().for_deserialize().into_generator(),
        answered: settings().for_serialize().into_generator(),
    };
    let paths: Map<String, Value> =
        Route::ALL.into_iter().map(|route| (route.path().to_owned(), types.path(route))).collect();
    let mut schemas = types.asked.take_definitions(true);
    schemas.extend(types.answered.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rewards of chest X-ray reports",
            "description": "Clinical scores of reports against their references, and how reports differ from them, in the \
                            bodies of the services of the EditGRPO code.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

impl Types {
    fn path(&mut self, route: Route) -> Value {
        match route {
            Route::Predict => self.asks::<PredictRequest, Predictions>(
                route,
                "Scores reports against their references",
                json!({
                    "hyps": ["The heart is enlarged. No effusion."],
                    "refs": ["Cardiomegaly. Small left pleural effusion."],
                    "type": "free_form",
                    "requested_reward_components": ["radgraphf1", "cxb14micro", "ratescore"],
                    "per_pair": true,
                }),
            ),
            Route::Analyze => self.asks::<AnalyzeRequest, Analyses>(
                route,
                "Compares the entities of reports with those of their references",
                json!({
                    "generations": ["The heart is enlarged. No effusion."],
                    "ground_truth": ["Cardiomegaly. Small left pleural effusion."],
                }),
            ),
            Route::Health => {
                let schema = json!({
                    "type": "object",
                    "properties": {"status": {"const": "ok"}, "version": {"type": "string"}},
                    "required": ["status", "version"],
                });
                gives(route, "Answers while the process does", json_content(&schema))
            }
            Route::Metrics => {
                gives(route, "Metrics for Prometheus", json!({"text/plain": {"schema": {"type": "string"}}}))
            }
            Route::Openapi => gives(route, "This document", json_content(&json!({"type": "object"}))),
        }
    }

    /// A question by POST.
    fn asks<Q: JsonSchema, A: JsonSchema>(&mut self, route: Route, summary: &str, example: Value) -> Value {
        let mut content = json_content(self.asked.subschema_for::<Q>().as_value());
        content["application/json"]["example"] = example;
        let refusal = json_content(self.answered.subschema_for::<Refusal>().as_value());
        let refused = REFUSALS
            .iter()
            .map(|(status, when)| (status.to_string(), json!({"description": when, "content": refusal})));
        let mut responses: Map<String, Value> = refused.collect();
        let answer = json_content(self.answered.subschema_for::<Success<A>>().as_value());
        responses.insert("200".into(), json!({"description": "The scores", "content": answer}));
        json!({"post": {
            "operationId": route.label(),
            "summary": summary,
            "requestBody": {"required": true, "content": content},
            "responses": responses,
            "security": security(route),
        }})
    }
}

/// What is refused when.
const REFUSALS: [(u16, &str); 8] = [
    (400, "The request cannot be understood"),
    (401, "A token is asked for, and this is none or another"),
    (408, "The body did not arrive in time"),
    (413, "The body, a report or the answer is too long, or there are too many pairs"),
    (415, "The content type is not application/json"),
    (500, "A back end failed; there is no score in its place"),
    (503, "Too many requests wait; try again"),
    (504, "Scoring took too long"),
];

/// A path that is read by GET.
fn gives(route: Route, summary: &str, content: Value) -> Value {
    json!({"get": {
        "operationId": route.label(),
        "summary": summary,
        "responses": {"200": {"description": summary, "content": content}},
        "security": security(route),
    }})
}

/// A token, or, where the server asks for none, nothing.
fn security(route: Route) -> Value {
    if route.open() { json!([]) } else { json!([{"token": []}, {}]) }
}

fn json_content(schema: &Value) -> Value {
    json!({"application/json": {"schema": schema}})
}
