//! What the policy is shown of a study: the views, the clinical context and the instruction, never the reference.
//!
//! The form is the paper's (EditGRPO, section 3): each image behind a label of its role, then indication, technique
//! and comparison where the study has them, then the instruction. It is kept short, because every word costs compute.

use crate::study::{Projection, Study, Timing, View};

/// Stands in [`Prompt::text`] where an image belongs.
pub const IMAGE_MARKER: &str = "<image>";

/// Closes every prompt.
pub const INSTRUCTION: &str = "Write the findings.";

/// The question put to the policy. It holds no part of the reference report (law 6).
#[derive(Clone, Debug)]
pub struct Prompt {
    /// In the order of their markers.
    pub views: Vec<View>,
    /// One line, with exactly one [`IMAGE_MARKER`] per view.
    pub text: String,
}

/// A piece of a prompt, in reading order.
#[derive(Clone, Debug)]
pub enum Part {
    /// What stands between two images; never empty.
    Text(String),
    /// In the place of its marker.
    Image(View),
}

impl Prompt {
    /// Builds the prompt of `study`. White space in the clinical context is collapsed, image markers in it are dropped.
    pub fn new(study: &Study) -> Self {
        let mut pieces: Vec<String> =
            study.views.iter().map(|view| format!("{}: {IMAGE_MARKER}", role(view))).collect();
        let context =
            [("Indication", &study.indication), ("Technique", &study.technique), ("Comparison", &study.comparison)];
        for (heading, text) in context {
            if let Some(text) = text.as_deref().map(one_line).filter(|text| !text.is_empty()) {
                pieces.push(format!("{heading}: {text}"));
            }
        }
        pieces.push(INSTRUCTION.to_owned());
        Self { views: study.views.clone(), text: pieces.join(" ") }
    }

    /// The text cut at its markers, with each view in the place of its marker. Empty text pieces are left out.
    pub fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::with_capacity(2 * self.views.len() + 1);
        let mut views = self.views.iter();
        for (i, piece) in self.text.split(IMAGE_MARKER).enumerate() {
            if i > 0 {
                parts.extend(views.next().cloned().map(Part::Image));
            }
            if !piece.is_empty() {
                parts.push(Part::Text(piece.to_owned()));
            }
        }
        parts
    }
}

impl From<&Study> for Prompt {
    fn from(study: &Study) -> Self {
        Self::new(study)
    }
}

/// The label in front of an image, such as `Prior frontal`.
fn role(view: &View) -> &'static str {
    match (view.timing, view.projection) {
        (Timing::Current, Projection::Frontal) => "Current frontal",
        (Timing::Current, Projection::Lateral) => "Current lateral",
        (Timing::Prior, Projection::Frontal) => "Prior frontal",
        (Timing::Prior, Projection::Lateral) => "Prior lateral",
    }
}

/// Removing one marker may join the halves of another, hence the loop.
fn one_line(text: &str) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    while text.contains(IMAGE_MARKER) {
        text = text.replace(IMAGE_MARKER, "");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::study::{ImageSource, Reference};

    fn view(projection: Projection, timing: Timing) -> View {
        View { projection, timing, image: ImageSource::File(PathBuf::from("x.png")) }
    }

    fn study(indication: Option<String>, reference: &str) -> Study {
        Study {
            id: "s".into(),
            views: vec![view(Projection::Frontal, Timing::Current), view(Projection::Frontal, Timing::Prior)],
            indication,
            technique: None,
            comparison: Some("Prior\n film.".into()),
            reference: Reference::new(reference),
        }
    }

    #[test]
    fn prompt_labels_each_view_and_ends_with_the_instruction() {
        let prompt = Prompt::new(&study(Some("Cough.".into()), "Clear."));
        assert_eq!(
            prompt.text,
            "Current frontal: <image> Prior frontal: <image> Indication: Cough. Comparison: Prior film. Write the findings."
        );
        let shape: Vec<bool> = prompt.parts().iter().map(|part| matches!(part, Part::Image(_))).collect();
        assert_eq!(shape, [false, true, false, true, false]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn prompt_does_not_depend_on_the_reference(context in any::<Option<String>>(), a in ".*", b in ".*") {
            prop_assert_eq!(Prompt::new(&study(context.clone(), &a)).text, Prompt::new(&study(context, &b)).text);
        }

        #[test]
        fn marker_count_equals_view_count_whatever_the_context(context in "(<ima|ge>|<image>|a| )*") {
            let prompt = Prompt::new(&study(Some(context), "Clear."));
            prop_assert_eq!(prompt.text.matches(IMAGE_MARKER).count(), 2);
            let images = prompt.parts().iter().filter(|part| matches!(part, Part::Image(_))).count();
            prop_assert_eq!(images, 2);
        }
    }
}
