//! The cells of a table's row, and the values of a cell that holds several.

/// The cells of a row, which may end with its line break.
///
/// # Errors
/// Text that is not UTF-8; text behind the closing quote of a cell.
pub fn of(row: &[u8], separator: u8) -> Result<Vec<String>, String> {
    let row = std::str::from_utf8(row).map_err(|error| format!("byte {} is not UTF-8 text", error.valid_up_to()))?;
    let mut rest = row.strip_suffix('\r').unwrap_or(row);
    let separator = char::from(separator);
    let mut cells = Vec::new();
    loop {
        let (cell, behind) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = rest.find(separator).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        cells.push(cell);
        rest = match behind.strip_prefix(separator) {
            Some(next) => next,
            None if behind.is_empty() => return Ok(cells),
            None => return Err(format!("cell {}: text follows its closing quote", cells.len())),
        };
    }
}

/// The text up to the closing quote, and what stands behind that.
fn unquoted(text: &str) -> Result<(String, &str), String> {
    let mut cell = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('"').ok_or("a quoted cell has no end")?;
        cell.push_str(before);
        match behind.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => return Ok((cell, behind)),
        }
    }
}

/// The values of one cell: divided by semicolons or bars, or a list as Python or JSON write it.
pub fn values(cell: &str) -> Vec<String> {
    let cell = cell.trim();
    let list = cell.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let pieces: Vec<&str> = match list {
        Some(list) => list.split(',').map(|piece| piece.trim().trim_matches(['\'', '"'])).collect(),
        None => cell.split([';', '|']).collect(),
    };
    pieces.into_iter().map(str::trim).filter(|piece| !piece.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quoted_cells_hold_separators_quotes_and_line_breaks() {
        let cells = of(b"1,\"a, \"\"b\"\"\nc\",,5\" tall\r", b',').unwrap();
        assert_eq!(cells, ["1", "a, \"b\"\nc", "", "5\" tall"]);
        assert_eq!(of(b"", b',').unwrap(), [""]);
        assert_eq!(of(b"a;b,c;", b';').unwrap(), ["a", "b,c", ""]);
    }

    #[test]
    fn a_cell_whose_quotes_are_broken_is_refused() {
        assert!(of(b"1,\"a\"b", b',').unwrap_err().contains("cell 2: text follows"));
        assert!(of(b"\"a", b',').unwrap_err().contains("no end"));
        assert!(of(b"a\xff", b',').unwrap_err().contains("byte 1 is not UTF-8"));
    }

    #[test]
    fn a_cell_holds_several_values_by_semicolons_bars_or_as_a_list() {
        for cell in ["a.png;b.png", " a.png | b.png ", "['a.png', 'b.png']", "[\"a.png\",\"b.png\"]", "a.png;;b.png;"] {
            assert_eq!(values(cell), ["a.png", "b.png"], "{cell}");
        }
        assert_eq!(values("[]"), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn cells_that_are_written_come_back(cells in prop::collection::vec("[a,\"\n\r; ]*", 1..5)) {
            let quoted: Vec<String> = cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            prop_assert_eq!(of(quoted.join(",").as_bytes(), b',').unwrap(), cells);
        }

        #[test]
        fn no_bytes_make_the_reader_of_cells_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), text in ".*") {
            _ = of(&bytes, b',');
            _ = values(&text);
        }
    }
}
