//! What this machine is as a terminal, whichever command runs: where its state lies, its keys, its server, its limits.

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

/// What the operator has said about this terminal.
#[derive(Clone)]
pub struct TerminalContext {
    /// The folder of `terminal.db`, `enrollments` and all other state.
    pub state_folder: PathBuf,
    /// The folder of keys and certificates.
    pub pki: PkiDir,
    /// The server; none for a terminal without one.
    pub server: Option<ServerAccess>,
    /// The personalisation key, where it is not in the file of the PKI folder.
    pub perso_key: Option<pkcs11::Uri>,
    /// The time limit of one exchange with a card.
    pub exchange: Duration,
    /// Whether a CA here doubts the clock.
    pub clock_check: ClockCheck,
    /// Who counts as present.
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

    /// The keys with the highest role that is here: where the CA key lies there are keys for administration, too.
    ///
    /// # Errors
    /// As [`PkiDir::load_admin_terminal`], or as [`PkiDir::load_terminal`] where there is no CA key.
    pub fn credentials(&self, now: Timestamp) -> Result<Credentials, PkiError> {
        let keys =
            if self.pki.has_ca_key() { self.pki.load_admin_terminal(now)? } else { self.pki.load_terminal(now)? };
        Ok(credentials(keys))
    }

    /// The keys for administration: they are there where the CA key lies.
    ///
    /// # Errors
    /// As [`PkiDir::load_admin_terminal`].
    pub fn admin_credentials(&self, now: Timestamp) -> Result<Credentials, PkiError> {
        Ok(credentials(self.pki.load_admin_terminal(now)?))
    }

    /// The limits of a connection to a card that is worked on, and not just tapped.
    pub const fn card_limits(&self) -> CardLimits {
        CardLimits { exchange: self.exchange, connect: self.exchange, deadline: None }
    }
}

/// What a renewal has brought.
pub struct RenewedCertificates {
    /// The keys for tokens.
    pub credentials: Credentials,
    /// The server, asked under the fresh certificate, where there is one.
    pub server: Option<ServerClient>,
    /// When they are to be renewed again, and when they end.
    pub time: RenewalTime,
}

impl fmt::Debug for RenewedCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenewedCertificates").field("time", &self.time).finish_non_exhaustive()
    }
}

/// The keys as a handshake takes them.
pub fn credentials(keys: TerminalIdentity) -> Credentials {
    let previous = keys.previous.map(|previous| Box::new(credentials(*previous)));
    Credentials { ca: *keys.authority.point(), key: keys.key, certificate: keys.certificate, previous }
}
