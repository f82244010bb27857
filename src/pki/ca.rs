//! The CA: certifies keys, each for one purpose, and records every certificate before handing it out.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    CLOCK_TOLERANCE, Lifetime, PkiError, SERVER_LIFE, TERMINAL_LIFE, TOKEN_LIFE,
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

/// What to certify: the purpose, the subject, the key, and for how long.
struct CertificateOrder<'a> {
    purpose: Purpose,
    subject: &'a str,
    key: &'a Point,
    life: SignedDuration,
    lifetime: Lifetime,
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

    /// The CA's own certificate.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Refuses a requested number of days if the CA has fewer left.
    ///
    /// # Errors
    /// [`PkiError::BeyondCa`]; [`PkiError::CaExpired`].
    pub fn allows(&self, lifetime: Lifetime, at: Timestamp) -> Result<(), PkiError> {
        allows(&self.authority, lifetime, at)
    }

    /// Certifies a token's own ECKA key, which the card returned under a verified MAC. Returns DER, as everywhere here.
    ///
    /// # Errors
    /// [`PkiError::KeyTaken`] when the key is certified for anything else; [`PkiError::ClockBehind`] and
    /// [`PkiError::ClockAhead`]; [`PkiError::CaExpired`]; [`PkiError::Io`] and [`PkiError::RecordDamaged`] from the
    /// record; [`PkiError::Issue`].
    pub fn certify_token_ecka(
        &mut self,
        token_id: Uuid,
        key: &Point,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        self.certify(
            CertificateProfile::TokenEcka,
            &token_id.to_string(),
            key,
            (TOKEN_LIFE, Lifetime::Usual),
            now,
            random,
        )
    }

    /// Certifies a token's identity key, which the card returned under a verified MAC; DER.
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
        self.certify(
            CertificateProfile::Identity,
            &token_id.to_string(),
            key,
            (TOKEN_LIFE, Lifetime::Usual),
            now,
            random,
        )
    }

    /// Certifies the key that signed the request for a terminal with this role; DER.
    ///
    /// # Errors
    /// As [`Self::certify_token_ecka`]; [`PkiError::Issue`] also for a name that the profile does not allow;
    /// [`PkiError::BeyondCa`] for more days than the CA has left.
    pub fn certify_terminal(
        &mut self,
        role: TerminalRole,
        request: &CertificateRequest,
        lifetime: Lifetime,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        let class = CertificateProfile::Terminal(role);
        let life = (TERMINAL_LIFE, lifetime);
        self.certify(class, request.subject(), request.point(), life, now, random)
    }

    /// Certifies the key that signed the request, for a terminal that connects to a server by TLS; DER.
    ///
    /// # Errors
    /// As [`Self::certify_terminal`].
    pub fn certify_tls_client(
        &mut self,
        request: &CertificateRequest,
        lifetime: Lifetime,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        self.certify_tls(TlsUse::Client, &[], request, (TERMINAL_LIFE, lifetime), now, random)
    }

    /// Certifies the key that signed the request, for a TLS server with these names; DER.
    ///
    /// # Errors
    /// As [`Self::certify_terminal`].
    pub fn certify_tls_server(
        &mut self,
        names: &[ServerName],
        request: &CertificateRequest,
        lifetime: Lifetime,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        self.certify_tls(TlsUse::Server, names, request, (SERVER_LIFE, lifetime), now, random)
    }

    /// Certifies the key that signed the request, for a server that signs what terminals keep; DER.
    ///
    /// # Errors
    /// As [`Self::certify_terminal`].
    pub fn certify_server_signature(
        &mut self,
        request: &CertificateRequest,
        lifetime: Lifetime,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        let class = CertificateProfile::ServerSignature;
        self.certify(class, request.subject(), request.point(), (SERVER_LIFE, lifetime), now, random)
    }

    /// Certifies the key of a set. Not public, because only [`super::PkiDir::create_set`] makes such keys.
    pub(super) fn certify_set(
        &mut self,
        subject: &str,
        key: &Point,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        self.certify(CertificateProfile::SetEcka, subject, key, (TOKEN_LIFE, Lifetime::Usual), now, random)
    }

    fn certify(
        &mut self,
        class: CertificateProfile,
        subject: &str,
        key: &Point,
        (usual, lifetime): (SignedDuration, Lifetime),
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        let order =
            CertificateOrder { purpose: Purpose::Class(class), subject, key, life: lifetime.or_usual(usual), lifetime };
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
        (usual, lifetime): (SignedDuration, Lifetime),
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        let (subject, key) = (request.subject(), request.point());
        let order =
            CertificateOrder { purpose: Purpose::Tls(usage), subject, key, life: lifetime.or_usual(usual), lifetime };
        self.issue(&order, now, |ca, authority, (not_before, not_after)| {
            let template = TlsTemplate { usage, names, subject, key, not_before, not_after };
            let certificate = TlsCertificate::issue(ca, authority.name(), &template, random)?;
            Ok((hex::encode(certificate.serial()), certificate.der().to_vec()))
        })
    }

    /// Checks, issues, records, and only then hands out. `make` returns the serial number and the certificate.
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
            // This holds even if the record was started anew.
            return Err(PkiError::KeyTaken { class: "ca".to_owned(), subject: self.authority.name().to_owned() });
        }
        allows(&self.authority, order.lifetime, at)?;
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

/// Refuses a requested number of days if the CA has fewer left.
fn allows(authority: &Authority, lifetime: Lifetime, at: Timestamp) -> Result<(), PkiError> {
    let Lifetime::Asked(days) = lifetime else { return Ok(()) };
    let end = authority.not_after();
    if at > end {
        return Err(PkiError::CaExpired(end));
    }
    let left = end.duration_since(at).as_hours() / 24;
    if i64::from(days.get()) > left { Err(PkiError::BeyondCa { days, end, left }) } else { Ok(()) }
}

/// The validity from slightly before now, to allow for other clocks, until at most the end of the CA.
fn life(authority: &Authority, at: Timestamp, life: SignedDuration) -> Result<(Timestamp, Timestamp), PkiError> {
    if at > authority.not_after() {
        return Err(PkiError::CaExpired(authority.not_after()));
    }
    let (not_before, not_after) = window(at, life);
    Ok((not_before.max(authority.not_before()), not_after.min(authority.not_after())))
}

/// The validity of a certificate issued now, starting slightly earlier to allow for other clocks.
pub fn window(at: Timestamp, life: SignedDuration) -> (Timestamp, Timestamp) {
    let not_before = at.saturating_sub(CLOCK_TOLERANCE).unwrap_or(Timestamp::MIN);
    (not_before, at.saturating_add(life).unwrap_or(Timestamp::MAX))
}
