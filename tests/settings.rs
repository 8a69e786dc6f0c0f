//! Settings files: what is wrong with one is named with its place, every key counts, and a run is bound to its own.

use std::{fs, path::Path};

use addendum::train::{Settings, Sources, settings::schema};

/// A file that a run could start with.
const GOOD: &str = "\
[data.phantoms]

[policy]
path = \"examples/checkpoints/phantom-tiny\"
";

fn refused(text: &str, sets: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.toml");
    fs::write(&file, text).unwrap();
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    match Settings::checked(&Sources { file: Some(&file), sets: &sets }, Settings::validate) {
        Ok(_) => format!("accepted:\n{text}{sets:?}"),
        Err(error) => error.to_string().replace(&format!("{}/", dir.path().display()), ""),
    }
}

/// `GOOD` and these lines after it, so that the first of them is line 6.
fn with(lines: &str) -> String {
    refused(&format!("{GOOD}{lines}\n"), &[])
}

#[test]
fn every_kind_of_mistake_is_named_with_its_place_and_its_remedy() {
    for (lines, place, parts) in [
        ("[run", "run.toml:5:5", &["]"][..]),
        ("steps = 3", "run.toml:5:1", &["policy.steps: unknown key", "`run.steps`"]),
        ("[run]\nstep = 3", "run.toml:6:1", &["run.step: unknown key", "`run.steps`"]),
        ("[runs]\nsteps = 3", "run.toml:5:2", &["runs: unknown key", "`run`"]),
        ("[run]\nsteps = 3\nsteps = 4", "run.toml:7:1", &["duplicate key"]),
        ("[run]\nsteps = \"many\"", "run.toml:6:9", &["run.steps", "invalid type", "u64"]),
        ("[run]\nsteps = 2.5", "run.toml:6:9", &["run.steps", "floating point"]),
        ("[run]\nsteps = -1", "run.toml:6:9", &["run.steps", "-1"]),
        ("[run]\nsteps = 0", "run.toml:6:1", &["run.steps: is 0", "at least 1"]),
        ("[run]\ngroup_size = 7", "run.toml:6:1", &["run.group_size: is 7", "even"]),
        ("[run]\ngroup_size = 1", "run.toml:6:1", &["run.group_size: is 1", "at least 2"]),
        ("[run]\nmode = \"newest\"", "run.toml:6:8", &["run.mode", "`fixed_lag` or `latest`"]),
        ("[run]\nvariant = \"editgrpo\"", "run.toml:6:11", &["run.variant", "edit_grpo"]),
        ("[run]\nswap = true", "run.toml:6:1", &["run.swap: is true", "fixed_lag"]),
        ("[run.threads]\nlearner = 0", "run.toml:6:1", &["run.threads.learner: is 0", "at least 1"]),
        ("[algorithm]\nname = \"ppo\"", "run.toml:6:1", &["algorithm.name", "ppo", "grpo, dr-grpo, rloo, dapo"]),
        ("[algorithm]\noverlong_penalty = -1.0", "run.toml:6:1", &["algorithm.overlong_penalty: -1"]),
        ("[learner.schedule]\nlearning_rate = 10.0", "run.toml:6:1", &["learner.schedule.learning_rate: 10", "1"]),
        ("[learner.schedule]\nlr = 1e-6", "run.toml:6:1", &["learner.schedule.lr: unknown key", "addendum config"]),
        ("[learner.schedule]\nlerning_rate = 1e-6", "run.toml:6:1", &["`learner.schedule.learning_rate`"]),
        (
            "[learner.objective]\naggregation = \"mean\"",
            "run.toml:6:15",
            &["learner.objective.aggregation", "token-mean"],
        ),
        (
            "[learner.objective.clip]\nlow = 1.5",
            "run.toml:6:1",
            &["learner.objective.clip.low: 1.5", "between 0 and 1"],
        ),
        ("[learner.optimizer]\nbeta2 = 1.0", "run.toml:6:1", &["learner.optimizer.beta2: 1", "between 0 and 1"]),
        ("[learner]\nminibatches = 0", "run.toml:6:1", &["learner.minibatches: 0", "1"]),
        ("[lora]\nrank = 0", "run.toml:6:1", &["lora.rank: 0", "between 1 and 4096"]),
        ("[lora]\ntarget_modules = [\"query\"]", "run.toml:6:", &["lora.target_modules", "q_proj"]),
        ("[sampling]\ntop_p = 2.0", "run.toml:6:1", &["sampling.top_p: 2"]),
        ("[sampling]\nmax_new_tokens = 0", "run.toml:6:1", &["sampling.max_new_tokens: 0"]),
        ("[sampler]\nmax_sequences = 0", "run.toml:6:1", &["sampler.max_sequences: 0"]),
        ("[sampler]\nprefill_tokens = 0", "run.toml:6:1", &["sampler.prefill_tokens: 0"]),
        ("[edit]\ntau = 1.5", "run.toml:6:1", &["edit.tau: is 1.5", "from 0 to 1"]),
        ("[reward.weights]\nradgraf = 1.0", "run.toml:6:1", &["reward.weights.radgraf", "`radgraph`"]),
        ("[reward.weights]\nrate = -1.0", "run.toml:6:1", &["reward.weights.rate", "-1"]),
        ("[reward_pools.workers]\nrate = 0", "run.toml:6:1", &["reward_pools.workers.rate", "at least 1"]),
        ("[reward_pools.workers]\nbleu = 2", "run.toml:6:1", &["reward_pools.workers.bleu", "rate"]),
        ("[services.reward]\nurl = \"localhost:5000\"", "run.toml:6:1", &["services.reward.url: ", "http(s)://host"]),
        (
            "[services.edit]\nurls = [\"http://x\", \"x\"]",
            "run.toml:6:1",
            &["services.edit.urls[1]: ", "http(s)://host"],
        ),
        ("[services.edit]\nurls_file = \"nowhere.txt\"", "run.toml:6:1", &["services.edit.urls_file: ", "nowhere.txt"]),
        ("[patience]\nlimit_seconds = 0.0", "run.toml:6:1", &["patience.limit_seconds", "0"]),
        ("[telemetry]\nmetrics_address = \"localhost\"", "run.toml:6:1", &["telemetry.metrics_address", "IP:PORT"]),
        ("[evaluation]\nstudies = 0", "run.toml:6:1", &["evaluation.studies: is 0", "at least 1"]),
        ("device = \"gpu\"", "run.toml:5:1", &["policy.device", "`gpu`", "cuda:N"]),
        ("dtype = \"int8\"", "run.toml:5:9", &["policy.dtype", "bf16"]),
        ("pixels = { min = 9, max = 4 }", "run.toml:5:1", &["policy.pixels", "9 to 4"]),
        ("[data]\nfolder = \"x\"", "run.toml", &["data"]),
    ] {
        let message = with(lines);
        assert!(message.contains(place), "{lines}\n expected at {place}: {message}");
        for part in parts {
            assert!(message.contains(part), "{lines}\n expected {part}: {message}");
        }
    }
}

#[test]
fn what_is_missing_or_comes_from_an_argument_is_named_too() {
    assert!(refused("", &[]).contains("data.folder: not set"));
    assert!(refused("[data.phantoms]", &[]).contains("policy.path: not set"));
    for (set, parts) in [
        ("run.steps", &["--set run.steps: expected KEY=VALUE"][..]),
        ("run.step=3", &["--set run.step=3: ", "unknown key", "`run.steps`"]),
        ("run.steps=many", &["--set run.steps=many: ", "u64"]),
        ("run.steps=0", &["--set run.steps=0: run.steps: is 0"]),
        ("edit.tau=2", &["--set edit.tau=2: edit.tau: is 2"]),
        (
            "run.steps=6",
            &[
                "--set run.steps=6: learner.schedule.total_steps: 6 is below the 20 steps of the warm-up, warmup_steps; ",
                "so it is run.steps",
            ],
        ),
    ] {
        let schedule = "[learner.schedule]\nwarmup_steps = 20\ndecay = \"linear\"\n";
        let message = refused(&format!("{GOOD}{schedule}"), &[set]);
        assert!(parts.iter().all(|part| message.contains(part)), "{set}: {message}");
    }
    let missing = Settings::load(&Sources { file: Some(Path::new("nowhere.toml")), sets: &[] }).unwrap_err();
    assert!(missing.to_string().starts_with("nowhere.toml: "), "{missing}");
}

fn load(sets: &[String]) -> Result<Settings, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.toml");
    fs::write(&file, GOOD).unwrap();
    Settings::checked(&Sources { file: Some(&file), sets }, Settings::validate).map_err(|error| error.to_string())
}

/// Every key that holds a value.
fn leaves(node: schema::Node<'static>, above: &str, found: &mut Vec<String>) {
    for key in node.keys() {
        let path = if above.is_empty() { key.to_string() } else { format!("{above}.{key}") };
        let child = node.child(key).unwrap();
        if child.keys().next().is_some() { leaves(child, &path, found) } else { found.push(path) }
    }
}

#[test]
fn every_key_makes_a_difference_or_is_refused_by_its_name() {
    let usual = load(&[]).unwrap().text().unwrap();
    let mut keys = Vec::new();
    leaves(schema::root(), "", &mut keys);
    assert!(keys.len() > 80, "only {} keys", keys.len());
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "secret").unwrap();
    let token = format!("{:?}", token.display().to_string());
    for key in keys {
        // Values of every kind; at least one is of the key's.
        let candidates = [
            token.as_str(),
            "\"http://127.0.0.1:9/other\"",
            "\"PATH\"",
            "7",
            "0.25",
            "true",
            "false",
            "\"other\"",
            "[]",
            "[\"q_proj\"]",
            "[7]",
            "[1, 1]",
            "{ rate = 2.0 }",
            "{ rate = \"cpu\" }",
            "{ rate = 2 }",
            "{ Edema = 0.1 }",
            "\"cuda:3\"",
            "[\"cuda:1\"]",
            "\"latest\"",
            "\"grpo\"",
            "\"bf16\"",
            "\"rloo\"",
            "\"linear\"",
            "\"token-mean\"",
            "\"k1\"",
            "\"token-mask\"",
            "\"always\"",
            "\"none\"",
            "\"report\"",
            "\"radgraph\"",
            "\"1.2.3.4:5\"",
            "\"difference\"",
            "\"shaped\"",
            "\"fresh\"",
            "\"improving\"",
            "\"low_variance\"",
            "\"built-in\"",
            "\"recorded\"",
            "[\"http://127.0.0.1:8001\"]",
        ];
        // A service is nothing without its address, only version 2 of the phantoms has a world, a low variance is one below
        // a threshold, and an engine is nothing without servers.
        let service = key.strip_prefix("services.").and_then(|rest| rest.split('.').next());
        let address = service.map(|name| format!("services.{name}.url=http://127.0.0.1:5000/ask"));
        let world = key.starts_with("data.phantoms.world.").then(|| "data.phantoms.version=2".to_owned());
        let threshold = (key == "run.select.when").then(|| "run.select.std_below=0.1".to_owned());
        let servers = ["sampler.engine=vllm", "sampler.urls=[\"http://127.0.0.1:8000\"]"].map(str::to_owned);
        let servers = servers.into_iter().filter(|_| key.starts_with("sampler."));
        let above: Vec<String> = address.into_iter().chain(world).chain(threshold).chain(servers).collect();
        let usual = if above.is_empty() { usual.clone() } else { load(&above).unwrap().text().unwrap() };
        let outcome = |value: &&str| load(&[&above[..], &[format!("{key}={value}")]].concat());
        let outcomes: Vec<_> = candidates.iter().map(outcome).collect();
        let differs = outcomes.iter().flatten().any(|settings| settings.text().unwrap() != usual);
        let last = key.rsplit('.').next().unwrap();
        let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).any(|error| {
            error.contains(&format!("--set {key}="))
                && (error.matches(last).count() > 1 || error.contains("missing field"))
        });
        assert!(differs || refused, "{key}: nothing happens");
    }
}

#[test]
fn what_is_printed_reads_back_as_it_was_with_a_comment_on_every_key() {
    let gpus = ["gpus/1", "gpus/2", "gpus/4", "gpus/8"];
    for file in ["phantoms", "mimic-cxr", "rexgradient", "iu-xray", "padchest-gr"].into_iter().chain(gpus) {
        let path = format!("configs/{file}.toml");
        let sources = Sources { file: Some(Path::new(&path)), sets: &[] };
        let settings = Settings::checked(&sources, Settings::validate).unwrap();
        let text = settings.text().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let printed = dir.path().join("printed.toml");
        fs::write(&printed, &text).unwrap();
        assert_eq!(Settings::load(&Sources { file: Some(&printed), sets: &[] }).unwrap(), settings, "{file}");
        let mut before = "";
        for line in text.lines() {
            let key = line.contains(" = ") && !line.starts_with('#');
            // Keys of maps are the user's own.
            let own = text[..text.find(line).unwrap()]
                .rsplit('[')
                .next()
                .is_some_and(|table| table.starts_with("reward.weights]"));
            assert!(!key || own || before.starts_with('#'), "{file}: no comment above {line}");
            before = line;
        }
    }
}

#[test]
fn set_ups_for_gpus_use_every_gpu_once_and_differ_in_nothing_else() {
    let load = |file: &str| Settings::load(&Sources { file: Some(Path::new(file)), sets: &[] }).unwrap();
    let mut plain = load("configs/mimic-cxr.toml");
    for gpus in [1, 2, 4, 8] {
        let mut settings = load(&format!("configs/gpus/{gpus}.toml"));
        let policy = &settings.policy;
        let mut used = [&policy.sampler_devices[..], &policy.learner_devices].concat();
        used.sort();
        used.dedup();
        assert_eq!(used, (0..gpus).map(|i| format!("cuda:{i}")).collect::<Vec<_>>());
        assert_eq!(settings.run.samplers, policy.sampler_devices.len());
        for settings in [&mut settings, &mut plain] {
            (settings.policy.sampler_devices, settings.policy.learner_devices) = (vec![], vec![]);
            (settings.run.samplers, settings.run.batch_groups) = (1, 1);
            settings.sampler = Default::default();
            settings.learner.micro_batch_tokens = 1;
        }
        assert_eq!(settings, plain);
    }
}

#[test]
fn real_set_ups_are_not_cut_at_the_length_of_phantoms() {
    for file in ["mimic-cxr", "rexgradient", "iu-xray", "padchest-gr"] {
        let path = format!("configs/{file}.toml");
        let settings = Settings::load(&Sources { file: Some(Path::new(&path)), sets: &[] }).unwrap();
        let tokens = settings.sampling.max_new_tokens;
        assert!(tokens > 96);
        assert_eq!(settings.evaluation.max_new_tokens, tokens);
        assert_eq!(settings.learner.objective.norm_length, tokens as f64);
        // An adapter that named Qwen's weights, which are not those of the SFT checkpoint, would be loaded over them.
        assert_eq!(Path::new(&settings.policy.base_name()), settings.policy.path);
        let pixels = settings.policy.pixels.unwrap();
        assert_eq!((pixels.min, pixels.max), (262_144, 401_408));
    }
}

#[test]
fn an_algorithm_brings_its_objective_and_the_file_has_the_last_word() {
    let settings = load(&["algorithm.name=dapo".into()]).unwrap();
    assert!(settings.algorithm.dynamic_sampling);
    let objective = &settings.learner.objective;
    assert_eq!((objective.clip.low, objective.clip.high, objective.kl_coefficient), (0.2, 0.28, 0.0));
    let settings = load(&["algorithm.name=dapo".into(), "learner.objective.kl_coefficient=0.5".into()]).unwrap();
    assert_eq!(settings.learner.objective.kl_coefficient, 0.5);
}

#[test]
fn a_run_is_bound_by_what_decides_about_its_result_and_by_nothing_else() {
    let saved = load(&[]).unwrap();
    let differences = |set: &str| load(&[set.to_string()]).unwrap().differences(&saved).unwrap();
    for bound in [
        "learner.schedule.learning_rate=0.001",
        "run.seed=9",
        "edit.tau=0.5",
        "learner.objective.kl_coefficient=0.2",
        "reward.weights={ rate = 2.0 }",
        "policy.dtype=bf16",
        "run.steps=50",
        "sampling.temperature=0.7",
    ] {
        let found = differences(bound);
        let key = bound.split('=').next().unwrap();
        assert!(found.binding.iter().any(|problem| problem.key.starts_with(key)), "{bound}: {found:?}");
    }
    for free in [
        "telemetry.metrics_address=127.0.0.1:9464",
        "run.samplers=3",
        "run.checkpoint_every=5",
        "run.prefetch=0",
        "run.steps=200",
        "run.evaluate_every=10",
        "evaluation.studies=7",
        "run.max_attempts=9",
        "services.reward={ url = \"http://127.0.0.1:5000/predict\" }",
        "services.reward={ urls = [\"http://127.0.0.1:5000\", \"http://127.0.0.1:5001\"] }",
    ] {
        assert_eq!(differences(free), Default::default(), "{free}");
    }
    for rounding in [
        "policy.device=cuda:0",
        "sampler.prefill_tokens=64",
        "sampler.max_sequences=4",
        "sampler.cache_bytes=1073741824",
    ] {
        let found = differences(rounding);
        assert!(found.binding.is_empty() && found.rounding.len() == 1, "{rounding}: {found:?}");
    }
}

/// The code of all crates, without tests and comments.
fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "tests", "examples"].contains(&name.as_str()) && !name.starts_with('.') {
                sources(&path, all);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            code.lines().filter(|line| !line.trim_start().starts_with("//")).for_each(|line| {
                all.push_str(line.trim());
                all.push(' ');
            });
        }
    }
}

#[test]
fn every_key_is_read_by_code() {
    let mut code = String::new();
    sources(Path::new(env!("CARGO_MANIFEST_DIR")), &mut code);
    let mut keys = Vec::new();
    leaves(schema::root(), "", &mut keys);
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    // A field is read by its name after a dot, or taken out of its struct by name.
    let read = |field: &str| {
        code.match_indices(field).any(|(at, _)| {
            let (before, after) = (&code[..at], &code[at + field.len()..]);
            let (previous, next) = (before.trim_end().chars().next_back(), after.trim_start().chars().next());
            let whole = !word(before.chars().next_back()) && !word(after.chars().next());
            let taken = matches!(previous, Some('{' | ',')) && matches!(next, Some('}' | ','));
            whole && ((previous == Some('.') && next != Some('(')) || taken)
        })
    };
    // The names of a map's keys are not fields.
    let unread: Vec<_> = keys
        .iter()
        .filter(|key| !key.starts_with("reward.frequencies."))
        .filter(|key| !read(key.rsplit('.').next().unwrap()))
        .collect();
    assert!(unread.is_empty(), "nothing reads {unread:?}");
    assert!(!read("no_such_setting_at_all"));
}
