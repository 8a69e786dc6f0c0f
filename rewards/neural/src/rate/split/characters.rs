//! Kinds of characters as Python counts them.

/// Unicode's white space, and the four information separators.
pub(super) fn space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

pub(super) fn lower(c: char) -> bool {
    c.is_lowercase()
}

pub(super) fn upper(c: char) -> bool {
    c.is_uppercase()
}

/// Raised, lowered and circled digits too, but neither fractions nor Roman numbers.
pub(super) fn digit(c: char) -> bool {
    c.is_ascii_digit()
        || matches!(c, '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '₀'..='₉' | '①'..='⑨')
        || matches!(c, '٠'..='٩' | '۰'..='۹' | '०'..='९' | '０'..='９')
}
