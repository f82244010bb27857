//! Locates and loads the PKCS#11 library, and checks that it is the one described.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
};

use super::{Pkcs11Error, Uri, rights};

/// Where systems keep libraries; `*` stands for one folder, that of the architecture.
const FOLDERS: [&str; 11] = [
    "/usr/lib/*/pkcs11",
    "/usr/lib/pkcs11",
    "/usr/lib64/pkcs11",
    "/usr/local/lib/pkcs11",
    "/usr/lib/softhsm",
    "/usr/lib/*/softhsm",
    "/usr/lib/*/opencryptoki",
    "/usr/lib/*",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/lib",
];

/// A loaded and initialised library.
pub struct Module {
    /// Its functions.
    pub library: Pkcs11,
    /// Its file.
    pub path: PathBuf,
}

impl Module {
    /// Loads the library that a URI names, and checks its description if the URI contains one.
    ///
    /// # Errors
    /// [`Pkcs11Error`]: no such library or several, one that cannot be loaded, or another than the one described.
    pub fn load(uri: &Uri) -> Result<Self, Pkcs11Error> {
        let path = locate(uri, &FOLDERS)?;
        let denied = |other: Pkcs11Error| {
            let missing = || rights::missing(&path).map_or(other, Pkcs11Error::Folder);
            rights::denied(&path).map_or_else(missing, Pkcs11Error::Rights)
        };
        let library = Pkcs11::new(&path).map_err(|error| denied(Pkcs11Error::Load(shown(&path), said(&error))))?;
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(denied(Pkcs11Error::Library(shown(&path), said(&error)))),
        }
        let module = Self { library, path };
        module.check(uri)?;
        Ok(module)
    }

    /// The error of a call of this library.
    pub fn failed(&self, error: &Error) -> Pkcs11Error {
        let other = Pkcs11Error::Library(shown(&self.path), said(error));
        rights::denied(&self.path).map_or(other, Pkcs11Error::Rights)
    }

    fn check(&self, uri: &Uri) -> Result<(), Pkcs11Error> {
        let wanted = (&uri.library_manufacturer, &uri.library_description, uri.library_version);
        if wanted == (&None, &None, None) {
            return Ok(());
        }
        let info = self.library.get_library_info().map_err(|error| self.failed(&error))?;
        let (manufacturer, description) = (info.manufacturer_id(), info.library_description());
        let version = (info.library_version().major(), info.library_version().minor());
        let fits = wanted.0.as_deref().is_none_or(|wanted| wanted == manufacturer)
            && wanted.1.as_deref().is_none_or(|wanted| wanted == description)
            && wanted.2.is_none_or(|wanted| wanted == version);
        if fits {
            return Ok(());
        }
        let is = format!("{description:?} {}.{} of {manufacturer:?}", version.0, version.1);
        Err(Pkcs11Error::OtherLibrary { path: shown(&self.path), is })
    }
}

/// An error by the names of the standard; the sentences of the crate do not say what to do.
pub fn said(error: &Error) -> String {
    match error {
        Error::Pkcs11(code, function) => format!("C_{function:?} fails with {code:?}"),
        Error::LibraryLoading(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The file of the library: by its path, by its name in a folder, or by its name where systems keep libraries.
fn locate(uri: &Uri, folders: &[&str]) -> Result<PathBuf, Pkcs11Error> {
    let (path, name) = match (&uri.module_path, &uri.module_name) {
        (Some(path), None) => return Ok(path.clone()),
        (None, None) => return Err(Pkcs11Error::NoModule(String::new())),
        (path, Some(name)) => (path, name),
    };
    let found: BTreeSet<PathBuf> = match path {
        Some(file) if file.is_file() => is_called(file, name).then(|| file.clone()).into_iter().collect(),
        Some(folder) => called_in(folder, name).collect(),
        None => folders.iter().flat_map(|folder| spread(folder)).flat_map(|folder| called_in(&folder, name)).collect(),
    };
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(one), Some(other)) => Err(Pkcs11Error::SeveralModules(name.clone(), shown(&one), shown(&other))),
        _ => Err(Pkcs11Error::NoModule(name.clone())),
    }
}

/// The folder, or all folders that its `*` stands for.
fn spread(folder: &str) -> Vec<PathBuf> {
    let Some((above, below)) = folder.split_once("/*") else { return vec![folder.into()] };
    // Only folders of an architecture: x86_64-linux-gnu.
    let of_architecture = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains("-linux-");
    let entries = fs::read_dir(above).into_iter().flatten().flatten().filter(of_architecture);
    entries.map(|entry| entry.path().join(below.trim_start_matches('/'))).collect()
}

/// The libraries of that name in a folder, with links resolved.
fn called_in<'a>(folder: &Path, name: &'a str) -> impl Iterator<Item = PathBuf> + use<'a> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(move |path| is_called(path, name))
        .filter_map(|path| path.canonicalize().ok())
}

/// Whether a file has that name without `lib` and `.so`, in upper or lower case (RFC 7512, 2.3).
fn is_called(path: &Path, name: &str) -> bool {
    let Some((file, _)) = path.file_name().and_then(|file| file.to_str()).and_then(|file| file.split_once(".so"))
    else {
        return false;
    };
    let same = |file: &str| file.eq_ignore_ascii_case(name);
    same(file) || file.strip_prefix("lib").is_some_and(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_by_its_name() {
        let root = tempfile::tempdir().unwrap();
        let at = |file: &str| root.path().canonicalize().unwrap().join(file);
        for file in ["softhsm/libsofthsm2.so", "x86_64-linux-gnu/pkcs11/opensc-pkcs11.so.1", "ssl/pkcs11/none.so"] {
            fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            fs::write(at(file), "").unwrap();
        }
        std::os::unix::fs::symlink(at("softhsm/libsofthsm2.so"), at("x86_64-linux-gnu/pkcs11/libsofthsm2.so")).unwrap();
        let folders = ["softhsm", "*/pkcs11", "nowhere"].map(|folder| format!("{}/{folder}", root.path().display()));
        let folders: Vec<_> = folders.iter().map(String::as_str).collect();
        let uri = |query: &str| format!("pkcs11:object=a?{query}").parse::<Uri>().unwrap();
        let found = |query: &str| locate(&uri(query), &folders);
        // A link and its target are one library.
        assert_eq!(found("module-name=SoftHSM2").unwrap(), at("softhsm/libsofthsm2.so"));
        assert_eq!(found("module-name=opensc-pkcs11").unwrap(), at("x86_64-linux-gnu/pkcs11/opensc-pkcs11.so.1"));
        assert!(matches!(found("module-name=none"), Err(Pkcs11Error::NoModule(name)) if name == "none"));
        // A path alone is used as it is; with a name, it is a folder that contains it, or a file with that name.
        assert_eq!(found("module-path=/nowhere/p11.so").unwrap(), PathBuf::from("/nowhere/p11.so"));
        let folder = format!("module-name=none&module-path={}", at("ssl/pkcs11").display());
        assert_eq!(found(&folder).unwrap(), at("ssl/pkcs11/none.so"));
        assert!(found(&folder.replace("none&", "other&")).is_err());
        assert_eq!(found(&format!("{folder}/none.so")).unwrap(), at("ssl/pkcs11/none.so"));
        assert!(found(&format!("{folder}/none.so").replace("none&", "other&")).is_err());
        fs::write(at("x86_64-linux-gnu/pkcs11/softhsm2.so"), "").unwrap();
        assert!(matches!(found("module-name=softhsm2"), Err(Pkcs11Error::SeveralModules(..))));
    }

    #[test]
    fn an_error_has_the_names_of_the_standard() {
        let error = Error::Pkcs11(RvError::GeneralError, cryptoki::context::Function::Initialize);
        assert_eq!(said(&error), "C_Initialize fails with GeneralError");
    }
}
