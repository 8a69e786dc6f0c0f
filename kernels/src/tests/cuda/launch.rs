//! Buffers, launches of kernels on them, and what is in the buffers afterwards.

use super::{compiler::Check, program::Program};
use std::{
    io::Write,
    marker::PhantomData,
    process::{Command, Stdio},
};

/// A type that memory of a GPU is made of.
pub trait Element: Copy {
    const SIZE: usize;
    fn write(self, to: &mut Vec<u8>);
    fn read(from: &[u8]) -> Self;
}

macro_rules! elements {
    ($($type:ty)*) => {$(
        impl Element for $type {
            const SIZE: usize = size_of::<$type>();
            fn write(self, to: &mut Vec<u8>) {
                to.extend(self.to_le_bytes());
            }
            fn read(from: &[u8]) -> Self {
                <$type>::from_le_bytes(from.try_into().unwrap())
            }
        }
        impl From<$type> for Argument {
            fn from(value: $type) -> Argument {
                Argument::Value(value.to_le_bytes().into())
            }
        }
    )*};
}
elements!(u8 u16 i32 u32 i64 u64 f32 f64 half::bf16);

/// A struct of integers.
impl<const N: usize> Element for [i32; N] {
    const SIZE: usize = 4 * N;
    fn write(self, to: &mut Vec<u8>) {
        self.into_iter().for_each(|value| value.write(to));
    }
    fn read(from: &[u8]) -> Self {
        std::array::from_fn(|i| i32::read(&from[4 * i..][..4]))
    }
}

/// A buffer of a run.
#[derive(Clone, Copy)]
pub struct Buffer<T> {
    index: usize,
    offset: usize,
    of: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    /// Its part from an element on.
    pub fn at(self, element: usize) -> Buffer<T> {
        Buffer { offset: self.offset + element * T::SIZE, ..self }
    }
}

/// What a kernel is given.
pub enum Argument {
    Pointer { buffer: usize, offset: usize, element: usize },
    Value(Vec<u8>),
    Null,
}

impl<T: Element> From<Buffer<T>> for Argument {
    fn from(Buffer { index, offset, .. }: Buffer<T>) -> Argument {
        Argument::Pointer { buffer: index, offset, element: T::SIZE }
    }
}

impl<T: Element> From<Option<Buffer<T>>> for Argument {
    fn from(buffer: Option<Buffer<T>>) -> Argument {
        buffer.map_or(Argument::Null, Argument::from)
    }
}

/// The arguments of a launch.
macro_rules! arguments {
    ($($argument:expr),* $(,)?) => { &[$($crate::tests::cuda::launch::Argument::from($argument)),*] };
}
pub(super) use arguments;

/// Launches one after another, not yet run.
pub struct Run<'p> {
    program: &'p Program,
    buffers: Vec<Vec<u8>>,
    launches: u32,
    script: Vec<u8>,
}

/// The buffers after the launches.
pub struct Memory(Vec<Vec<u8>>);

impl Memory {
    pub fn read<T: Element>(&self, buffer: Buffer<T>) -> Vec<T> {
        self.0[buffer.index][buffer.offset..].chunks_exact(T::SIZE).map(T::read).collect()
    }
}

impl<'p> Run<'p> {
    pub fn new(program: &'p Program) -> Self {
        Run { program, buffers: Vec::new(), launches: 0, script: Vec::new() }
    }

    pub fn input<T: Element>(&mut self, values: &[T]) -> Buffer<T> {
        let mut bytes = Vec::with_capacity(values.len() * T::SIZE);
        values.iter().for_each(|value| value.write(&mut bytes));
        self.buffer(bytes)
    }

    /// A buffer that is written: NaN, if floats, where it is not.
    pub fn output<T: Element>(&mut self, length: usize) -> Buffer<T> {
        self.buffer(vec![0xff; length * T::SIZE])
    }

    fn buffer<T>(&mut self, bytes: Vec<u8>) -> Buffer<T> {
        self.buffers.push(bytes);
        Buffer { index: self.buffers.len() - 1, offset: 0, of: PhantomData }
    }

    /// `grid` blocks of `block` threads each, in x, y and z, with `shared` bytes of dynamic shared memory.
    pub fn launch(&mut self, kernel: &str, grid: [u32; 3], block: [u32; 3], shared: u32, arguments: &[Argument]) {
        let script = &mut self.script;
        let number = |script: &mut Vec<u8>, value: usize| (value as u32).write(script);
        number(script, kernel.len());
        script.extend(kernel.as_bytes());
        grid.into_iter().chain(block).chain([shared, arguments.len() as u32]).for_each(|value| value.write(script));
        for argument in arguments {
            match argument {
                Argument::Pointer { buffer, offset, element } => {
                    script.push(0);
                    number(script, *buffer);
                    (*offset as u64).write(script);
                    number(script, *element);
                }
                Argument::Value(bytes) => {
                    script.push(1);
                    number(script, bytes.len());
                    script.extend(bytes);
                }
                Argument::Null => script.push(2),
            }
        }
        self.launches += 1;
    }

    /// Runs the launches under both checks, in orders drawn from different seeds: both must leave the same bits.
    pub fn finish(self) -> Memory {
        let [memory, races] = Check::ALL.map(|check| self.attempt(check, 1 + check as u64));
        let (memory, races) = (memory.unwrap_or_else(|e| panic!("{e}")), races.unwrap_or_else(|e| panic!("{e}")));
        for (index, (one, other)) in memory.0.iter().zip(&races.0).enumerate() {
            let first = one.iter().zip(other).position(|(a, b)| a != b);
            assert!(
                first.is_none(),
                "{}: buffer {index} differs between two runs from byte {first:?}",
                self.program.name
            );
        }
        memory
    }

    /// Runs the launches under one check, or what it found.
    pub fn attempt(&self, check: Check, seed: u64) -> Result<Memory, String> {
        let mut input = Vec::new();
        seed.write(&mut input);
        (self.buffers.len() as u32).write(&mut input);
        for buffer in &self.buffers {
            (buffer.len() as u64).write(&mut input);
            input.extend(buffer);
        }
        self.launches.write(&mut input);
        input.extend(&self.script);

        let mut child = Command::new(self.program.executable(check))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It reads all before it writes. Where it fails first, what it says is in its standard error.
        let _ = child.stdin.take().unwrap().write_all(&input);
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}, {} check: {}\n{said}", self.program.name, check.name(), output.status));
        }
        let mut rest = output.stdout.as_slice();
        let mut take = |bytes| {
            let (taken, after) = rest.split_at(bytes);
            rest = after;
            taken.to_vec()
        };
        Ok(Memory(self.buffers.iter().map(|buffer| take(buffer.len())).collect()))
    }
}
