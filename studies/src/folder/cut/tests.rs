use proptest::prelude::*;

use super::*;

/// The entries with the lines that they begin in, or the line and the reason of the end of them.
fn cut(form: Form, text: &[u8]) -> Result<Vec<(u32, String)>, (u32, String)> {
    let mut entries = Cut::new(text, form, b"").unwrap();
    let mut found = Vec::new();
    loop {
        match entries.next() {
            Ok(Some(raw)) => {
                let start = usize::try_from(raw.at).unwrap();
                assert_eq!(text[start..start + raw.bytes.len()], raw.bytes, "the place of an entry is not its own");
                found.push((raw.line, String::from_utf8_lossy(&raw.bytes).into_owned()));
            }
            Ok(None) => break,
            Err(Broken::Content(line, reason)) => return Err((line, reason)),
            Err(Broken::Io(error)) => panic!("{error}"),
        }
    }
    assert_eq!(entries.read(), (text.len() as u64, crc32fast::hash(text)));
    Ok(found)
}

fn entries(form: Form, text: &str) -> Vec<(u32, String)> {
    cut(form, text.as_bytes()).unwrap()
}

fn told(expected: &[(u32, &str)]) -> Vec<(u32, String)> {
    expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect()
}

const TABLE: Form = Form::Table { separator: b',' };

#[test]
fn an_array_is_cut_at_the_commas_between_its_entries() {
    let text = "\n[{\"a\": [1, 2], \"b\": \"],[\\\"\"},\n nil ,{]\n, \"x\"]\r\n";
    let expected = [(2, "{\"a\": [1, 2], \"b\": \"],[\\\"\"}"), (3, "nil "), (3, "{]\n"), (4, "\"x\"")];
    assert_eq!(entries(Form::Array, text), told(&expected));
    assert_eq!(entries(Form::Array, "[ ]"), []);
}

#[test]
fn a_comma_too_many_is_an_entry_that_is_nothing() {
    assert_eq!(entries(Form::Array, "[,1,\n]"), told(&[(1, ""), (1, "1"), (2, "")]));
}

#[test]
fn an_array_without_an_end_or_with_something_behind_it_is_refused_with_the_line() {
    let refused = |text: &str| cut(Form::Array, text.as_bytes()).unwrap_err();
    for (text, line, reason) in
        [("[1,\n{\"a\"", 2, "ends inside"), ("[1]\nx", 2, "behind"), ("", 1, "ends"), ("1", 1, "expected an array")]
    {
        let (at, told) = refused(text);
        assert!(at == line && told.contains(reason), "{text}: {at}: {told}");
    }
}

#[test]
fn lines_that_are_blank_are_none() {
    assert_eq!(entries(Form::Lines, "{}\r\n\n \n  {\"a\"}\nx"), told(&[(1, "{}\r"), (4, "{\"a\"}"), (5, "x")]));
}

#[test]
fn a_row_ends_with_the_line_unless_a_quoted_cell_goes_on() {
    let text = "id,\"a\"\"\n\"\r\n\r\n5\" tall,x\ny,\"z";
    let (line, reason) = cut(TABLE, text.as_bytes()).unwrap_err();
    assert!(line == 5 && reason.contains("no end"), "{line}: {reason}");
    let whole = format!("{text}\"");
    let expected = [(1, "id,\"a\"\"\n\"\r"), (4, "5\" tall,x"), (5, "y,\"z\"")];
    assert_eq!(entries(TABLE, &whole), told(&expected));
}

#[test]
fn an_entry_without_bounds_is_refused() {
    let (_, reason) = cut(Form::Lines, &vec![b'x'; MOST_BYTES + 1]).unwrap_err();
    assert!(reason.contains("more than"), "{reason}");
}

proptest! {
    #[test]
    fn no_bytes_make_a_cutter_panic_or_lose_its_place(
        bytes in prop::collection::vec(prop::sample::select(b"[]{},\"\\\n\r x1\xff".to_vec()), 0..60),
    ) {
        for form in [Form::Array, Form::Lines, TABLE] {
            _ = cut(form, &bytes);
        }
    }

    #[test]
    fn what_serde_writes_is_cut_into_its_entries(texts in prop::collection::vec(".*", 0..5)) {
        let list = serde_json::to_string_pretty(&texts).unwrap();
        let found = entries(Form::Array, &list);
        let read: Vec<String> = found.iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
        prop_assert_eq!(read, texts);
    }
}
