//! The description at `/openapi.json`: it holds what the service really reads and answers.

use std::collections::BTreeSet;

use addendum::{
    rewards::Backends,
    serve::{ServerConfig, ServiceOptions},
};
use serde_json::{Value, json};

use crate::running::Running;

fn description(server: &Running) -> Value {
    let (status, head, body) = server.send("GET", "/openapi.json", "", "");
    assert!(status == 200 && head.contains("application/json"), "{status} {head}");
    serde_json::from_str(&body).unwrap()
}

/// A schema, references followed.
fn followed<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => followed(document, document.pointer(path.trim_start_matches('#')).expect(path)),
        None => schema,
    }
}

/// What of a value is not as a schema says: what JSON Schema asks of the words that the description uses, and that no
/// member of an object goes unmentioned.
fn problems(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let schema = followed(document, schema);
    let mut found = Vec::new();
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{place}: the type {other} is new to this test"),
    };
    if !kinds.is_empty() && !kinds.iter().any(is) {
        found.push(format!("{place} is {value}, expected {kinds:?}"));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        found.push(format!("{place} is {value}, expected {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|choices| !choices.contains(value)) {
        found.push(format!("{place} is {value}, expected one of {}", schema["enum"]));
    }
    let fits = |schema: &&Value| problems(document, schema, value, place).is_empty();
    if schema["oneOf"].as_array().is_some_and(|choices| choices.iter().filter(fits).count() != 1) {
        found.push(format!("{place} is {value}, expected exactly one of {}", schema["oneOf"]));
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        let of = |(i, value)| problems(document, items, value, &format!("{place}[{i}]"));
        found.extend(values.iter().enumerate().flat_map(of));
    }
    if let Some(members) = value.as_object() {
        for (name, value) in members {
            let place = format!("{place}.{name}");
            match schema["properties"].get(name).or_else(|| schema.get("additionalProperties")) {
                Some(schema) => found.extend(problems(document, schema, value, &place)),
                None => found.push(format!("{place} is not described")),
            }
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        found.extend(required.filter(|name| !members.contains_key(*name)).map(|name| format!("{place} lacks {name}")));
    }
    found
}

fn assert_described(document: &Value, path: &str, status: u16, answer: &Value) {
    let response = &document["paths"][path]["post"]["responses"][status.to_string()];
    let found = problems(document, &response["content"]["application/json"]["schema"], answer, "answer");
    assert!(!response.is_null() && found.is_empty(), "{path} {status}: {found:#?}");
}

#[test]
fn every_path_is_described_with_its_method_and_no_other() {
    let server = Running::lexicon();
    let document = description(&server);
    assert_eq!(document["openapi"], "3.1.0");
    let paths: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(paths, ["/analyze", "/health", "/metrics", "/openapi.json", "/predict"].into());
    for path in paths {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let described = document["paths"][path].get(method.to_lowercase()).is_some();
            let (status, ..) = server.send(method, path, "Content-Type: application/json\r\n", "");
            assert_eq!(status == 405, !described, "{method} {path}: {status}");
        }
    }
    let health: Value = serde_json::from_str(&server.send("GET", "/health", "", "").2).unwrap();
    let schema = &document["paths"]["/health"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(problems(&document, schema, &health, "health"), Vec::<String>::new());
}

#[test]
fn examples_are_answered_as_described() {
    let server = Running::lexicon();
    let document = description(&server);
    for path in ["/predict", "/analyze"] {
        let content = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        assert_eq!(problems(&document, &content["schema"], &content["example"], "request"), Vec::<String>::new());
        let (status, answer) = server.post(path, &content["example"].to_string());
        assert_eq!(status, 200, "{answer}");
        assert_described(&document, path, 200, &answer);
        // A spoilt pair beside a sound one.
        let mut example = content["example"].clone();
        for list in example.as_object_mut().unwrap().values_mut().filter_map(Value::as_array_mut) {
            list.insert(0, list[0].clone());
        }
        let spoilt = example.to_string().replacen("\"The heart is enlarged. No effusion.\"", "NaN", 1);
        let (status, answer) = server.post(path, &spoilt);
        assert_eq!(status, 200, "{answer}");
        assert_described(&document, path, 200, &answer);
        assert!(answer.to_string().contains("is null, expected a string"), "{answer}");
    }
}

#[test]
fn every_member_of_a_request_is_described_and_read() {
    let server = Running::lexicon();
    let document = description(&server);
    for (path, members) in [
        ("/predict", &["hyps", "per_pair", "refs", "requested_reward_components", "type"][..]),
        ("/analyze", &["generations", "ground_truth"]),
    ] {
        let content = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        let schema = followed(&document, &content["schema"]);
        assert!(schema["properties"].as_object().unwrap().keys().eq(members), "{schema}");
        for name in members {
            let mut request = content["example"].clone();
            request[name] = json!(7);
            assert!(!problems(&document, schema, &request, "request").is_empty(), "{name} may be 7");
            let (status, answer) = server.post(path, &request.to_string());
            assert_eq!(status, 400, "{name}: {answer}");
            assert!(answer["data"]["message"].as_str().unwrap().contains(name), "{name}: {answer}");
            assert_described(&document, path, 400, &answer);
            request.as_object_mut().unwrap().remove(*name);
            let required = schema["required"].as_array().unwrap().contains(&json!(name));
            assert_eq!(server.post(path, &request.to_string()).0 == 400, required, "{name}");
        }
    }
    let text = json!({"generations": ["Edema."], "ground_truth": "Edema."});
    assert_eq!(server.post("/analyze", &text.to_string()).0, 200);
    let content = &document["paths"]["/analyze"]["post"]["requestBody"]["content"]["application/json"];
    assert_eq!(problems(&document, &content["schema"], &text, "request"), Vec::<String>::new());
}

#[test]
fn a_token_is_asked_for_where_the_description_says_so() {
    let token = Some(addendum::remote::Secret::new("t").unwrap());
    let server = Running::with(
        ServerConfig { token, ..ServerConfig::default() },
        Backends::lexicon(),
        ServiceOptions::default(),
    );
    let authorization = "Authorization: Bearer t\r\n";
    let document: Value = serde_json::from_str(&server.send("GET", "/openapi.json", authorization, "").2).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let (status, ..) = server.send(&method.to_uppercase(), path, "", "");
            assert_eq!(status == 401, operation["security"] != json!([]), "{method} {path}: {status}");
        }
    }
}
