//! `addendum edit`: one report corrected from its reference, with what the rule saw and did.

use std::path::PathBuf;

use addendum::{
    editor::{Edit, EditConfig, Edited, Editor, Operation, Rule, rule::Annotated},
    options::EditOptions,
    report::terminal::Paint,
    rewards::{EntityType, Presence},
    train::reward_models::Weights,
};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde_json::{Value, json};

use super::{
    exit::beforehand,
    output::{print, text},
};

#[derive(Args)]
pub struct EditArgs {
    /// The report, or @FILE.
    #[arg(long)]
    report: String,
    /// Its reference, or @FILE.
    #[arg(long)]
    reference: String,
    /// A JSON file with the editor's settings; the options below overrule it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: EditOptions,
    /// Of the random choices.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    weights: Weights,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: &EditArgs) -> Result<()> {
    let (report, reference, editor) = beforehand(prepare(args))?;
    let edited = editor.edit(&report, &reference, &mut ChaCha8Rng::seed_from_u64(args.seed))?;
    let annotated = [("report", editor.annotated(&report)?), ("reference", editor.annotated(&reference)?)];
    print(&match args.format {
        Format::Text => shown(&annotated, &edited, Paint::from_environment()),
        Format::Json => format!("{:#}\n", json(&annotated, &edited)),
    })
}

/// Report, reference, and what edits.
fn prepare(args: &EditArgs) -> Result<(String, String, Editor)> {
    let (report, reference) = (text("--report", &args.report)?, text("--reference", &args.reference)?);
    Ok((report, reference, Editor::from_backends(config(args)?, &args.weights.load()?.editing)?))
}

fn config(args: &EditArgs) -> Result<EditConfig> {
    let mut config = match &args.config {
        Some(path) => {
            let name = || path.display().to_string();
            serde_json::from_str(&std::fs::read_to_string(path).with_context(name)?).with_context(name)?
        }
        None => EditConfig::default(),
    };
    args.options.apply(&mut config);
    Ok(config)
}

fn json(annotated: &[(&str, Vec<Annotated>); 2], edited: &Edited) -> Value {
    let sentence = |sentence: &Annotated| {
        let entities = sentence.entities.iter().map(|entity| json!({"text": entity.text, "type": entity.kind}));
        json!({"text": sentence.text, "entities": entities.collect::<Vec<_>>()})
    };
    let mut out = json!({"text": edited.text, "edits": edited.log});
    for (name, sentences) in annotated {
        out[*name] = sentences.iter().map(sentence).collect();
    }
    out
}

fn shown(annotated: &[(&str, Vec<Annotated>); 2], edited: &Edited, paint: Paint) -> String {
    let mut out = String::new();
    for (name, sentences) in annotated {
        out += &format!("{}\n", paint.bold(name));
        for (at, sentence) in sentences.iter().enumerate() {
            out += &format!("{:>3} {}\n", at + 1, one_line(&sentence.text));
            for entity in &sentence.entities {
                out += &format!("      {} {}\n", entity.text, marked(entity.kind, paint));
            }
        }
    }
    out += &format!("{}\n", paint.bold("edit"));
    if edited.log.is_empty() {
        out += "  none: rule (e), the report stays as it is\n";
    }
    for edit in &edited.log {
        out += &format!("  {}: {} ({})\n", edit.operation, reason(edit.rule), edit.triggers.join(", "));
    }
    out += &format!("{}\n", paint.bold("result"));
    let [(_, before), _] = annotated;
    out + &difference(before, &edited.log, paint)
}

fn marked(kind: EntityType, paint: Paint) -> String {
    let name = match kind {
        EntityType::Anatomy => "ANATOMY",
        EntityType::Abnormality => "ABNORMALITY",
        EntityType::Disease => "DISEASE",
        EntityType::NonAbnormality => "NON-ABNORMALITY",
        EntityType::NonDisease => "NON-DISEASE",
    };
    match kind.presence() {
        Presence::Present => paint.warning(name),
        Presence::Absent => paint.accent(name),
        Presence::Neutral => paint.dim(name),
    }
}

fn reason(rule: Rule) -> &'static str {
    match rule {
        Rule::Conflict => "rule (a), a sentence says the opposite of the reference",
        Rule::Similar => "rule (b), spurious entities are near a reference sentence",
        Rule::Spurious => "rule (c), a sentence has spurious entities",
        Rule::Missing => "rule (d), the reference has entities that the report lacks",
        Rule::Empty => "rule (e), nothing was left of the report",
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Same,
    Gone,
    New,
}

/// The sentences before and after, one a line: `-` went, `+` came.
fn difference(before: &[Annotated], log: &[Edit], paint: Paint) -> String {
    let mut lines: Vec<(Mark, String)> = before.iter().map(|s| (Mark::Same, one_line(&s.text))).collect();
    let whole = |edit: &Edit| before.iter().all(|sentence| edit.source.as_deref() != Some(&sentence.text));
    for edit in log {
        let mut standing = lines.iter().enumerate().filter(|(_, (mark, _))| *mark != Mark::Gone);
        let at = standing.nth(edit.position).map(|(at, _)| at);
        let new = edit.target.as_deref().map(|target| (Mark::New, one_line(target)));
        match at {
            _ if edit.operation == Operation::Replace && whole(edit) => {
                lines.iter_mut().for_each(|line| line.0 = Mark::Gone);
                lines.extend(new);
            }
            Some(at) if lines[at].0 == Mark::New => drop(lines.splice(at..=at, new)),
            Some(at) => {
                lines[at].0 = Mark::Gone;
                lines.splice(at + 1..at + 1, new);
            }
            None => lines.extend(new),
        }
    }
    let line = |(mark, text): (Mark, String)| match mark {
        Mark::Same => format!("  {text}\n"),
        Mark::Gone => paint.bad(format!("- {text}")) + "\n",
        Mark::New => paint.good(format!("+ {text}")) + "\n",
    };
    lines.into_iter().map(line).collect()
}
