//! The configuration file: any text gives either settings or one clear failure.

use std::{fs, path::PathBuf, process, sync::LazyLock};

use rollcall::config::{Global, Settings};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("rollcall-fuzz-{}.toml", process::id()))
});

/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    fs::write(&*FILE, data).expect("a file");
    let typed = Global { config: Some(FILE.clone()), ..Global::default() };
    let result = Settings::resolve(&typed, &|name| (name == "HOME").then(|| "/nowhere".into()));
    let _ = fs::remove_file(&*FILE);
    match result {
        Ok(settings) => {
            let limits = settings.limits;
            assert!(!limits.exchange.is_zero() && limits.tap >= limits.exchange);
        }
        Err(failure) => assert!(!failure.to_string().is_empty()),
    }
}
