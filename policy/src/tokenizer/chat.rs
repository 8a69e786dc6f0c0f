use super::{ReportTokenizer, SPECIAL_TOKENS, guard::unguarded, part::PromptPart};
use crate::error::{Error, Result};

impl ReportTokenizer {
    /// The tokens of a prompt in this tokenizer's chat template: an optional system message, the user's turn with each
    /// image as vision start, image pads, vision end, and the opening of the assistant's turn, which the report
    /// continues.
    ///
    /// # Errors
    /// A template that cannot be rendered, or that leaves an image out; as [`ReportTokenizer::encode`].
    pub fn chat_prompt(&self, system: Option<&str>, parts: &[PromptPart]) -> Result<Vec<u32>> {
        let text = self.template.render(system, parts)?;
        let mut images = parts.iter().filter_map(|part| match part {
            PromptPart::Image { tokens } => Some(*tokens),
            PromptPart::Text(_) => None,
        });
        let misplaced = || Error::invalid("chat template", "does not show every image exactly once");
        let mut ids = Vec::new();
        let mut rest = text.as_str();
        while let Some((start, token, id)) = self.next_special(rest) {
            ids.extend(self.encode(&unguarded(&rest[..start]))?);
            let count = if id == self.special().image_pad { images.next().ok_or_else(misplaced)? } else { 1 };
            ids.extend(std::iter::repeat_n(id, count));
            rest = &rest[start + token.len()..];
        }
        ids.extend(self.encode(&unguarded(rest))?);
        if images.next().is_some() {
            return Err(misplaced());
        }
        Ok(ids)
    }

    /// The first special token that `text` spells: where, its spelling and its id.
    fn next_special(&self, text: &str) -> Option<(usize, &'static str, u32)> {
        let ids = self.special().all();
        text.match_indices("<|").find_map(|(at, _)| {
            let found = SPECIAL_TOKENS.iter().zip(ids).find(|(token, _)| text[at..].starts_with(**token));
            found.map(|(token, id)| (at, *token, id))
        })
    }
}
