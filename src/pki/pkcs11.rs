//! A personalisation key that never leaves its token: AES-CMAC over PKCS#11 (OASIS PKCS #11 v2.40, 2.13).

mod module;
mod rights;
mod slots;
mod uri;

use std::{
    collections::BTreeSet,
    env, fmt, fs,
    io::ErrorKind,
    path::Path,
    sync::{Mutex, PoisonError},
};

use cryptoki::{
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use zeroize::{Zeroize, Zeroizing};

use self::{
    module::{Module, said},
    slots::Fitting,
};
use super::{
    PkiError, load,
    pkcs11_error::{ClosedFile, Pkcs11Error},
};
use crate::{crypto::Key128, files::without_mark};

pub use slots::PinState;
pub use uri::{Uri, UriError};

/// The variable from which a service takes the PIN if the URI names no file.
const PIN: &str = "ROLLCALL_PKCS11_PIN";

/// The lengths of an AES key in bytes (FIPS 197, 6.1).
const AES_LENGTHS: [u64; 3] = [16, 24, 32];

/// Most keys that an error lists.
const NAMED: usize = 8;

/// An AES key in a token, with a session that is logged in if the token requires it.
pub struct Key {
    session: Mutex<Session>,
    handle: ObjectHandle,
    module: String,
}

/// What can be found out about a key without a login, so that no PIN is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The label of the token.
    pub token: String,
    /// Whether the key itself was seen: most tokens show a private key only after a login.
    pub seen: bool,
    /// How close the token is to locking because of wrong PINs.
    pub pin: PinState,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("module", &self.module).finish_non_exhaustive()
    }
}

impl Key {
    /// Opens the one key that the URI names. The PIN is tried once, and only at the one token that fits, because a
    /// token locks itself after a few wrong ones.
    ///
    /// # Errors
    /// [`PkiError::Pkcs11`] says which step failed: the library, finding the one token or key, the PIN, the key's
    /// length; [`PkiError`] of the file that holds the PIN.
    pub fn open(uri: &Uri) -> Result<Self, PkiError> {
        let module = Module::load(uri)?;
        let fitting = one_token(&module, uri)?;
        let session = module.library.open_ro_session(fitting.slot).map_err(|error| module.failed(&error))?;
        if fitting.token.as_ref().is_none_or(|token| token.needs_login) {
            login(&module, &session, &fitting, uri)?;
        }
        let handle = find(&module, &session, &fitting, uri)?.ok_or_else(|| no_key(&module, &fitting, uri))?;
        Ok(Self { session: Mutex::new(session), handle, module: module.path.display().to_string() })
    }

    /// AES-CMAC (NIST SP 800-38B) of a block of any length, as a key of 16 bytes.
    ///
    /// # Errors
    /// [`PkiError::Pkcs11`] when the token cannot compute it, or answers anything but 16 bytes.
    pub fn cmac(&self, block: &[u8]) -> Result<Key128, PkiError> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mac = session.sign(&Mechanism::AesCMac, self.handle, block);
        let mac = Zeroizing::new(mac.map_err(|error| Pkcs11Error::Sign(self.module.clone(), said(&error)))?);
        let mut key = <[u8; 16]>::try_from(mac.as_slice()).map_err(|_| Pkcs11Error::Answer(mac.len()))?;
        let made = Key128::new(key);
        key.zeroize();
        Ok(made)
    }
}

/// Looks for the key like [`Key::open`], but without a login: the PIN is read, but not tried.
///
/// # Errors
/// As [`Key::open`], except what only a login reveals: a wrong PIN, and a missing private key.
pub fn sight(uri: &Uri) -> Result<Sighting, PkiError> {
    let module = Module::load(uri)?;
    let fitting = one_token(&module, uri)?;
    let session = module.library.open_ro_session(fitting.slot).map_err(|error| module.failed(&error))?;
    let seen = find(&module, &session, &fitting, uri)?.is_some();
    let (needs_login, pin_state) =
        fitting.token.as_ref().map_or((true, PinState::Fresh), |token| (token.needs_login, token.pin));
    if needs_login {
        if pin_state == PinState::Locked {
            return Err(Pkcs11Error::Locked(fitting.label()).into());
        }
        pin(uri, &fitting)?;
        // A login would not reveal a key whose file is not accessible.
        if let Some(closed) = (!seen).then(|| closed_key(&module, &fitting)).flatten() {
            return Err(Pkcs11Error::Rights(closed).into());
        }
    } else if !seen {
        return Err(no_key(&module, &fitting, uri).into());
    }
    Ok(Sighting { token: fitting.label(), seen, pin: pin_state })
}

/// Whether the file that the URI names for the PIN has one, without asking the token. The PIN of a service cannot be seen
/// from elsewhere.
///
/// # Errors
/// [`PkiError::Pkcs11`] without a PIN in the file; [`PkiError`] of a file that cannot be used.
pub fn check_pin_file(uri: &Uri) -> Result<(), PkiError> {
    let Some(file) = &uri.pin_source else { return Ok(()) };
    pin_in(file, uri.token.clone().unwrap_or_else(|| uri.to_string())).map(drop)
}

/// The error for a key that is missing, or whose file is not accessible to this user.
fn no_key(module: &Module, fitting: &Fitting, uri: &Uri) -> Pkcs11Error {
    let none = || Pkcs11Error::NoKey { token: fitting.label(), uri: uri.to_string() };
    closed_key(module, fitting).map_or_else(none, Pkcs11Error::Rights)
}

/// A key of this token whose file is not accessible to this user.
fn closed_key(module: &Module, fitting: &Fitting) -> Option<ClosedFile> {
    rights::denied_key(&module.path, &fitting.token.as_ref()?.serial)
}

fn one_token(module: &Module, uri: &Uri) -> Result<Fitting, Pkcs11Error> {
    slots::find(module, uri, |fitting| {
        let session = module.library.open_ro_session(fitting.slot);
        // A key that fits but is faulty counts as found: its fault is reported later.
        session.is_ok_and(|session| !matches!(find(module, &session, fitting, uri), Ok(None)))
    })
}

fn login(module: &Module, session: &Session, fitting: &Fitting, uri: &Uri) -> Result<(), PkiError> {
    if fitting.token.as_ref().is_some_and(|token| token.pin == PinState::Locked) {
        return Err(Pkcs11Error::Locked(fitting.label()).into());
    }
    match session.login(UserType::User, Some(&pin(uri, fitting)?)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) => {
            Err(Pkcs11Error::WrongPin(fitting.label()).into())
        }
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(Pkcs11Error::Locked(fitting.label()).into()),
        Err(error) => Err(module.failed(&error).into()),
    }
}

/// The one AES key that fits, among those visible to the session.
fn find(module: &Module, session: &Session, fitting: &Fitting, uri: &Uri) -> Result<Option<ObjectHandle>, Pkcs11Error> {
    let failed = |error: Error| module.failed(&error);
    let mut wanted = vec![Attribute::Class(ObjectClass::SECRET_KEY)];
    wanted.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
    wanted.extend(uri.id.clone().map(Attribute::Id));
    let aes = [&wanted[..], &[Attribute::KeyType(KeyType::AES)]].concat();
    let found = session.find_objects(&aes).map_err(failed)?;
    match found.as_slice() {
        [] => match session.find_objects(&wanted).map_err(failed)?.first() {
            Some(other) => {
                Err(Pkcs11Error::NotAes(key_uri(session, fitting, *other).to_string(), kind(session, *other)))
            }
            None => Ok(None),
        },
        &[handle] => {
            for attribute in session.get_attributes(handle, &[AttributeType::ValueLen]).map_err(failed)? {
                if let Attribute::ValueLen(length) = attribute
                    && !AES_LENGTHS.contains(&u64::from(length))
                {
                    return Err(Pkcs11Error::Length(key_uri(session, fitting, handle).to_string(), length.into()));
                }
            }
            Ok(Some(handle))
        }
        several => {
            let keys = several.iter().take(NAMED).map(|key| key_uri(session, fitting, *key).to_string());
            // Sorted, because a library may list them in any order.
            let keys: Vec<_> = keys.collect::<BTreeSet<_>>().into_iter().collect();
            Err(Pkcs11Error::SeveralKeys { uri: uri.to_string(), keys: keys.join(" and ") })
        }
    }
}

/// The URI of a key, from its own attributes and those of its token.
fn key_uri(session: &Session, fitting: &Fitting, key: ObjectHandle) -> Uri {
    let mut uri = fitting.uri();
    for attribute in session.get_attributes(key, &[AttributeType::Label, AttributeType::Id]).unwrap_or_default() {
        match attribute {
            Attribute::Label(label) => uri.object = Some(String::from_utf8_lossy(&label).into_owned()),
            Attribute::Id(id) => uri.id = Some(id).filter(|id| !id.is_empty()),
            _ => {}
        }
    }
    uri
}

/// The type of a key, by its name in the standard.
fn kind(session: &Session, key: ObjectHandle) -> String {
    let attributes = session.get_attributes(key, &[AttributeType::KeyType]).unwrap_or_default();
    let name = attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::KeyType(kind) => Some(kind.to_string()),
        _ => None,
    });
    name.unwrap_or_else(|| "unknown".into())
}

/// The PIN, from the file that the URI names, which must be private, or from the environment of a service.
fn pin(uri: &Uri, fitting: &Fitting) -> Result<AuthPin, PkiError> {
    let text = match &uri.pin_source {
        Some(file) => pin_in(file, fitting.label())?,
        None => Zeroizing::new(env::var(PIN).unwrap_or_default()),
    };
    if text.is_empty() {
        return Err(Pkcs11Error::NoPin(fitting.label()).into());
    }
    Ok(AuthPin::new(text.as_str().into()))
}

/// The first line of the file that `pin-source` names. The PKI does not own this file: if it is missing, `pki init`
/// does not make it.
fn pin_in(file: &Path, token: String) -> Result<Zeroizing<String>, PkiError> {
    let none = |why| Pkcs11Error::NoPinInFile { token, path: file.to_owned(), why };
    match fs::metadata(file) {
        // Before its mode is looked at, which the owner of a folder need not change.
        Ok(about) if about.is_dir() => return Err(none("is a folder").into()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(none("does not exist").into());
        }
        // Any other error comes again when the file is opened.
        _ => {}
    }
    let content = load::private(file)?;
    match str::from_utf8(without_mark(&content))
        .ok()
        .and_then(|text| text.lines().next())
        .filter(|line| !line.is_empty())
    {
        Some(line) => Ok(Zeroizing::new(line.to_owned())),
        None => Err(none("has no PIN in its first line").into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::failure::Failure;

    fn told(file: &Path) -> (&'static str, String) {
        let failure: Failure = pin_in(file, "Desk".to_owned()).unwrap_err().into();
        (failure.code, format!("{failure:?}"))
    }

    #[test]
    fn a_file_without_a_pin_is_named_and_is_none_that_pki_init_makes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let private = |name: &str, content: &[u8]| {
            fs::write(at(name), content).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
        };
        private("pin", b"1234\nmore");
        private("marked", b"\xEF\xBB\xBF1234\r\n");
        private("empty", b"");
        private("mark", b"\xEF\xBB\xBF");
        private("blank", b"\n1234");
        private("bytes", b"\xFF\xFE");
        fs::create_dir(at("folder")).unwrap();
        fs::set_permissions(at("folder"), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["pin", "marked"] {
            assert_eq!(*pin_in(&at(name), "Desk".to_owned()).unwrap(), "1234", "{name}");
        }
        for (name, why) in [
            ("missing", "does not exist"),
            ("pin/below", "does not exist"),
            ("folder", "is a folder"),
            ("empty", "has no PIN"),
            ("mark", "has no PIN"),
            ("blank", "has no PIN"),
            ("bytes", "has no PIN"),
        ] {
            let (code, text) = told(&at(name));
            assert_eq!(code, "pki.pkcs11-no-pin", "{name}");
            assert!(text.contains(&format!("{}, which {why}", at(name).display())), "{text}");
            assert!(!text.contains("pki init") && !text.contains("chmod"), "{text}");
        }
    }

    #[test]
    fn a_pin_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pin");
        fs::write(&file, "1234").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let (code, text) = told(&file);
        assert_eq!(code, "pki.key-permissions");
        assert!(text.contains("chmod 600"), "{text}");
    }
}
