//! What the server is told when a card was blocked, unblocked or terminated: terminals that ask it, or live on its feed,
//! are to refuse the token also where the card was copied, or is not read any more.

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

/// What a server has a token registered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerStatus {
    /// With this status.
    Status(TokenStatus),
    /// This server does not know it.
    Unknown,
}

impl ServerStatus {
    /// Whether the server knows it, and does not let it in.
    pub const fn is_refused(self) -> bool {
        !matches!(self, Self::Status(TokenStatus::Active) | Self::Unknown)
    }
}

/// Reports what was done to a token, and gives how the server then has it registered; nothing where there is no server,
/// or nothing to report. What the server knows better stays: a lost token is not merely suspended, and a card does not
/// reactivate it.
///
/// # Errors
/// The failure of the connection or of the server, with the command that tells it later: the card is changed by then.
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

/// The status that follows, and why; none where the one that is there says as much or more.
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
