//! Finds out how a missing file can be recovered.

use std::{ffi::OsStr, path::Path};

use super::{
    PkiError,
    names::{CA_CERTIFICATE, CA_KEY, CLIENT, PERSO_KEY, Pair, RECORD, START_KEY, TERMINAL},
    record,
};
use crate::crypto::x509::CertificateProfile;

/// The error for a missing file. How it can be recovered depends on how the other files came here.
pub fn missing(path: &Path) -> PkiError {
    let owned = || path.to_owned();
    let has = |name: &str| path.with_file_name(name).exists();
    let of = |pair: Pair| has(pair.key) || has(pair.certificate);
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is_of = |pair: Pair| name == pair.key || name == pair.certificate;
    let is_secret = name == PERSO_KEY || name == START_KEY;
    if path.parent().is_some_and(|folder| folder.ends_with("sets")) {
        return PkiError::FileLost(owned());
    }
    if has(CA_KEY) {
        // pki init would make a new key, which fits none of those cards.
        let is_lost = is_secret && has_issued_tokens(&path.with_file_name(RECORD));
        return if is_lost { PkiError::FileLost(owned()) } else { PkiError::NotInitialised(owned()) };
    }
    if has(RECORD) {
        return PkiError::FileLost(owned());
    }
    if !has(CA_CERTIFICATE) && !of(TERMINAL) && !of(CLIENT) {
        return PkiError::NotInitialised(owned());
    }
    if is_secret {
        PkiError::FileLost(owned())
    } else if name == CA_CERTIFICATE || is_of(TERMINAL) || is_of(CLIENT) {
        PkiError::NotImported(owned())
    } else {
        PkiError::NoCaKey(path.with_file_name(CA_KEY))
    }
}

/// Whether cards were issued under the CA of this record. An unreadable record may list some.
fn has_issued_tokens(record: &Path) -> bool {
    let of_token = [CertificateProfile::TokenEcka, CertificateProfile::SetEcka, CertificateProfile::Identity];
    let Ok(all) = record::entries(record) else { return true };
    all.iter().any(|one| of_token.iter().any(|class| class.word() == one.class))
}
