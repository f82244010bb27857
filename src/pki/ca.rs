//! The CA: certifies keys, each for one purpose, and records it before the certificate leaves.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    CLOCK_TOLERANCE, PkiError, SERVER_LIFE, TERMINAL_LIFE, TOKEN_LIFE,
    record::{ClockCheck, IssueRecord, Issued, fingerprint},
};
use crate::crypto::{
    ec::{KeyPair, Point},
    random::Random,
    x509::{
        self, Authority, Certificate, CertificateProfile, CertificateRequest, CertificateTemplate, Purpose, ServerName,
        TerminalRole, TlsCertificate, TlsTemplate, TlsUse,
    },
};

/// A CA whose key is here.
#[derive(Debug)]
pub struct Ca {
    key: KeyPair,
    authority: Authority,
    record: IssueRecord,
    clock_check: ClockCheck,
}

/// What is certified: for what, for whom, which key, and for how long.
struct CertificateOrder<'a> {
    purpose: Purpose,
    subject: &'a str,
    key: &'a Point,
    life: SignedDuration,
}

impl Ca {
    pub(super) fn new(
        key: KeyPair,
        authority: Authority,
        record: &Path,
        clock_check: ClockCheck,
    ) -> Result<Self, PkiError> {
        let record = IssueRecord::open(record, clock_check == ClockCheck::Skipped)?;
        Ok(Self { key, authority, record, clock_check })
    }

    /// Its own certificate.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Certifies a token's own ECKA key, as the card answered it under a verified MAC. DER comes back, as everywhere
    /// here.
    ///
    /// # Errors
    /// [`PkiError::KeyTaken`] when the key is certified for anything else; [`PkiError::ClockBehind`] and
    /// [`PkiError::ClockAhead`]; [`PkiError::CaExpired`]; [`PkiError::Io`] and [`PkiError::RecordDamaged`] of the
    /// record; [`PkiError::Issue`].
    pub fn certify_token_ecka(
        &mut self,
        token_id: Uuid,
        key: &Point,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        self.certify(CertificateProfile::TokenEcka, &token_id.to_string(), key, TOKEN_LIFE, now, random)
    }

    /// Certifies a token's identity key, as the card answered it under a verified MAC; DER.
    ///
    /// # Errors
    /// As [`Self::certify_token_ecka`].
    pub fn certify_identity(
        &mut self,
        token_id: Uuid,
        key: &Point,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        self.certify(CertificateProfile::Identity, &token_id.to_string(), key, TOKEN_LIFE, now, random)
    }

    /// Certifies the key that signed the request for a terminal with this role; DER.
    ///
    /// # Errors
    /// As [`Self::certify_token_ecka`]; [`PkiError::Issue`] also for a name that the profile does not allow.
    pub fn certify_terminal(
        &mut self,
        role: TerminalRole,
        request: &CertificateRequest,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        self.certify(CertificateProfile::Terminal(role), request.subject(), request.point(), TERMINAL_LIFE, now, random)
    }

    /// Certifies the key that signed the request for a terminal that speaks TLS to a server; DER.
    ///
    /// # Errors
    /// As [`Self::certify_terminal`].
    pub fn certify_tls_client(
        &mut self,
        request: &CertificateRequest,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        self.certify_tls(TlsUse::Client, &[], request, TERMINAL_LIFE, now, random)
    }

    /// Certifies the key that signed the request for a TLS server with these names; DER.
    ///
    /// # Errors
    /// As [`Self::certify_terminal`].
    pub fn certify_tls_server(
        &mut self,
        names: &[ServerName],
        request: &CertificateRequest,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        self.certify_tls(TlsUse::Server, names, request, SERVER_LIFE, now, random)
    }

    /// Certifies the key that signed the request for a server that signs what terminals keep; DER.
    ///
    /// # Errors
    /// As [`Self::certify_terminal`].
    pub fn certify_server_signature(
        &mut self,
        request: &CertificateRequest,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        self.certify(CertificateProfile::ServerSignature, request.subject(), request.point(), SERVER_LIFE, now, random)
    }

    /// Certifies the key of a set. Only [`super::PkiDir::create_set`] makes such keys, so nobody else may ask.
    pub(super) fn certify_set(
        &mut self,
        subject: &str,
        key: &Point,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        self.certify(CertificateProfile::SetEcka, subject, key, TOKEN_LIFE, now, random)
    }

    fn certify(
        &mut self,
        class: CertificateProfile,
        subject: &str,
        key: &Point,
        life: SignedDuration,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        let order = CertificateOrder { purpose: Purpose::Class(class), subject, key, life };
        self.issue(&order, now, |ca, authority, (not_before, not_after)| {
            let template = CertificateTemplate { class, subject, key, not_before, not_after };
            let der = x509::issue(ca, authority.name(), &template, random)?;
            let serial = Certificate::verify(&der, ca.public(), &[class]).map_err(x509::IssueError::from)?;
            Ok((hex::encode(serial.serial()), der))
        })
    }

    fn certify_tls(
        &mut self,
        usage: TlsUse,
        names: &[ServerName],
        request: &CertificateRequest,
        life: SignedDuration,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        let (subject, key) = (request.subject(), request.point());
        let order = CertificateOrder { purpose: Purpose::Tls(usage), subject, key, life };
        self.issue(&order, now, |ca, authority, (not_before, not_after)| {
            let template = TlsTemplate { usage, names, subject, key, not_before, not_after };
            let certificate = TlsCertificate::issue(ca, authority.name(), &template, random)?;
            Ok((hex::encode(certificate.serial()), certificate.der().to_vec()))
        })
    }

    /// Checks, issues, records, and only then gives away. `make` answers with the serial number and the certificate.
    fn issue(
        &mut self,
        order: &CertificateOrder<'_>,
        now: Timestamp,
        make: impl FnOnce(&KeyPair, &Authority, (Timestamp, Timestamp)) -> Result<(String, Vec<u8>), PkiError>,
    ) -> Result<Vec<u8>, PkiError> {
        let mut record = self.record.lock()?;
        let at = record.moment(now, self.clock_check)?;
        let class = order.purpose.word();
        record.require_free(order.key, class, order.subject)?;
        if order.key == self.key.public() {
            // Also when the record was begun anew.
            return Err(PkiError::KeyTaken { class: "ca".to_owned(), subject: self.authority.name().to_owned() });
        }
        let life = life(&self.authority, at, order.life)?;
        let (serial, der) = make(&self.key, &self.authority, life)?;
        record.append(&Issued {
            at,
            class: class.to_owned(),
            subject: order.subject.to_owned(),
            serial,
            key: fingerprint(order.key),
            not_before: life.0,
            not_after: life.1,
        })?;
        Ok(der)
    }
}

/// From a little before now, for the clocks of others, and never beyond the CA's own life.
fn life(authority: &Authority, at: Timestamp, life: SignedDuration) -> Result<(Timestamp, Timestamp), PkiError> {
    if at > authority.not_after() {
        return Err(PkiError::CaExpired(authority.not_after()));
    }
    let (not_before, not_after) = window(at, life);
    Ok((not_before.max(authority.not_before()), not_after.min(authority.not_after())))
}

/// A life that begins now, as others will see it.
pub fn window(at: Timestamp, life: SignedDuration) -> (Timestamp, Timestamp) {
    let not_before = at.saturating_sub(CLOCK_TOLERANCE).unwrap_or(Timestamp::MIN);
    (not_before, at.saturating_add(life).unwrap_or(Timestamp::MAX))
}
