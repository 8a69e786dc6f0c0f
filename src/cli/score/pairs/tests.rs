use std::fs::write;

use tempfile::TempDir;

use super::*;

struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let files_dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(files_dir.path().join(name), text).unwrap();
        }
        Self(files_dir)
    }

    fn pairs(&self, hyps: &str, refs: Option<&str>) -> Result<Vec<Pair>> {
        let refs = refs.map(|name| self.0.path().join(name));
        pairs(&self.0.path().join(hyps), refs.as_deref(), &Fields::default())
    }

    /// The message without the folder's name.
    fn refusal(&self, hyps: &str, refs: Option<&str>) -> String {
        let message = self.pairs(hyps, refs).unwrap_err().to_string();
        message.replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn pair(id: Option<&str>, hypothesis: &str, reference: &str) -> Pair {
    Pair { id: id.map(str::to_owned), hypothesis: hypothesis.into(), reference: reference.into() }
}

#[test]
fn every_format_gives_the_same_pairs() {
    let files = Files::new(&[
        ("both.json", r#"[{"id": 1, "response": "a", "answer": "x"}, {"id": 2, "response": "b", "answer": "y"}]"#),
        (
            "both.jsonl",
            "{\"id\": 1, \"response\": \"a\", \"answer\": \"x\"}\n\n{\"id\": 2, \"response\": \"b\", \"answer\": \"y\"}",
        ),
        ("both.csv", "\u{feff}id, hypothesis ,reference\n1,a,x\n2,b,y\n"),
        ("both.tsv", "id\thypothesis\treference\n1\ta\tx\n2\tb\ty\n"),
        ("hyps.txt", "a\r\nb\n"),
        ("refs.json", r#"["x", "y"]"#),
        ("hyps.csv", "study_id,report\n1,a\n2,b"),
        ("refs.jsonl", "{\"dicom_id\": \"2\", \"text\": \"y\"}\n{\"dicom_id\": \"1\", \"text\": \"x\"}"),
    ]);
    let expected = [pair(Some("1"), "a", "x"), pair(Some("2"), "b", "y")];
    for name in ["both.json", "both.jsonl", "both.csv", "both.tsv"] {
        assert_eq!(files.pairs(name, None).unwrap(), expected, "{name}");
        assert_eq!(files.pairs(name, Some(name)).unwrap(), expected, "{name}");
    }
    assert_eq!(files.pairs("hyps.csv", Some("refs.jsonl")).unwrap(), expected, "joined by id");
    let unnamed = [pair(None, "a", "x"), pair(None, "b", "y")];
    assert_eq!(files.pairs("hyps.txt", Some("refs.json")).unwrap(), unnamed);
    assert_eq!(files.pairs("hyps.csv", Some("refs.json")).unwrap(), expected, "in order, as one side has no ids");
}

#[test]
fn fields_can_be_named() {
    let files = Files::new(&[("both.jsonl", r#"{"mine": "a", "answer": "x", "theirs": "z"}"#)]);
    let fields = Fields { hypothesis: Some("mine".into()), reference: Some("theirs".into()) };
    assert_eq!(pairs(&files.0.path().join("both.jsonl"), None, &fields).unwrap(), [pair(None, "a", "z")]);
}

#[test]
fn a_faulty_file_is_refused_with_the_place_of_the_fault() {
    let files = Files::new(&[
        ("object.json", "{}"),
        ("number.json", r#"["a", 3]"#),
        ("broken.json", "[\n{\"response\": \"a\",\n]"),
        ("broken.jsonl", "{\"response\": \"a\", \"answer\": \"b\"}\n{\n"),
        ("absent.jsonl", r#"{"response": "a", "score": 1}"#),
        ("null.jsonl", r#"{"response": null, "answer": "b"}"#),
        ("short.csv", "response,answer\na,b\nc\n"),
        ("twice.csv", "id,report\n1,a\n1,b\n"),
        ("again.csv", "id,response,answer\n1,a,b\n1,a,b\n"),
        ("columns.csv", "response, answer,response\na,b,c\n"),
        ("once.csv", "id,report\n1,a\n2,b\n"),
        ("other.csv", "id,report\n1,a\n3,b\n"),
        ("three.txt", "a\nb\nc\n"),
        ("two.txt", "a\n\n"),
        ("empty.txt", ""),
    ]);
    write(files.0.path().join("latin.txt"), b"a\nb\xe9\n").unwrap();
    for (hyps, refs, expected) in [
        ("object.json", None, "object.json: expected a list of items"),
        ("number.json", Some("two.txt"), "number.json: item 2: is 3, expected an object or a string"),
        ("broken.jsonl", None, "broken.jsonl:2: is not JSON: EOF while parsing an object (column 1)"),
        (
            "absent.jsonl",
            None,
            "absent.jsonl:1: no field `answer`, `reference`, `ref`, `ground_truth`, `report`, `text`; there are \
             `response`, `score`",
        ),
        ("null.jsonl", None, "null.jsonl:1: field `response` is null, expected text"),
        ("short.csv", None, "short.csv:3: 1 cells under a header of 2"),
        ("twice.csv", Some("once.csv"), "twice.csv:3: id `1` occurs a second time"),
        ("again.csv", None, "again.csv:3: id `1` occurs a second time"),
        ("columns.csv", None, "columns.csv:1: the header names `response` twice"),
        ("once.csv", Some("other.csv"), "other.csv:3: id `3` is not in once.csv"),
        ("three.txt", Some("two.txt"), "three.txt holds 3 reports and two.txt holds 2; expected as many of both"),
        ("two.txt", None, "two.txt:1: is a report without reference; expected fields of both, or a file of references"),
        ("empty.txt", Some("two.txt"), "empty.txt: holds no report, expected at least one"),
        ("latin.txt", Some("two.txt"), "latin.txt:2: is not UTF-8 text"),
    ] {
        assert_eq!(files.refusal(hyps, refs), expected);
    }
    assert!(files.refusal("broken.json", None).starts_with("broken.json:3: is not JSON: "));
    assert!(files.refusal("absent.txt", None).starts_with("absent.txt: "));
}
