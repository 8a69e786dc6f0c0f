//! The C++ compiler of this machine, and the two kinds of builds that it can make.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// What a build looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Addresses, to the byte; alignment; undefined behaviour.
    Memory,
    /// Two threads at one byte, one of them writing, without a barrier between.
    Races,
}

impl Check {
    pub const ALL: [Check; 2] = [Check::Memory, Check::Races];

    pub fn name(self) -> &'static str {
        match self {
            Check::Memory => "memory",
            Check::Races => "races",
        }
    }

    /// Of the kernels.
    fn flags(self) -> &'static [&'static str] {
        match self {
            Check::Memory => &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
            // Only its calls at each access: the emulator answers them.
            Check::Races => &["-fsanitize=thread"],
        }
    }

    /// Of the emulator.
    fn emulator_flags(self) -> &'static [&'static str] {
        match self {
            Check::Memory => &["-DWITH_ASAN"],
            Check::Races => &[],
        }
    }

    fn link_flags(self) -> &'static [&'static str] {
        match self {
            Check::Memory => &["-fsanitize=address,undefined"],
            Check::Races => &[],
        }
    }
}

pub struct Compiler {
    command: String,
    pub version: String,
    /// A flag that not every compiler has.
    pattern: Option<&'static str>,
}

/// What the emulator needs of a compiler and of a system.
const PROBE: &str = r#"
#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>
#include <ucontext.h>
static void* resume[5];
__attribute__((noinline)) static void jump() { __builtin_longjmp(resume, 1); }
int main() {
    ucontext_t context;
    if (!__builtin_setjmp(resume)) jump();
    return getcontext(&context);
}
"#;

/// Locals without a value get one that shows.
const PATTERN: &str = "-ftrivial-auto-var-init=pattern";

impl Compiler {
    /// `None`, and a line on the standard error, where there is no compiler with sanitizers.
    pub fn find() -> Option<&'static Compiler> {
        static FOUND: OnceLock<Option<Compiler>> = OnceLock::new();
        FOUND
            .get_or_init(|| {
                let found =
                    std::env::var("CXX").into_iter().chain(["g++".into(), "clang++".into()]).find_map(Compiler::new);
                if found.is_none() {
                    say(
                        "skipped: CUDA kernels under the emulator, since neither $CXX nor g++ nor clang++ builds C++17 \
                         for Linux with -fsanitize=address,undefined here",
                    );
                }
                found
            })
            .as_ref()
    }

    fn new(command: String) -> Option<Compiler> {
        let version = Command::new(&command).arg("--version").output().ok()?;
        let mut compiler =
            Compiler { command, version: String::from_utf8_lossy(&version.stdout).into_owned(), pattern: None };
        let folder = folder("probe");
        let source = folder.join(format!("{}.cc", std::process::id()));
        std::fs::write(&source, PROBE).unwrap();
        let program = source.with_extension("out");
        let builds = |pattern: Option<&str>| {
            let mut command = Command::new(&compiler.command);
            command.args(["-std=c++17", "-Werror"]).args(Check::Memory.flags()).args(pattern);
            command.arg(&source).arg("-o").arg(&program).output().is_ok_and(|out| out.status.success())
                && Command::new(&program).status().is_ok_and(|status| status.success())
        };
        let works = builds(None);
        let pattern = Some(PATTERN).filter(|_| works && builds(Some(PATTERN)));
        let _ = (std::fs::remove_file(&source), std::fs::remove_file(&program));
        compiler.pattern = pattern;
        works.then_some(compiler)
    }

    /// The emulator's objects, into `folder`.
    pub fn emulator(&self, sources: &[PathBuf], check: Check, folder: &Path) {
        let mut command = Command::new(&self.command);
        command.args(["-std=c++17", "-O3", "-g1", "-c"]).args(check.emulator_flags());
        run(command.args(sources).current_dir(folder));
    }

    /// The program of kernels in `source`, whose headers are in `headers`, with the emulator's `objects`.
    pub fn program(&self, source: &Path, headers: &Path, objects: &[PathBuf], check: Check, program: &Path) {
        let object = program.with_extension("o");
        let mut command = Command::new(&self.command);
        command.args(["-std=c++17", "-O1", "-g1", "-fno-threadsafe-statics"]).args(check.flags());
        run(command.args(self.pattern).arg("-I").arg(headers).arg("-c").arg(source).arg("-o").arg(&object));
        let mut command = Command::new(&self.command);
        run(command.arg("-no-pie").args(check.link_flags()).arg(&object).args(objects).arg("-o").arg(program));
        std::fs::remove_file(object).unwrap();
    }

    /// A program that is not instrumented.
    pub fn tool(&self, source: &Path, program: &Path) {
        let mut command = Command::new(&self.command);
        run(command.args(["-std=c++17", "-O1"]).arg(source).args(["-ldl", "-o"]).arg(program));
    }
}

/// A folder for what is built, made if need be.
pub fn folder(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.ancestors().nth(2).unwrap().join("cuda-emulator").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// To the standard error even if the test passes.
pub fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

pub fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}
