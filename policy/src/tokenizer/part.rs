/// A piece of what the user says, in reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptPart<'a> {
    /// Plain text; a special token's spelling in it is text too.
    Text(&'a str),
    /// An image that occupies this many tokens.
    Image {
        /// How many; at least one.
        tokens: usize,
    },
}
