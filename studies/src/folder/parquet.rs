//! Rows of Apache Parquet. Its columns lie apart, compressed, so a row cannot be read where it stands: the fields that say
//! something of studies are kept in memory, as JSON. Pixels that are stored in the file are left out.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek},
    sync::Arc,
};

use parquet::{
    basic::Repetition,
    errors::{ParquetError, Result as ParquetResult},
    file::reader::{FileReader, SerializedFileReader},
    record::{Field, Row},
    schema::types::{Type, TypePtr},
};
use serde_json::{Map, Value};

use super::{
    columns,
    cut::Raw,
    entries::{Bytes, Entries, Writing},
    files::{Form, Found},
    lister::Lister,
    paths::Images,
};
use crate::{
    dataset::Split,
    error::{Error, Result},
};

/// The rows of a file, and its bytes and CRC-32.
pub fn rows<'a>(found: &Found, mut file: File, split: Split, images: &'a Images) -> Result<(Lister<'a>, (u64, u32))> {
    let wrong = |reason: String| Error::Format { path: found.path.clone(), reason };
    let broken = |error: ParquetError| wrong(error.to_string());
    let read = checksum(&mut file).map_err(Error::io(&found.path))?;
    let reader = SerializedFileReader::new(file).map_err(broken)?;
    let schema = reader.metadata().file_metadata().schema();
    let header: Vec<String> = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
    columns::check(&header).map_err(wrong)?;
    let writing = Writing { path: found.path.as_path().into(), form: Form::Parquet, header };
    let mut lister = Lister::new(Entries::new(writing, Bytes::Memory(Vec::new())), found.all, split, images);
    for row in reader.get_row_iter(Some(known(schema).map_err(broken)?)).map_err(broken)? {
        let bytes = Value::Object(object(&row.map_err(broken)?)).to_string().into_bytes();
        lister.take(Raw { at: 0, line: 0, bytes });
    }
    Ok((lister, read))
}

fn checksum(file: &mut File) -> std::io::Result<(u64, u32)> {
    let mut crc = crc32fast::Hasher::new();
    let (mut reader, mut read) = (BufReader::new(&*file), 0);
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            break;
        }
        crc.update(part);
        let length = part.len();
        read += length as u64;
        reader.consume(length);
    }
    file.rewind()?;
    Ok((read, crc.finalize()))
}

/// The columns that may say something of a study, without the bytes of images.
fn known(schema: &Type) -> ParquetResult<Type> {
    let fields = schema.get_fields().iter().filter(|field| columns::is_known(field.name()));
    let fields = fields.map(without_bytes).collect::<ParquetResult<_>>()?;
    Type::group_type_builder(schema.name()).with_fields(fields).build()
}

fn without_bytes(field: &TypePtr) -> ParquetResult<TypePtr> {
    if !field.is_group() {
        return Ok(field.clone());
    }
    let info = field.get_basic_info();
    let kept = field.get_fields().iter().filter(|part| part.name() != "bytes" || field.get_fields().len() == 1);
    let fields = kept.map(without_bytes).collect::<ParquetResult<_>>()?;
    let repetition = if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED };
    Type::group_type_builder(field.name())
        .with_repetition(repetition)
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_fields(fields)
        .build()
        .map(Arc::new)
}

fn object(row: &Row) -> Map<String, Value> {
    row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(text) => text.as_str().into(),
        // Text whose writer did not say that it is text.
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into(),
        Field::Group(row) => path(object(row)),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => map.entries().iter().map(|(key, one)| (key.to_string(), value(one))).collect(),
        other => other.to_string().into(),
    }
}

/// A struct of nothing but a path, which is what is left of an image of Hugging Face's `datasets`, is the path.
fn path(mut fields: Map<String, Value>) -> Value {
    match fields.len() {
        1 => fields.remove("path").unwrap_or(Value::Object(fields)),
        _ => Value::Object(fields),
    }
}
