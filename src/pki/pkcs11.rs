//! A personalisation key that never leaves its token: AES-CMAC over PKCS#11 (OASIS PKCS #11 v2.40, 2.13).

mod uri;

use std::{
    env, fmt,
    sync::{Mutex, PoisonError},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use zeroize::{Zeroize, Zeroizing};

use super::{
    error::{Pkcs11Error, PkiError},
    load,
};
use crate::crypto::Key128;

pub use uri::{Uri, UriError};

/// Where a service has the PIN from when the URI names no file.
const PIN: &str = "ROLLCALL_PKCS11_PIN";

/// The lengths of an AES key in bytes (FIPS 197, 6.1).
const AES_LENGTHS: [u64; 3] = [16, 24, 32];

/// An AES key in a token, in a session that is logged in.
pub struct Key {
    session: Mutex<Session>,
    handle: ObjectHandle,
    module: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("module", &self.module).finish_non_exhaustive()
    }
}

impl Key {
    /// Opens the one key that the URI names. The PIN is tried once: a token locks itself after a few.
    ///
    /// # Errors
    /// [`PkiError::Pkcs11`] says which step failed: the library, finding the one token or key, the PIN, the key's
    /// length; [`PkiError`] of the file that holds the PIN.
    pub fn open(uri: &Uri) -> Result<Self, PkiError> {
        let module = uri.module.display().to_string();
        let failed = |error: Error| Pkcs11Error::Library(module.clone(), error.into());
        let library = Pkcs11::new(&uri.module).map_err(failed)?;
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed(error).into()),
        }
        let mut named = Vec::new();
        for slot in library.get_slots_with_token().map_err(failed)? {
            let token = library.get_token_info(slot).map_err(failed)?;
            if token.token_initialized() && token.label() == uri.token {
                named.push(slot);
            }
        }
        let &[slot] = named.as_slice() else { return Err(Pkcs11Error::Token(uri.token.clone(), named.len()).into()) };
        let session = library.open_ro_session(slot).map_err(failed)?;
        match session.login(UserType::User, Some(&pin(uri)?)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinLocked, _)) => {
                return Err(Pkcs11Error::WrongPin(uri.token.clone()).into());
            }
            Err(error) => return Err(failed(error).into()),
        }
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(uri.object.clone().into_bytes()),
        ];
        let found = session.find_objects(&wanted).map_err(failed)?;
        let &[handle] = found.as_slice() else {
            return Err(Pkcs11Error::Object(uri.object.clone(), found.len()).into());
        };
        for attribute in session.get_attributes(handle, &[AttributeType::ValueLen]).map_err(failed)? {
            if let Attribute::ValueLen(length) = attribute
                && !AES_LENGTHS.contains(&u64::from(length))
            {
                return Err(Pkcs11Error::Length(uri.object.clone(), length.into()).into());
            }
        }
        Ok(Self { session: Mutex::new(session), handle, module })
    }

    /// AES-CMAC (NIST SP 800-38B) of a block of any length, as a key of 16 bytes.
    ///
    /// # Errors
    /// [`PkiError::Pkcs11`] when the token cannot compute it, or answers anything but 16 bytes.
    pub fn cmac(&self, block: &[u8]) -> Result<Key128, PkiError> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mac = session.sign(&Mechanism::AesCMac, self.handle, block);
        let mac = Zeroizing::new(mac.map_err(|error| Pkcs11Error::Library(self.module.clone(), error.into()))?);
        let mut key = <[u8; 16]>::try_from(mac.as_slice()).map_err(|_| Pkcs11Error::Answer(mac.len()))?;
        let made = Key128::new(key);
        key.zeroize();
        Ok(made)
    }
}

/// From the file that the URI names, which must be nobody else's, or from the environment of a service.
fn pin(uri: &Uri) -> Result<AuthPin, PkiError> {
    let text = match &uri.pin_source {
        Some(file) => {
            let text = load::private(file)?;
            let text = std::str::from_utf8(&text).map_err(|_| Pkcs11Error::NoPin(uri.token.clone()))?;
            Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
        }
        None => Zeroizing::new(env::var(PIN).unwrap_or_default()),
    };
    if text.is_empty() {
        return Err(Pkcs11Error::NoPin(uri.token.clone()).into());
    }
    Ok(AuthPin::new(text.as_str().into()))
}
