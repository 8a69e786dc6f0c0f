use super::*;

fn cells(text: &str) -> Vec<(String, Vec<String>)> {
    let rows = rows("f", text, b',').unwrap();
    rows.into_iter().map(|(place, cells)| (place, cells.iter().map(str::to_owned).collect())).collect()
}

fn row<const N: usize>(place: &str, cells: [&str; N]) -> (String, Vec<String>) {
    (place.to_owned(), cells.map(str::to_owned).to_vec())
}

#[test]
fn quoted_cells_hold_separators_quotes_and_line_breaks() {
    let text = "id,report\r\n1,\"No \"\"effusion\"\",\nclear.\"\r\n\n2,\n3,\"\"\n4,5\" tube";
    let expected = [
        row("f:1", ["id", "report"]),
        row("f:2", ["1", "No \"effusion\",\nclear."]),
        row("f:5", ["2", ""]),
        row("f:6", ["3", ""]),
        row("f:7", ["4", "5\" tube"]),
    ];
    assert_eq!(cells(text), expected);
}

#[test]
fn an_empty_quoted_cell_is_a_row_and_an_empty_line_is_none() {
    let expected = [row("f:1", ["report"]), row("f:2", [""]), row("f:4", ["b"])];
    assert_eq!(cells("report\n\"\"\n\nb"), expected);
}

#[test]
fn quotes_that_end_elsewhere_than_their_cell_are_refused_with_their_line() {
    let fault = "a quoted cell has no end, or text follows its closing quote";
    for (text, line) in
        [("a\n\"b", 2), ("a\n\"b\"c", 2), ("a\r\n\r\n\"b\n\"c\"\nd\n", 3), ("\"a\n", 1), ("x,\"a\"\"", 1)]
    {
        assert_eq!(rows("f", text, b',').unwrap_err().to_string(), format!("f:{line}: {fault}"), "{text:?}");
    }
}
