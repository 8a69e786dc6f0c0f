//! Which view each image of an entry is.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    prompt::IMAGE_MARKER,
    study::{Projection, Timing},
};

pub type Role = (Timing, Projection);

#[derive(Deserialize)]
struct Written {
    projection: Projection,
    timing: Timing,
}

/// From the `views` key.
pub fn from_key(views: &Value, images: usize) -> Result<Vec<Role>, String> {
    let views: Vec<Written> = serde::Deserialize::deserialize(views).map_err(|error| error.to_string())?;
    if views.len() != images {
        return Err(format!("{} views, but {images} images", views.len()));
    }
    Ok(views.into_iter().map(|view| (view.timing, view.projection)).collect())
}

/// The projection that a view is called by: PA, AP and the like, decubitus ones too, or lateral.
pub fn projection(name: &str) -> Option<Projection> {
    const FRONTAL: [&str; 7] = ["frontal", "pa", "ap", "posteroanterior", "anteroposterior", "postero", "antero"];
    const LATERAL: [&str; 4] = ["lateral", "lat", "ll", "l"];
    let name = name.to_lowercase();
    let has = |names: &[&str]| name.split(|c: char| !c.is_alphanumeric()).any(|word| names.contains(&word));
    match (has(&FRONTAL), has(&LATERAL)) {
        (true, _) => Some(Projection::Frontal),
        (false, true) => Some(Projection::Lateral),
        _ => None,
    }
}

/// From the labels in front of the markers, or from their order if none has a label.
pub fn from_prompt(human: &str) -> Vec<Role> {
    let mut pieces: Vec<&str> = human.split(IMAGE_MARKER).collect();
    pieces.pop();
    let labels: Vec<Option<Role>> = pieces.iter().map(|piece| from_label(piece)).collect();
    let any = labels.iter().any(Option::is_some);
    let by_label = |label: &Option<Role>| label.unwrap_or((Timing::Current, Projection::Frontal));
    let by_order = |i: usize| match i {
        0 => (Timing::Current, Projection::Frontal),
        1 => (Timing::Current, Projection::Lateral),
        3 => (Timing::Prior, Projection::Lateral),
        _ => (Timing::Prior, Projection::Frontal),
    };
    labels.iter().enumerate().map(|(i, label)| if any { by_label(label) } else { by_order(i) }).collect()
}

/// The role named after the last line or sentence end; what is not named is current and frontal.
fn from_label(text: &str) -> Option<Role> {
    let label = text.trim_end().rsplit(['\n', '.']).next()?.to_lowercase();
    let has = |names: &[&str]| label.split(|c: char| !c.is_alphanumeric()).any(|word| names.contains(&word));
    let (prior, lateral) = (has(&["prior", "previous"]), has(&["lateral"]));
    let known = prior || lateral || has(&["frontal", "pa", "ap", "current"]);
    let timing = if prior { Timing::Prior } else { Timing::Current };
    let projection = if lateral { Projection::Lateral } else { Projection::Frontal };
    known.then_some((timing, projection))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CF: Role = (Timing::Current, Projection::Frontal);
    const CL: Role = (Timing::Current, Projection::Lateral);
    const PF: Role = (Timing::Prior, Projection::Frontal);

    #[test]
    fn labels_before_the_markers_decide_the_roles() {
        assert_eq!(from_prompt("Current frontal: <image> Prior frontal: <image> x"), [CF, PF]);
        assert_eq!(from_prompt("Lateral\n<image>\nPA view <image>"), [CL, CF]);
        assert_eq!(from_prompt("No prior surgery. Here is <image> and the previous one <image>"), [CF, PF]);
    }

    #[test]
    fn unlabelled_images_get_their_roles_from_the_order() {
        assert_eq!(from_prompt("<image>\n<image>\n<image>\nDescribe."), [CF, CL, PF]);
    }
}
