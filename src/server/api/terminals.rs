//! Registers, renews, lists and revokes terminals.

use axum::{Extension, Json, extract::State};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;

use super::{Answer, SharedState, page};
use crate::server::state::Cas;
use crate::{
    api::v1::{
        Page, PreviousCertificates, RegisteredTerminal, RenewalRequest, Role, TerminalCertificates, TerminalRequest,
    },
    crypto::{
        random::SystemRandom,
        sha256,
        x509::{self, CertificateRequest, TlsCertificate, TlsUse},
    },
    pki::{Ca, CertificateDays, DAYS_MAX, Lifetime, PkiError},
    proof::thumbprint,
    server::{
        auth::{AuthenticatedTerminal, Peer},
        body::{Body, Id, PageQuery, Parameters, binary, check_name},
        problem::ApiError,
        store::{Added, NewTerminal, RegisteredKeys, Subjects},
    },
};

/// The longest certificate request, in bytes.
const LONGEST: usize = 2048;

/// The two certificate requests of a terminal, each signed by its own key.
struct Requests {
    tls: CertificateRequest,
    ecka: CertificateRequest,
}

impl Requests {
    fn read(tls: &str, ecka: &str) -> Result<Self, ApiError> {
        let one = |name: &str, text: &str| {
            let der = binary(name, text, 1..=LONGEST)?;
            CertificateRequest::verify(&der).map_err(|error| ApiError::Invalid(format!("{name}: {error}")))
        };
        let both = Self { tls: one("tls_request", tls)?, ecka: one("ecka_request", ecka)? };
        if both.tls.point() == both.ecka.point() {
            return Err(ApiError::Invalid("the TLS key must not be the key that is used with tokens".into()));
        }
        Ok(both)
    }

    fn require_subjects(&self, subjects: &Subjects) -> Result<(), ApiError> {
        if self.tls.subject() == subjects.tls && self.ecka.subject() == subjects.ecka {
            return Ok(());
        }
        let Subjects { tls, ecka } = subjects;
        Err(ApiError::Invalid(format!("the requests must name {tls:?} (TLS) and {ecka:?} (tokens)")))
    }

    /// The certificates, and what the store keeps of them.
    fn certify(
        &self,
        role: Role,
        lifetime: Lifetime,
        cas: &mut Cas,
        now: Timestamp,
    ) -> Result<(TerminalCertificates, RegisteredKeys), PkiError> {
        let Cas { ca, previous } = cas;
        let tls = ca.certify_tls_client(&self.tls, lifetime, now, &mut SystemRandom)?;
        let ecka = ca.certify_terminal(card_role(role), &self.ecka, lifetime, now, &mut SystemRandom)?;
        let read = TlsCertificate::verify(&tls, ca.authority().point(), TlsUse::Client).map_err(PkiError::Request)?;
        let keys = RegisteredKeys {
            tls_key: sha256(&[self.tls.point().as_bytes()]),
            ecka_key: thumbprint(self.ecka.point()),
            subjects: Subjects { tls: self.tls.subject().to_owned(), ecka: self.ecka.subject().to_owned() },
            not_after: read.not_after(),
        };
        let told = TerminalCertificates {
            tls: BASE64_URL_SAFE_NO_PAD.encode(tls),
            ecka: BASE64_URL_SAFE_NO_PAD.encode(ecka),
            ca: BASE64_URL_SAFE_NO_PAD.encode(ca.authority().der()),
            previous: match previous {
                None => None,
                Some((before, endorsement)) => {
                    let (role, lifetime) = (card_role(role), lifetime.within_ca());
                    let ecka = before.certify_terminal(role, &self.ecka, lifetime, now, &mut SystemRandom)?;
                    Some(PreviousCertificates {
                        ca: BASE64_URL_SAFE_NO_PAD.encode(before.authority().der()),
                        ecka: BASE64_URL_SAFE_NO_PAD.encode(ecka),
                        endorsement: BASE64_URL_SAFE_NO_PAD.encode(endorsement),
                    })
                }
            },
        };
        Ok((told, keys))
    }
}

/// What a terminal of this role may do to tokens.
const fn card_role(role: Role) -> x509::TerminalRole {
    match role {
        Role::Read => x509::TerminalRole::Read,
        Role::Enroll => x509::TerminalRole::Write,
        Role::Admin => x509::TerminalRole::Admin,
    }
}

/// `POST /v1/terminals`.
pub async fn add(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Body(request): Body<TerminalRequest>,
) -> Answer<TerminalCertificates> {
    check_name(&request.name)?;
    let requests = Requests::read(&request.tls_request, &request.ecka_request)?;
    requests.require_subjects(&Subjects { tls: request.name.clone(), ecka: request.name.clone() })?;
    let role = request.role;
    let lifetime = Lifetime::asked(request.days.map(days).transpose()?);
    let (certificates, keys) = state.certify(move |cas, now| requests.certify(role, lifetime, cas, now)).await?;
    let new = NewTerminal { name: request.name, role, keys };
    // The certificates are useless until the store has registered the terminal, so they are handed out only then.
    match state.store.add_terminal(&new, &terminal.name, (state.clock)()).await? {
        Added::New | Added::Unchanged => Ok(Json(certificates)),
        Added::NameTaken => Err(ApiError::TerminalConflict),
        Added::KeyTaken => Err(ApiError::KeyTaken),
    }
}

/// The requested number of days.
fn days(days: u16) -> Result<CertificateDays, ApiError> {
    CertificateDays::new(days).ok_or_else(|| ApiError::Invalid(format!("days is a number from 1 to {DAYS_MAX}")))
}

/// `POST /v1/terminals/self/renewal`. Name, role and the number of days stay.
pub async fn renew(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Extension(peer): Extension<Peer>,
    Body(request): Body<RenewalRequest>,
) -> Answer<TerminalCertificates> {
    let requests = Requests::read(&request.tls_request, &request.ecka_request)?;
    requests.require_subjects(&terminal.subjects)?;
    let owner = state.store.terminal_of_key(&sha256(&[requests.tls.point().as_bytes()])).await?;
    if owner.is_some_and(|owner| owner.name != terminal.name) {
        return Err(ApiError::KeyTaken);
    }
    let role = terminal.role;
    let order = move |cas: &mut Cas, now| {
        let authorities = std::iter::once(&cas.ca).chain(cas.previous.as_ref().map(|(ca, _)| ca)).map(Ca::authority);
        let kept = CertificateDays::of((peer.certificate.not_before(), peer.certificate.not_after()), authorities);
        requests.certify(role, Lifetime::kept(kept), cas, now)
    };
    let (certificates, keys) = state.certify(order).await?;
    state.store.renew_terminal(&terminal.name, &keys, (state.clock)()).await?;
    Ok(Json(certificates))
}

/// `GET /v1/terminals`.
pub async fn list(
    State(state): State<SharedState>,
    _: AuthenticatedTerminal,
    Parameters(query): Parameters<PageQuery>,
) -> Answer<Page<RegisteredTerminal>> {
    let limit = query.limit()?;
    state.heard.store(&state.store).await;
    let terminals = state.store.terminals(&query.after, limit + 1).await?;
    Ok(page(terminals, limit, |terminal| terminal.name.clone()))
}

/// `DELETE /v1/terminals/{name}`.
pub async fn revoke(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Id(name): Id,
) -> Answer<RegisteredTerminal> {
    if name == terminal.name {
        return Err(ApiError::TerminalSelf);
    }
    state.store.revoke_terminal(&name, &terminal.name, (state.clock)()).await?.map(Json).ok_or(ApiError::NoTerminal)
}
