//! The errors of keys in PKCS#11 tokens, and what the user sees of them.

use std::{fmt, path::PathBuf};

use crate::{
    failure::{ExitClass, Failure, Remedy},
    files::word,
};

/// A file that a PKCS#11 token needs, but that this user may not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedFile {
    /// The file or folder.
    pub path: PathBuf,
    /// The name of the user, or the number if there is none.
    pub user: String,
    /// The group whose members may use it, if joining it helps.
    pub group: Option<String>,
}

impl fmt::Display for ClosedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the user {} may not use {}, which the PKCS#11 token needs", self.user, self.path.display())
    }
}

/// The folder of `SoftHSM` tokens, which does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFolder {
    /// The folder.
    pub folder: PathBuf,
    /// The configuration that names it.
    pub settings: PathBuf,
}

impl fmt::Display for MissingFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, settings) = (self.folder.display(), self.settings.display());
        write!(f, "the folder of PKCS#11 tokens does not exist: {folder}, which {settings} names")
    }
}

/// Why a key in a PKCS#11 token cannot be used. Labels, serial numbers and identifiers are quoted, but never a PIN.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs11Error {
    /// There is no library of that name where systems keep them, or in the named folder.
    #[error("there is no PKCS#11 library {0:?}")]
    NoModule(String),
    /// There are several of that name: the name and two of them.
    #[error("several PKCS#11 libraries are called {0:?}: {1} and {2}")]
    SeveralModules(String, String, String),
    /// The library cannot be loaded.
    #[error("the PKCS#11 library {0} cannot be loaded: {1}")]
    Load(String, String),
    /// The library is not the one described.
    #[error("the PKCS#11 library {path} is {is}")]
    OtherLibrary {
        /// Its file.
        path: String,
        /// Its description.
        is: String,
    },
    /// The library reports an error.
    #[error("the PKCS#11 library {0}: {1}")]
    Library(String, String),
    /// The token cannot compute with the key.
    #[error("the PKCS#11 library {0}, for AES-CMAC: {1}")]
    Sign(String, String),
    /// This user may not use files of a token, or a path to it.
    #[error("{0}")]
    Rights(ClosedFile),
    /// The configured folder of tokens does not exist.
    #[error("{0}")]
    Folder(MissingFolder),
    /// No token fits; with the reason for each slot.
    #[error("no PKCS#11 token fits {uri}: {slots}")]
    NoToken {
        /// What was looked for.
        uri: String,
        /// The reasons, slot by slot.
        slots: String,
    },
    /// More than one token fits.
    #[error("several PKCS#11 tokens fit {uri}: {tokens}")]
    SeveralTokens {
        /// What was looked for.
        uri: String,
        /// Each with a unique URI.
        tokens: String,
    },
    /// The token has no such key.
    #[error("no AES key of the PKCS#11 token {token:?} fits {uri}")]
    NoKey {
        /// The label of the token.
        token: String,
        /// What was looked for.
        uri: String,
    },
    /// More than one key of the token fits.
    #[error("several AES keys fit {uri}: {keys}")]
    SeveralKeys {
        /// What was looked for.
        uri: String,
        /// Each with a unique URI.
        keys: String,
    },
    /// A secret key of another kind fits: `p11tool --write --secret-key` makes generic secrets.
    #[error("the key {0} is a secret key but not an AES key: it is of the type {1}")]
    NotAes(String, String),
    /// There is no PIN.
    #[error("there is no PIN for the PKCS#11 token {0:?}")]
    NoPin(String),
    /// The file that `pin-source` names has no PIN.
    #[error("there is no PIN for the PKCS#11 token {token:?}: pin-source names {path}, which {why}", path = .path.display())]
    NoPinInFile {
        /// The label of the token.
        token: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The PIN is wrong; it was tried once.
    #[error("the PKCS#11 token {0:?} refuses the PIN")]
    WrongPin(String),
    /// The PIN is locked after too many wrong ones, so none is tried.
    #[error("the PKCS#11 token {0:?} has locked its PIN after wrong ones")]
    Locked(String),
    /// The key's length in bytes is not that of an AES key: `softhsm2-util --import` cuts a raw key at its first zero
    /// byte.
    #[error("the key {0} has {1} bytes, but an AES key has 16, 24 or 32")]
    Length(String, u64),
    /// The answer has not the length of an AES-CMAC.
    #[error("the PKCS#11 token answered {0} bytes, but an AES-CMAC has 16")]
    Answer(usize),
}

impl Pkcs11Error {
    /// What the user sees: exit class, code, message and hint.
    pub fn to_failure(&self) -> Failure {
        let failure = |class, code| Failure::new(class, code, self.to_string());
        match self {
            Self::NoModule(_) => failure(ExitClass::Unavailable, "pki.pkcs11")
                .hint("install the library, or name its file: module-path=/PATH"),
            Self::SeveralModules(..) => {
                failure(ExitClass::Config, "pki.pkcs11-several").hint("name the file of one: module-path=/PATH")
            }
            Self::Load(..) => failure(ExitClass::Unavailable, "pki.pkcs11")
                .hint("name a PKCS#11 library of this architecture in perso_key: module-path=/PATH"),
            Self::Library(library, said) => failure(ExitClass::Unavailable, "pki.pkcs11").hint(library_hint(library, said)),
            Self::Sign(..) | Self::Answer(_) => failure(ExitClass::Unavailable, "pki.pkcs11")
                .hint("the key must be allowed to sign, and the token must have CKM_AES_CMAC: pkcs11-tool --module LIBRARY -M -O -l"),
            Self::Rights(denied) => failure(ExitClass::Refused, "pki.pkcs11-rights").hint(match &denied.group {
                Some(group) => Remedy::with(
                    "add this user to the group, and log in again",
                    format!("sudo usermod -aG {group} {}", denied.user),
                ),
                None => Remedy::with("see whose it is", format!("ls -ld {}", word(&denied.path))),
            }),
            Self::Folder(_) => failure(ExitClass::Config, "pki.pkcs11-folder")
                .hint("bring the folder back, or correct directories.tokendir"),
            Self::OtherLibrary { .. } | Self::NoToken { .. } | Self::NoKey { .. } => {
                failure(ExitClass::Config, "pki.pkcs11-not-found")
                    .hint("correct perso_key; see what there is: pkcs11-tool --module LIBRARY --list-slots --list-objects")
            }
            Self::SeveralTokens { .. } => failure(ExitClass::Config, "pki.pkcs11-several")
                .hint("add what tells them apart to perso_key: serial=, token= or slot-id="),
            Self::SeveralKeys { .. } => failure(ExitClass::Config, "pki.pkcs11-several")
                .hint("add what tells them apart to perso_key: id= or object="),
            Self::Length(..) => failure(ExitClass::Config, "pki.pkcs11-key").hint(
                "import the whole key: pkcs11-tool --module LIBRARY --login --write-object FILE --type secrkey --key-type AES:16 \
                 --label NAME (softhsm2-util cuts a raw key at its first zero byte)",
            ),
            Self::NotAes(..) => failure(ExitClass::Config, "pki.pkcs11-key").hint(
                "write it as an AES key: pkcs11-tool --module LIBRARY --login --write-object FILE --type secrkey --key-type AES:16 \
                 --label NAME (p11tool --secret-key makes a generic secret)",
            ),
            Self::NoPin(_) => failure(ExitClass::Config, "pki.pkcs11-no-pin")
                .hint("name a file of mode 0600 by pin-source=file:/PATH, or set ROLLCALL_PKCS11_PIN"),
            Self::NoPinInFile { .. } => failure(ExitClass::Config, "pki.pkcs11-no-pin")
                .hint("write the PIN into a file of mode 0600, and name it by pin-source=file:/PATH in perso_key"),
            Self::WrongPin(_) => failure(ExitClass::Refused, "pki.pkcs11-pin")
                .hint("correct the PIN before the next try: a token locks itself after a few"),
            Self::Locked(_) => failure(ExitClass::Refused, "pki.pkcs11-pin")
                .hint("whoever has the token's SO PIN sets a new PIN: pkcs11-tool --module LIBRARY --login --login-type so --init-pin"),
        }
    }
}

/// The hint for an error of a library; the needs of some libraries are known.
fn library_hint(library: &str, said: &str) -> Remedy {
    // opencryptoki reports only this when its daemon is not running.
    if library.contains("opencryptoki") && said.ends_with("FunctionFailed") {
        return Remedy::with("start the daemon of opencryptoki, pkcsslotd", "sudo systemctl start pkcsslotd");
    }
    if library.contains("softokn") || said.ends_with("ArgumentsBad") {
        return "NSS needs arguments, and is reached through p11-kit-proxy (docs/hardware.md)".into();
    }
    "see whether the library serves this user: pkcs11-tool --module LIBRARY --list-slots".into()
}

#[cfg(test)]
mod tests {
    use super::Pkcs11Error;

    fn hint(library: &str, said: &str) -> String {
        format!("{:?}", Pkcs11Error::Library(library.into(), said.into()).to_failure())
    }

    #[test]
    fn only_opencryptoki_needs_pkcsslotd() {
        let library = "/usr/lib/x86_64-linux-gnu/opencryptoki/libopencryptoki.so.0";
        assert!(hint(library, "C_Initialize fails with FunctionFailed").contains("pkcsslotd"));
        let others = [("/usr/lib/softhsm/libsofthsm2.so", "FunctionFailed"), (library, "GeneralError")];
        for (library, code) in others {
            let hint = hint(library, &format!("C_Initialize fails with {code}"));
            assert!(!hint.contains("pkcsslotd") && hint.contains("--list-slots") && !hint.contains("NSS"), "{hint}");
        }
    }

    #[test]
    fn only_nss_needs_arguments() {
        for (library, code) in [("/usr/lib/libsoftokn3.so", "GeneralError"), ("/usr/lib/other.so", "ArgumentsBad")] {
            let hint = hint(library, &format!("C_Initialize fails with {code}"));
            assert!(hint.contains("NSS needs arguments"), "{hint}");
        }
    }
}
