//! Moves the store of a local server to another CA when the CA is replaced.

use std::path::Path;

use jiff::Timestamp;

use super::run::store;
use crate::{
    cli::printer::Printer,
    config::Settings,
    failure::Failure,
    pki::{ClockCheck, PkiDir},
    server::{self, StoreUrl, store_recertification},
};

/// The store of a local server.
pub struct LocalStore(StoreUrl);

impl LocalStore {
    /// An existing file, or a configured database.
    ///
    /// # Errors
    /// For a text that is not a store.
    pub fn find(settings: &Settings) -> Result<Option<Self>, Failure> {
        let there =
            settings.server.store.expose().strip_prefix("sqlite://").is_none_or(|file| Path::new(file).exists());
        there.then(|| store(settings).map(Self)).transpose()
    }

    /// Checks, before anything is begun, whether it can be recertified.
    ///
    /// # Errors
    /// As [`store_recertification::check`].
    pub fn check(&self, home: &PkiDir) -> Result<(), Failure> {
        Ok(server::block_on(store_recertification::check(home, &self.0))??)
    }

    /// Moves it to the new CA, whose certificates it then knows. Repeating this changes nothing.
    ///
    /// # Errors
    /// As [`store_recertification::recertify`].
    pub fn recertify(&self, home: &PkiDir, clock_check: ClockCheck, out: &mut Printer) -> Result<(), Failure> {
        let done = {
            let mut told = |seen| out.progress("tokens of the server", seen, None);
            server::block_on(store_recertification::recertify(
                home,
                &self.0,
                clock_check,
                Timestamp::now(),
                &mut told,
            ))??
        };
        out.progress_end();
        if done > 0 {
            out.note(&format!("the server has certificates of the new CA for {done} tokens"));
        }
        Ok(())
    }
}
