//! What the server is told when a card was blocked, unblocked or terminated: terminals that ask it, or live on its feed,
//! are to refuse the token also where the card was copied, or is not read any more.

use uuid::Uuid;

use super::{
    json::{RegisteredView, TokenAction},
    server::client::connect,
};
use crate::{api::v1::TokenStatus, config::Settings, failure::Failure, terminal::server_access::patiently};

/// Tells it, and gives the status that the token then has there; none where there is no server, or nothing to tell.
/// What the server knows better stays: a lost token is not merely suspended, and a card does not reactivate it.
pub fn tell(action: TokenAction, token_id: Uuid, settings: &Settings) -> Result<Option<RegisteredView>, Failure> {
    if settings.server.url.is_none() || action == TokenAction::Write {
        return Ok(None);
    }
    told(action, token_id, settings).map(Some).map_err(|failure| {
        let wanted = match action {
            TokenAction::Unblock => "active",
            TokenAction::Terminate => "revoked --reason terminated",
            TokenAction::Block | TokenAction::Write => "suspended --reason blocked",
        };
        let hint = format!("the card is changed; tell the server: rollcall server token status {token_id} {wanted}");
        failure.hint(hint)
    })
}

fn told(action: TokenAction, token_id: Uuid, settings: &Settings) -> Result<RegisteredView, Failure> {
    let server = connect(settings)?;
    let found = match patiently(|| server.token(token_id)) {
        Ok(token) => token.status,
        Err(error) if error.problem_code() == Some("token.unknown") => return Ok(RegisteredView::Unknown),
        Err(error) => return Err(error.into()),
    };
    let Some((status, reason)) = next(action, found) else { return Ok(found.into()) };
    let reason = reason.map(str::to_owned);
    Ok(patiently(|| server.set_status(token_id, status, reason.clone()))?.status.into())
}

/// The status that follows, and why; none where the one that is there says as much or more.
const fn next(action: TokenAction, found: TokenStatus) -> Option<(TokenStatus, Option<&'static str>)> {
    match (action, found) {
        (TokenAction::Block, TokenStatus::Active) => Some((TokenStatus::Suspended, Some("the card was blocked"))),
        (TokenAction::Unblock, TokenStatus::Suspended) => Some((TokenStatus::Active, None)),
        (TokenAction::Terminate, TokenStatus::Active | TokenStatus::Suspended | TokenStatus::Lost) => {
            Some((TokenStatus::Revoked, Some("the card was terminated")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_knows_better_stays() {
        let all = [TokenStatus::Active, TokenStatus::Suspended, TokenStatus::Lost, TokenStatus::Revoked];
        let after = |action| all.map(|found| next(action, found).map_or(found, |(status, _)| status));
        assert_eq!(
            after(TokenAction::Block),
            [TokenStatus::Suspended, TokenStatus::Suspended, TokenStatus::Lost, TokenStatus::Revoked]
        );
        assert_eq!(
            after(TokenAction::Unblock),
            [TokenStatus::Active, TokenStatus::Active, TokenStatus::Lost, TokenStatus::Revoked]
        );
        assert_eq!(after(TokenAction::Terminate), [TokenStatus::Revoked; 4]);
        assert_eq!(after(TokenAction::Write), all);
    }
}
