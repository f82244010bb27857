//! Remembers identity certificates that were verified: one that is identical to the last byte need not be verified
//! under the same CA again. Its dates, token and key are still compared at each proof.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::crypto::{
    ec::Point,
    sha256,
    x509::{Certificate, CertificateError, CertificateProfile},
};

/// Certificates per generation; two generations are kept.
const GENERATION: usize = 8192;

/// The trusted CAs, and the certificates that they signed.
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
    /// Starts with nothing verified.
    pub fn new(authorities: Vec<Point>) -> Self {
        Self { authorities, known: Mutex::default() }
    }

    /// An identity certificate signed by one of the CAs, whatever its dates.
    ///
    /// # Errors
    /// [`CertificateError`] for anything else.
    pub fn identity(&self, der: &[u8]) -> Result<Arc<Certificate>, CertificateError> {
        let digest = sha256(&[der]);
        if let Some(certificate) = self.known().get(&digest) {
            return Ok(certificate);
        }
        let certificate = Arc::new(Certificate::verify_under(der, &self.authorities, &[CertificateProfile::Identity])?);
        self.known().keep(digest, Arc::clone(&certificate));
        Ok(certificate)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    /// A certificate that is used again moves to the young generation.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{
        ec::KeyPair,
        random::SystemRandom,
        x509::{CertificateTemplate, issue},
    };

    fn key() -> KeyPair {
        KeyPair::generate(&mut SystemRandom).unwrap()
    }

    fn certificate(ca: &KeyPair, class: CertificateProfile) -> Vec<u8> {
        let key = key();
        let template = CertificateTemplate {
            class,
            subject: "00000000-0000-0000-0000-000000000007",
            key: key.public(),
            not_before: "2026-01-01T00:00:00Z".parse().unwrap(),
            not_after: "2027-01-01T00:00:00Z".parse().unwrap(),
        };
        issue(ca, "CA", &template, &mut SystemRandom).unwrap()
    }

    #[test]
    fn only_identities_of_the_authorities_are_known_and_each_is_verified_once() {
        let (before, ca) = (key(), key());
        let certificates = VerifiedCertificates::new(vec![*ca.public(), *before.public()]);
        for authority in [&ca, &before] {
            let der = certificate(authority, CertificateProfile::Identity);
            let first = certificates.identity(&der).unwrap();
            assert_eq!(first.der(), der);
            assert!(Arc::ptr_eq(&first, &certificates.identity(&der).unwrap()));
            let mut bent = der;
            *bent.last_mut().unwrap() ^= 1;
            assert!(matches!(certificates.identity(&bent), Err(CertificateError::Signature)));
        }
        assert!(certificates.identity(&certificate(&key(), CertificateProfile::Identity)).is_err());
        // The error is that of the CA which signed it, not of the other one.
        let other = certificates.identity(&certificate(&ca, CertificateProfile::TokenEcka));
        assert!(matches!(other, Err(CertificateError::Class { .. })), "{other:?}");
    }

    #[test]
    fn of_two_generations_those_that_are_asked_for_stay() {
        let ca = key();
        let der = certificate(&ca, CertificateProfile::Identity);
        let certificate = VerifiedCertificates::new(vec![*ca.public()]).identity(&der).unwrap();
        let digest = |n: usize| sha256(&[&n.to_be_bytes()]);
        let mut known = Generations::default();
        (0..=GENERATION).for_each(|n| known.keep(digest(n), Arc::clone(&certificate)));
        assert_eq!((known.old.len(), known.young.len()), (GENERATION, 1));
        assert!(known.get(&digest(0)).is_some() && known.get(&digest(GENERATION)).is_some());
        assert_eq!((known.old.len(), known.young.len()), (GENERATION - 1, 2));
        (GENERATION + 1..2 * GENERATION).for_each(|n| known.keep(digest(n), Arc::clone(&certificate)));
        assert!(known.get(&digest(0)).is_some() && known.get(&digest(1)).is_none());
    }
}
