//! A small server with the endpoints of vLLM that a run uses, over our own policy. Its answers have the shape of those that
//! a real one gave (`tests/fixtures/vllm/exchanges.json`), and it fails as it is told.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::Cursor,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use addendum::{
    actors::{Request, Sampler as _, Versioned},
    policy::{
        Adapter, Policy, SamplingConfig,
        pack::{EncodedPrompt, Packed, PromptTokens},
    },
    qwen::{Prompts, Sampler},
    replay::PolicyVersion,
    studies::{ImageSource, Projection, Prompt, Timing, View},
};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use candle_core::Device;
use serde_json::{Value, json};

/// What happens to a chat instead of its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Status 500.
    Broken,
    /// Status 400.
    Refuses,
    /// Half of an answer, then nothing.
    Cuts,
    /// One report too few.
    TooFew,
    /// A token without a log-probability.
    NoLogprob,
    /// Other tokens for the prompt.
    OtherPrompt,
    /// The adapters are gone, as after a restart.
    Forgets,
    /// An answer that takes its time.
    Slow,
}

/// What becomes of the adapters that it is to load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Adapters {
    Applied,
    /// It says that it has them, and answers from the base.
    Ignored,
    /// Others are there by their names, until they are unloaded.
    Mistaken,
}

struct Inner {
    policy: Arc<Policy>,
    adapters: Mutex<BTreeMap<String, Option<Arc<Adapter>>>>,
    faults: Mutex<VecDeque<Fault>>,
    treats: Adapters,
    /// Names that it was to load.
    named: Mutex<BTreeSet<String>>,
    chats: Mutex<u64>,
    most_loaded: Mutex<usize>,
}

/// As vLLM writes them.
const METRICS: &str = "# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine=\"0\",model_name=\"base\"} 2.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine=\"0\",model_name=\"base\"} 7.0
";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// A server on a thread of its own, for the rest of the process.
pub struct StandIn {
    pub url: String,
    inner: Arc<Inner>,
}

impl StandIn {
    pub fn start(policy: Arc<Policy>, faults: &[Fault], treats: Adapters) -> Self {
        let inner = Arc::new(Inner {
            policy,
            adapters: Mutex::default(),
            faults: Mutex::new(faults.iter().copied().collect()),
            treats,
            named: Mutex::default(),
            chats: Mutex::default(),
            most_loaded: Mutex::default(),
        });
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/health", get(|| async {}))
            .route("/metrics", get(|| async { METRICS }))
            .route("/v1/models", get(models))
            .route("/v1/load_lora_adapter", post(load))
            .route("/v1/unload_lora_adapter", post(unload))
            .route("/v1/completions", post(complete))
            .route("/v1/chat/completions", post(chat))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(inner.clone());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { url, inner }
    }

    /// Chats that were answered.
    pub fn chats(&self) -> u64 {
        *lock(&self.inner.chats)
    }

    /// Adapters that were loaded at the same time.
    pub fn most_loaded(&self) -> usize {
        *lock(&self.inner.most_loaded)
    }

    pub fn faults_left(&self) -> usize {
        lock(&self.inner.faults).len()
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": "X", "param": null, "code": status.as_u16()}});
    (status, Json(body)).into_response()
}

async fn models(State(inner): State<Arc<Inner>>) -> Json<Value> {
    let adapters: Vec<String> = lock(&inner.adapters).keys().cloned().collect();
    let names = ["base".to_owned()].into_iter().chain(adapters);
    let data: Vec<_> = names.map(|id| json!({"id": id, "object": "model", "owned_by": "vllm"})).collect();
    Json(json!({"object": "list", "data": data}))
}

async fn load(State(inner): State<Arc<Inner>>, Json(body): Json<Value>) -> Response {
    let (name, path) = (body["lora_name"].as_str().unwrap(), body["lora_path"].as_str().unwrap());
    if lock(&inner.named).insert(name.into()) && inner.treats == Adapters::Mistaken {
        lock(&inner.adapters).insert(name.into(), None);
    }
    if lock(&inner.adapters).contains_key(name) {
        return error(StatusCode::BAD_REQUEST, &format!("The lora adapter '{name}' has already been loaded."));
    }
    let Ok(adapter) = Adapter::load_peft(inner.policy.config(), Path::new(path), &Device::Cpu) else {
        return error(StatusCode::NOT_FOUND, &format!("Loading lora {name} failed: No adapter found for {path}"));
    };
    let mut adapters = lock(&inner.adapters);
    adapters.insert(name.into(), (inner.treats != Adapters::Ignored).then(|| Arc::new(adapter)));
    let mut most = lock(&inner.most_loaded);
    *most = adapters.len().max(*most);
    format!("Success: LoRA adapter '{name}' added successfully.").into_response()
}

async fn unload(State(inner): State<Arc<Inner>>, Json(body): Json<Value>) -> Response {
    let name = body["lora_name"].as_str().unwrap();
    match lock(&inner.adapters).remove(name) {
        Some(_) => format!("Success: LoRA adapter '{name}' removed successfully.").into_response(),
        None => error(StatusCode::NOT_FOUND, &format!("The lora adapter '{name}' cannot be found.")),
    }
}

impl Inner {
    /// The adapter of this name, if there is one and it is applied; or that the model is not known.
    fn model(&self, body: &Value) -> Result<Option<Arc<Adapter>>, Box<Response>> {
        let name = body["model"].as_str().unwrap_or_default();
        let unknown =
            || error(StatusCode::NOT_FOUND, &format!("The model `{name}` does not exist. Valid aliases: base."));
        match lock(&self.adapters).get(name) {
            Some(adapter) => Ok(adapter.clone()),
            None if name == "base" => Ok(None),
            None => Err(Box::new(unknown())),
        }
    }
}

/// Continuations of a prompt of tokens: how likely its tokens are.
async fn complete(State(inner): State<Arc<Inner>>, Json(body): Json<Value>) -> Response {
    let adapter = match inner.model(&body) {
        Ok(adapter) => adapter,
        Err(response) => return *response,
    };
    let ids: Vec<u32> = serde_json::from_value(body["prompt"].clone()).unwrap();
    let logprobs = tokio::task::spawn_blocking(move || {
        let tokens = PromptTokens::new(ids[..1].to_vec(), inner.policy.config().image_token_id, &[], 2).unwrap();
        let prompt = EncodedPrompt { tokens, features: None };
        let packed = Packed::new([(&prompt, vec![&ids[1..]])]);
        let judged = packed.log_probs(&inner.policy.model().language, adapter.as_deref(), 1.0).unwrap();
        let all: Vec<f32> = judged.log_probs.to_vec1().unwrap();
        let entry = |(id, logprob): (&u32, f32)| json!({id.to_string(): {"logprob": logprob, "rank": 1}});
        [Value::Null].into_iter().chain(ids[1..].iter().zip(all).map(entry)).collect::<Vec<_>>()
    });
    Json(json!({"choices": [{"index": 0, "prompt_logprobs": logprobs.await.unwrap()}]})).into_response()
}

async fn chat(State(inner): State<Arc<Inner>>, Json(body): Json<Value>) -> Response {
    let fault = lock(&inner.faults).pop_front();
    match fault {
        Some(Fault::Broken) => return error(StatusCode::INTERNAL_SERVER_ERROR, "EngineCore encountered an issue"),
        Some(Fault::Refuses) => return error(StatusCode::BAD_REQUEST, "not today"),
        Some(Fault::Cuts) => {
            // A body that is shorter than its header says: the connection ends before it does.
            return ([("content-length", "100000")], "{\"choices\": [").into_response();
        }
        Some(Fault::Forgets) => lock(&inner.adapters).clear(),
        Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(1500)).await,
        _ => {}
    }
    let adapter = match inner.model(&body) {
        Ok(adapter) => adapter,
        Err(response) => return *response,
    };
    *lock(&inner.chats) += 1;
    let mut answer = tokio::task::spawn_blocking(move || sample(&inner.policy, adapter, &body)).await.unwrap();
    match fault {
        Some(Fault::TooFew) => drop(answer["choices"].as_array_mut().unwrap().pop()),
        Some(Fault::NoLogprob) => answer["choices"][0]["logprobs"]["content"][0]["logprob"] = Value::Null,
        Some(Fault::OtherPrompt) => answer["prompt_token_ids"][1] = json!(0),
        _ => {}
    }
    Json(answer).into_response()
}

fn sample(policy: &Arc<Policy>, adapter: Option<Arc<Adapter>>, body: &Value) -> Value {
    let (mut text, mut views) = (String::new(), Vec::new());
    for part in body["messages"][0]["content"].as_array().unwrap() {
        if let Some(uri) = part["image_url"]["url"].as_str() {
            let png = STANDARD.decode(uri.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
            let image = image::ImageReader::new(Cursor::new(png)).with_guessed_format().unwrap().decode().unwrap();
            let image = ImageSource::Pixels(Arc::new(image.into_luma8()));
            views.push(View { projection: Projection::Frontal, timing: Timing::Current, image });
            text.push_str("<image>");
        } else {
            text.push_str(part["text"].as_str().unwrap());
        }
    }
    let prompt = Arc::new(Prompt { views, text });
    let prompts = Arc::new(Prompts::new(policy.clone(), 0));
    let ids = prompts.encode("asked", &prompt).unwrap().tokens.ids.clone();
    let sampling = SamplingConfig {
        temperature: body["temperature"].as_f64().unwrap(),
        max_new_tokens: body["max_tokens"].as_u64().unwrap() as usize,
        suppressed_tokens: policy.tokenizer().misplaced_tokens(),
        ..SamplingConfig::default()
    };
    let seed = body["seed"].as_u64().unwrap();
    let seeds = (0..body["n"].as_u64().unwrap()).map(|i| seed + i).collect();
    // A base without an adapter is one whose B is zero.
    let lora = addendum::policy::LoraConfig::default();
    let weights = adapter.unwrap_or_else(|| Arc::new(Adapter::new(policy.config(), lora, 0, &Device::Cpu).unwrap()));
    let request = Request::new("asked", prompt, Versioned { version: PolicyVersion(0), weights }, seeds);
    let reports = Sampler::new(prompts, sampling).unwrap().sample(request).unwrap();
    let choice = |(index, report): (usize, &addendum::actors::Sampled)| {
        let content: Vec<_> = report.logprobs.iter().map(|logprob| json!({"token": "", "logprob": logprob})).collect();
        let reason = if report.truncated { "length" } else { "stop" };
        json!({
            "index": index, "message": {"role": "assistant", "content": report.text}, "logprobs": {"content": content},
            "finish_reason": reason, "token_ids": report.tokens,
        })
    };
    let choices: Vec<_> = reports.iter().enumerate().map(choice).collect();
    json!({"object": "chat.completion", "choices": choices, "prompt_token_ids": ids})
}
