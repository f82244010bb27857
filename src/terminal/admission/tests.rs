//! Every combination that decides whether a token is let in.

use jiff::SignedDuration;
use uuid::Uuid;

use super::{Admitted, Origin, Refusal, Rules, ServerVerdict, UserPreference, decide};
use crate::server_client::ServerError;
use crate::terminal::lookups::{
    CachedToken, LookupOutcome,
    tests::cache::{ada, now},
};
use crate::{
    api::{User, v1::*},
    failure::Failure,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const ALL: [UserPreference; 3] = [UserPreference::Either, UserPreference::Card, UserPreference::Server];

fn bob() -> User {
    User { id: "8".into(), name: "Bob".into(), ..User::default() }
}

fn rules(wanted: UserPreference) -> Rules {
    Rules { wanted, feed_max_age: HOUR * 24, offline_max_age: HOUR * 8 }
}

fn found(status: TokenStatus) -> LookupOutcome {
    let user = (status == TokenStatus::Active).then(bob);
    let lookup = Lookup {
        token_id: Uuid::from_u128(1),
        status,
        reason: None,
        user,
        signed_user: None,
        proof: Some(Freshness::Fresh),
        nonces: vec![],
    };
    LookupOutcome { said: Ok(lookup), kept: CachedToken::default(), took: None }
}

fn away(kept: CachedToken) -> LookupOutcome {
    LookupOutcome { said: Err(ServerError::Slow), kept, took: None }
}

fn said_no(code: &str) -> LookupOutcome {
    let problem = Problem { kind: String::new(), title: "no".into(), status: 404, detail: None, code: code.into() };
    LookupOutcome { said: Err(ServerError::Problem(Box::new(problem))), kept: CachedToken::default(), took: None }
}

fn told(
    card: &User,
    answered: &LookupOutcome,
    wanted: UserPreference,
) -> Result<(String, Origin, ServerVerdict, bool), &'static str> {
    match decide(card, answered, &rules(wanted), now()) {
        Ok(Admitted { user, origin, word, warning }) => Ok((user.name, origin, word, warning.is_some())),
        Err(refusal) => Err(Failure::from(&refusal).code),
    }
}

#[test]
fn the_server_is_there() {
    let card = |word| Ok(("Ada".to_owned(), Origin::Card, word, false));
    let server = |word| Ok(("Bob".to_owned(), Origin::Server, word, false));
    let answered = found(TokenStatus::Active);
    assert_eq!(told(&ada(), &answered, UserPreference::Either), card(ServerVerdict::Known));
    assert_eq!(told(&ada(), &answered, UserPreference::Card), card(ServerVerdict::Known));
    assert_eq!(told(&ada(), &answered, UserPreference::Server), server(ServerVerdict::Known));
    assert_eq!(
        told(&User { name: String::new(), ..ada() }, &answered, UserPreference::Either),
        server(ServerVerdict::Known)
    );
    for (status, code) in [
        (TokenStatus::Suspended, "token.suspended"),
        (TokenStatus::Lost, "token.lost"),
        (TokenStatus::Revoked, "token.revoked"),
    ] {
        for wanted in ALL {
            assert_eq!(told(&ada(), &found(status), wanted), Err(code));
        }
    }
}

#[test]
fn the_server_does_not_know_the_token_or_refuses_the_proof() {
    let unknown = said_no("token.unknown");
    assert_eq!(
        told(&ada(), &unknown, UserPreference::Either),
        Ok(("Ada".into(), Origin::Card, ServerVerdict::Refused, true))
    );
    assert_eq!(told(&User::default(), &unknown, UserPreference::Either), Err("token.unknown"));
    assert_eq!(told(&ada(), &unknown, UserPreference::Server), Err("token.unknown"));
    for wanted in ALL {
        assert_eq!(told(&ada(), &said_no("proof.clone"), wanted), Err("proof.clone"));
    }
}

#[test]
fn the_server_is_away() {
    let fresh = Some(HOUR * 23);
    let kept = |feed_age, hours: i64| CachedToken {
        status: None,
        feed_age,
        user: Some((bob(), now() - HOUR * i32::try_from(hours).unwrap())),
    };
    let card = |warned| Ok(("Ada".to_owned(), Origin::Card, ServerVerdict::Away, warned));
    let server = Ok(("Bob".to_owned(), Origin::Server, ServerVerdict::Away, false));
    for wanted in [UserPreference::Either, UserPreference::Card] {
        assert_eq!(told(&ada(), &away(kept(fresh, 1)), wanted), card(false));
        assert_eq!(told(&ada(), &away(kept(Some(HOUR * 25), 1)), wanted), card(true));
        assert_eq!(told(&ada(), &away(CachedToken::default()), wanted), card(true));
    }
    for (card, wanted) in [(ada(), UserPreference::Server), (User::default(), UserPreference::Either)] {
        assert_eq!(told(&card, &away(kept(fresh, 8)), wanted), server);
        assert_eq!(told(&card, &away(kept(fresh, 9)), wanted), Err("server.slow"));
        assert_eq!(told(&card, &away(kept(Some(HOUR * 25), 1)), wanted), Err("server.slow"));
        assert_eq!(told(&card, &away(kept(None, 1)), wanted), Err("server.slow"));
        assert_eq!(
            told(&card, &away(CachedToken { feed_age: fresh, ..CachedToken::default() }), wanted),
            Err("server.slow")
        );
    }
}

#[test]
fn a_status_once_known_stays_however_old() {
    for wanted in ALL {
        for feed_age in [None, Some(HOUR), Some(HOUR * 1000)] {
            let kept = CachedToken {
                status: Some((TokenStatus::Lost, Some("in\na bus".into()))),
                feed_age,
                user: Some((bob(), now())),
            };
            let refusal = decide(&ada(), &away(kept), &rules(wanted), now()).unwrap_err();
            assert_eq!(refusal.word(), ServerVerdict::Refused);
            assert_eq!(refusal.to_string(), "the token is lost: in\\na bus");
            assert!(matches!(refusal, Refusal::NotActive { status: TokenStatus::Lost, .. }));
        }
    }
}
