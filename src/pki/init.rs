//! `pki init` and `pki renew`: each file is written as a whole, in an order in which the next run can continue from any
//! point.

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{
    AUTHORITY_LIFE, AUTHORITY_NAME, Ca, CertificateDays, ClockCheck, Lifetime, PkiDir, PkiError,
    ca::window,
    load,
    own_pairs::{KeyPurpose, PAIRS},
    pki_dir::{CA_CERTIFICATE, CA_KEY, PERSO_KEY, Pair, SERVER, SIGNATURE, START_KEY},
    record::{IssueRecord, Issued, fingerprint},
};
use crate::{
    crypto::{
        ec::{KeyPair, Point},
        random::{self, Random},
        x509::{self, Authority, CertificateRequest, ServerName, TerminalRole, TlsUse, UTC_TIME_END},
    },
    files,
};

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOutcome {
    /// It is new.
    Created,
    /// It existed and was left unchanged.
    Kept,
    /// The certificate was replaced by a new one for the same key.
    Renewed,
}

impl FileOutcome {
    /// The word for people and scripts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Kept => "kept",
            Self::Renewed => "renewed",
        }
    }
}

/// One file of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileReport {
    /// Its name in the folder.
    pub name: &'static str,
    /// What happened to it.
    pub outcome: FileOutcome,
    /// When it expires, if it is a certificate.
    pub not_after: Option<Timestamp>,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueReport {
    /// The identifier of the CA.
    pub authority: [u8; 20],
    /// The files, in the order in which they were made.
    pub files: Vec<FileReport>,
}

impl IssueReport {
    /// Whether the key of the CA is new.
    pub fn has_new_authority(&self) -> bool {
        self.files.iter().any(|file| file.name == CA_KEY && file.outcome == FileOutcome::Created)
    }
}

impl PkiDir {
    /// Makes what is missing: the CA first, then what it certifies. No key is changed, nor any certificate whose key is
    /// here, so the next run completes an interrupted one, and repeating a finished one has no effect. `names` are the
    /// server's; `days` is how long new certificates are valid, if not as long as usual.
    ///
    /// # Errors
    /// What is wrong with a file that is here ([`PkiError::Key`], [`PkiError::KeyPermissions`],
    /// [`PkiError::Certificate`], [`PkiError::Mismatch`], …); [`PkiError::NoCaKey`] and [`PkiError::RecordMissing`]
    /// where a CA is incomplete; [`PkiError::ClockBehind`], [`PkiError::ClockAhead`], [`PkiError::CaExpired`],
    /// [`PkiError::BeyondCa`], [`PkiError::Issue`]; [`PkiError::Io`].
    pub fn init(
        &self,
        names: &[ServerName],
        days: Option<CertificateDays>,
        clock_check: ClockCheck,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<IssueReport, PkiError> {
        self.init_for(names, Lives::All(Lifetime::asked(days)), clock_check, now, random)
    }

    /// The same, with certificates of these lifetimes.
    pub(super) fn init_for(
        &self,
        names: &[ServerName],
        lives: Lives<'_>,
        clock_check: ClockCheck,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<IssueReport, PkiError> {
        let _lock = self.prepare()?;
        let mut work = InitRun { home: self, now, names, lives, random, files: Vec::new() };
        let mut ca = work.ca(clock_check)?;
        if let Lives::All(lifetime) = lives {
            ca.allows(lifetime, now)?;
        }
        work.secret(PERSO_KEY)?;
        work.secret(START_KEY)?;
        for (pair, kind) in PAIRS {
            work.pair(&mut ca, pair, kind)?;
        }
        Ok(IssueReport { authority: ca.authority().point().key_identifier(), files: work.files })
    }

    /// Issues new certificates for the keys that are here, valid for `days`, or for as long as those that they replace;
    /// the CA key must be here, too.
    ///
    /// # Errors
    /// [`PkiError::NotInitialised`] and [`PkiError::NoCaKey`] for what is missing; otherwise as [`Self::init`].
    pub fn renew(
        &self,
        names: &[ServerName],
        days: Option<CertificateDays>,
        clock_check: ClockCheck,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<IssueReport, PkiError> {
        self.load_ca(clock_check)?.allows(Lifetime::asked(days), now)?;
        // Tokens that know only the previous CA must still be accepted.
        if let Some(previous) = self.previous()? {
            previous.renew_for(names, Lifetime::asked(days).within_ca(), clock_check, now, random)?;
        }
        self.renew_for(names, Lifetime::asked(days), clock_check, now, random)
    }

    fn renew_for(
        &self,
        names: &[ServerName],
        lifetime: Lifetime,
        clock_check: ClockCheck,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<IssueReport, PkiError> {
        let _lock = self.prepare()?;
        // Loaded only now, because the previous holder of the lock may have rotated it.
        let mut ca = self.load_ca(clock_check)?;
        // A server keeps the names for which its certificate was issued.
        let kept = self.tls_names(ca.authority());
        let names = if kept.is_empty() { names } else { &kept };
        let lives = if lifetime == Lifetime::Usual { Lives::Of(self) } else { Lives::All(lifetime) };
        let mut work = InitRun { home: self, now, names, lives, random, files: Vec::new() };
        for (pair, kind) in PAIRS {
            let path = self.path(pair.key);
            // A folder made by an older release has no signature key yet.
            if !load::exists(&path)? && pair.key == SIGNATURE.key {
                work.pair(&mut ca, pair, kind)?;
                continue;
            }
            let key = load::key_pair(&path)?;
            work.certify(&mut ca, pair, kind, &key, FileOutcome::Renewed)?;
        }
        Ok(IssueReport { authority: ca.authority().point().key_identifier(), files: work.files })
    }

    /// Issues a TLS certificate for the server's key that is here, under these names, valid for `days`, or for as long
    /// as the one that it replaces.
    ///
    /// # Errors
    /// [`PkiError::NotInitialised`] and [`PkiError::NoCaKey`] where there is no CA with its key; otherwise as
    /// [`Self::init`].
    pub fn issue_server(
        &self,
        names: &[ServerName],
        days: Option<CertificateDays>,
        clock_check: ClockCheck,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<IssueReport, PkiError> {
        let mut ca = self.load_ca(clock_check)?;
        let _lock = self.prepare()?;
        let lives = if days.is_some() { Lives::All(Lifetime::asked(days)) } else { Lives::Of(self) };
        ca.allows(Lifetime::asked(days), now)?;
        let mut work = InitRun { home: self, now, names, lives, random, files: Vec::new() };
        let key = work.key(SERVER.key)?;
        work.certify(&mut ca, SERVER, KeyPurpose::Server, &key, FileOutcome::Renewed)?;
        Ok(IssueReport { authority: ca.authority().point().key_identifier(), files: work.files })
    }

    /// The names in the server's certificate; empty if it cannot be read.
    pub(super) fn tls_names(&self, authority: &Authority) -> Vec<ServerName> {
        let key = load::key_pair(&self.path(SERVER.key));
        let read = key.and_then(|key| self.tls_certificate(SERVER, &key, authority, TlsUse::Server));
        read.map(|certificate| certificate.names()).unwrap_or_default()
    }

    /// Whether the CA key is here.
    pub fn has_ca_key(&self) -> bool {
        self.path(CA_KEY).exists()
    }
}

/// How long the certificates of a run are valid.
#[derive(Clone, Copy)]
pub(super) enum Lives<'a> {
    /// All equally long.
    All(Lifetime),
    /// Each for as long as the one in this folder.
    Of(&'a PkiDir),
}

/// One run.
struct InitRun<'a> {
    home: &'a PkiDir,
    now: Timestamp,
    names: &'a [ServerName],
    lives: Lives<'a>,
    random: &'a mut dyn Random,
    files: Vec<FileReport>,
}

impl InitRun<'_> {
    /// The existing CA, or a new one. The certificate is written last: once it is there, the CA is complete.
    fn ca(&mut self, clock_check: ClockCheck) -> Result<Ca, PkiError> {
        if load::exists(&self.home.path(CA_CERTIFICATE))? {
            let ca = self.home.load_ca(clock_check)?;
            self.report(CA_KEY, FileOutcome::Kept, None);
            self.report(CA_CERTIFICATE, FileOutcome::Kept, Some(ca.authority().not_after()));
            return Ok(ca);
        }
        let key = self.key(CA_KEY)?;
        let authority = self.new_authority(&key, clock_check)?;
        self.write_certificate(CA_CERTIFICATE, authority.der())?;
        self.report(CA_CERTIFICATE, FileOutcome::Created, Some(authority.not_after()));
        Ca::new(key, authority, &self.home.record(), clock_check)
    }

    fn new_authority(&mut self, key: &KeyPair, clock_check: ClockCheck) -> Result<Authority, PkiError> {
        const CLASS: &str = "ca";
        let mut record = IssueRecord::open(&self.home.record(), true)?;
        let mut record = record.lock()?;
        let at = record.moment(self.now, clock_check)?;
        record.require_free(key.public(), CLASS, AUTHORITY_NAME)?;
        let (not_before, not_after) = window(at, AUTHORITY_LIFE);
        let latest = Timestamp::from_second(UTC_TIME_END - 1).unwrap_or(not_after);
        let authority = Authority::issue(key, AUTHORITY_NAME, not_before, not_after.min(latest), self.random)?;
        record.append(&Issued {
            at,
            class: CLASS.to_owned(),
            subject: AUTHORITY_NAME.to_owned(),
            serial: hex::encode(authority.serial()),
            key: fingerprint(key.public()),
            not_before: authority.not_before(),
            not_after: authority.not_after(),
        })?;
        Ok(authority)
    }

    /// The existing private key, or a new one.
    fn key(&mut self, name: &'static str) -> Result<KeyPair, PkiError> {
        let path = self.home.path(name);
        if load::exists(&path)? {
            self.report(name, FileOutcome::Kept, None);
            return load::key_pair(&path);
        }
        let key = KeyPair::generate(self.random)?;
        self.write(name, &key.to_pem()?)?;
        self.report(name, FileOutcome::Created, None);
        Ok(key)
    }

    /// The existing secret AES key, or a new one.
    fn secret(&mut self, name: &'static str) -> Result<(), PkiError> {
        let path = self.home.path(name);
        if load::exists(&path)? {
            load::key_128(&path)?;
            self.report(name, FileOutcome::Kept, None);
            return Ok(());
        }
        let key: Zeroizing<[u8; 16]> = Zeroizing::new(random::bytes(self.random)?);
        let mut text = Zeroizing::new([b'\n'; 33]);
        let encoded = hex::encode_to_slice(*key, &mut text[..32]);
        encoded.map_err(|_| PkiError::NotHex(path))?;
        self.write(name, &*text)?;
        self.report(name, FileOutcome::Created, None);
        Ok(())
    }

    fn pair(&mut self, ca: &mut Ca, pair: Pair, kind: KeyPurpose) -> Result<(), PkiError> {
        let there = load::exists(&self.home.path(pair.key))?;
        let key = self.key(pair.key)?;
        if !there || !load::exists(&self.home.path(pair.certificate))? {
            // This includes a certificate whose key is lost, which is useless.
            return self.certify(ca, pair, kind, &key, FileOutcome::Created);
        }
        let not_after = self.not_after(ca.authority(), pair, kind, &key)?;
        self.report(pair.certificate, FileOutcome::Kept, Some(not_after));
        Ok(())
    }

    fn certify(
        &mut self,
        ca: &mut Ca,
        pair: Pair,
        kind: KeyPurpose,
        key: &KeyPair,
        outcome: FileOutcome,
    ) -> Result<(), PkiError> {
        // Done as for a key from elsewhere: the request proves possession of the key.
        let request = CertificateRequest::sign(key, &subject(kind, key.public()))?;
        let request = CertificateRequest::verify(&request).map_err(PkiError::Request)?;
        let lifetime = match self.lives {
            Lives::All(lifetime) => lifetime,
            Lives::Of(home) => Lifetime::kept(home.days_of(pair, kind)),
        };
        let der = match kind {
            KeyPurpose::Terminal(role) => ca.certify_terminal(role, &request, lifetime, self.now, self.random)?,
            KeyPurpose::Client => ca.certify_tls_client(&request, lifetime, self.now, self.random)?,
            KeyPurpose::Server => ca.certify_tls_server(self.names, &request, lifetime, self.now, self.random)?,
            KeyPurpose::Signature => ca.certify_server_signature(&request, lifetime, self.now, self.random)?,
        };
        self.write_certificate(pair.certificate, &der)?;
        let not_after = self.not_after(ca.authority(), pair, kind, key)?;
        self.report(pair.certificate, outcome, Some(not_after));
        Ok(())
    }

    /// When a certificate expires, once it has been verified to be the right one.
    fn not_after(
        &self,
        authority: &Authority,
        pair: Pair,
        kind: KeyPurpose,
        key: &KeyPair,
    ) -> Result<Timestamp, PkiError> {
        self.home.validity(authority, pair, kind, key).map(|(_, not_after)| not_after)
    }

    fn write_certificate(&self, name: &str, der: &[u8]) -> Result<(), PkiError> {
        self.write(name, &x509::to_pem(der)?)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), PkiError> {
        let path = self.home.path(name);
        files::replace(&path, content).map_err(|error| PkiError::Io { path, error })
    }

    fn report(&mut self, name: &'static str, outcome: FileOutcome, not_after: Option<Timestamp>) {
        self.files.push(FileReport { name, outcome, not_after });
    }
}

/// A name derived from the key, so that every run gives the same. It reveals nothing about the machine, since a
/// terminal shows its certificate to every card.
fn subject(kind: KeyPurpose, key: &Point) -> String {
    let prefix = match kind {
        KeyPurpose::Terminal(TerminalRole::Admin) => "admin",
        KeyPurpose::Terminal(_) => "terminal",
        KeyPurpose::Client => "client",
        KeyPurpose::Server => "server",
        KeyPurpose::Signature => "server-signature",
    };
    format!("{prefix}-{}", hex::encode(&key.key_identifier()[..4]))
}
