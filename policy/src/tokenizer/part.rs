/// A piece of what the user says, in reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptPart<'a> {
    Text(&'a str),
    /// An image that occupies this many tokens.
    Image {
        tokens: usize,
    },
}
