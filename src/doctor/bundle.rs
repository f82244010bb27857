//! Builds the archive for a fault report: the findings and a description of the machine, without secrets or personal
//! data.
//!
//! Nothing is included merely because it exists: each part is built from data known to be harmless.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use crate::config::Settings;

/// Writes a tar archive: the findings as given, the settings that cannot be secret, and names, sizes and modes of the
/// state files. No file of the state or of the configuration is opened.
///
/// # Errors
/// What the system says when the archive cannot be written.
pub fn write(to: impl io::Write, settings: &Settings, findings: &[u8]) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    let about = format!("rollcall {}\n{}", env!("CARGO_PKG_VERSION"), system());
    for (name, content) in [
        ("findings.json", findings),
        ("about.txt", about.as_bytes()),
        ("settings.txt", public_settings(settings).as_bytes()),
        ("files.txt", listing(&settings.state_folder).as_bytes()),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        header.set_mode(0o600);
        header.set_cksum();
        archive.append_data(&mut header, format!("rollcall-doctor/{name}"), content)?;
    }
    archive.into_inner()?.flush()
}

fn system() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    ["/etc/os-release", "/proc/version", "/proc/modules"].map(read).concat()
}

/// Numbers and choices; of what may be secret only whether it is set.
fn public_settings(settings: &Settings) -> String {
    let Settings { format, source, heartbeat, stale_after, limits, aliases, server, .. } = settings;
    format!(
        "format {format:?}\nsource {source:?}\nheartbeat {heartbeat:?}\nstale_after {stale_after:?}\n{limits:?}\n\
         aliases {}\non_event {}\nperso_key {}\nserver {}\ntimeout {:?}\nfeed_max_age {:?}\noffline_max_age {:?}\n\
         rate {}\nconnections {}\n",
        aliases.len(),
        settings.on_event.is_some(),
        settings.perso_key.is_some(),
        server.url.is_some(),
        server.timeout,
        server.feed_max_age,
        server.offline_max_age,
        server.rate,
        server.connections,
    )
}

/// Mode, length and name of the files in the state folder and in the key folder.
fn listing(folder: &Path) -> String {
    let mut lines = Vec::new();
    for (prefix, place) in
        [("", folder.to_owned()), ("pki/", folder.join("pki")), ("pki/sets/", folder.join("pki/sets"))]
    {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            let (mode, name) = (about.permissions().mode(), entry.file_name());
            lines.push(format!(
                "{mode:06o} {:>6} {:>10} {prefix}{}\n",
                about.uid(),
                about.len(),
                name.to_string_lossy()
            ));
        }
    }
    lines.sort();
    lines.concat()
}
