//! Finds files of a token that this user may not use, or that are missing.
//!
//! A library reports these only as "general error", or shows no key. The places are known for some libraries; for
//! others nothing is found.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    io::Errno,
    process::geteuid,
};

use crate::pki::pkcs11_error::{ClosedFile, MissingFolder};

/// Most tokens examined in a folder.
const MOST: usize = 64;
/// Most files of a token examined.
const MOST_FILES: usize = 4096;

/// Whether a file may be used; also true for files that do not exist.
type MayUse = fn(&Path, Access) -> bool;

/// The first file of a library that this user may not use.
pub fn denied(module: &Path) -> Option<ClosedFile> {
    closed(places(module, &variable))
}

/// The first key of the token with this serial number that this user may not use: a library omits it, as if the token
/// did not have it.
pub fn denied_key(module: &Path, serial: &str) -> Option<ClosedFile> {
    closed(keys(module, serial, &variable))
}

/// The folder of tokens that `SoftHSM` is configured for, if it does not exist.
pub fn missing(module: &Path) -> Option<MissingFolder> {
    missing_folder(module, &variable)
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn closed(places: Vec<PathBuf>) -> Option<ClosedFile> {
    let path = places.into_iter().find_map(|place| first_closed(&place, may_use))?;
    Some(ClosedFile { user: user(), group: group(&path), path })
}

fn may_use(path: &Path, how: Access) -> bool {
    !matches!(access(path, how), Err(Errno::ACCESS | Errno::PERM))
}

/// The library itself, and the places where known libraries keep what they need.
fn places(module: &Path, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let name = file_name(module);
    let mut places = vec![module.to_owned()];
    if let Some(settings) = softhsm_settings(module, variable) {
        let folder = softhsm_folder(&settings);
        let tokens = folder.as_deref().map(tokens).unwrap_or_default();
        places.extend(folder);
        places.extend(tokens.into_iter().flat_map(|token| [token.clone(), token.join("token.object")]));
        places.push(settings);
    }
    if name.contains("opencryptoki") {
        places.extend(["/run/pkcsslotd.socket", "/var/lib/opencryptoki", "/run/lock/opencryptoki"].map(PathBuf::from));
    }
    if name.contains("tpm2") {
        places.extend(variable("TPM2_PKCS11_STORE"));
        places.extend(["/etc/tpm2_pkcs11", "/dev/tpmrm0"].map(PathBuf::from));
    }
    places
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// The configuration of `SoftHSM`, if the library is `SoftHSM` or may load it.
fn softhsm_settings(module: &Path, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let name = file_name(module);
    if !name.contains("softhsm") && !name.contains("p11-kit") {
        return None;
    }
    let own = variable("HOME").map(|home| home.join(".config/softhsm2/softhsm2.conf"));
    let system = ["/etc/softhsm/softhsm2.conf", "/etc/softhsm2.conf"].map(PathBuf::from);
    let settings = variable("SOFTHSM2_CONF").map_or_else(|| own.into_iter().chain(system).collect(), |one| vec![one]);
    settings.into_iter().find(|file| !is_missing(file))
}

/// Whether it certainly does not exist.
fn is_missing(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

/// The folder of tokens named in a configuration of `SoftHSM`.
fn softhsm_folder(settings: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(settings).ok()?;
    let mut named = text.lines().filter_map(|line| line.split_once('='));
    named.find(|(key, _)| key.trim() == "directories.tokendir").map(|(_, folder)| PathBuf::from(folder.trim()))
}

/// The tokens in a folder.
fn tokens(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().take(MOST).map(|entry| entry.path()).collect()
}

/// The keys of a token: `SoftHSM` names a token's folder by a UUID that ends with its serial number.
fn keys(module: &Path, serial: &str, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let folder = softhsm_settings(module, variable).as_deref().and_then(softhsm_folder);
    let all = folder.as_deref().map(tokens).unwrap_or_default();
    let Some(token) = all.into_iter().find(|token| file_name(token).replace('-', "").ends_with(serial)) else {
        return Vec::new();
    };
    let files = fs::read_dir(token).into_iter().flatten().flatten().take(MOST_FILES).map(|entry| entry.path());
    files.filter(|file| file.extension().is_some_and(|kind| kind == "object")).collect()
}

fn missing_folder(module: &Path, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<MissingFolder> {
    // A library behind p11-kit may work without SoftHSM.
    if !file_name(module).contains("softhsm") {
        return None;
    }
    let settings = softhsm_settings(module, variable)?;
    let folder = softhsm_folder(&settings).filter(|folder| is_missing(folder))?;
    Some(MissingFolder { folder, settings })
}

/// The path itself, or the first folder above it, that may not be used.
fn first_closed(path: &Path, may_use: MayUse) -> Option<PathBuf> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
    above.reverse();
    let closed = above.into_iter().find(|folder| !may_use(folder, Access::EXEC_OK));
    let how = if path.is_dir() { Access::READ_OK | Access::EXEC_OK } else { Access::READ_OK };
    closed.or_else(|| (!may_use(path, how)).then_some(path)).map(Path::to_owned)
}

/// The name of the user of this process.
fn user() -> String {
    let id = geteuid().as_raw();
    name_in("/etc/passwd", id).unwrap_or_else(|| id.to_string())
}

/// The group of a file, if its members may read it and it is not root's.
fn group(path: &Path) -> Option<String> {
    let about = fs::symlink_metadata(path).ok()?;
    let helps = about.gid() != 0 && about.mode() & 0o040 != 0;
    helps.then(|| name_in("/etc/group", about.gid())).flatten()
}

/// The name of a numeric id, which is the third field of a line.
fn name_in(file: &str, id: u32) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.get(2) == Some(&id.to_string().as_str())).map(|fields| fields[0].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_above_is_named_before_the_file_in_it() {
        let closed: MayUse = |path, how| how != Access::EXEC_OK || path != Path::new("/var/lib/softhsm");
        let found = first_closed(Path::new("/var/lib/softhsm/tokens/7/token.object"), closed);
        assert_eq!(found.unwrap(), Path::new("/var/lib/softhsm"));
        let closed: MayUse = |path, _| path != Path::new("/dev/tpmrm0");
        assert_eq!(first_closed(Path::new("/dev/tpmrm0"), closed).unwrap(), Path::new("/dev/tpmrm0"));
        assert_eq!(first_closed(Path::new("/dev/other"), closed), None);
    }

    #[test]
    fn softhsm_says_where_its_tokens_are() {
        let folder = tempfile::tempdir().unwrap();
        let (settings, tokens) = (folder.path().join("conf"), folder.path().join("tokens"));
        fs::create_dir_all(tokens.join("one")).unwrap();
        fs::write(&settings, format!("# tokens\ndirectories.tokendir = {}\nlog.level = INFO\n", tokens.display()))
            .unwrap();
        let variable = |name: &str| (name == "SOFTHSM2_CONF").then(|| settings.clone());
        let found = places(Path::new("/usr/lib/softhsm/libsofthsm2.so"), &variable);
        for place in [&settings, &tokens, &tokens.join("one"), &tokens.join("one/token.object")] {
            assert!(found.contains(place), "{found:?} lacks {place:?}");
        }
        assert_eq!(places(Path::new("/lib/p11.so"), &variable), [PathBuf::from("/lib/p11.so")]);
    }

    #[test]
    fn the_keys_of_one_token_are_looked_at_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("conf");
        fs::write(&settings, format!("directories.tokendir = {}\n", folder.path().display())).unwrap();
        let [ours, other] = ["44abd731-98cb-561a-4f7c-903a5b41a0df", "450e084e-5f83-3051-f19c-8e8275802860"]
            .map(|name| folder.path().join(name));
        for token in [&ours, &other] {
            fs::create_dir(token).unwrap();
            for file in ["token.object", "6c.object", "6c.lock", "generation"] {
                fs::write(token.join(file), "").unwrap();
            }
        }
        let variable = |name: &str| (name == "SOFTHSM2_CONF").then(|| settings.clone());
        let of = |module: &str, serial: &str| {
            let mut found = keys(Path::new(module), serial, &variable);
            found.sort();
            found
        };
        let wanted = [ours.join("6c.object"), ours.join("token.object")];
        for module in ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/p11-kit-proxy.so"] {
            assert_eq!(of(module, "4f7c903a5b41a0df"), wanted, "{module}");
            assert!(of(module, "0000000000000000").is_empty(), "{module}");
        }
        assert!(of("/lib/p11.so", "4f7c903a5b41a0df").is_empty());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_with_the_file_that_names_it() {
        let home = tempfile::tempdir().unwrap();
        let (settings, folder) = (home.path().join("conf"), home.path().join("tokens"));
        let variable = |name: &str| (name == "SOFTHSM2_CONF").then(|| settings.clone());
        let softhsm = Path::new("/usr/lib/softhsm/libsofthsm2.so");
        assert_eq!(missing_folder(softhsm, &variable), None, "there is no configuration");
        fs::write(&settings, format!("directories.tokendir = {}\n", folder.display())).unwrap();
        let named = MissingFolder { folder: folder.clone(), settings: settings.clone() };
        assert_eq!(missing_folder(softhsm, &variable), Some(named));
        assert_eq!(missing_folder(Path::new("/lib/p11-kit-proxy.so"), &variable), None);
        fs::create_dir(folder).unwrap();
        assert_eq!(missing_folder(softhsm, &variable), None);
    }

    #[test]
    fn a_number_has_a_name() {
        assert_eq!(name_in("/etc/passwd", 0).as_deref(), Some("root"));
        assert_eq!(name_in("/etc/passwd", u32::MAX), None);
    }
}
