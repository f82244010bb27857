//! Identity certificates that were verified a while ago: a certificate that is the same to the last byte need not be
//! verified under the same CA once more. Its dates, its token and its key are compared at each proof.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::crypto::{
    ec::Point,
    sha256,
    x509::{Certificate, CertificateProfile},
};

/// Certificates of one generation; two are kept.
const GENERATION: usize = 8192;

/// The authorities that are trusted, and what was found to be theirs.
pub struct VerifiedCertificates {
    authorities: Vec<Point>,
    known: Mutex<Generations>,
}

/// SHA-256 of a certificate.
type CertificateDigest = [u8; 32];

#[derive(Default)]
struct Generations {
    young: HashMap<CertificateDigest, Arc<Certificate>>,
    old: HashMap<CertificateDigest, Arc<Certificate>>,
}

impl VerifiedCertificates {
    /// Of these authorities.
    pub fn new(authorities: Vec<Point>) -> Self {
        Self { authorities, known: Mutex::default() }
    }

    /// An identity certificate that is one of the authorities', whatever its dates; none for anything else.
    pub fn identity(&self, der: &[u8]) -> Option<Arc<Certificate>> {
        let digest = sha256(&[der]);
        if let Some(certificate) = self.known().get(&digest) {
            return Some(certificate);
        }
        let mut verdicts =
            self.authorities.iter().map(|ca| Certificate::verify(der, ca, &[CertificateProfile::Identity]));
        let certificate = Arc::new(verdicts.find_map(Result::ok)?);
        self.known().keep(digest, Arc::clone(&certificate));
        Some(certificate)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    /// One that is asked for stays.
    fn get(&mut self, digest: &CertificateDigest) -> Option<Arc<Certificate>> {
        if let Some(certificate) = self.young.get(digest) {
            return Some(Arc::clone(certificate));
        }
        let certificate = self.old.remove(digest)?;
        self.keep(*digest, Arc::clone(&certificate));
        Some(certificate)
    }

    fn keep(&mut self, digest: CertificateDigest, certificate: Arc<Certificate>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, certificate);
    }
}
