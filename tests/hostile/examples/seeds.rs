//! Writes the valid inputs of every reader to FOLDER/READER, where the fuzzer looks for what to damage:
//!
//! ```text
//! cargo run -p addendum-hostile --example seeds -- fuzz/corpus
//! ```

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    let folder: PathBuf = env::args().nth(1).ok_or_else(|| io::Error::other("expected a folder"))?.into();
    for (name, reader) in addendum_hostile::ALL {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        for (i, seed) in (reader.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{i}")), seed)?;
        }
    }
    Ok(())
}
