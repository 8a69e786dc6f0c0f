//! Files for readers that want files: a folder of each thread's own, in which one file is damaged and the others whole.

use std::{cell::OnceCell, fs, path::Path};

use tempfile::TempDir;

/// The files of a folder, by name.
pub type Files = Vec<(String, Vec<u8>)>;

/// The files below a folder, in the order of their names.
pub fn of(folder: &Path) -> Files {
    let mut files: Files = (fs::read_dir(folder).expect("the folder is there"))
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("its files can be read"))
        })
        .collect();
    files.sort();
    files
}

/// One input for each file: a byte that tells which, then its content.
pub fn seeds(files: &Files) -> Vec<Vec<u8>> {
    let seed = |(i, (_, content)): (usize, &(String, Vec<u8>))| [&[i as u8], content.as_slice()].concat();
    files.iter().enumerate().map(seed).collect()
}

/// Runs `read` on a folder with these files, of which the one that the first byte tells has the rest of `input` for its
/// content.
pub fn with(files: &Files, input: &[u8], read: impl FnOnce(&Path) -> bool) -> bool {
    let Some((which, content)) = input.split_first() else { return false };
    let which = usize::from(*which) % files.len();
    with_content(files, &files[which].0, content, read)
}

/// Runs `read` on a folder with these files, of which one has this content.
pub fn with_content(files: &Files, name: &str, content: &[u8], read: impl FnOnce(&Path) -> bool) -> bool {
    thread_local! {
        static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
    }
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("a temporary folder can be made")).path();
        for (name, content) in files {
            put(folder, name, content);
        }
        put(folder, name, content);
        let taken = read(folder);
        for (name, _) in files {
            fs::remove_file(folder.join(name)).expect("the file was put there");
        }
        let _ = fs::remove_file(folder.join(name));
        taken
    })
}

fn put(folder: &Path, name: &str, content: &[u8]) {
    fs::write(folder.join(name), content).expect("temporary files can be written");
}
