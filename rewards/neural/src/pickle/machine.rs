//! A pickle reader that builds data and never calls anything.
//!
//! It knows the opcodes that `torch.save` writes. Objects live in an arena and refer to each other by index, so a
//! hostile stream costs memory in proportion to its own length, however deep or shared its objects are.

use std::collections::BTreeMap;

/// An object of the arena.
pub(super) type Id = usize;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float,
    /// An integer of more than 64 bits, little endian.
    Long(Vec<u8>),
    Text(String),
    Bytes,
    Global {
        module: String,
        name: String,
    },
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// What Python would call; here it is only recorded.
    Call {
        callable: Id,
        args: Id,
    },
    Persistent(Id),
}

/// What one pickle holds.
pub(super) struct Pickle {
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    /// Reads one pickle from the front of `input`, which is advanced past it.
    pub(super) fn read(input: &mut &[u8]) -> Result<Self, String> {
        let mut machine =
            Machine { input, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() };
        let root = machine.run()?;
        Ok(Self { values: machine.values, root })
    }

    pub(super) fn root(&self) -> &Value {
        self.get(self.root)
    }

    pub(super) fn get(&self, id: Id) -> &Value {
        // Ids come from the machine's own arena, which only grows.
        &self.values[id]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Value::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    /// What every persistent object of the arena refers to.
    pub(super) fn persistent(&self) -> impl Iterator<Item = Id> {
        self.values.iter().filter_map(|value| if let Value::Persistent(id) = value { Some(*id) } else { None })
    }

    /// The elements of a tuple or list.
    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) | Value::List(items) => Some(items),
            _ => None,
        }
    }
}

struct Machine<'a, 'b> {
    input: &'a mut &'b [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl Machine<'_, '_> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            let code = self.byte()?;
            match code {
                b'.' => return self.pop(),
                0x80 => drop(self.byte()?),
                0x95 => drop(self.take(8)?),
                b'N' => self.push(Value::None),
                0x88 => self.push(Value::Bool(true)),
                0x89 => self.push(Value::Bool(false)),
                b'K' | b'M' | b'J' | 0x8a | 0x8b | b'G' => self.number(code)?,
                b'X' | 0x8c | 0x8d | b'T' | b'U' | b'B' | b'C' | 0x8e => self.string(code)?,
                b'c' | 0x93 => self.global(code)?,
                b'q' | b'r' | 0x94 => self.memorise(code)?,
                b'h' | b'j' => self.recall(code)?,
                b'(' => self.marks.push(self.stack.len()),
                b')' => self.push(Value::Tuple(Vec::new())),
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.push(Value::Tuple(items));
                }
                0x85..=0x87 => {
                    let items = self.pop_many(usize::from(code - 0x84))?;
                    self.push(Value::Tuple(items));
                }
                b']' | 0x8f => self.push(Value::List(Vec::new())),
                b'l' => {
                    let items = self.pop_to_mark()?;
                    self.push(Value::List(items));
                }
                b'}' => self.push(Value::Dict(Vec::new())),
                b'd' => {
                    let items = self.pop_to_mark()?;
                    self.push(Value::Dict(pairs(&items)?));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend_list(vec![item])?;
                }
                b'e' | 0x90 => {
                    let items = self.pop_to_mark()?;
                    self.extend_list(items)?;
                }
                b's' => {
                    let items = self.pop_many(2)?;
                    self.extend_dict(&items)?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.extend_dict(&items)?;
                }
                b'R' | 0x81 => self.call()?,
                // The state that BUILD sets is no part of a tensor.
                b'b' => drop(self.pop()?),
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Value::Persistent(id));
                }
                b'0' => drop(self.pop()?),
                other => return Err(format!("opcode 0x{other:02x} is not one that torch.save writes")),
            }
        }
    }

    fn number(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            b'K' => Value::Int(i64::from(self.byte()?)),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'G' => {
                self.take(8)?;
                Value::Float
            }
            _ => {
                let length =
                    if code == 0x8a { u64::from(self.byte()?) } else { u64::from(u32::from_le_bytes(self.array()?)) };
                long(self.take(length)?)
            }
        };
        self.push(value);
        Ok(())
    }

    fn string(&mut self, code: u8) -> Result<(), String> {
        let length = match code {
            0x8c | b'U' | b'C' => u64::from(self.byte()?),
            0x8d | 0x8e => u64::from_le_bytes(self.array()?),
            _ => u64::from(u32::from_le_bytes(self.array()?)),
        };
        let bytes = self.take(length)?;
        let value = match code {
            b'B' | b'C' | 0x8e => Value::Bytes,
            // Python 2 strings may be anything; those that matter are ASCII.
            b'T' | b'U' => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
            _ => Value::Text(std::str::from_utf8(bytes).map_err(|_| "a string is not UTF-8")?.to_owned()),
        };
        self.push(value);
        Ok(())
    }

    fn global(&mut self, code: u8) -> Result<(), String> {
        let (module, name) = if code == b'c' {
            (self.line()?, self.line()?)
        } else {
            let ids = self.pop_many(2)?;
            let text = |id: Id| match &self.values[id] {
                Value::Text(text) => Ok(text.clone()),
                _ => Err("a global is not named by strings".to_owned()),
            };
            (text(ids[0])?, text(ids[1])?)
        };
        if !harmless(&module, &name) {
            return Err(format!("it names `{module}.{name}`, which has no place in a checkpoint of weights"));
        }
        self.push(Value::Global { module, name });
        Ok(())
    }

    fn call(&mut self) -> Result<(), String> {
        let args = self.pop()?;
        let callable = self.pop()?;
        let ordered = matches!(&self.values[callable], Value::Global { module, name }
            if module == "collections" && name == "OrderedDict");
        let empty = matches!(&self.values[args], Value::Tuple(items) if items.is_empty());
        self.push(if ordered && empty { Value::Dict(Vec::new()) } else { Value::Call { callable, args } });
        Ok(())
    }

    fn memorise(&mut self, code: u8) -> Result<(), String> {
        let key = match code {
            b'q' => u32::from(self.byte()?),
            b'r' => u32::from_le_bytes(self.array()?),
            _ => u32::try_from(self.memo.len()).map_err(|_| "too many memo entries")?,
        };
        let top = *self.stack.last().ok_or("the stack is empty")?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Result<(), String> {
        let key = if code == b'h' { u32::from(self.byte()?) } else { u32::from_le_bytes(self.array()?) };
        let id = *self.memo.get(&key).ok_or_else(|| format!("memo entry {key} does not exist"))?;
        self.stack.push(id);
        Ok(())
    }

    fn extend_list(&mut self, items: Vec<Id>) -> Result<(), String> {
        match self.stack.last().map(|&id| &mut self.values[id]) {
            Some(Value::List(list)) => list.extend(items),
            // What a call makes is opaque, and so is what is put into it.
            Some(Value::Call { .. }) => {}
            _ => return Err("items are appended to something that is not a list".into()),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Id]) -> Result<(), String> {
        let pairs = pairs(items)?;
        match self.stack.last().map(|&id| &mut self.values[id]) {
            Some(Value::Dict(dict)) => dict.extend(pairs),
            Some(Value::Call { .. }) => {}
            _ => return Err("items are set in something that is not a dictionary".into()),
        }
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, String> {
        Ok(self.pop_many(1)?[0])
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(at) if at >= floor => Ok(self.stack.split_off(at)),
            _ => Err("the stack is empty".into()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N as u64)?.try_into().map_err(|_| ENDS.into())
    }

    fn take(&mut self, length: u64) -> Result<&[u8], String> {
        let length = usize::try_from(length).map_err(|_| ENDS)?;
        let (taken, rest) = self.input.split_at_checked(length).ok_or(ENDS)?;
        *self.input = rest;
        Ok(taken)
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.input.iter().position(|&b| b == b'\n').ok_or(ENDS)?;
        let line = String::from_utf8(self.take(end as u64)?.to_vec()).map_err(|_| "a global's name is not UTF-8")?;
        self.byte()?;
        Ok(line.trim_end_matches('\r').to_owned())
    }
}

const ENDS: &str = "the pickle ends early";

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("a dictionary has a key without a value".into());
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

/// A little-endian two's complement integer.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Long(bytes.to_vec());
    }
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [fill; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}

/// Whether a checkpoint may mention a global. Nothing is called in any case; this tells a checkpoint from an attack.
fn harmless(module: &str, name: &str) -> bool {
    let package = module.split('.').next().unwrap_or("");
    match package {
        "torch" | "numpy" | "collections" | "argparse" => true,
        "_codecs" => name == "encode",
        "builtins" | "__builtin__" => matches!(
            name,
            "set"
                | "frozenset"
                | "dict"
                | "list"
                | "tuple"
                | "int"
                | "float"
                | "bool"
                | "str"
                | "bytes"
                | "bytearray"
                | "complex"
                | "object"
        ),
        _ => false,
    }
}
