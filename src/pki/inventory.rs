//! Lists what is in the folder: every file is examined on its own, so that a broken one hides nothing about the others.

use std::{fs, io};

use jiff::Timestamp;

use super::{
    PkiDir, PkiError, ends_soon, load,
    pki_dir::{ADMIN, CA_CERTIFICATE, CA_KEY, CLIENT, PERSO_KEY, Pair, SERVER, SIGNATURE, START_KEY, TERMINAL},
    set_id::SetId,
};
use crate::crypto::x509::{Authority, Certificate, CertificateProfile, TerminalRole, TlsCertificate, TlsUse};

/// One file.
#[derive(Debug)]
pub struct InventoryItem {
    /// Its path in the folder.
    pub file: String,
    /// What it is.
    pub content: Content,
}

impl InventoryItem {
    /// Why it cannot be used, if so.
    pub const fn error(&self) -> Option<&PkiError> {
        match &self.content {
            Content::PrivateKey(Err(error)) | Content::SecretKey(Err(error)) | Content::Certificate(Err(error)) => {
                Some(error)
            }
            _ => None,
        }
    }

    /// Its content, if it is a usable certificate.
    pub const fn facts(&self) -> Option<&Facts> {
        match &self.content {
            Content::Certificate(Ok(facts)) => Some(facts),
            _ => None,
        }
    }
}

/// The kind of a file, or why it cannot be used.
#[derive(Debug)]
pub enum Content {
    /// A private key that loads.
    PrivateKey(Result<(), PkiError>),
    /// A symmetric key that loads.
    SecretKey(Result<(), PkiError>),
    /// A certificate that verifies, and matches the key beside it if there is one.
    Certificate(Result<Facts, PkiError>),
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateClass {
    /// It is that of a CA.
    Authority,
    /// It has one of the protocol's own profiles.
    Profile(CertificateProfile),
    /// It is for one side of TLS.
    Tls(TlsUse),
}

impl CertificateClass {
    /// The word for people and for scripts: `ca`, or that of the profile or of the TLS use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Authority => "ca",
            Self::Profile(profile) => profile.word(),
            Self::Tls(usage) => usage.word(),
        }
    }
}

/// The content of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its class.
    pub class: CertificateClass,
    /// The common name of its subject.
    pub subject: String,
    /// The serial number, hex.
    pub serial: String,
    /// The start of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
}

/// Where a certificate is in its validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It is not valid yet.
    NotYetValid,
    /// It is valid.
    Valid,
    /// It is valid, but should be renewed.
    Expiring,
    /// It has expired.
    Expired,
}

impl Facts {
    /// The state at this time.
    pub fn age(&self, now: Timestamp) -> Age {
        if now < self.not_before {
            Age::NotYetValid
        } else if now > self.not_after {
            Age::Expired
        } else if ends_soon(self.not_before, self.not_after, now) {
            Age::Expiring
        } else {
            Age::Valid
        }
    }
}

/// Extracts the same from a [`Certificate`], a [`TlsCertificate`] and an [`Authority`].
macro_rules! facts {
    ($certificate:expr, $class:expr, $subject:expr) => {
        Facts {
            class: $class,
            subject: $subject.to_owned(),
            serial: hex::encode($certificate.serial()),
            not_before: $certificate.not_before(),
            not_after: $certificate.not_after(),
        }
    };
}

impl PkiDir {
    /// All keys and certificates that are here; empty without a folder. Files that are not ours are skipped.
    ///
    /// # Errors
    /// [`PkiError::Io`] when the files here cannot be listed. What is wrong with one file is part of its item.
    pub fn inventory(&self) -> Result<Vec<InventoryItem>, PkiError> {
        let mut items = Vec::new();
        self.private_key(CA_KEY.to_owned(), &mut items)?;
        self.certificate(CA_CERTIFICATE.to_owned(), || self.ca_facts(), &mut items)?;
        for name in [PERSO_KEY, START_KEY] {
            let path = self.path(name);
            if load::exists(&path)? {
                items.push(InventoryItem {
                    file: name.to_owned(),
                    content: Content::SecretKey(load::key_128(&path).map(drop)),
                });
            }
        }
        self.pair(TERMINAL, |key| self.card_facts(TERMINAL, key, &CertificateProfile::TERMINAL), &mut items)?;
        self.pair(
            ADMIN,
            |key| self.card_facts(ADMIN, key, &[CertificateProfile::Terminal(TerminalRole::Admin)]),
            &mut items,
        )?;
        self.pair(CLIENT, |key| self.tls_facts(CLIENT, key, TlsUse::Client), &mut items)?;
        self.pair(SERVER, |key| self.tls_facts(SERVER, key, TlsUse::Server), &mut items)?;
        self.pair(
            SIGNATURE,
            |key| self.card_facts(SIGNATURE, key, &[CertificateProfile::ServerSignature]),
            &mut items,
        )?;
        for id in self.sets()? {
            self.private_key(format!("sets/{id}.key"), &mut items)?;
            self.certificate(format!("sets/{id}.crt"), || self.set_facts(id), &mut items)?;
        }
        Ok(items)
    }

    fn private_key(&self, file: String, items: &mut Vec<InventoryItem>) -> Result<(), PkiError> {
        let path = self.path(&file);
        if load::exists(&path)? {
            items.push(InventoryItem { file, content: Content::PrivateKey(load::key_pair(&path).map(drop)) });
        }
        Ok(())
    }

    fn certificate(
        &self,
        file: String,
        facts: impl FnOnce() -> Result<Facts, PkiError>,
        items: &mut Vec<InventoryItem>,
    ) -> Result<(), PkiError> {
        if load::exists(&self.path(&file))? {
            items.push(InventoryItem { file, content: Content::Certificate(facts()) });
        }
        Ok(())
    }

    fn pair(
        &self,
        pair: Pair,
        facts: impl FnOnce(&Authority) -> Result<Facts, PkiError>,
        items: &mut Vec<InventoryItem>,
    ) -> Result<(), PkiError> {
        self.private_key(pair.key.to_owned(), items)?;
        self.certificate(pair.certificate.to_owned(), || facts(&self.load_authority()?), items)
    }

    /// The CA key may be elsewhere; if it is here, it must match.
    fn ca_facts(&self) -> Result<Facts, PkiError> {
        let authority = self.load_authority()?;
        if load::exists(&self.path(CA_KEY))? {
            self.load_ca_key(&authority)?;
        }
        Ok(facts!(authority, CertificateClass::Authority, authority.name()))
    }

    fn card_facts(&self, pair: Pair, authority: &Authority, classes: &[CertificateProfile]) -> Result<Facts, PkiError> {
        let key = load::key_pair(&self.path(pair.key))?;
        let certificate: Certificate = self.card_certificate(pair, &key, authority, classes)?;
        Ok(facts!(certificate, CertificateClass::Profile(certificate.class()), certificate.subject()))
    }

    fn tls_facts(&self, pair: Pair, authority: &Authority, usage: TlsUse) -> Result<Facts, PkiError> {
        let key = load::key_pair(&self.path(pair.key))?;
        let certificate: TlsCertificate = self.tls_certificate(pair, &key, authority, usage)?;
        Ok(facts!(certificate, CertificateClass::Tls(usage), certificate.subject()))
    }

    fn set_facts(&self, id: SetId) -> Result<Facts, PkiError> {
        let certificate = match (self.load_set(id), self.previous()?) {
            // While the CA is rotated, sets of the previous one are trusted, too.
            (Err(PkiError::Certificate { .. }), Some(previous)) => {
                self.set_under(previous.load_authority()?.point(), id)?.certificate
            }
            (set, _) => set?.certificate,
        };
        Ok(facts!(certificate, CertificateClass::Profile(certificate.class()), certificate.subject()))
    }

    /// The sets of which any file is here, in the order of their identifiers.
    ///
    /// # Errors
    /// [`PkiError::Io`].
    pub fn sets(&self) -> Result<Vec<SetId>, PkiError> {
        let folder = self.path("sets");
        let failed = |error| PkiError::Io { path: folder.clone(), error };
        let files = match fs::read_dir(&folder) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        for file in files {
            let name = file.map_err(failed)?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".crt").or_else(|| name.strip_suffix(".key")));
            found.extend(stem.and_then(|stem| stem.parse::<SetId>().ok()));
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}
