//! Checkpoints of PyTorch.

use std::{
    io::{Cursor, Read, Write},
    path::Path,
    sync::LazyLock,
};

use addendum::neural;
use addendum_fixtures::fixture;
use zip::{CompressionMethod, ZipArchive, ZipWriter, result::ZipResult, write::SimpleFileOptions};

/// The description of a tensor of 2 x 2 numbers, which are in the storage `x`.
const TENSOR: &[u8] =
    b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n\
    X\x01\0\0\x00xX\x03\0\0\0cpuK\x04tQK\0K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtRs.";

const PUBLISHED: &str = "rewards/chexbert/chexbert.pth";

/// The tensors' numbers of a published checkpoint, by the names of their entries.
static STORAGES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| entries("/data/"));

pub fn seeds() -> Vec<Vec<u8>> {
    let described = entries("data.pkl").pop().expect("it has a description").1;
    // The layout before PyTorch 1.6 as well.
    let legacy = fixture("rewards/chexbert/chexbert_legacy.pth");
    vec![TENSOR.to_vec(), described, zipped(TENSOR).expect("memory can be written"), legacy]
}

/// The entries of a published checkpoint whose names hold `part`.
fn entries(part: &str) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(fixture(PUBLISHED))).expect("the fixture is an archive");
    let names: Vec<String> =
        archive.file_names().flatten().map(|name| name.into_owned()).filter(|name| name.contains(part)).collect();
    let read = |name: String| {
        let mut bytes = Vec::new();
        archive.by_name(&name).expect("it is there").read_to_end(&mut bytes).expect("it can be read");
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

pub fn read(input: &[u8]) -> bool {
    let is_read = |file| neural::shapes(Path::new("chexbert.pth"), file).is_ok();
    let whole = is_read(input.to_vec());
    zipped(input).is_ok_and(is_read) || whole
}

/// A whole file around a description, with the numbers of the published one, so that damage to it is not found by a
/// checksum.
fn zipped(pickle: &[u8]) -> ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let numbers = STORAGES.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let own = [("chexbert/data.pkl", pickle), ("chexbert/data/x", &[0; 16])];
    for (name, bytes) in own.into_iter().chain(numbers) {
        archive.start_file(name, stored)?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}
