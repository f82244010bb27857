//! `server init`: creates the store, and registers the terminal of this home as its first administrator.

use std::path::Path;

use jiff::Timestamp;

use super::{
    RunError,
    audit::SERVER,
    store::{Added, NewTerminal, RegisteredKeys, ServerStore, StoreUrl, Subjects},
};
use crate::{api::v1::Role, crypto::sha256, pki::PkiDir, proof::thumbprint};

/// The result of an init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialised {
    /// The terminal that administers the server.
    pub terminal: String,
    /// Whether it was newly registered; `None` when another one has its name or key.
    pub added: Option<bool>,
}

/// Opens or creates the store, and registers the terminal whose keys are in this folder. Repeating it changes nothing.
///
/// # Errors
/// [`RunError::Pki`] for a key or certificate that is missing or unusable; [`RunError::Store`].
pub async fn init(pki: &Path, url: &StoreUrl, now: Timestamp) -> Result<Initialised, RunError> {
    let home = PkiDir::new(pki);
    let (tls, ecka) = (home.load_terminal_tls(now)?, home.load_terminal(now)?);
    // The server will need these: better to fail now.
    home.load_server_tls(now)?;
    home.load_server_signature(now)?;
    let previous = tls.also.as_ref().map(|authority| authority.point().key_identifier());
    let store = ServerStore::open(url, &tls.authority.point().key_identifier(), previous.as_ref()).await?;
    let terminal = tls.certificate.subject().to_owned();
    let new = NewTerminal {
        name: terminal.clone(),
        role: Role::Admin,
        keys: RegisteredKeys {
            tls_key: sha256(&[tls.certificate.point().as_bytes()]),
            ecka_key: thumbprint(ecka.certificate.point()),
            subjects: Subjects { tls: terminal.clone(), ecka: ecka.certificate.subject().to_owned() },
            not_after: tls.certificate.not_after(),
        },
    };
    let added = store.add_terminal(&new, SERVER, now).await?;
    store.close().await;
    let added = match added {
        Added::New => Some(true),
        Added::Unchanged => Some(false),
        Added::NameTaken | Added::KeyTaken => None,
    };
    Ok(Initialised { terminal, added })
}
