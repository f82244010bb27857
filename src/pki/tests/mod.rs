//! Tests of the folder and its CA, with what the groups of tests share.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // we made these files

mod bundle;
mod ca;
mod ca_rollover;
mod init;
mod lifetime;
mod load;
mod rotation;
mod sets;
mod tool;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    AUTHORITY_LIFE, Age, CLOCK_LEAP, CLOCK_TOLERANCE, ClockCheck, Content, Facts, FileOutcome, InventoryItem, Lifetime,
    PkiDir, PkiError, SetId, TERMINAL_LIFE, TOKEN_LIFE,
    record::{self, fingerprint},
};
use crate::{
    crypto::{
        CryptoError,
        ec::KeyPair,
        random::{Random, SystemRandom},
        x509::{Certificate, CertificateProfile, CertificateRequest, ServerName, TerminalRole},
    },
    failure::Failure,
};

const ALL: [&str; 15] = [
    "ca.key",
    "ca.crt",
    "issued.ndjson",
    "perso.key",
    "start.key",
    "terminal-ecka.key",
    "terminal-ecka.crt",
    "terminal-admin.key",
    "terminal-admin.crt",
    "terminal-tls.key",
    "terminal-tls.crt",
    "server.key",
    "server.crt",
    "server-signature.key",
    "server-signature.crt",
];

const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn now() -> Timestamp {
    "2026-11-22T15:04:05Z".parse().unwrap()
}

fn names() -> Vec<ServerName> {
    ["localhost", "127.0.0.1", "::1", "door.example.org"].map(|name| ServerName::parse(name).unwrap()).to_vec()
}

/// A folder that does not exist yet.
struct Place {
    _root: tempfile::TempDir,
    home: PkiDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = PkiDir::new(root.path().join("state/pki"));
        Self { _root: root, home }
    }

    fn initialised() -> Self {
        let place = Self::new();
        place.init(now()).unwrap();
        place
    }

    fn init(&self, now: Timestamp) -> Result<super::IssueReport, PkiError> {
        self.home.init(&names(), None, ClockCheck::Enforced, now, &mut SystemRandom)
    }

    fn renew(&self, now: Timestamp) -> Result<super::IssueReport, PkiError> {
        self.home.renew(&names(), None, ClockCheck::Enforced, now, &mut SystemRandom)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.folder().join(name)
    }

    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(self.home.folder()).unwrap() {
            let entry = entry.unwrap();
            all.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        }
        all
    }

    fn load_all(&self, now: Timestamp) -> Result<(), PkiError> {
        self.home.load_ca(ClockCheck::Enforced)?;
        self.home.load_terminal(now)?;
        self.home.load_admin_terminal(now)?;
        self.home.load_terminal_tls(now)?;
        self.home.load_server_tls(now)?;
        self.home.load_server_signature(now)?;
        self.home.load_start_key()?;
        self.home.load_perso_key(None)?;
        Ok(())
    }
}

fn code(error: PkiError) -> &'static str {
    Failure::from(error).code
}

fn test_key() -> KeyPair {
    KeyPair::generate(&mut SystemRandom).unwrap()
}
