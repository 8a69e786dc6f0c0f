//! Checkpoints of PyTorch.

use std::{
    io::{Cursor, Read, Write},
    path::Path,
};

use addendum::neural;
use addendum_fixtures::fixture;
use zip::{CompressionMethod, ZipArchive, ZipWriter, result::ZipResult, write::SimpleFileOptions};

/// The description of a tensor of 2 x 2 numbers.
const TENSOR: &[u8] =
    b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n\
    X\x01\0\0\x000X\x03\0\0\0cpuK\x04tQK\0K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtRs.";

pub fn seeds() -> Vec<Vec<u8>> {
    let published = fixture("rewards/chexbert/chexbert.pth");
    let mut described = Vec::new();
    let mut archive = ZipArchive::new(Cursor::new(&published)).expect("the fixture is an archive");
    let name = archive.file_names().flatten().find(|name| name.ends_with("data.pkl")).map(|name| name.into_owned());
    let mut entry = archive.by_name(&name.expect("it has a description")).expect("it has that entry");
    entry.read_to_end(&mut described).expect("its entries can be read");
    vec![TENSOR.to_vec(), described, zipped(TENSOR).expect("memory can be written"), legacy()]
}

/// The start of the layout before PyTorch 1.6, up to its numbers.
fn legacy() -> Vec<u8> {
    let mut file = fixture("rewards/chexbert/chexbert_legacy.pth");
    file.truncate(64 << 10);
    file
}

pub fn read(input: &[u8]) {
    let name = Path::new("chexbert.pth");
    let _ = neural::shapes(name, input.to_vec());
    if let Ok(file) = zipped(input) {
        let _ = neural::shapes(name, file);
    }
}

/// A whole file around a description, with one storage, so that damage to it is not found by a checksum.
fn zipped(pickle: &[u8]) -> ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [("x/data.pkl", pickle), ("x/data/0", &[0; 16])] {
        archive.start_file(name, stored)?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}
