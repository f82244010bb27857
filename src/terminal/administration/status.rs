//! Reports to the server that a card was blocked, unblocked or terminated: terminals that query it or follow its feed
//! then refuse the token even when it is a copy, or when the card itself can no longer be read.

use uuid::Uuid;

use super::TokenOperation;
use crate::{
    api::{
        problem::ProblemCode,
        v1::{Problem, TokenStatus},
    },
    failure::{Failure, Remedy},
    terminal::server_access::{ServerAccess, patiently},
};

/// The status under which a server has a token registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerStatus {
    /// Registered with this status.
    Status(TokenStatus),
    /// Not registered at this server.
    Unknown,
}

impl ServerStatus {
    /// Whether the server knows the token and refuses it.
    pub const fn is_refused(self) -> bool {
        !matches!(self, Self::Status(TokenStatus::Active) | Self::Unknown)
    }
}

/// Reports a change to the server and returns the status that the token then has there; `None` without a server, or
/// when there is nothing to report. A stronger status at the server stays: a lost token is not downgraded to suspended,
/// nor reactivated because its card was unblocked.
///
/// # Errors
/// The failure of the connection or of the server, with the command that reports it later: the card is changed already.
pub fn report(
    operation: &TokenOperation,
    token_id: Uuid,
    server: Option<&ServerAccess>,
) -> Result<Option<ServerStatus>, Failure> {
    let wanted = match operation {
        TokenOperation::Write(_) => return Ok(None),
        TokenOperation::Unblock => "active",
        TokenOperation::Terminate => "revoked --reason terminated",
        TokenOperation::Block => "suspended --reason blocked",
    };
    let Some(server) = server else { return Ok(None) };
    send(operation, token_id, server).map(Some).map_err(|failure| {
        let command = format!("rollcall server token status {token_id} {wanted}");
        failure.hint(Remedy::with("the card is changed; tell the server", command))
    })
}

fn send(operation: &TokenOperation, token_id: Uuid, server: &ServerAccess) -> Result<ServerStatus, Failure> {
    let server = server.connect()?;
    let found = match patiently(|| server.token(token_id)) {
        Ok(token) => token.status,
        Err(error) if error.problem().and_then(Problem::known_code) == Some(ProblemCode::TokenUnknown) => {
            return Ok(ServerStatus::Unknown);
        }
        Err(error) => return Err(error.into()),
    };
    let Some((status, reason)) = next(operation, found) else { return Ok(ServerStatus::Status(found)) };
    let reason = reason.map(str::to_owned);
    Ok(ServerStatus::Status(patiently(|| server.set_status(token_id, status, reason.clone()))?.status))
}

/// The new status and its reason; `None` when the current status says as much or more.
const fn next(operation: &TokenOperation, found: TokenStatus) -> Option<(TokenStatus, Option<&'static str>)> {
    match (operation, found) {
        (TokenOperation::Block, TokenStatus::Active) => Some((TokenStatus::Suspended, Some("the card was blocked"))),
        (TokenOperation::Unblock, TokenStatus::Suspended) => Some((TokenStatus::Active, None)),
        (TokenOperation::Terminate, TokenStatus::Active | TokenStatus::Suspended | TokenStatus::Lost) => {
            Some((TokenStatus::Revoked, Some("the card was terminated")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::User, token::record::Layout};

    #[test]
    fn what_the_server_knows_better_stays() {
        let all = [TokenStatus::Active, TokenStatus::Suspended, TokenStatus::Lost, TokenStatus::Revoked];
        let after = |operation| all.map(|found| next(&operation, found).map_or(found, |(status, _)| status));
        assert_eq!(
            after(TokenOperation::Block),
            [TokenStatus::Suspended, TokenStatus::Suspended, TokenStatus::Lost, TokenStatus::Revoked]
        );
        assert_eq!(
            after(TokenOperation::Unblock),
            [TokenStatus::Active, TokenStatus::Active, TokenStatus::Lost, TokenStatus::Revoked]
        );
        assert_eq!(after(TokenOperation::Terminate), [TokenStatus::Revoked; 4]);
        let user = User { id: "7".into(), name: "Ada".into(), fields: [].into() };
        assert_eq!(after(TokenOperation::Write(Layout::of(&user).unwrap())), all);
    }
}
