//! Nonces and lookups, which a terminal requests at a tap.

use axum::{Json, extract::State};
use uuid::Uuid;

use super::{Answer, SharedState};
use crate::{
    api::{
        problem::ProblemCode,
        v1::{Lookup, LookupRequest, NONCES_MAX, NonceRequest, Nonces, SignedUser, TokenStatus},
    },
    server::{
        auth::AuthenticatedTerminal,
        body::{Body, binary},
        metrics::LookupLabels,
        problem::ApiError,
        proofs::{self, Against},
        store::{LookupResult, LookupTask, PresentedProof, ProofRefusal, TerminalRow},
        verified_certificates::VerifiedCertificates,
    },
};

/// The longest proof and certificate that are decoded, in bytes; their exact lengths are checked with their form.
const LONGEST: usize = 1024;

/// `POST /v1/nonces`.
pub async fn nonces(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Body(request): Body<NonceRequest>,
) -> Answer<Nonces> {
    if !(1..=NONCES_MAX).contains(&request.count) {
        return Err(ApiError::Invalid(format!("count is 1 to {NONCES_MAX}")));
    }
    let (raw, nonces) = state.nonces(request.count).map_err(|error| ApiError::fault(&error))?;
    state.store.issue_nonces(&raw, &terminal.name, (state.clock)()).await?;
    state.metrics.nonces.inc_by(u64::from(request.count));
    Ok(Json(Nonces { nonces }))
}

/// `POST /v1/lookups`.
pub async fn lookup(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Body(request): Body<LookupRequest>,
) -> Answer<Lookup> {
    if request.nonces > NONCES_MAX {
        return Err(ApiError::Invalid(format!("nonces is at most {NONCES_MAX}")));
    }
    let (proof, why) = match presented_proof(&state, &terminal, &request).await {
        Ok(proof) => (proof, None),
        // The store first checks whether the token is known; that answer takes precedence over this refusal.
        Err(ApiError::Proof(refusal, why)) => (PresentedProof::Refused(refusal), why),
        Err(error) => return Err(error),
    };
    let (raw, nonces) = state.nonces(request.nonces).map_err(|error| ApiError::fault(&error))?;
    let task = LookupTask { terminal: terminal.name.clone(), token_id: request.token_id, proof, nonces: raw };
    let result = state.lookups.decide(task).await?;
    count(&state, request.token_id, &result, request.nonces);
    let LookupResult::Token { status, reason, user, freshness, proved } = result else {
        return Err(match result {
            LookupResult::Refused(refusal) => ApiError::Proof(refusal, why),
            _ => ApiError::NoToken,
        });
    };
    let proved = proved.filter(|_| status == TokenStatus::Active);
    let resume_until = proved.zip(state.resume_max_age).and_then(|(at, age)| at.checked_add(age).ok());
    let mut answer = Lookup {
        token_id: request.token_id,
        status,
        reason,
        user: None,
        signed_user: None,
        proof: freshness,
        resume: resume_until.is_some(),
        resume_until,
        nonces,
    };
    if status == TokenStatus::Active {
        let signed = SignedUser { token_id: request.token_id, user: user.clone(), at: (state.clock)() };
        answer.signed_user = Some(state.signer.user(&signed).map_err(|error| ApiError::fault(&error))?);
        answer.user = Some(user);
    }
    Ok(Json(answer))
}

/// The proof of a request, checked as far as possible without the store's record of other proofs.
async fn presented_proof(
    state: &SharedState,
    terminal: &TerminalRow,
    request: &LookupRequest,
) -> Result<PresentedProof, ApiError> {
    if let Some(counter) = request.resumed {
        if request.proof.is_some() || request.identity_certificate.is_some() {
            return Err(ApiError::Invalid("resumed comes in place of a proof and its certificate".into()));
        }
        let since = state.resume_max_age.and_then(|age| (state.clock)().checked_sub(age).ok());
        let since = since.ok_or(ApiError::Proof(ProofRefusal::Required, None))?;
        return Ok(PresentedProof::Resumed { counter, since });
    }
    let Some(proof) = &request.proof else {
        return match request.identity_certificate {
            None => Ok(PresentedProof::Nothing),
            Some(_) => Err(ApiError::Invalid("an identity certificate comes with a proof only".into())),
        };
    };
    let bytes = |name, text: &str, refusal| {
        binary(name, text, 0..=LONGEST).map_err(|error| ApiError::Proof(refusal, error.detail()))
    };
    let cose = bytes("proof", proof, ProofRefusal::Malformed)?;
    let certificate = request.identity_certificate.as_deref();
    let certificate =
        certificate.map(|text| bytes("identity_certificate", text, ProofRefusal::Certificate)).transpose()?;
    // For an unknown token there is nothing to check against: the store answers that, and records it.
    let Some(registered) = state.identities.identity(request.token_id).await? else {
        return Ok(PresentedProof::Nothing);
    };
    let against = Against {
        token_id: request.token_id,
        registered: &registered,
        certificates: &state.certificates,
        terminal: &terminal.ecka_keys,
        now: (state.clock)(),
    };
    let presented = proofs::check(&cose, certificate.as_deref(), &against);
    if !matches!(presented, Err(ApiError::Proof(ProofRefusal::Certificate, _))) {
        return presented;
    }
    // Within the second before this server follows a rotation, the store may have certificates of a CA not loaded yet.
    let Some(newer) = state.newer_authorities()? else { return presented };
    let certificates = VerifiedCertificates::new(newer);
    proofs::check(&cose, certificate.as_deref(), &Against { certificates: &certificates, ..against })
}

fn count(state: &SharedState, token_id: Uuid, result: &LookupResult, nonces: u16) {
    let label = match result {
        LookupResult::Unknown => ProblemCode::TokenUnknown.as_str(),
        LookupResult::Refused(refusal) => refusal.code().as_str(),
        LookupResult::Token { status: TokenStatus::Active, .. } => "active",
        LookupResult::Token { status: TokenStatus::Suspended, .. } => "suspended",
        LookupResult::Token { status: TokenStatus::Lost, .. } => "lost",
        LookupResult::Token { status: TokenStatus::Revoked, .. } => "revoked",
    };
    state.metrics.lookups.get_or_create(&LookupLabels { result: label }).inc();
    state.metrics.nonces.inc_by(u64::from(nonces));
    if *result == LookupResult::Refused(ProofRefusal::Clone) {
        state.metrics.clones.inc();
        state.log.fault(&format!("clone alarm: two cards seem to have the identity of token {token_id}"));
    }
}
