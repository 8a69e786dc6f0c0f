//! Tables of cells between separators, as RFC 4180 describes them: quoted cells may hold separators, line breaks, and
//! quotes written twice.

/// A row and the line it starts on.
pub(super) type Row = (usize, Vec<String>);

/// What is wrong with a line.
pub(super) type Fault = (usize, &'static str);

/// The rows with their first lines (from 1), blank lines left out; or the line and kind of a fault.
pub(super) fn rows(text: &str, separator: char) -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::new();
    let (mut line, mut rest) = (1, text);
    while !rest.is_empty() {
        if let Some(next) = without_break(rest) {
            (line, rest) = (line + 1, next);
            continue;
        }
        let first = line;
        let mut row = Vec::new();
        loop {
            let (cell, after, breaks) = cell(rest, separator).map_err(|problem| (line, problem))?;
            row.push(cell);
            line += breaks;
            match after.strip_prefix(separator) {
                Some(next) => rest = next,
                None => {
                    rest = without_break(after).unwrap_or(after);
                    line += 1;
                    break;
                }
            }
        }
        rows.push((first, row));
    }
    Ok(rows)
}

fn without_break(text: &str) -> Option<&str> {
    text.strip_prefix("\r\n").or_else(|| text.strip_prefix('\n'))
}

/// The next cell, the text from its end on, and how many line breaks it holds.
fn cell(text: &str, separator: char) -> Result<(String, &str, usize), &'static str> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([separator, '\n']).unwrap_or(text.len());
        let end = if text[..end].ends_with('\r') && text[end..].starts_with('\n') { end - 1 } else { end };
        return Ok((text[..end].to_owned(), &text[end..], 0));
    };
    let mut cell = String::new();
    loop {
        let (quoted, after) = rest.split_once('"').ok_or("a quoted cell has no end")?;
        cell.push_str(quoted);
        match after.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None if after.is_empty() || after.starts_with([separator, '\n']) || after.starts_with("\r\n") => {
                let breaks = cell.matches('\n').count();
                return Ok((cell, after, breaks));
            }
            None => return Err("text follows the closing quote of a cell"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_cells_hold_separators_quotes_and_line_breaks() {
        let text = "id,report\r\n1,\"No \"\"effusion\"\",\nclear.\"\r\n\n2,\n3,\"\"";
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let expected = vec![
            (1, row(["id", "report"])),
            (2, row(["1", "No \"effusion\",\nclear."])),
            (5, row(["2", ""])),
            (6, row(["3", ""])),
        ];
        assert_eq!(rows(text, ',').unwrap(), expected);
    }

    #[test]
    fn an_empty_quoted_cell_is_a_row_and_an_empty_line_is_none() {
        let row = |line: usize, cell: &str| (line, vec![cell.to_owned()]);
        assert_eq!(rows("report\n\"\"\n\nb", ',').unwrap(), [row(1, "report"), row(2, ""), row(4, "b")]);
    }

    #[test]
    fn faults_are_told_with_their_line() {
        assert_eq!(rows("a\n\"b", ','), Err((2, "a quoted cell has no end")));
        assert_eq!(rows("a\n\"b\"c", ','), Err((2, "text follows the closing quote of a cell")));
    }
}
