//! What is said stays what it is: text of users and studies cannot spell a special token within a rendered template.

/// Stands behind every `<` of what is said. A noncharacter, of no meaning in text; where a prompt has one, it is dropped.
pub(super) const GUARD: char = '\u{FDD0}';

pub(super) fn guarded(text: &str) -> String {
    text.replace(GUARD, "").replace('<', &format!("<{GUARD}"))
}

/// The text as it was said.
pub(super) fn unguarded(text: &str) -> String {
    text.replace(GUARD, "")
}
