//! The frame of the page, and the pieces of HTML that all sections are made of.

use std::fmt::Write;

pub(super) use crate::report::svg::escape;

const STYLE: &str = include_str!("style.css");

/// What no page may do: load anything, or run anything.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// A part of the page with a place in its table of contents.
pub(super) struct Section {
    /// For links.
    pub id: &'static str,
    pub title: &'static str,
    /// A sentence or two of plain text that say what is to be seen.
    pub lead: String,
    /// HTML.
    pub body: String,
}

/// What is above the sections.
pub(super) struct Head {
    /// Plain text.
    pub title: String,
    /// HTML.
    pub body: String,
}

pub(super) fn page(head: &Head, sections: &[Section]) -> String {
    let title = escape(&head.title);
    let links: String =
        sections.iter().map(|section| format!("<li><a href=\"#{}\">{}</a></li>", section.id, section.title)).collect();
    let body: String = sections.iter().map(section).collect();
    let body_of_head = &head.body;
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the results</a>\n\
         <header>\n<p class=\"brand\">Addendum · run report</p>\n<h1>{title}</h1>\n{body_of_head}\
         <nav aria-label=\"Sections\"><ul>{links}</ul></nav>\n</header>\n<main id=\"main\">\n{body}</main>\n\
         <footer><p>Made by Addendum {} from run folders alone. Scores are in points of 100 unless said otherwise.</p>\
         </footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn section(section: &Section) -> String {
    let Section { id, title, lead, body } = section;
    let lead = escape(lead);
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n\
         <p class=\"lead\">{lead}</p>\n{body}</section>\n"
    )
}

/// The beginning of a text, at most so many characters of it.
pub(super) fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

/// A table of HTML cells in a box that scrolls by itself. The first cell of a row names it.
pub(super) fn table(caption: &str, header: &[String], rows: &[Vec<String>]) -> String {
    let caption = escape(caption);
    let mut html = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table><caption>{caption}</caption>\
         <thead><tr>"
    );
    for name in header {
        let _ = write!(html, "<th scope=\"col\">{name}</th>");
    }
    html.push_str("</tr></thead><tbody>\n");
    for row in rows {
        let (first, cells) = row.split_first().map_or(("", &[][..]), |(first, cells)| (first.as_str(), cells));
        let _ = write!(html, "<tr><th scope=\"row\">{first}</th>");
        for cell in cells {
            let _ = write!(html, "<td>{cell}</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html
}

/// What a reader may open.
pub(super) fn details(summary: &str, body: &str) -> String {
    format!("<details><summary>{}</summary>\n{body}</details>\n", escape(summary))
}

/// A score in points of 100; a dash for what is not a number.
pub(super) fn points(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    // The sum turns a negative zero into a positive one.
    format!("{:.1}", (1000.0 * value).round() / 10.0 + 0.0).replace('-', "−")
}

/// A difference of scores with its sign.
pub(super) fn signed_points(value: f64) -> String {
    let text = points(value);
    if value.is_finite() && !text.starts_with('−') && text != "0.0" { format!("+{text}") } else { text }
}

/// A number with about three digits.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if !value.is_finite() => return "–".into(),
        0.0 => "0".into(),
        1e-3..10.0 => format!("{value:.3}"),
        10.0..100.0 => format!("{value:.1}"),
        100.0..1e6 => format!("{value:.0}"),
        _ => format!("{value:.2e}"),
    };
    text.replace('-', "−")
}

/// Seconds for people.
pub(super) fn time(seconds: f64) -> String {
    match seconds {
        _ if !seconds.is_finite() || seconds < 0.0 => "–".into(),
        0.0..60.0 => format!("{seconds:.1} s"),
        60.0..3600.0 => format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor()),
        _ => format!("{:.0} h {:02.0} min", (seconds / 3600.0).floor(), (seconds % 3600.0 / 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_is_text() {
        assert_eq!(escape("<b a='\"'>&\u{1b}[31m\n"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\u{fffd}[31m\n");
    }

    #[test]
    fn a_text_is_clipped_between_characters() {
        assert_eq!(clip("größer", 3), "grö…");
        assert_eq!(clip("größer", 6), "größer");
    }

    #[test]
    fn numbers_are_short_and_what_is_none_is_a_dash() {
        assert_eq!(
            [0.0, 0.01234, -0.5, 12.345, 4321.4, 1.5e-7].map(short),
            ["0", "0.012", "−0.500", "12.3", "4321", "1.50e−7"]
        );
        assert_eq!([0.0501, -0.0501, 0.0, -0.00001].map(signed_points), ["+5.0", "−5.0", "0.0", "0.0"]);
        assert_eq!([f64::NAN, f64::INFINITY].map(short), ["–", "–"]);
        assert_eq!([points(f64::NAN), signed_points(f64::NAN), time(f64::NAN)], ["–", "–", "–"]);
        assert_eq!([59.96, 61.0, 7261.0].map(time), ["60.0 s", "1 min 01 s", "2 h 01 min"]);
    }
}
