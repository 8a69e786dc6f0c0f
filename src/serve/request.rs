//! What a body must be, in the words of the EditGRPO code where it has any.

use addendum_rewards_remote::{
    Malformed, Node,
    wire::{AnalyzeRequest, PredictRequest, kind},
};
use serde_json::Value;

use super::Refused;

/// What a request may ask for.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub pairs: usize,
    pub report_chars: usize,
}

impl Most {
    /// Holds both sides of the pairs, with their names, within the limits.
    fn bound(self, sides: [(&str, &[String]); 2]) -> Result<(), Refused> {
        for (name, reports) in sides {
            let (pairs, most) = (reports.len(), self.pairs);
            if pairs > most {
                return Err(Refused::too_large(format!("{pairs} pairs in one request, at most {most}")));
            }
            for (i, report) in reports.iter().enumerate() {
                let (chars, most) = (report.chars().count(), self.report_chars);
                if chars > most {
                    return Err(Refused::too_large(format!("`{name}[{i}]` has {chars} characters, at most {most}")));
                }
            }
        }
        Ok(())
    }
}

/// Reads a body of `POST /predict`.
pub(super) fn predict(body: &[u8], most: Most) -> Result<PredictRequest, Refused> {
    let document = object(body)?;
    let root = Node::root(&document);
    let (hyps, refs) = (root.get("hyps"), root.get("refs"));
    if hyps.is_absent() || refs.is_absent() {
        return Err(Refused::bad("Missing 'hyps' or 'refs' in request"));
    }
    if hyps.items().is_err() || refs.items().is_err() {
        return Err(Refused::bad("'hyps' and 'refs' should be lists"));
    }
    let default =
        |node: &Node, or: &str| if node.is_absent() { Ok(or.to_owned()) } else { node.text().map(str::to_owned) };
    let names = root.get("requested_reward_components");
    let per_pair = root.get("per_pair");
    let request = PredictRequest {
        hyps: hyps.texts()?,
        refs: refs.texts()?,
        kind: default(&root.get("type"), kind::SHORT)?,
        requested_reward_components: if names.is_absent() { Vec::new() } else { names.texts()? },
        per_pair: !per_pair.is_absent() && per_pair.parsed("true or false")?,
    };
    let (h, r) = (request.hyps.len(), request.refs.len());
    if h != r {
        return Err(Refused::bad(format!("Mismatch between hyps ({h}) and refs ({r})")));
    }
    if h == 0 {
        return Err(Refused::bad("'hyps' and 'refs' are empty"));
    }
    most.bound([("hyps", &request.hyps), ("refs", &request.refs)])?;
    Ok(request)
}

/// Reads a body of `POST /analyze`.
pub(super) fn analyze(body: &[u8], most: Most) -> Result<AnalyzeRequest, Refused> {
    let document = object(body)?;
    let root = Node::root(&document);
    let texts = |node: Node| if node.is_absent() { Ok(Vec::new()) } else { node.texts() };
    let generations = texts(root.get("generations"))?;
    if generations.is_empty() {
        return Err(Refused::bad("No generations provided"));
    }
    let truth = root.get("ground_truth");
    let ground_truth = match truth.text() {
        Ok(text) => vec![text.to_owned()],
        Err(_) => texts(truth)?,
    };
    let (g, t) = (generations.len(), ground_truth.len());
    if g != t {
        return Err(Refused::bad(format!("Mismatch between generations ({g}) and ground truth ({t})")));
    }
    most.bound([("generations", &generations), ("ground_truth", &ground_truth)])?;
    Ok(AnalyzeRequest { generations, ground_truth })
}

fn object(body: &[u8]) -> Result<Value, Refused> {
    match serde_json::from_slice(body) {
        Ok(Value::Null) => Err(Refused::bad("Expected a JSON request")),
        Ok(document @ Value::Object(_)) => Ok(document),
        Ok(_) => Err(Refused::bad("Expected a JSON object")),
        Err(error) => Err(Refused::bad(format!("The body is not JSON: {error}"))),
    }
}

impl From<Malformed> for Refused {
    fn from(error: Malformed) -> Self {
        Self::bad(error.to_string())
    }
}
