//! Nonces and lookups: what a tap asks.

use axum::{Json, extract::State};
use uuid::Uuid;

use super::{Answer, Desk};
use crate::{
    api::{
        problem::ProblemCode,
        v1::{Lookup, LookupRequest, NONCES_MAX, NonceRequest, Nonces, SignedUser, TokenStatus, USER_TYPE},
    },
    server::{
        body::{Body, binary},
        caller::Caller,
        metrics::LookupLabels,
        problem::ApiError,
        proofs::{self, Against},
        store::{CallerRow, LookupResult, LookupTask, ProofRefusal, Shown},
    },
};

/// The longest proof and certificate that are looked at, in bytes; one of another length is told apart by its form.
const LONGEST: usize = 1024;

/// `POST /v1/nonces`.
pub async fn nonces(
    State(desk): State<Desk>,
    Caller(caller): Caller,
    Body(request): Body<NonceRequest>,
) -> Answer<Nonces> {
    if !(1..=NONCES_MAX).contains(&request.count) {
        return Err(ApiError::Invalid(format!("count is 1 to {NONCES_MAX}")));
    }
    let (raw, nonces) = desk.nonces(request.count).map_err(|error| ApiError::fault(&error))?;
    desk.store.issue_nonces(&raw, &caller.name, (desk.clock)()).await?;
    desk.metrics.nonces.inc_by(u64::from(request.count));
    Ok(Json(Nonces { nonces }))
}

/// `POST /v1/lookups`.
pub async fn lookup(
    State(desk): State<Desk>,
    Caller(caller): Caller,
    Body(request): Body<LookupRequest>,
) -> Answer<Lookup> {
    if request.nonces > NONCES_MAX {
        return Err(ApiError::Invalid(format!("nonces is at most {NONCES_MAX}")));
    }
    let proof = shown(&desk, &caller, &request).await?;
    let (raw, nonces) = desk.nonces(request.nonces).map_err(|error| ApiError::fault(&error))?;
    let ask = LookupTask { terminal: caller.name.clone(), token_id: request.token_id, proof, nonces: raw };
    let found = desk.decide(ask).await?;
    count(&desk, request.token_id, &found, request.nonces);
    let LookupResult::Token { status, reason, user, freshness } = found else {
        return Err(match found {
            LookupResult::Refused(refusal) => ApiError::Proof(refusal),
            _ => ApiError::NoToken,
        });
    };
    let mut answer =
        Lookup { token_id: request.token_id, status, reason, user: None, signed_user: None, proof: freshness, nonces };
    if status == TokenStatus::Active {
        let signed = SignedUser { token_id: request.token_id, user: user.clone(), at: (desk.clock)() };
        answer.signed_user = Some(desk.signer.sign(&signed, USER_TYPE).map_err(|error| ApiError::fault(&error))?);
        answer.user = Some(user);
    }
    Ok(Json(answer))
}

/// The proof of a request, checked as far as it can be without its place among others.
async fn shown(desk: &Desk, caller: &CallerRow, request: &LookupRequest) -> Result<Shown, ApiError> {
    let Some(proof) = &request.proof else {
        return match request.identity_certificate {
            None => Ok(Shown::Nothing),
            Some(_) => Err(ApiError::Invalid("an identity certificate comes with a proof only".into())),
        };
    };
    let bytes = |name, text: &str| binary(name, text, 0..=LONGEST);
    let Ok(cose) = bytes("proof", proof) else { return Ok(Shown::Refused(ProofRefusal::Malformed)) };
    let certificate = request.identity_certificate.as_deref().map(|text| bytes("identity_certificate", text));
    let Ok(certificate) = certificate.transpose() else { return Ok(Shown::Refused(ProofRefusal::Certificate)) };
    // Without a token there is nothing to check against: the store says so, and writes it down.
    let Some(registered) = desk.store.token_keys(request.token_id).await? else { return Ok(Shown::Nothing) };
    let against = Against {
        token_id: request.token_id,
        registered: &registered,
        authorities: &desk.authorities,
        terminal: &caller.ecka_keys,
        now: (desk.clock)(),
    };
    Ok(proofs::check(&cose, certificate.as_deref(), &against))
}

fn count(desk: &Desk, token_id: Uuid, found: &LookupResult, nonces: u16) {
    let result = match found {
        LookupResult::Unknown => ProblemCode::TokenUnknown.as_str(),
        LookupResult::Refused(refusal) => refusal.code().as_str(),
        LookupResult::Token { status: TokenStatus::Active, .. } => "active",
        LookupResult::Token { status: TokenStatus::Suspended, .. } => "suspended",
        LookupResult::Token { status: TokenStatus::Lost, .. } => "lost",
        LookupResult::Token { status: TokenStatus::Revoked, .. } => "revoked",
    };
    desk.metrics.lookups.get_or_create(&LookupLabels { result: result.to_owned() }).inc();
    desk.metrics.nonces.inc_by(u64::from(nonces));
    if *found == LookupResult::Refused(ProofRefusal::Clone) {
        desk.metrics.clones.inc();
        desk.log.fault(&format!("clone alarm: two cards seem to have the identity of token {token_id}"));
    }
}
