//! Bundles: everything that a second terminal needs in one file, and nothing else. Also replaces the certificates of
//! the keys that are here by ones issued elsewhere.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    PkiDir, PkiError, load,
    pki_dir::{CA_CERTIFICATE, CA_KEY, CLIENT, Pair, TERMINAL},
    rotation::{self, PREVIOUS},
};
use crate::{
    crypto::{
        ec::{KeyPair, Point},
        random::Random,
        x509::{
            self, Authority, Certificate, CertificateError, CertificateProfile, CertificateRequest, TlsCertificate,
            TlsUse,
        },
    },
    files,
};

/// The schema that the file declares.
const SCHEMA: &str = "rollcall.bundle/1";
/// What the schema of every release begins with.
const SCHEMA_NAME: &str = "rollcall.bundle/";

/// The keys of a terminal that is being set up.
#[derive(Debug, Clone)]
pub struct TerminalKeys {
    /// For TLS to the server.
    pub tls: KeyPair,
    /// For the key agreement with tokens.
    pub ecka: KeyPair,
}

/// The requests for the certificates of both keys, PKCS#10, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalRequests {
    /// For TLS to the server.
    pub tls: Vec<u8>,
    /// For the key agreement with tokens.
    pub ecka: Vec<u8>,
}

/// The certificates of both keys, and that of their CA, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundledCertificates {
    /// Of the TLS key.
    pub tls: Vec<u8>,
    /// Of the key for tokens.
    pub ecka: Vec<u8>,
    /// The CA.
    pub ca: Vec<u8>,
    /// While another CA is rotated out: what a terminal needs for tokens that have not been moved yet.
    pub previous: Option<BundledPrevious>,
}

/// The parts under the CA that is rotated out, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundledPrevious {
    /// The CA.
    pub ca: Vec<u8>,
    /// The certificate under it of the terminal's key for tokens.
    pub ecka: Vec<u8>,
    /// Its signature over its successor, see [`PkiDir::endorsement`].
    pub endorsement: Vec<u8>,
}

/// A terminal in one file. It holds private keys, but never that of the CA.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The terminal's name.
    pub name: String,
    /// The URL of its server.
    pub server: Option<String>,
    pub(super) keys: TerminalKeys,
    pub(super) certificates: BundledCertificates,
}

/// Read first and alone: the other fields may be different in another release.
#[derive(Deserialize)]
struct DeclaredSchema {
    schema: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleFile {
    schema: String,
    name: String,
    server: Option<String>,
    ca: String,
    tls_key: Zeroizing<String>,
    tls_certificate: String,
    ecka_key: Zeroizing<String>,
    ecka_certificate: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<PreviousPaper>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviousPaper {
    ca: String,
    ecka_certificate: String,
}

impl TerminalKeys {
    /// Generates new keys.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when OpenSSL or the random generator fails.
    pub fn generate(random: &mut dyn Random) -> Result<Self, PkiError> {
        Ok(Self { tls: KeyPair::generate(random)?, ecka: KeyPair::generate(random)? })
    }

    /// Certificate requests for both keys, under these names.
    ///
    /// # Errors
    /// [`PkiError::Issue`] for a name that the profile does not allow; [`PkiError::Crypto`] when OpenSSL fails.
    pub fn requests(&self, tls: &str, ecka: &str) -> Result<TerminalRequests, PkiError> {
        Ok(TerminalRequests {
            tls: CertificateRequest::sign(&self.tls, tls)?,
            ecka: CertificateRequest::sign(&self.ecka, ecka)?,
        })
    }
}

impl Bundle {
    /// A bundle of keys and the certificates issued for them.
    ///
    /// # Errors
    /// [`PkiError::Bundle`] names the first part that does not fit the others.
    pub fn new(
        name: &str,
        server: Option<&str>,
        keys: TerminalKeys,
        certificates: BundledCertificates,
    ) -> Result<Self, PkiError> {
        certificates.check(&keys)?;
        Ok(Self { name: name.to_owned(), server: server.map(str::to_owned), keys, certificates })
    }

    /// The JSON of a bundle file, which must be written with mode 0600.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when OpenSSL fails; [`PkiError::Bundle`] when it cannot be encoded as JSON.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, PkiError> {
        let text = |pem: Vec<u8>| String::from_utf8(pem).unwrap_or_default();
        let key = |pair: &KeyPair| Ok::<_, PkiError>(Zeroizing::new(text(pair.to_pem()?.to_vec())));
        let paper = BundleFile {
            schema: SCHEMA.to_owned(),
            name: self.name.clone(),
            server: self.server.clone(),
            ca: text(x509::to_pem(&self.certificates.ca)?),
            tls_key: key(&self.keys.tls)?,
            tls_certificate: text(x509::to_pem(&self.certificates.tls)?),
            ecka_key: key(&self.keys.ecka)?,
            ecka_certificate: text(x509::to_pem(&self.certificates.ecka)?),
            previous: match &self.certificates.previous {
                None => None,
                Some(previous) => Some(PreviousPaper {
                    ca: text(x509::to_pem(&previous.ca)?),
                    ecka_certificate: text(x509::to_pem(&previous.ecka)?),
                }),
            },
        };
        let mut json = Zeroizing::new(serde_json::to_vec_pretty(&paper).map_err(|_| PkiError::Bundle("its form"))?);
        json.push(b'\n');
        Ok(json)
    }

    /// Reads the JSON of a file strictly: every key must match its certificate, under the one CA.
    ///
    /// # Errors
    /// [`PkiError::BundleCut`], [`PkiError::NotABundle`] and [`PkiError::BundleRelease`]; [`PkiError::Bundle`] names the
    /// first part that cannot be read or does not fit the others.
    pub fn read(json: &[u8]) -> Result<Self, PkiError> {
        let json = files::without_mark(json);
        let unreadable =
            |error: serde_json::Error| if error.is_eof() { PkiError::BundleCut } else { PkiError::NotABundle };
        let declared: DeclaredSchema = serde_json::from_slice(json).map_err(unreadable)?;
        if declared.schema != SCHEMA {
            let is_ours = declared.schema.starts_with(SCHEMA_NAME);
            return Err(if is_ours { PkiError::BundleRelease } else { PkiError::NotABundle });
        }
        let paper: BundleFile = serde_json::from_slice(json).map_err(unreadable)?;
        let key = |pem: &str| KeyPair::from_pem(pem.as_bytes()).map_err(|_| PkiError::Bundle("a key"));
        let certificate = |pem: &str| x509::from_pem(pem.as_bytes()).ok_or(PkiError::Bundle("a certificate"));
        let keys = TerminalKeys { tls: key(&paper.tls_key)?, ecka: key(&paper.ecka_key)? };
        let certificates = BundledCertificates {
            tls: certificate(&paper.tls_certificate)?,
            ecka: certificate(&paper.ecka_certificate)?,
            ca: certificate(&paper.ca)?,
            previous: match &paper.previous {
                None => None,
                // Whoever brings the file is trusted with the keys in it, so neither CA has to vouch for the other.
                Some(previous) => Some(BundledPrevious {
                    ca: certificate(&previous.ca)?,
                    ecka: certificate(&previous.ecka_certificate)?,
                    endorsement: Vec::new(),
                }),
            },
        };
        Self::new(&paper.name, paper.server.as_deref(), keys, certificates)
    }
}

impl BundledCertificates {
    /// Refuses certificates for other keys, of other classes, or from other CAs than expected.
    pub(super) fn check(&self, keys: &TerminalKeys) -> Result<(), PkiError> {
        let wrong = |what| move |_: CertificateError| PkiError::Bundle(what);
        let authority = Authority::read(&self.ca).map_err(wrong("the CA"))?;
        self.check_under(authority.point(), keys)?;
        let Some(previous) = &self.previous else { return Ok(()) };
        let before = Authority::read(&previous.ca).map_err(wrong("the previous CA"))?;
        let ecka = Certificate::verify(&previous.ecka, before.point(), &CertificateProfile::TERMINAL);
        let ecka = ecka.map_err(wrong("the token certificate of the previous CA"))?;
        let match_all = ecka.point() == keys.ecka.public() && before.point() != authority.point();
        if match_all { Ok(()) } else { Err(PkiError::Bundle("a certificate of another key")) }
    }

    fn check_under(&self, ca: &Point, keys: &TerminalKeys) -> Result<(), PkiError> {
        let wrong = |what| move |_: CertificateError| PkiError::Bundle(what);
        let tls = TlsCertificate::verify(&self.tls, ca, TlsUse::Client).map_err(wrong("the TLS certificate"))?;
        let ecka = Certificate::verify(&self.ecka, ca, &CertificateProfile::TERMINAL)
            .map_err(wrong("the token certificate"))?;
        let match_all = tls.point() == keys.tls.public() && ecka.point() == keys.ecka.public();
        if match_all { Ok(()) } else { Err(PkiError::Bundle("a certificate of another key")) }
    }
}

impl PkiDir {
    /// Sets this terminal up from a bundle. What is already here stays: a folder of another terminal, or one with a CA
    /// key, is refused, and importing the same bundle again changes nothing.
    ///
    /// # Errors
    /// [`PkiError::Occupied`] when another key, another CA or a CA key is here; [`PkiError::Io`] and the errors of
    /// existing files, when they cannot be read or written; [`PkiError::Crypto`] when OpenSSL fails.
    pub fn import(&self, bundle: &Bundle) -> Result<(), PkiError> {
        let _lock = self.prepare()?;
        self.put_bundle(bundle, false)?;
        // A replacement that was interrupted at its end has left the earlier keys there.
        let aside = self.beside();
        rotation::remove(&aside).map_err(|error| PkiError::Io { path: aside, error })
    }

    /// Writes the files of a bundle; with `replace` in the place of other keys under the same CA.
    pub(super) fn put_bundle(&self, bundle: &Bundle, replace: bool) -> Result<(), PkiError> {
        let failed = |path| move |error| PkiError::Io { path, error };
        if load::exists(&self.path(CA_KEY))? {
            return Err(PkiError::Occupied(self.path(CA_KEY)));
        }
        if load::exists(&self.path(CA_CERTIFICATE))? && self.load_authority()?.der() != bundle.certificates.ca {
            return Err(PkiError::Occupied(self.path(CA_CERTIFICATE)));
        }
        let pairs = [
            (CLIENT, &bundle.keys.tls, &bundle.certificates.tls),
            (TERMINAL, &bundle.keys.ecka, &bundle.certificates.ecka),
        ];
        for (pair, key, _) in pairs {
            let path = self.path(pair.key);
            if !replace && load::exists(&path)? && load::key_pair(&path)?.public() != key.public() {
                return Err(PkiError::Occupied(path));
            }
        }
        for (pair, key, certificate) in pairs {
            self.put(pair.key, &key.to_pem()?)?;
            self.put(pair.certificate, &x509::to_pem(certificate)?)?;
        }
        if let Some(previous) = &bundle.certificates.previous {
            let before = Self::new(self.path(PREVIOUS));
            files::create_private_folder(before.folder()).map_err(failed(before.folder().to_owned()))?;
            before.put(TERMINAL.key, &bundle.keys.ecka.to_pem()?)?;
            before.put(TERMINAL.certificate, &x509::to_pem(&previous.ecka)?)?;
            before.put(CA_CERTIFICATE, &x509::to_pem(&previous.ca)?)?;
        }
        // Written last: with it the terminal is complete.
        self.put(CA_CERTIFICATE, &x509::to_pem(&bundle.certificates.ca)?)
    }

    /// Requests for fresh certificates of this terminal's keys, under their current names.
    ///
    /// # Errors
    /// [`PkiError::NotInitialised`] where there is no terminal; [`PkiError::TerminalExpired`] or
    /// [`PkiError::NotYetValid`] for the TLS certificate, without which the server cannot be reached; those of the
    /// files that it reads.
    pub fn renewal(&self, now: Timestamp) -> Result<TerminalRequests, PkiError> {
        let (tls, ecka) = (self.load_terminal_tls(now)?, self.expired_terminal()?);
        let keys = TerminalKeys { tls: tls.key, ecka: ecka.0 };
        keys.requests(tls.certificate.subject(), ecka.1.subject())
    }

    /// The key for tokens and its certificate, even if expired: only the TLS certificate must be valid to reach the
    /// server.
    fn expired_terminal(&self) -> Result<(KeyPair, Certificate), PkiError> {
        let Pair { key, .. } = TERMINAL;
        let key = load::key_pair(&self.path(key))?;
        let certificate =
            self.card_certificate(TERMINAL, &key, &self.load_authority()?, &CertificateProfile::TERMINAL)?;
        Ok((key, certificate))
    }

    pub(super) fn put(&self, name: &str, content: &[u8]) -> Result<(), PkiError> {
        let path = self.path(name);
        files::replace(&path, content).map_err(|error| PkiError::Io { path, error })
    }
}
