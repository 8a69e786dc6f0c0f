//! Datasets in Apache Parquet, as pandas and Hugging Face's `datasets` write them.
#![cfg(feature = "parquet")]

use std::{fs, path::Path, sync::Arc};

use addendum_studies::{Dataset, Folder, Split};
use image::GrayImage;
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use proptest::prelude::*;

/// Columns of optional text; those of a struct follow each other.
fn written(schema: &str, columns: &[&[Option<&str>]], levels: &[i16]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (column, most) in columns.iter().zip(levels) {
        let mut one = group.next_column().unwrap().unwrap();
        let defined: Vec<i16> = column.iter().map(|cell| if cell.is_some() { *most } else { 0 }).collect();
        let values: Vec<ByteArray> = column.iter().flatten().map(|cell| ByteArray::from(*cell)).collect();
        one.typed::<ByteArrayType>().write_batch(&values, Some(&defined), None).unwrap();
        one.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn folder(name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parquet").join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    GrayImage::new(4, 4).save(dir.join("a.png")).unwrap();
    fs::write(dir.join("train.parquet"), bytes).unwrap();
    dir
}

fn table() -> Vec<u8> {
    let schema = "message schema { optional binary study_id (UTF8); optional group image { optional binary bytes; \
                  optional binary path (UTF8); } optional binary findings (UTF8); optional binary mask; }";
    let columns: [&[Option<&str>]; 5] = [
        &[Some("1"), Some("2"), Some("3")],
        &[Some("\u{89}PNG"), None, None],
        &[Some("a.png"), Some("a.png"), Some("b.png")],
        &[Some("Clear."), None, Some("Normal.")],
        &[None, None, Some("x")],
    ];
    written(schema, &columns, &[1, 2, 2, 1, 1])
}

#[test]
fn rows_are_studies_and_those_that_are_none_are_told_by_their_number() {
    let dir = folder("rows", &table());
    let message = Folder::load(&dir, Split::Train).unwrap_err().to_string();
    for expected in
        ["2 of 3 entries", "train.parquet: entry 1: field `report`: missing", "entry 2: field `image`: no file"]
    {
        assert!(message.contains(expected), "{message}");
    }
    let folder = Folder::read(&dir, Split::Train).unwrap();
    let study = folder.study(0).unwrap();
    assert_eq!((folder.len(), study.id.as_str(), study.reference.text()), (1, "1", "Clear."));
    assert!(folder.identity().starts_with(&format!("train.parquet {} bytes", table().len())));
}

#[test]
fn a_file_without_the_columns_of_a_study_is_refused_by_name() {
    let bytes = written("message schema { optional binary label (UTF8); }", &[&[Some("x")]], &[1]);
    let message = Folder::load(folder("columns", &bytes), Split::Train).unwrap_err().to_string();
    assert!(message.contains("train.parquet: no column with images"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_damage_makes_the_reader_panic(at in 0usize..1200, byte: u8, cut in 0usize..1200) {
        let mut bytes = table();
        let place = at % bytes.len();
        bytes[place] = byte;
        for bytes in [&bytes[..], &table()[..cut.min(table().len())]] {
            _ = Folder::read(folder("damaged", bytes), Split::Train);
        }
    }
}
