//! The kernels compiled for GPUs by NVRTC, where it is there, and what they take of a multiprocessor.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{
    compiler::{Compiler, folder, say},
    program::{kernels, sources},
};
use crate::attention::tiles::{KEYS, QUERIES};

const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_90", "sm_100"];
/// 32-bit registers of a multiprocessor.
const REGISTERS: usize = 64 << 10;
/// Shared memory that a block may have on every GPU of these.
const SHARED: usize = 163 << 10;

/// Sources, sizes of heads, the threads of their largest block, and blocks that a multiprocessor should hold.
const SOURCES: [(&str, Option<usize>, usize, usize); 6] = [
    ("attention.cu", Some(64), 128, 2),
    ("attention.cu", Some(80), 128, 2),
    ("attention.cu", Some(128), 128, 2),
    ("layer.cu", None, 256, 4),
    ("head.cu", None, 1024, 1),
    ("optim.cu", None, 256, 4),
];

/// What a kernel takes, by the log.
#[derive(Debug, Default)]
struct Usage {
    registers: usize,
    shared: usize,
    spilled: usize,
}

/// NVRTC's library, by the toolkit's folder or the loader's path.
fn library() -> Option<PathBuf> {
    let homes = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let toolkits = homes.chain(["/usr/local/cuda".into()]).flat_map(|home| [home.join("lib64"), home.join("lib")]);
    let path = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = toolkits.chain(std::env::split_paths(&path).collect::<Vec<_>>());
    let names = ["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"];
    folders.flat_map(|folder| names.map(|name| folder.join(name))).find(|file| file.exists())
}

/// The number in front of a word.
fn before(line: &str, word: &str) -> usize {
    let number = line.split_once(word).and_then(|(left, _)| left.split_whitespace().next_back());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What each kernel of a log takes.
fn usages(log: &str) -> Vec<(String, Usage)> {
    let mut usages: Vec<(String, Usage)> = Vec::new();
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            usages.push((rest.split('\'').next().unwrap_or_default().into(), Usage::default()));
        }
        let Some((_, usage)) = usages.last_mut() else { continue };
        usage.registers += before(line, " registers");
        usage.shared += before(line, " bytes smem");
        usage.spilled += before(line, " bytes spill stores") + before(line, " bytes spill loads");
    }
    usages
}

#[test]
fn cuda_kernels_compile_for_every_gpu_without_spills() {
    let Some(compiler) = Compiler::find() else { return };
    let Some(library) = library() else {
        return say("skipped: CUDA kernels by NVRTC, since there is no libnvrtc.so in $CUDA_HOME, /usr/local/cuda or \
                    $LD_LIBRARY_PATH; scripts/cuda-toolkit-from-pip.sh fetches one");
    };
    let folder = folder("nvrtc");
    let tool = folder.join("nvrtc");
    compiler.tool(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/cuda/nvrtc.cc"), &tool);
    let read = |name: &str| std::fs::read_to_string(sources().join(name)).unwrap();
    for (name, dim, threads, blocks) in SOURCES {
        let body = read(name);
        let macros = dim.map_or(String::new(), |dim| format!("#define HEAD_DIM {dim}\n"));
        // That of the gradient of queries, which has the most.
        let dynamic = dim.map_or(0, |dim| 2 * (QUERIES + 2 * KEYS) * (dim + 8) * size_of::<half::bf16>());
        let source = folder.join(name);
        std::fs::write(&source, [&macros, &read("prelude.cu"), &body].map(String::as_str).concat()).unwrap();
        for architecture in ARCHITECTURES {
            let mut command = Command::new(&tool);
            command.arg(&library).arg(&source).env("LD_LIBRARY_PATH", library.parent().unwrap());
            command.arg(format!("--gpu-architecture={architecture}")).arg("--ptxas-options=-v");
            let Output { status, stdout, stderr } = command.output().unwrap();
            let log = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
            assert!(status.success(), "{name} for {architecture}: {log}");
            let usages = usages(&log);
            assert_eq!(usages.len(), kernels(&body).len(), "{name} for {architecture}: {log}");
            for (kernel, Usage { registers, shared, spilled }) in usages {
                let what = format!("{kernel} of {name} ({}) for {architecture}", macros.trim());
                assert_eq!(spilled, 0, "bytes that {what} spills");
                // Registers are handed out to warps in units of 8 per thread.
                let taken = registers.next_multiple_of(8) * threads * blocks;
                assert!(registers > 0 && taken <= REGISTERS, "{what} takes {registers} registers");
                assert!(shared + dynamic <= SHARED, "{what} takes {shared} + {dynamic} bytes of shared memory");
            }
        }
    }
}
