//! The revocation feed, on which terminals rely while they cannot reach the server; and the reports of terminals that
//! hold the head of another audit log than this one.

use axum::{Json, extract::State};
use serde::Deserialize;

use super::{Answer, SharedState};
use crate::{
    api::v1::{AuditHead, FEED_TYPE, Feed, PAGE_MAX, SignedFeed, TokenStatus, Witness, WitnessTaken, WitnessedStatus},
    crypto::jws,
    server::{
        audit,
        auth::AuthenticatedTerminal,
        body::{Body, Parameters, plain},
        problem::ApiError,
    },
};

/// What the terminal has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedQuery {
    /// The version of its feed; 0 for none.
    #[serde(default)]
    since: u64,
    /// The newest audit record whose head it was given: its number, and its hash in hex.
    audit_seq: Option<u64>,
    audit_hash: Option<String>,
}

impl FeedQuery {
    /// Versions and record numbers must fit into a signed integer of 64 bits.
    fn check_numbers(&self) -> Result<(), ApiError> {
        let numbers = [Some(self.since), self.audit_seq];
        if numbers.into_iter().flatten().all(|number| i64::try_from(number).is_ok()) {
            return Ok(());
        }
        Err(ApiError::Invalid(format!("since and audit_seq are at most {}", i64::MAX)))
    }

    fn held(&self) -> Result<Option<AuditHead>, ApiError> {
        match (self.audit_seq, &self.audit_hash) {
            (None, None) => Ok(None),
            (Some(seq), Some(hash)) if is_hash(hash) => Ok(Some(AuditHead { seq, hash: hash.clone() })),
            _ => Err(ApiError::Invalid("audit_seq and audit_hash are the number of a record and its hash".into())),
        }
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `GET /v1/revocations?since=VERSION`.
pub async fn feed(
    State(state): State<SharedState>,
    _: AuthenticatedTerminal,
    Parameters(asked): Parameters<FeedQuery>,
) -> Answer<SignedFeed> {
    asked.check_numbers()?;
    let held = asked.held()?;
    let feed = state.store.feed(asked.since, held.as_ref(), PAGE_MAX, (state.clock)()).await?;
    Ok(Json(SignedFeed { jws: state.signer.feed(&feed).map_err(|error| ApiError::fault(&error))? }))
}

/// `POST /v1/witness`.
pub async fn witness(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Body(witness): Body<Witness>,
) -> Answer<WitnessTaken> {
    if witness.statuses.len() > PAGE_MAX as usize {
        return Err(ApiError::Invalid(format!("a witness names at most {PAGE_MAX} tokens")));
    }
    let fits = |told: &WitnessedStatus| {
        told.status != TokenStatus::Active && told.reason.as_deref().is_none_or(|reason| plain(reason, 1, 200))
    };
    if !witness.statuses.iter().all(fits) {
        return Err(ApiError::Invalid(
            "a witness names tokens that are not active, with the reasons that the server gave".into(),
        ));
    }
    // A feed that we did not sign proves nothing.
    let verified = state.authorities.iter().find_map(|ca| jws::verify(&witness.feed, FEED_TYPE, ca).ok());
    let feed = verified.and_then(|verified| serde_json::from_slice::<Feed>(&verified.payload).ok());
    let told = feed.ok_or_else(|| ApiError::Invalid("feed is not a feed of this server".into()))?.audit;
    let held = state.store.held_record(&told).await?;
    let missing = told.seq > 0 && held.hash.as_ref() != Some(&told.hash) && !held.reconciled;
    if missing && state.store.keep_witness(&terminal.name, &told, &witness.statuses, (state.clock)()).await? {
        state.log.fault(&audit::missing_record(&terminal.name, told.seq));
    }
    Ok(Json(WitnessTaken { missing }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{ServerStore, StoreUrl, block_on};

    #[test]
    fn what_terminals_hold_is_bounded_and_the_strictest_word_counts() {
        let home = tempfile::tempdir().unwrap();
        let url = StoreUrl::in_folder(home.path());
        let record = AuditHead { seq: 9, hash: "09".repeat(32) };
        let told = |token: u128, status, reason: &str| WitnessedStatus {
            token_id: uuid::Uuid::from_u128(token),
            status,
            reason: Some(reason.to_owned()),
        };
        let lost = async {
            let store = ServerStore::with_two_tokens(&url).await;
            let keep = async |terminal, statuses: &[WitnessedStatus]| {
                store.keep_witness(terminal, &record, statuses, jiff::Timestamp::now()).await.unwrap()
            };
            assert!(keep("east", &[told(1, TokenStatus::Suspended, "fee")]).await);
            assert!(!keep("east", &[]).await, "it told of that record before");
            // Of two with the same status, the first counts.
            keep("north", &[told(1, TokenStatus::Lost, "bus")]).await;
            keep("south", &[told(1, TokenStatus::Lost, "sea")]).await;
            let lost = store.lost_statuses().await.unwrap().remove(0);
            assert_eq!((lost.known, lost.status), (Some(TokenStatus::Active), TokenStatus::Lost));
            assert_eq!((lost.reason.as_deref(), &*lost.terminals.join(" ")), (Some("bus"), "east north south"));

            // The number is bounded, so that no terminal can fill the disk.
            let many: Vec<_> = (0..10_001).map(|n| told(1000 + n, TokenStatus::Lost, "x")).collect();
            keep("west", &many).await;
            keep("west", &[told(2, TokenStatus::Lost, "x")]).await;
            store.lost_statuses().await.unwrap().iter().filter(|one| one.terminals == ["west"]).count()
        };
        assert_eq!(block_on(lost).unwrap(), 10_000);
    }

    #[test]
    fn what_a_terminal_holds_is_a_number_and_a_hash_or_nothing() {
        let ask =
            |since, audit_seq, hash: Option<&str>| FeedQuery { since, audit_seq, audit_hash: hash.map(str::to_owned) };
        let hash = "0123456789abcdef".repeat(4);
        let held = ask(7, Some(3), Some(&hash)).held().unwrap();
        assert_eq!(held, Some(AuditHead { seq: 3, hash: hash.clone() }));
        assert_eq!(ask(7, None, None).held().unwrap(), None);
        for wrong in ["", &hash[1..], &hash.to_uppercase(), &hash.replace('0', "g"), &format!("{hash}0")] {
            assert!(ask(7, Some(3), Some(wrong)).held().is_err(), "{wrong}");
        }
        assert!(ask(7, Some(3), None).held().is_err() && ask(7, None, Some(&hash)).held().is_err());
        let most = i64::MAX.unsigned_abs();
        assert!(ask(most, Some(most), None).check_numbers().is_ok());
        assert!(ask(most + 1, None, None).check_numbers().is_err());
        assert!(ask(0, Some(most + 1), None).check_numbers().is_err());
    }
}
