//! The project's own sources, for tests that read them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files with this ending below a folder of the project, in order: the path from the root, and the text.
pub fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    fn visit(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                visit(&path, ending, found);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    visit(&root.join(folder), ending, &mut found);
    found.sort();
    let name = |file: &Path| file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|file| (name(file), fs::read_to_string(file).unwrap())).collect()
}
