//! Reads the counts out of a model's answer. Strict where a guess would change the score.

use serde::{Deserialize, Serialize};

use super::layout::{EXPLANATION, INSIGNIFICANT, MATCHED, SIGNIFICANT, items, sections};

/// What some servers leave before the answer.
const ASSISTANT: &str = "<|assistant|>";

/// How a section begins that has nothing to count.
const DENIALS: [&str; 7] = ["no", "none", "nothing", "not applicable", "n/a", "there are no", "there were no"];

/// A larger count is no count of findings.
const MOST: u32 = 1000;

/// Why an answer gives no grade.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The model wrote up to its limit of tokens and was not done. Raise `longest_answer_tokens`.
    #[error("the answer was cut at the limit of tokens")]
    Cut,
    /// A section is missing or there twice, so the model did not keep to the form. Check that the service runs a GREEN
    /// model, or one that follows the prompt.
    #[error("the answer has {count} sections [{section}], expected one")]
    Section {
        /// The section's title.
        section: &'static str,
        /// How often it is there.
        count: usize,
    },
    /// A section neither counts nor denies. The model did not keep to the form; check which model the service runs.
    #[error("[{section}] of the answer holds no count")]
    NoCount {
        /// The section's title.
        section: &'static str,
    },
    /// A type of error is listed without its number. The model did not keep to the form; check which model the service
    /// runs.
    #[error("[{section}] ({letter}) of the answer holds no count like `: 2.`")]
    Item {
        /// The section's title.
        section: &'static str,
        /// The type, `a` to `f`.
        letter: char,
    },
    /// A type of error is listed twice, so its number is not certain. The model did not keep to the form; check which
    /// model the service runs.
    #[error("[{section}] ({letter}) occurs twice in the answer")]
    Twice {
        /// The section's title.
        section: &'static str,
        /// The type, `a` to `f`.
        letter: char,
    },
    /// Matched findings are listed instead of counted. The model did not keep to the form; check which model the
    /// service runs.
    #[error("[{MATCHED}] of the answer is a numbered list, expected a count")]
    Listed,
}

/// The errors that the model found, and what it found right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// Clinically significant errors of the types (a) to (f): false finding, missing finding, wrong place, wrong
    /// severity, comparison too much, comparison missing.
    pub significant: [u32; 6],
    /// Clinically insignificant errors of the same types, which do not score; `None` where the answer does not tell them.
    pub insignificant: Option<[u32; 6]>,
    /// Findings that both reports hold.
    pub matched: u32,
    /// What the model says about the two reports, in its own words; may be empty.
    pub explanation: String,
}

impl Grade {
    /// matched / (matched + significant errors); 0 without a matched finding (GREEN, section 3). In [0, 1].
    pub fn score(&self) -> f64 {
        let errors: u32 = self.significant.iter().sum();
        if self.matched == 0 { 0. } else { f64::from(self.matched) / f64::from(self.matched + errors) }
    }

    /// Reads an answer in the form of the published model, or with the types numbered (1) to (6); the labels of the types may
    /// be dressed otherwise ("a)", "(A)", "2.", in bold, behind bullets), and all may stand on one line.
    ///
    /// A section that denies everything ("No …", "None", "There are no …") counts 0, as does a type that a list leaves out
    /// (the authors' package reads both so). In the two sections that make the score, a missing one, a type without a
    /// number or a numbered list of matched findings is an error.
    ///
    /// # Errors
    /// Names what is missing or ambiguous.
    pub fn parse(answer: &str) -> Result<Self, AnswerError> {
        let answer = answer.rsplit(ASSISTANT).next().unwrap_or_default();
        let sections = sections(answer);
        let only = |section: &'static str| {
            let mut found = sections.iter().filter(|(name, _)| name.eq_ignore_ascii_case(section));
            match (found.next(), found.count()) {
                (Some((_, body)), 0) => Ok(body.as_str()),
                (first, others) => Err(AnswerError::Section { section, count: usize::from(first.is_some()) + others }),
            }
        };
        let explained = |name: &str| name.is_empty() || name.eq_ignore_ascii_case(EXPLANATION);
        let explanation: Vec<&str> =
            sections.iter().filter(|(name, _)| explained(name)).map(|(_, body)| body.trim()).collect();
        Ok(Self {
            significant: errors(SIGNIFICANT, only(SIGNIFICANT)?)?,
            insignificant: only(INSIGNIFICANT).and_then(|body| errors(INSIGNIFICANT, body)).ok(),
            matched: matched(only(MATCHED)?)?,
            explanation: explanation.join(" ").trim().to_owned(),
        })
    }
}

/// Whether a section denies everything in words.
fn nothing(body: &str) -> bool {
    let text = body.trim_start().to_lowercase();
    let begins = |denial: &&str| text.strip_prefix(denial).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    DENIALS.iter().any(begins)
}

fn errors(section: &'static str, body: &str) -> Result<[u32; 6], AnswerError> {
    let mut counts = [None; 6];
    for item in items(body) {
        let letter = char::from(b'a' + item.slot as u8);
        let slot = &mut counts[item.slot];
        if slot.is_some() {
            return Err(AnswerError::Twice { section, letter });
        }
        let number = item.text.split_once(':').and_then(|(_, rest)| leading_count(rest));
        *slot = Some(number.ok_or(AnswerError::Item { section, letter })?);
    }
    if counts.iter().all(Option::is_none) && !nothing(body) {
        return Err(AnswerError::NoCount { section });
    }
    Ok(counts.map(Option::unwrap_or_default))
}

fn matched(body: &str) -> Result<u32, AnswerError> {
    // A matched finding may itself be a denial, as "No effusion".
    let bare = body.trim().trim_end_matches('.');
    let of_matches = bare.to_lowercase().contains("match") || DENIALS.iter().any(|d| bare.eq_ignore_ascii_case(d));
    if of_matches && nothing(body) {
        return Ok(0);
    }
    let mut lines = body.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    let count = leading_count(first).ok_or(AnswerError::NoCount { section: MATCHED })?;
    let numbered = |line: &str| line.trim_start().split_once('.').is_some_and(|(n, _)| n.parse::<u32>().is_ok());
    let listed = count == 1 && first.contains(" 2. ") || lines.any(numbered);
    if listed { Err(AnswerError::Listed) } else { Ok(count) }
}

/// The number at the start of a text, followed by a stop or nothing.
fn leading_count(text: &str) -> Option<u32> {
    let text = text.trim().trim_end_matches([',', ';']);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let ends = rest.is_empty() || rest.starts_with('.') && !rest[1..].starts_with(|c: char| c.is_ascii_digit());
    digits.parse().ok().filter(|&count| ends && count <= MOST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(significant: [u32; 6], insignificant: [u32; 6], matched: u32) -> String {
        let list = |counts: [u32; 6]| -> String {
            let item = |(letter, count): (char, u32)| format!("({letter}) Some type: {count}. One; two\n");
            ('a'..='f').zip(counts).map(item).collect()
        };
        format!(
            "[Explanation]:\nBecause.\n\n[Clinically Significant Errors]:\n{}\n[Clinically Insignificant Errors]:\n{}\n\
             [Matched Findings]:\n{matched}. A; B",
            list(significant),
            list(insignificant)
        )
    }

    /// An answer whose significant errors are told in words.
    fn words(significant: &str) -> String {
        format!("[Clinically Significant Errors]:\n{significant}\n[Matched Findings]:\n2. A; B")
    }

    #[test]
    fn a_denial_in_words_counts_zero() {
        for denial in ["No errors.", "None", "There are no clinically significant errors.", "Not applicable.", "N/A"] {
            assert_eq!(Grade::parse(&words(denial)).map(|grade| grade.significant), Ok([0; 6]), "{denial}");
        }
    }

    #[test]
    fn no_matched_finding_can_be_told_in_words() {
        let plain = answer([1, 0, 0, 0, 0, 0], [0; 6], 3);
        for denial in ["None.", "No matched findings.", "There are no findings that match.", "N/A"] {
            assert_eq!(Grade::parse(&plain.replace("3. A; B", denial)).map(|grade| grade.matched), Ok(0), "{denial}");
        }
    }

    #[test]
    fn errors_without_significance_void_no_grade() {
        let plain = answer([1, 0, 0, 0, 0, 0], [9; 6], 3);
        let (before, rest) = plain.split_once("[Clinically Insignificant Errors]:\n").unwrap();
        let after = &rest[rest.find("[Matched").unwrap()..];
        let read = |section: &str| {
            let grade = Grade::parse(&format!("{before}{section}\n{after}")).unwrap();
            assert_eq!(grade.score(), 0.75, "{section}");
            grade.insignificant
        };
        let section = |body: &str| read(&format!("[Clinically Insignificant Errors]:\n{body}"));
        assert_eq!(section("There are no clinically insignificant errors."), Some([0; 6]));
        assert_eq!(section("Not applicable."), Some([0; 6]));
        assert_eq!(section("(b) Some type: 2. One; two"), Some([0, 2, 0, 0, 0, 0]));
        assert_eq!(section("(b) Some type: two."), None);
        assert_eq!(section("Hard to say."), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn the_score_is_the_share_of_matched_findings() {
        let grade = |significant, matched| Grade::parse(&answer(significant, [9; 6], matched)).unwrap();
        assert_eq!(grade([1, 0, 0, 0, 0, 0], 3).score(), 0.75);
        assert_eq!(grade([0; 6], 0).score(), 0.);
        assert_eq!(grade([0; 6], 2).score(), 1.);
        assert_eq!(grade([1; 6], 3).explanation, "Because.");
    }

    #[test]
    fn counts_in_other_dress_are_read() {
        let plain = answer([0, 2, 0, 0, 0, 0], [0; 6], 3);
        let expected = Grade::parse(&plain).unwrap();
        let dressed = [
            format!("```\n{plain}\n```"),
            format!("<|user|> [Matched Findings]: <n> <|assistant|>\n{plain}</s>"),
            plain.replace("[Matched Findings]:\n", "**[Matched Findings]:** "),
            plain.replace("[Clinically", "### [clinically"),
            plain.replace("(a) Some type: 0. One; two\n", ""),
        ];
        for text in dressed {
            assert_eq!(Grade::parse(&text).map(|grade| grade.score()), Ok(expected.score()), "{text}");
        }
        let none = "[Clinically Significant Errors]:\nNo clinically significant errors.\n\
                    [Clinically Insignificant Errors]: None.\n[Matched Findings]:\n2. A; B";
        assert_eq!(Grade::parse(none).unwrap().score(), 1.);
    }

    #[test]
    fn the_labels_of_the_types_may_be_letters_or_numbers_in_any_dress() {
        let plain = answer([0, 2, 0, 0, 1, 0], [3; 6], 3);
        let expected = Grade::parse(&plain).unwrap();
        type Dress = fn(char, usize) -> String;
        let dresses: [Dress; 14] = [
            |_, n| format!("({n})"),
            |_, n| format!("{n})"),
            |_, n| format!("{n}."),
            |a, _| format!("{a})"),
            |a, _| format!("{a}."),
            |a, _| format!("({})", a.to_ascii_uppercase()),
            |a, _| format!("{}.", a.to_ascii_uppercase()),
            |a, _| format!("**({a})**"),
            |_, n| format!("**{n}.**"),
            |a, _| format!("- ({a})"),
            |_, n| format!("* **({n})**"),
            |_, n| format!("• {n})"),
            |_, n| format!("  {n}.  "),
            |a, _| format!("__{a})__"),
        ];
        for dress in dresses {
            let dressed = ('a'..='f')
                .zip(1..)
                .fold(plain.clone(), |text, (letter, n)| text.replace(&format!("({letter})"), &dress(letter, n)));
            for text in
                [dressed.replace("\n\n", "\n"), dressed.replace('\n', " "), dressed.replace('\n', "\r\n"), dressed]
            {
                assert_eq!(Grade::parse(&text), Ok(expected.clone()), "{text}");
            }
        }
    }

    #[test]
    fn the_counts_of_an_answer_on_one_line_count() {
        let line = "[Explanation]: Because. [Clinically Significant Errors]: (a) False report: 1. Nodule (b) Missing: 2. \
                    Effusion; edema (c) Place: 0. (d) Severity: 0. (e) Comparison: 0. (f) No comparison: 0. \
                    [Clinically Insignificant Errors]: None. [Matched Findings]: 3. A; B; C";
        let grade = Grade::parse(line).unwrap();
        assert_eq!((grade.significant, grade.matched), ([1, 2, 0, 0, 0, 0], 3));
        assert_eq!(grade.score(), 0.5);
        assert_eq!(grade.explanation, "Because.");
        let bare = line.replace(". Nodule", ";").replace(". Effusion; edema", ",").replace(": 0.", ": 0");
        assert_eq!(Grade::parse(&bare).map(|grade| grade.score()), Ok(0.5));
        let wrapped = line.replace(" (c)", "\n(c)").replace(" (e)", "\n(e)").replace(" [", "\n[");
        assert_eq!(Grade::parse(&wrapped).map(|grade| grade.score()), Ok(0.5));
    }

    #[test]
    fn what_looks_like_a_label_within_a_finding_is_none() {
        let plain = answer([1, 2, 0, 0, 0, 0], [0; 6], 3);
        let expected = Grade::parse(&plain).unwrap();
        for finding in
            ["One (c) lesion", "One (3)", "One; 2. two", "One 2) two", "a. One", "see [Matched Findings] here"]
        {
            let text = plain.replace("One; two", finding);
            assert_eq!(Grade::parse(&text).map(|grade| grade.score()), Ok(expected.score()), "{text}");
        }
        let listed = plain.replace(": 2. One; two", ": 2.\n1. One\n2. Two");
        assert_eq!(Grade::parse(&listed).map(|grade| grade.score()), Ok(expected.score()));
    }

    #[test]
    fn what_would_be_a_guess_is_an_error() {
        let plain = answer([1, 2, 3, 0, 0, 0], [0; 6], 3);
        let cases = [
            (String::new(), "0 sections [Clinically Significant Errors]"),
            (plain.replace("[Clinically Insignificant Errors]", "Others"), "(a) occurs twice"),
            (plain.split("[Matched").next().unwrap().to_owned(), "0 sections [Matched Findings]"),
            (format!("{plain}\n{plain}"), "2 sections [Clinically Significant Errors]"),
            (plain.replace("type: 2.", "type: two."), "[Clinically Significant Errors] (b)"),
            (plain.replace("(a) Some type: 1", "No.\n(a) Some type: one"), "[Clinically Significant Errors] (a)"),
            (words("Notable errors."), "[Clinically Significant Errors] of the answer holds no count"),
            (plain.replace("type: 2.", "type: -2."), "(b)"),
            (plain.replace("type: 2.", "type: 2.5"), "(b)"),
            (plain.replace("type: 2.", "type 2."), "(b)"),
            (plain.replace("(c)", "(b)"), "(b) occurs twice"),
            (plain.replace("3. A; B", "A; B"), "[Matched Findings] of the answer holds no count"),
            (plain.replace("3. A; B", "1. A\n2. B\n3. C"), "numbered list"),
            (plain.replace("3. A; B", "99999999999. A"), "no count"),
            (plain.replace("3. A; B", "No effusion; no edema"), "[Matched Findings] of the answer holds no count"),
            (plain.replace("(", "").replace(')', ""), "[Clinically Significant Errors] of the answer holds no count"),
            (plain.replace("type: 2.", "type: two.").replace('\n', " "), "[Clinically Significant Errors] (b)"),
            (plain.replace("type: 2.", "type 2.").replace('\n', " "), "(b)"),
            (plain.replace("3. A; B", "1. A 2. B 3. C"), "numbered list"),
        ];
        for (text, expected) in cases {
            let message = Grade::parse(&text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}\n{message}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn counts_survive_and_scores_are_shares(
            significant in prop::array::uniform6(0u32..50), insignificant in prop::array::uniform6(0u32..50), matched in 0u32..50
        ) {
            let grade = Grade::parse(&answer(significant, insignificant, matched)).unwrap();
            prop_assert_eq!((grade.significant, grade.insignificant, grade.matched), (significant, Some(insignificant), matched));
            prop_assert!((0. ..=1.).contains(&grade.score()));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>(), cut in 0usize..600) {
            let _ = Grade::parse(&text);
            let whole = answer([1; 6], [0; 6], 2);
            let _ = Grade::parse(&whole[..cut.min(whole.len())]);
            let _ = Grade::parse(&format!("[Matched Findings]{text}\n(a){text}:{text}"));
        }
    }
}
