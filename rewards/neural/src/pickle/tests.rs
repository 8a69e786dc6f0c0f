use std::{
    io::{Cursor, Write},
    path::Path,
    time::{Duration, Instant},
};

use candle_core::Device;
use proptest::prelude::*;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::weights::Weights;
use addendum_fixtures::fixture;

/// A checkpoint around a pickle, with one storage.
fn checkpoint(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("x/data.pkl", pickle), ("x/data/0", storage)] {
        archive.start_file(name, stored).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// The pickle of `{"w": tensor}` with a float storage of 4 elements, a size and a stride.
fn tensor(offset: u8, size: [u8; 2], stride: [u8; 2]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
    pickle.extend(b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ");
    pickle.extend([b'K', offset, b'K', size[0], b'K', size[1], 0x86, b'K', stride[0], b'K', stride[1], 0x86]);
    pickle.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
    pickle
}

fn open(bytes: Vec<u8>) -> addendum_rewards::Result<Weights> {
    Weights::of_bytes(Path::new("some.pth"), bytes, &Device::Cpu)
}

fn refusal(bytes: Vec<u8>) -> String {
    let error = open(bytes).err().expect("the file was accepted").to_string();
    assert!(error.starts_with("some.pth: "), "{error}");
    error
}

const NUMBERS: [f32; 4] = [1., 2., 3., 4.];

fn storage() -> Vec<u8> {
    NUMBERS.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn values(pickle: &[u8], shape: &[usize]) -> Result<Vec<f32>, String> {
    let weights = open(checkpoint(pickle, &storage())).map_err(|error| error.to_string())?;
    let tensor = weights.get("w", shape).map_err(|error| error.to_string())?;
    Ok(tensor.flatten_all().unwrap().to_vec1().unwrap())
}

#[test]
fn views_are_read_by_their_strides_and_only_within_their_storage() {
    assert_eq!(values(&tensor(0, [2, 2], [2, 1]), &[2, 2]).unwrap(), [1., 2., 3., 4.]);
    assert_eq!(values(&tensor(0, [2, 2], [1, 2]), &[2, 2]).unwrap(), [1., 3., 2., 4.]);
    assert_eq!(values(&tensor(2, [2, 1], [1, 1]), &[2, 1]).unwrap(), [3., 4.]);
    for (offset, size, stride) in [(1, [2, 2], [2, 1]), (0, [2, 2], [3, 1]), (0, [5, 1], [0, 0]), (200, [1, 1], [1, 1])]
    {
        let shape = size.map(usize::from);
        let error = values(&tensor(offset, size, stride), &shape).unwrap_err();
        assert!(error.contains("tensor `w`") && error.contains("beyond its storage"), "{error}");
    }
    let error = values(&tensor(0, [2, 2], [2, 1]), &[4, 1]).unwrap_err();
    assert!(error.contains("its shape is [2, 2]; expected [4, 1]"), "{error}");
}

#[test]
fn a_storage_of_another_length_is_refused() {
    let bytes = checkpoint(&tensor(0, [2, 2], [2, 1]), &storage()[..12]);
    let error = open(bytes).unwrap().get("w", &[2, 2]).unwrap_err().to_string();
    assert!(error.contains("expected 16"), "{error}");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let bytes = checkpoint(&tensor(0, [2, 2], [2, 1]), &[0xff; 16]);
    let error = open(bytes).unwrap().get("w", &[2, 2]).unwrap_err().to_string();
    assert!(error.contains("element 0 is NaN"), "{error}");
}

#[test]
fn a_pickle_that_calls_something_is_refused_by_its_name() {
    for (call, name) in [
        (&b"cposix\nsystem\nX\x04\0\0\0true\x85R."[..], "posix.system"),
        (b"c__builtin__\neval\nX\x01\0\0\x001\x85R.", "__builtin__.eval"),
        (b"X\x02\0\0\0osX\x06\0\0\0system\x93)R.", "os.system"),
    ] {
        let error = refusal(checkpoint(&[b"\x80\x04", call].concat(), b""));
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn malformed_pickles_are_refused_with_the_reason() {
    for (pickle, reason) in [
        (&b""[..], "ends early"),
        (b"\x80\x02}", "ends early"),
        (b"\x80\x02X\xff\xff\xff\xffabc.", "ends early"),
        (b"\x80\x02t.", "mark"),
        (b"\x80\x02h\x07.", "memo"),
        (b"\x80\x02.", "stack"),
        (b"\x80\x02}.", "no tensor"),
        (b"\x80\x02].", "not a dictionary"),
        (b"\x80\x02}K\x01s.", "not a dictionary"),
        (b"i", "0x69"),
    ] {
        let error = refusal(checkpoint(pickle, b""));
        assert!(error.contains(reason), "{pickle:?}: {error}");
    }
}

#[test]
fn objects_shared_or_nested_without_end_cost_no_more_than_their_length() {
    let shared = b")q\0".iter().copied().chain(b"h\0h\0\x86q\0".iter().copied().cycle().take(700_000));
    let nested = std::iter::repeat_n(0x85, 1_000_000);
    let started = Instant::now();
    refusal(checkpoint(&b"\x80\x02".iter().copied().chain(shared).chain(*b".").collect::<Vec<_>>(), b""));
    refusal(checkpoint(&b"\x80\x02)".iter().copied().chain(nested).chain(*b".").collect::<Vec<_>>(), b""));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn damaged_checkpoints_are_refused_in_every_layout() {
    for file in ["chexbert.pth", "chexbert_legacy.pth", "chexbert.safetensors"] {
        let whole = fixture(&format!("rewards/chexbert/{file}"));
        for kept in [0, 3, 7, 40, whole.len() / 3, whole.len() - 1] {
            refusal(whole[..kept].to_vec());
        }
    }
    let mut damaged = fixture("rewards/chexbert/chexbert.pth");
    // A byte of the first storage, which starts right behind the descriptions.
    let entry = damaged.windows(6).position(|window| window == b"data/0").unwrap();
    damaged[entry + 200] ^= 1;
    let weights = open(damaged).unwrap();
    let name = "bert.embeddings.word_embeddings.weight";
    let shape = weights.shape(name).unwrap().to_vec();
    let error = weights.get(name, &shape).unwrap_err().to_string();
    assert!(error.to_lowercase().contains("checksum"), "{error}");
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_without_being_read() {
    let dir = tempfile::tempdir().unwrap();
    let endless = dir.path().join("chexbert.pth");
    std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
    let error = Weights::open(&endless, &Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("chexbert.pth") && error.contains("is no regular file"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = open(bytes.clone());
        let _ = open([b"\x80\x02\x8a\x0a".as_slice(), &bytes].concat());
        let _ = open(checkpoint(&bytes, &[]));
    }

    #[test]
    fn no_change_of_a_checkpoint_makes_the_reader_panic(at in 0usize..400, to in any::<u8>()) {
        let mut pickle = tensor(0, [2, 2], [2, 1]);
        let at = at % pickle.len();
        pickle[at] = to;
        if let Ok(weights) = open(checkpoint(&pickle, &storage())) {
            let _ = weights.get("w", &[2, 2]);
        }
    }
}
