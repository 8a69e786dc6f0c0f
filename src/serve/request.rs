//! What a body must be, in the words of the EditGRPO code where it has any.

use addendum_rewards_remote::{Malformed, Node, wire::kind};
use addendum_studies::json;
use serde_json::Value;

use super::Refused;

/// What a request may ask for.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub pairs: usize,
    pub report_chars: usize,
}

/// A report and its reference, or why they are none.
pub(super) type Texts = Result<(String, String), Refused>;

/// What `POST /predict` asks for.
pub(super) struct Predict {
    /// At least one.
    pub pairs: Vec<Texts>,
    pub kind: String,
    pub components: Vec<String>,
    pub per_pair: bool,
}

/// Reads a body of `POST /predict`.
pub(super) fn predict(body: &[u8], most: Most) -> Result<Predict, Refused> {
    let document = object(body)?;
    let root = Node::root(&document);
    let (hyps, refs) = (root.get("hyps"), root.get("refs"));
    if hyps.is_absent() || refs.is_absent() {
        return Err(Refused::bad("Missing 'hyps' or 'refs' in request"));
    }
    let (Ok(hyps), Ok(refs)) = (hyps.items(), refs.items()) else {
        return Err(Refused::bad("'hyps' and 'refs' should be lists"));
    };
    let default =
        |node: &Node, or: &str| if node.is_absent() { Ok(or.to_owned()) } else { node.text().map(str::to_owned) };
    let names = root.get("requested_reward_components");
    let per_pair = root.get("per_pair");
    let kind = default(&root.get("type"), kind::SHORT)?;
    let components = if names.is_absent() { Vec::new() } else { names.texts()? };
    let per_pair = !per_pair.is_absent() && per_pair.parsed("true or false")?;
    let (h, r) = (hyps.len(), refs.len());
    if h != r {
        return Err(Refused::bad(format!("Mismatch between hyps ({h}) and refs ({r})")));
    }
    if h == 0 {
        return Err(Refused::bad("'hyps' and 'refs' are empty"));
    }
    let pairs = most.pairs(&hyps, &refs)?;
    // Means of a batch have no place for a pair that is none.
    if !per_pair && let Some(error) = pairs.iter().find_map(|pair| pair.as_ref().err()) {
        return Err(error.clone());
    }
    Ok(Predict { pairs, kind, components, per_pair })
}

/// Reads a body of `POST /analyze`: at least one pair.
pub(super) fn analyze(body: &[u8], most: Most) -> Result<Vec<Texts>, Refused> {
    let document = object(body)?;
    let root = Node::root(&document);
    let generations = items(&root.get("generations"))?;
    if generations.is_empty() {
        return Err(Refused::bad("No generations provided"));
    }
    let truth = root.get("ground_truth");
    let truth = if truth.text().is_ok() { vec![truth] } else { items(&truth)? };
    let (g, t) = (generations.len(), truth.len());
    if g != t {
        return Err(Refused::bad(format!("Mismatch between generations ({g}) and ground truth ({t})")));
    }
    most.pairs(&generations, &truth)
}

/// The items of a list, of which there are none where it is absent.
fn items<'a>(list: &Node<'a>) -> Result<Vec<Node<'a>>, Malformed> {
    if list.is_absent() { Ok(Vec::new()) } else { list.items() }
}

impl Most {
    /// The pairs of two lists of one length.
    fn pairs(self, ours: &[Node], theirs: &[Node]) -> Result<Vec<Texts>, Refused> {
        let (pairs, most) = (ours.len(), self.pairs);
        if pairs > most {
            return Err(Refused::too_large(format!("{pairs} pairs in one request, at most {most}")));
        }
        for report in ours.iter().chain(theirs) {
            let (chars, most) = (report.text().unwrap_or_default().chars().count(), self.report_chars);
            if chars > most {
                return Err(Refused::too_large(format!("`{}` has {chars} characters, at most {most}", report.path())));
            }
        }
        let texts =
            |(ours, theirs): (&Node, &Node)| -> Texts { Ok((ours.text()?.to_owned(), theirs.text()?.to_owned())) };
        Ok(ours.iter().zip(theirs).map(texts).collect())
    }
}

/// As Python writes it, too: NaN and halves of surrogate pairs are the matter of their pair.
fn object(body: &[u8]) -> Result<Value, Refused> {
    match json::parse(body) {
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
