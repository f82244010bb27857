//! The configuration of this machine as a terminal, shared by all commands: state folder, keys, server, limits.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    presence::{
        Policy,
        store::{TerminalStore, TerminalStoreError},
    },
    server_access::ServerAccess,
};
use crate::{
    pki::{ClockCheck, PkiDir, PkiError, RenewalTime, TerminalIdentity, pkcs11},
    reader::pcsc::CardLimits,
    server_client::ServerClient,
    token::open::Credentials,
};

/// The operator's settings for this terminal.
#[derive(Clone)]
pub struct TerminalContext {
    /// The folder of `terminal.db`, `enrollments` and all other state.
    pub state_folder: PathBuf,
    /// The folder of keys and certificates.
    pub pki: PkiDir,
    /// The server; `None` for a terminal without one.
    pub server: Option<ServerAccess>,
    /// The personalisation key, if it is not a file in the PKI folder.
    pub perso_key: Option<pkcs11::Uri>,
    /// The time limit for one exchange with a card.
    pub exchange: Duration,
    /// Whether a local CA checks the clock before it issues certificates.
    pub clock_check: ClockCheck,
    /// The rules for who counts as present.
    pub policy: Arc<dyn Policy + Send + Sync>,
}

impl fmt::Debug for TerminalContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalContext").field("state_folder", &self.state_folder).finish_non_exhaustive()
    }
}

impl TerminalContext {
    /// The store of this terminal.
    ///
    /// # Errors
    /// As [`TerminalStore::open`].
    pub fn store(&self) -> Result<TerminalStore, TerminalStoreError> {
        TerminalStore::open(&self.state_folder)
    }

    /// The keys with the highest role available: where the CA key is, there are administration keys too.
    ///
    /// # Errors
    /// As [`PkiDir::load_admin_terminal`], or as [`PkiDir::load_terminal`] where there is no CA key.
    pub fn credentials(&self, now: Timestamp) -> Result<Credentials, PkiError> {
        let keys =
            if self.pki.has_ca_key() { self.pki.load_admin_terminal(now)? } else { self.pki.load_terminal(now)? };
        Ok(credentials(keys))
    }

    /// The administration keys, which exist where the CA key is.
    ///
    /// # Errors
    /// As [`PkiDir::load_admin_terminal`].
    pub fn admin_credentials(&self, now: Timestamp) -> Result<Credentials, PkiError> {
        Ok(credentials(self.pki.load_admin_terminal(now)?))
    }

    /// The limits of a connection for work on a card, as opposed to a tap.
    pub const fn card_limits(&self) -> CardLimits {
        CardLimits { exchange: self.exchange, connect: self.exchange, deadline: None }
    }
}

/// The result of a renewal.
pub struct RenewedCertificates {
    /// The keys for tokens.
    pub credentials: Credentials,
    /// The server client under the new certificate, if there is a server.
    pub server: Option<ServerClient>,
    /// When the certificates are due for renewal, and when they expire.
    pub time: RenewalTime,
}

impl fmt::Debug for RenewedCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenewedCertificates").field("time", &self.time).finish_non_exhaustive()
    }
}

/// The keys in the form that a handshake takes.
pub fn credentials(keys: TerminalIdentity) -> Credentials {
    let previous = keys.previous.map(|previous| Box::new(credentials(*previous)));
    Credentials { ca: *keys.authority.point(), key: keys.key, certificate: keys.certificate, previous }
}
