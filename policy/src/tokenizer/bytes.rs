use tokenizers::Tokenizer;

use crate::error::{Error, Result};

/// Token ids from here on are refused, so that a damaged file cannot ask for all memory.
const MOST_TOKENS: u32 = 1 << 22;

/// What every token id stands for; nothing for `special` ids and for ids without a token.
///
/// A byte-level vocabulary spells each byte as one printable character, as GPT-2 does: printable Latin-1 bytes as
/// themselves, the others, in order, as U+0100 and up. Added tokens are spelled as they are.
pub(super) fn of_tokens(inner: &Tokenizer, special: &[u32]) -> Result<Vec<Box<[u8]>>> {
    let added = inner.get_added_tokens_decoder();
    let largest = inner.get_vocab(true).into_values().max().unwrap_or(0);
    if largest >= MOST_TOKENS {
        let reason = format!("token id {largest} is not below {MOST_TOKENS}");
        return Err(Error::invalid("tokenizer", reason));
    }
    let spell = |id: u32| -> Result<Box<[u8]>> {
        let Some(token) = inner.id_to_token(id).filter(|_| !special.contains(&id)) else {
            return Ok(Box::default());
        };
        if added.contains_key(&id) {
            return Ok(token.into_bytes().into());
        }
        let bytes: Option<Box<[u8]>> = token.chars().map(byte).collect();
        bytes.ok_or_else(|| Error::invalid("tokenizer", format!("token {id}, {token:?}, is not spelled in bytes")))
    };
    (0..=largest).map(spell).collect()
}

fn byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    match u8::try_from(code) {
        Ok(byte) if is_printable(byte) => Some(byte),
        Ok(_) => None,
        Err(_) => (0..=u8::MAX).filter(|&byte| !is_printable(byte)).nth((code - 0x100) as usize),
    }
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_spelling() {
        let mut found: Vec<u8> = (0..0x200).filter_map(char::from_u32).filter_map(byte).collect();
        found.sort_unstable();
        assert_eq!(found, (0..=u8::MAX).collect::<Vec<_>>());
        assert_eq!((byte('Ġ'), byte('Ċ'), byte('a'), byte(' ')), (Some(b' '), Some(b'\n'), Some(b'a'), None));
    }
}
