//! Entries whose fields say one thing each: rows of tables, and JSON objects with the same names.

use serde_json::Value;

use super::{
    cells,
    columns::{
        COMPARISON, Column, FINDINGS, Fields, IMAGES, IMPRESSION, INDICATION, PRIOR_IMAGES, PRIOR_VIEWS, REPORT,
        TECHNIQUE, VIEWS,
    },
    content::{Content, Picture},
    record::{mistyped, text, texts},
    roles,
};
use crate::{
    error::Problem,
    study::{Projection, Timing},
};

pub fn read(fields: &Fields) -> Result<Content, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut keep = |problem| problems.push(problem);
    let current = pictures(fields, IMAGES, VIEWS, Timing::Current).map_err(&mut keep).unwrap_or_default();
    let prior = pictures(fields, PRIOR_IMAGES, PRIOR_VIEWS, Timing::Prior).map_err(&mut keep).unwrap_or_default();
    let [findings, report, impression, indication, technique, comparison] =
        [FINDINGS, REPORT, IMPRESSION, INDICATION, TECHNIQUE, COMPARISON].map(|column| {
            fields.get(column).and_then(|(field, value)| text(field, value).map_err(&mut keep).ok().flatten())
        });
    let whole = findings.is_none() && report.is_some();
    let Some(reference) = findings.or_else(|| report.clone()).or(impression) else {
        let reason =
            "missing or empty; expected a report, findings or an impression, or else conversations or messages";
        problems.push(Problem::new(REPORT.name(), reason));
        return Err(problems);
    };
    if current.is_empty() && problems.is_empty() {
        problems.push(Problem::new(IMAGES.name(), "missing or empty; expected at least one path"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Content {
        pictures: current.into_iter().chain(prior).collect(),
        indication,
        technique,
        comparison,
        reference,
        whole,
        report,
    })
}

/// The images of the study or of the one before it. Without views, the first is frontal and the second lateral.
fn pictures(fields: &Fields, images: Column, views: Column, timing: Timing) -> Result<Vec<Picture>, Problem> {
    let Some((field, paths)) = values(fields, images)? else { return Ok(Vec::new()) };
    let projections = match values(fields, views)? {
        None if paths.len() <= 2 => vec![Projection::Frontal, Projection::Lateral],
        None => {
            let reason = format!("{} images; expected their views in a field `{}`", paths.len(), views.name());
            return Err(Problem::new(field, reason));
        }
        Some((field, names)) if names.len() != paths.len() => {
            return Err(Problem::new(field, format!("{} views, but {} images", names.len(), paths.len())));
        }
        Some((field, names)) => {
            let projection = |name: &String| {
                roles::projection(name).ok_or_else(|| {
                    Problem::new(field, format!("is `{name}`; expected PA, AP or frontal, or lateral or LL"))
                })
            };
            names.iter().map(projection).collect::<Result<_, _>>()?
        }
    };
    let picture = |(path, projection)| Picture { field: field.to_owned(), path, role: (timing, projection) };
    Ok(paths.into_iter().zip(projections).map(picture).collect())
}

/// The values of a field, and its name; none if it is absent or holds nothing.
fn values<'a>(fields: &Fields<'a>, column: Column) -> Result<Option<(&'a str, Vec<String>)>, Problem> {
    let Some((field, value)) = fields.get(column) else { return Ok(None) };
    let values = match value {
        Value::String(cell) => cells::values(cell),
        Value::Array(values) => texts(field, values)?,
        other => return Err(mistyped(field, "a string or a list of strings", other)),
    };
    Ok(Some((field, values)).filter(|(_, values)| !values.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::record::Record;

    fn read_json(text: &str) -> Result<Content, Vec<Problem>> {
        let record: Record = serde_json::from_str(text).unwrap();
        read(&Fields::of(&record)).map(Content::settled)
    }

    #[test]
    fn findings_count_before_the_report_and_that_before_the_impression() {
        let reference = |more: &str| read_json(&format!(r#"{{"image": "a.png", {more}}}"#)).unwrap().reference;
        let report = r#""report": "HISTORY: Cough.\n\nFINDINGS: Clear.""#;
        assert_eq!(reference(&format!(r#"{report}, "Findings": " Low volumes. ", "impression": "x""#)), "Low volumes.");
        assert_eq!(reference(&format!(r#"{report}, "findings": " ", "impression": "x""#)), "FINDINGS: Clear.");
        assert_eq!(reference(r#""impression": "Normal.""#), "Normal.");
    }

    #[test]
    fn sections_of_the_report_are_the_prompts_unless_the_reference_holds_them() {
        let indication = |report: &str| {
            let json = serde_json::json!({"image": "a.png", "report": report});
            read_json(&json.to_string()).unwrap().indication
        };
        assert_eq!(indication("HISTORY: Cough.\n\nFINDINGS: Clear.").as_deref(), Some("Cough."));
        assert_eq!(indication("HISTORY: Cough. Clear lungs."), None);
        assert_eq!(indication("FINDINGS: Clear."), None);
    }

    #[test]
    fn views_are_told_by_their_names_or_by_the_order_of_the_images() {
        let roles = |more: &str| {
            let content = read_json(&format!(r#"{{"report": "x", {more}}}"#));
            content.map(|content| content.pictures.into_iter().map(|picture| picture.role).collect::<Vec<_>>())
        };
        let (frontal, lateral) = (Projection::Frontal, Projection::Lateral);
        let current =
            |projections: &[Projection]| projections.iter().map(|one| (Timing::Current, *one)).collect::<Vec<_>>();
        assert_eq!(roles(r#""paths": "a;b""#).unwrap(), current(&[frontal, lateral]));
        let views = r#""path": ["a", "b", "c"], "ViewPosition": "LL;PA;AP""#;
        assert_eq!(roles(views).unwrap(), current(&[lateral, frontal, frontal]));
        let prior = roles(r#""image": "a", "prior_images": "b", "prior_view": "LATERAL""#).unwrap();
        assert_eq!(prior, [(Timing::Current, frontal), (Timing::Prior, lateral)]);
        for (more, expected) in [
            (r#""paths": "a;b;c""#, "3 images; expected their views in a field `view`"),
            (r#""path": "a;b", "view": "PA""#, "1 views, but 2 images"),
            (r#""path": "a", "view": "LAO""#, "is `LAO`; expected PA"),
            (r#""path": "a", "view": 3"#, "found a number"),
            (r#""report": 3, "view": "PA""#, "found a number"),
        ] {
            let problems = roles(more).unwrap_err();
            assert!(problems.iter().any(|problem| problem.reason.contains(expected)), "{more}: {problems:?}");
        }
    }
}
