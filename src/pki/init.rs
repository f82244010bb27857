//! `pki init` and `pki renew`: each file is written whole, in an order in which the next run can go on from anywhere.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use fs4::fs_std::FileExt;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{
    AUTHORITY_LIFE, AUTHORITY_NAME, Ca, ClockCheck, PkiDir, PkiError,
    ca::window,
    load,
    pki_dir::{ADMIN, CA_CERTIFICATE, CA_KEY, CLIENT, PERSO_KEY, Pair, SERVER, SIGNATURE, START_KEY, TERMINAL},
    record::{IssueRecord, Issued, fingerprint},
};
use crate::{
    crypto::{
        ec::{KeyPair, Point},
        random::{self, Random},
        x509::{
            self, Authority, CertificateProfile, CertificateRequest, ServerName, TerminalRole, TlsUse, UTC_TIME_END,
        },
    },
    files,
};

/// The lock of the folder.
const LOCK: &str = ".lock";
/// All files that are written here whole.
const FILES: [&str; 14] = [
    CA_KEY,
    CA_CERTIFICATE,
    PERSO_KEY,
    START_KEY,
    TERMINAL.key,
    TERMINAL.certificate,
    ADMIN.key,
    ADMIN.certificate,
    CLIENT.key,
    CLIENT.certificate,
    SERVER.key,
    SERVER.certificate,
    SIGNATURE.key,
    SIGNATURE.certificate,
];

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOutcome {
    /// It is new.
    Created,
    /// It was there and was left as it is.
    Kept,
    /// The certificate was replaced by a new one for the same key.
    Renewed,
}

impl FileOutcome {
    /// The word for people and for scripts.
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
    /// What became of it.
    pub outcome: FileOutcome,
    /// The end of its life, when it is a certificate.
    pub not_after: Option<Timestamp>,
}

/// What a run has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueReport {
    /// The identifier of the CA.
    pub authority: [u8; 20],
    /// The files, in the order in which they are made.
    pub files: Vec<FileReport>,
}

impl IssueReport {
    /// Whether the key of the CA was made just now.
    pub fn has_new_authority(&self) -> bool {
        self.files.iter().any(|file| file.name == CA_KEY && file.outcome == FileOutcome::Created)
    }
}

impl PkiDir {
    /// Makes what is missing: the CA first, then what it certifies. No key is changed, and no certificate whose key is
    /// there, so a run that was interrupted is finished by the next, and a finished one is repeated without effect.
    /// `names` are the server's.
    ///
    /// # Errors
    /// What is wrong with a file that is here ([`PkiError::Key`], [`PkiError::KeyPermissions`],
    /// [`PkiError::Certificate`], [`PkiError::Mismatch`], …); [`PkiError::NoCaKey`] and [`PkiError::RecordMissing`]
    /// where a CA is incomplete; [`PkiError::ClockBehind`], [`PkiError::ClockAhead`], [`PkiError::CaExpired`],
    /// [`PkiError::Issue`]; [`PkiError::Io`].
    pub fn init(
        &self,
        names: &[ServerName],
        clock_check: ClockCheck,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<IssueReport, PkiError> {
        let _lock = self.prepare()?;
        let mut work = InitRun { home: self, now, names, random, files: Vec::new() };
        let mut ca = work.ca(clock_check)?;
        work.secret(PERSO_KEY)?;
        work.secret(START_KEY)?;
        for (pair, kind) in PAIRS {
            work.pair(&mut ca, pair, kind)?;
        }
        Ok(IssueReport { authority: ca.authority().point().key_identifier(), files: work.files })
    }

    /// New certificates for the keys that are here; the CA key has to be here too.
    ///
    /// # Errors
    /// [`PkiError::NotInitialised`] and [`PkiError::NoCaKey`] for what is not here; else as [`Self::init`].
    pub fn renew(
        &self,
        names: &[ServerName],
        clock_check: ClockCheck,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<IssueReport, PkiError> {
        // Tokens that know only the CA before are still met.
        if let Some(previous) = self.previous()? {
            previous.renew(names, clock_check, now, random)?;
        }
        drop(self.load_ca(clock_check)?);
        let _lock = self.prepare()?;
        // Only now: whoever had the lock may have rotated it.
        let mut ca = self.load_ca(clock_check)?;
        // A server keeps the names that it was issued for.
        let kept = self.tls_names(ca.authority());
        let names = if kept.is_empty() { names } else { &kept };
        let mut work = InitRun { home: self, now, names, random, files: Vec::new() };
        for (pair, kind) in PAIRS {
            let path = self.path(pair.key);
            // A home that an older release made has no signature key yet.
            if !load::exists(&path)? && pair.key == SIGNATURE.key {
                work.pair(&mut ca, pair, kind)?;
                continue;
            }
            let key = load::key_pair(&path)?;
            work.certify(&mut ca, pair, kind, &key, FileOutcome::Renewed)?;
        }
        Ok(IssueReport { authority: ca.authority().point().key_identifier(), files: work.files })
    }

    /// A TLS certificate for the server's key that is here, under these names.
    ///
    /// # Errors
    /// [`PkiError::NotInitialised`] and [`PkiError::NoCaKey`] where there is no CA with its key; else as
    /// [`Self::init`].
    pub fn issue_server(
        &self,
        names: &[ServerName],
        clock_check: ClockCheck,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<IssueReport, PkiError> {
        let mut ca = self.load_ca(clock_check)?;
        let _lock = self.prepare()?;
        let mut work = InitRun { home: self, now, names, random, files: Vec::new() };
        let key = work.key(SERVER.key)?;
        work.certify(&mut ca, SERVER, KeyPurpose::Server, &key, FileOutcome::Renewed)?;
        Ok(IssueReport { authority: ca.authority().point().key_identifier(), files: work.files })
    }

    /// The names in the server's certificate; none when it cannot be read.
    pub(super) fn tls_names(&self, authority: &Authority) -> Vec<ServerName> {
        let key = load::key_pair(&self.path(SERVER.key));
        let read = key.and_then(|key| self.tls_certificate(SERVER, &key, authority, TlsUse::Server));
        read.map(|certificate| certificate.names()).unwrap_or_default()
    }

    /// Whether the CA key lies here.
    pub fn has_ca_key(&self) -> bool {
        self.path(CA_KEY).exists()
    }

    /// Makes the folder, private; waits for the lock, which ends with the file; removes what a crash has left behind.
    pub(super) fn prepare(&self) -> Result<File, PkiError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| PkiError::Io { path, error }
        };
        files::create_private_folder(self.folder()).map_err(failed(self.folder()))?;
        fs::set_permissions(self.folder(), Permissions::from_mode(0o700)).map_err(failed(self.folder()))?;
        let path = self.path(LOCK);
        let lock = loop {
            let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            let lock = lock.map_err(failed(&path))?;
            lock.lock_exclusive().map_err(failed(&path))?;
            // A rotation puts another folder in the place of this one, with a lock of its own.
            let (ours, there) = (lock.metadata().map_err(failed(&path))?, fs::metadata(&path));
            if there.is_ok_and(|there| there.ino() == ours.ino()) {
                break lock;
            }
        };
        self.sweep().map_err(failed(self.folder()))?;
        Ok(lock)
    }

    /// Removes the halves of files that a crash has left: `.ca.key.1234`. Whoever wrote one would hold the lock.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(is_leftover) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

fn is_leftover(name: &str) -> bool {
    let Some((file, process)) = name.strip_prefix('.').and_then(|name| name.rsplit_once('.')) else {
        return false;
    };
    FILES.contains(&file) && process.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a key pair of this machine is certified for.
#[derive(Debug, Clone, Copy)]
enum KeyPurpose {
    Terminal(TerminalRole),
    Client,
    Server,
    Signature,
}

/// All of them, in the order in which they are made.
const PAIRS: [(Pair, KeyPurpose); 5] = [
    (TERMINAL, KeyPurpose::Terminal(TerminalRole::Read)),
    (ADMIN, KeyPurpose::Terminal(TerminalRole::Admin)),
    (CLIENT, KeyPurpose::Client),
    (SERVER, KeyPurpose::Server),
    (SIGNATURE, KeyPurpose::Signature),
];

/// One run.
struct InitRun<'a> {
    home: &'a PkiDir,
    now: Timestamp,
    names: &'a [ServerName],
    random: &'a mut dyn Random,
    files: Vec<FileReport>,
}

impl InitRun<'_> {
    /// The CA that is here, or a new one. The certificate is written last: once it is there, the CA is complete.
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

    /// The private key that is here, or a new one.
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

    /// The secret AES key that is here, or a new one.
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
            // Also where there is a certificate, but its key is lost: it is of no use to anybody.
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
        // The same way as for a key from elsewhere: the request shows that its holder wants it.
        let request = CertificateRequest::sign(key, &subject(kind, key.public()))?;
        let request = CertificateRequest::verify(&request).map_err(PkiError::Request)?;
        let der = match kind {
            KeyPurpose::Terminal(role) => ca.certify_terminal(role, &request, self.now, self.random)?,
            KeyPurpose::Client => ca.certify_tls_client(&request, self.now, self.random)?,
            KeyPurpose::Server => ca.certify_tls_server(self.names, &request, self.now, self.random)?,
            KeyPurpose::Signature => ca.certify_server_signature(&request, self.now, self.random)?,
        };
        self.write_certificate(pair.certificate, &der)?;
        let not_after = self.not_after(ca.authority(), pair, kind, key)?;
        self.report(pair.certificate, outcome, Some(not_after));
        Ok(())
    }

    /// The end of a certificate's life, once it is found to be the right one.
    fn not_after(
        &self,
        authority: &Authority,
        pair: Pair,
        kind: KeyPurpose,
        key: &KeyPair,
    ) -> Result<Timestamp, PkiError> {
        let tls = |usage| self.home.tls_certificate(pair, key, authority, usage).map(|found| found.not_after());
        let card = |class| self.home.card_certificate(pair, key, authority, &[class]).map(|found| found.not_after());
        match kind {
            KeyPurpose::Terminal(role) => card(CertificateProfile::Terminal(role)),
            KeyPurpose::Signature => card(CertificateProfile::ServerSignature),
            KeyPurpose::Client => tls(TlsUse::Client),
            KeyPurpose::Server => tls(TlsUse::Server),
        }
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

/// A name that follows from the key, so that every run gives the same; it tells nothing about the machine, for a
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
