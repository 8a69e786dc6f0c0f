//! Reports to words, in the ways of the two generations of RadGraph models.

/// The words of a report for the model that is called `radgraph`: separated by spaces and around each of `/,:.!?()`.
pub(super) fn first_generation(report: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in report.split(white) {
        let mut rest = word;
        while let Some(at) = rest.find(['/', ',', ':', '.', '!', '?', '(', ')']) {
            // The marks are single bytes.
            let (before, mark) = rest.split_at(at);
            words.extend([before, &mark[..1]].map(str::to_owned));
            rest = &mark[1..];
        }
        words.push(rest.to_owned());
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The words of a report for radgraph-xl and its kin: runs of letters and digits, runs of other marks. Some runs of
/// marks are cut again, as the reference does.
pub(super) fn second_generation(report: &str) -> Vec<String> {
    // Escapes that exports of reports contain as such.
    let report = ["\\n", "\\f", "\\u2122"].iter().fold(report.to_owned(), |text, escape| text.replace(escape, " "));
    let report = report.replace("\\\"", "``");
    let mut spaced = String::with_capacity(report.len());
    let mut before = None;
    for c in report.chars() {
        let class = if white(c) { None } else { Some(c.is_alphanumeric() || c == '_') };
        if class != before {
            spaced.push(' ');
        }
        if class.is_some() {
            spaced.push(c);
        }
        before = class;
    }
    for mark in [").", "%.", ".'", "%,", "%)"] {
        spaced = spaced.replace(mark, &format!("{} {}", &mark[..1], &mark[1..]));
    }
    spaced.split_ascii_whitespace().map(str::to_owned).collect()
}

/// What Python calls white space.
fn white(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use addendum_fixtures::fixture;

    #[derive(Deserialize)]
    struct Case {
        text: String,
        radgraph: Vec<String>,
        radgraph_xl: Vec<String>,
    }

    #[test]
    fn parity_words_of_reports_for_both_generations() {
        let cases: Vec<Case> = serde_json::from_slice(&fixture("rewards/radgraph/preprocess.json")).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            assert_eq!(first_generation(&case.text), case.radgraph, "{:?}", case.text);
            assert_eq!(second_generation(&case.text), case.radgraph_xl, "{:?}", case.text);
        }
    }

    #[test]
    fn marks_are_cut_as_the_reference_cuts_them() {
        assert_eq!(
            second_generation("Up 20%, (down 5%). 'ok.'"),
            ["Up", "20", "%", ",", "(", "down", "5", "%", ")", ".", "'", "ok", ".", "'"]
        );
        assert_eq!(second_generation(r#"said \"no\"."#), ["said", "``", "no", "``."]);
    }
}
