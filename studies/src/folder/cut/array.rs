//! The entries of a JSON array.

use super::step::Step;

/// Where in the array a byte stands.
#[derive(Default)]
enum At {
    #[default]
    BeforeArray,
    BeforeFirst,
    BeforeNext,
    In(Value),
    Behind,
}

/// Where in a value a byte stands.
#[derive(Default)]
struct Value {
    depth: usize,
    quoted: bool,
    escaped: bool,
}

#[derive(Default)]
pub struct Array {
    at: At,
}

impl Array {
    pub fn step(&mut self, byte: u8) -> Step {
        if let At::In(value) = &mut self.at {
            if !value.ends_before(byte) {
                return Step::Within;
            }
        } else if byte.is_ascii_whitespace() {
            return Step::Between;
        }
        let (at, step) = match (&self.at, byte) {
            (At::BeforeArray, b'[') => (At::BeforeFirst, Step::Between),
            (At::BeforeArray, _) => return Step::Wrong("not valid JSON: expected an array"),
            (At::BeforeFirst, b']') => (At::Behind, Step::Between),
            // An entry without a byte, which is no JSON, stands before a comma that nothing precedes or follows.
            (At::BeforeFirst | At::BeforeNext | At::In(_), b',') => (At::BeforeNext, Step::Ends),
            (At::BeforeNext | At::In(_), b']') => (At::Behind, Step::Ends),
            (At::BeforeFirst | At::BeforeNext | At::In(_), _) => {
                let mut value = Value::default();
                value.ends_before(byte);
                (At::In(value), Step::Within)
            }
            (At::Behind, _) => return Step::Wrong("not valid JSON: text behind the end of the array"),
        };
        self.at = at;
        step
    }

    pub fn end(&self) -> Result<(), &'static str> {
        match self.at {
            At::Behind => Ok(()),
            _ => Err("not valid JSON: the file ends inside of its array"),
        }
    }
}

impl Value {
    /// Whether the value has ended before this byte, which is taken in otherwise.
    fn ends_before(&mut self, byte: u8) -> bool {
        if self.escaped {
            self.escaped = false;
        } else if self.quoted {
            self.escaped = byte == b'\\';
            self.quoted = byte != b'"';
        } else {
            match byte {
                b'"' => self.quoted = true,
                b'[' | b'{' => self.depth += 1,
                b',' | b']' if self.depth == 0 => return true,
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        false
    }
}
