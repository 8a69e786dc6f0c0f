use super::ReportTokenizer;
use crate::error::Result;

/// A piece of what the user says, in reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptPart<'a> {
    Text(&'a str),
    /// An image that occupies this many tokens.
    Image {
        tokens: usize,
    },
}

impl ReportTokenizer {
    /// The tokens of a prompt in Qwen's chat template: an optional system message, the user's turn with each image as
    /// vision start, image pads, vision end, and the opening of the assistant's turn, which the report continues.
    ///
    /// # Errors
    /// As [`ReportTokenizer::encode`].
    pub fn chat_prompt(&self, system: Option<&str>, parts: &[PromptPart]) -> Result<Vec<u32>> {
        let special = self.special();
        let mut ids = Vec::new();
        if let Some(system) = system {
            ids.push(special.turn_start);
            ids.extend(self.encode(&format!("system\n{system}"))?);
            ids.push(special.turn_end);
            ids.extend(self.encode("\n")?);
        }
        ids.push(special.turn_start);
        let mut text = String::from("user\n");
        for part in parts {
            match part {
                PromptPart::Text(more) => text.push_str(more),
                PromptPart::Image { tokens } => {
                    ids.extend(self.encode(&std::mem::take(&mut text))?);
                    ids.push(special.vision_start);
                    ids.extend(std::iter::repeat_n(special.image_pad, *tokens));
                    ids.push(special.vision_end);
                }
            }
        }
        ids.extend(self.encode(&text)?);
        ids.push(special.turn_end);
        ids.extend(self.encode("\n")?);
        ids.push(special.turn_start);
        ids.extend(self.encode("assistant\n")?);
        Ok(ids)
    }
}
