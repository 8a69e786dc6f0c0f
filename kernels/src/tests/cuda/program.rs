//! A source of kernels with its macros, built once for each check.

use super::{
    compiler::{Check, Compiler, folder},
    launch::Run,
};
use std::{
    collections::HashMap,
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

pub struct Program {
    pub name: String,
    folder: PathBuf,
}

impl Program {
    /// Of the file `name` in `src/cuda` (or in the folder $ADDENDUM_KERNELS) behind the prelude, with macros. `None` where
    /// there is no compiler.
    pub fn of_file(name: &str, macros: &[(&str, i64)]) -> Option<Program> {
        Program::of_source(name, &std::fs::read_to_string(sources().join(name)).unwrap(), macros)
    }

    /// The same of a source that is not in a file.
    pub fn of_source(name: &str, source: &str, macros: &[(&str, i64)]) -> Option<Program> {
        static BUILT: Mutex<Option<HashMap<String, Arc<OnceLock<()>>>>> = Mutex::new(None);
        let compiler = Compiler::find()?;
        let text = translation_unit(name, source, macros);
        let key = key(&[&text, &emulator_text(), &compiler.version]);
        let folder = folder(&format!("{}-{key}", name.trim_end_matches(".cu")));
        let once = BUILT.lock().unwrap().get_or_insert_default().entry(key).or_default().clone();
        once.get_or_init(|| build(compiler, &text, &folder));
        Some(Program { name: name.into(), folder })
    }

    pub fn run(&self) -> Run<'_> {
        Run::new(self)
    }

    pub fn executable(&self, check: Check) -> PathBuf {
        self.folder.join(check.name())
    }
}

/// The folder of the kernels' sources.
pub fn sources() -> PathBuf {
    std::env::var_os("ADDENDUM_KERNELS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda"), Into::into)
}

fn emulator_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/cuda/emulator")
}

const EMULATOR: [&str; 4] = ["block", "warp", "races", "main"];

fn emulator_text() -> String {
    let files = EMULATOR.iter().map(|name| format!("{name}.cc")).chain(["block.h".into(), "cuda.h".into()]);
    files.map(|file| std::fs::read_to_string(emulator_folder().join(file)).unwrap()).collect()
}

fn key(parts: &[&str]) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The kernels in a namespace of their own, so that all of their static arrays are alike to the linker, and a table of them.
fn translation_unit(name: &str, source: &str, macros: &[(&str, i64)]) -> String {
    let prelude = std::fs::read_to_string(sources().join("prelude.cu")).unwrap();
    let [prelude, source] = [&prelude, source].map(with_known_shared_memory);
    let mut text = String::from("#include \"cuda.h\"\n");
    for (name, value) in macros {
        writeln!(text, "#define {name} {value}").unwrap();
    }
    text += "namespace {\nalignas(16) unsigned char shared[emulator::MOST_DYNAMIC_SHARED];\n";
    writeln!(text, "#line 1 \"prelude.cu\"\n{prelude}\n#line 1 \"{name}\"\n{source}\n}}").unwrap();
    text += "namespace emulator {\nconst Kernel kernels[] = {\n";
    for kernel in kernels(&source) {
        writeln!(text, "    Entry<{kernel}>::named(\"{kernel}\"),").unwrap();
    }
    text + "};\nconst size_t kernel_count = sizeof kernels / sizeof *kernels;\nunsigned char* const dynamic_shared = shared;\n}\n"
}

/// A source whose variables in shared memory, declared in one line each, are told to the emulator.
fn with_known_shared_memory(source: &str) -> String {
    let line = |line: &str| {
        let Some((before, declaration)) = line.split_once("__shared__ ").filter(|(before, _)| !before.contains("//"))
        else {
            return format!("{line}\n");
        };
        // In C++ a declaration is not both `extern` and `static`; what is extern is the dynamic part, known anyhow.
        if before.trim() == "extern" {
            return format!("{before}{declaration}\n");
        }
        let (variables, _) =
            declaration.split_once(';').unwrap_or_else(|| panic!("a declaration of two lines: {line}"));
        let name = |variable: &str| {
            let before_sizes = variable.split('[').next().unwrap_or(variable).trim_end();
            before_sizes.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_string()
        };
        let known: String = variables.split(',').map(|variable| format!(" SHARED({})", name(variable))).collect();
        format!("{line}{known}\n")
    };
    source.lines().map(line).collect()
}

/// The names of the kernels in a source.
pub fn kernels(source: &str) -> Vec<&str> {
    let declarations = source.split("extern \"C\" __global__").skip(1).filter_map(|rest| rest.split_once("void "));
    fn name(rest: &str) -> Option<&str> {
        let bounds = rest.trim_start().strip_prefix("__launch_bounds__");
        let rest = bounds.and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest);
        (rest.split_once('(')).map(|(name, _)| name.trim())
    }
    declarations.filter_map(|(_, rest)| name(rest)).collect()
}

fn build(compiler: &Compiler, text: &str, into: &Path) {
    static EMULATORS: OnceLock<Vec<(Check, Vec<PathBuf>)>> = OnceLock::new();
    let emulators = EMULATORS.get_or_init(|| {
        let sources: Vec<_> = EMULATOR.iter().map(|name| emulator_folder().join(format!("{name}.cc"))).collect();
        let key = key(&[&emulator_text(), &compiler.version]);
        Check::ALL
            .map(|check| {
                let into = folder(&format!("emulator-{key}-{}", check.name()));
                let objects: Vec<_> = EMULATOR.iter().map(|name| into.join(format!("{name}.o"))).collect();
                if !objects.iter().all(|object| object.exists()) {
                    compiler.emulator(&sources, check, &into);
                }
                (check, objects)
            })
            .into()
    });
    for (check, objects) in emulators {
        let program = into.join(check.name());
        if !program.exists() {
            let source = into.join("kernels.cc");
            std::fs::write(&source, text).unwrap();
            // Under another name first, so that an interrupted build leaves nothing that looks done.
            let unfinished = program.with_extension("new");
            compiler.program(&source, &emulator_folder(), objects, *check, &unfinished);
            std::fs::rename(&unfinished, &program).unwrap();
        }
    }
}
