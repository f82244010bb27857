//! The authorities that certify the keys of a token, the server or the local CA, shared by several readers at once.

use std::sync::{Arc, Mutex, PoisonError};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    certification::{Certificates, KeysToCertify, TokenAuthority},
    failure::EnrollError,
};
use crate::{
    api::v1::TokenRequest,
    crypto::{ec::Point, random::SystemRandom},
    failure::Failure,
    pki::{Ca, PkiError},
    server_client::ServerClient,
    terminal::{context::TerminalContext, presence::Denial, server_access::patiently},
};

/// The server if there is one, so that it knows every token; otherwise the local CA.
///
/// # Errors
/// With a server: as [`ServerAccess::connect`](crate::terminal::server_access::ServerAccess::connect), and when the
/// CA's certificate cannot be loaded. Otherwise as [`PkiDir::load_ca`](crate::pki::PkiDir::load_ca).
pub fn authority(terminal: &TerminalContext) -> Result<SharedAuthority, Failure> {
    if let Some(server) = &terminal.server {
        let point = *terminal.pki.load_authority()?.point();
        return Ok(SharedAuthority::new(RemoteCertifier { server: server.connect()?, point }));
    }
    let ca = terminal.pki.load_ca(terminal.clock_check)?;
    let point = *ca.authority().point();
    Ok(SharedAuthority::new(LocalCertifier { ca, point, terminal: terminal.clone() }))
}

/// The CA at the server, which registers the token in the same request.
struct RemoteCertifier {
    server: ServerClient,
    point: Point,
}

impl TokenAuthority for RemoteCertifier {
    fn ca(&self) -> &Point {
        &self.point
    }

    fn is_here(&self) -> bool {
        false
    }

    fn certify(&mut self, wanted: &KeysToCertify) -> Result<Certificates, EnrollError> {
        let encoded = |point: &Point| BASE64_URL_SAFE_NO_PAD.encode(point.as_bytes());
        let request = TokenRequest {
            token_id: wanted.token_id,
            user: wanted.user.clone(),
            identity_key: encoded(&wanted.identity),
            ecka_key: encoded(&wanted.ecka),
            replaces: wanted.replaces,
        };
        let answer = patiently(|| self.server.register_token(&request)).map_err(Failure::from)?;
        let decoded = |text: &str| {
            let unreadable = |_| EnrollError::Certify("the server sent a certificate that cannot be read".to_owned());
            BASE64_URL_SAFE_NO_PAD.decode(text).map_err(unreadable)
        };
        Ok(Certificates { ecka: decoded(&answer.ecka)?, identity: decoded(&answer.identity)? })
    }
}

/// The local CA.
struct LocalCertifier {
    ca: Ca,
    point: Point,
    terminal: TerminalContext,
}

impl LocalCertifier {
    /// Denies the lost token: without a server, this terminal is the only one that can refuse it.
    fn refuse(&self, lost: Uuid) -> Result<(), Failure> {
        let reason = Some("replaced by another card".to_owned());
        let denial = Denial { id: lost.to_string(), reason, ..Denial::default() };
        self.terminal.store()?.deny(&denial, Timestamp::now(), &*self.terminal.policy)?;
        Ok(())
    }
}

impl TokenAuthority for LocalCertifier {
    fn ca(&self) -> &Point {
        &self.point
    }

    fn is_here(&self) -> bool {
        true
    }

    fn certify(&mut self, wanted: &KeysToCertify) -> Result<Certificates, EnrollError> {
        let refused = |e: PkiError| EnrollError::Certify(e.to_string());
        // Denied first: if the process is killed in between, one of the two cards is refused rather than both admitted.
        wanted.replaces.map_or(Ok(()), |lost| self.refuse(lost))?;
        let (id, now) = (wanted.token_id, Timestamp::now());
        let ecka = self.ca.certify_token_ecka(id, &wanted.ecka, now, &mut SystemRandom).map_err(refused)?;
        let identity = self.ca.certify_identity(id, &wanted.identity, now, &mut SystemRandom).map_err(refused)?;
        Ok(Certificates { ecka, identity })
    }
}

/// One authority for all readers, used by one at a time.
#[derive(Clone)]
pub struct SharedAuthority {
    inner: Arc<Mutex<dyn TokenAuthority + Send>>,
    point: Point,
    here: bool,
}

impl SharedAuthority {
    fn new(authority: impl TokenAuthority + Send + 'static) -> Self {
        let (point, here) = (*authority.ca(), authority.is_here());
        Self { inner: Arc::new(Mutex::new(authority)), point, here }
    }
}

impl TokenAuthority for SharedAuthority {
    fn ca(&self) -> &Point {
        &self.point
    }

    fn is_here(&self) -> bool {
        self.here
    }

    fn certify(&mut self, wanted: &KeysToCertify) -> Result<Certificates, EnrollError> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).certify(wanted)
    }
}
