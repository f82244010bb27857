//! The codes of problems: stable names for scripts, and for us an enum on both sides of the connection.

use super::v1::Problem;

/// Why the server refuses a request. On the wire it is a text, `code` of a [`Problem`]: later releases may add to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemCode {
    /// The body or a parameter cannot be read.
    RequestMalformed,
    /// The body is longer than the limit.
    RequestTooLarge,
    /// The body is not declared as JSON.
    RequestMediaType,
    /// A value is not acceptable.
    RequestInvalid,
    /// The route does not exist.
    RequestRoute,
    /// The route does not support this method.
    RequestMethod,
    /// The certificate is not one of a registered terminal.
    TerminalUnknown,
    /// The terminal was revoked.
    TerminalRevoked,
    /// The terminal's certificate is not currently valid.
    TerminalExpired,
    /// The terminal's role does not allow this.
    TerminalRole,
    /// There is no such terminal.
    TerminalNone,
    /// The name of the terminal is taken.
    TerminalConflict,
    /// A terminal cannot revoke itself.
    TerminalSelf,
    /// The terminal sends too many requests.
    ServerRate,
    /// There are too many requests at the moment.
    ServerBusy,
    /// The request took too long.
    ServerSlow,
    /// The store is unavailable.
    ServerStore,
    /// The server has an internal error.
    ServerFault,
    /// There is no such token.
    TokenUnknown,
    /// The token id belongs to another token.
    TokenConflict,
    /// The token to be replaced belongs to another user.
    TokenNotTheirs,
    /// The token is revoked, and stays so.
    TokenFinal,
    /// There is no such user.
    UserUnknown,
    /// The key is already certified for something else.
    KeyTaken,
    /// This is not a presence proof of this token.
    ProofMalformed,
    /// The identity certificate is not that of this token.
    ProofCertificate,
    /// The signature of the proof is wrong.
    ProofSignature,
    /// The proof was made for another terminal.
    ProofTerminal,
    /// The nonce of the proof was used before.
    ProofReplayed,
    /// The nonce of the proof was issued to another terminal.
    ProofForeignNonce,
    /// The proof comes too late.
    ProofExpired,
    /// The use counter contradicts another proof: two cards have one identity.
    ProofClone,
    /// A resumed channel is not enough: a full tap is required.
    ProofRequired,
}

impl ProblemCode {
    /// Every code.
    pub const ALL: [Self; 33] = [
        Self::RequestMalformed,
        Self::RequestTooLarge,
        Self::RequestMediaType,
        Self::RequestInvalid,
        Self::RequestRoute,
        Self::RequestMethod,
        Self::TerminalUnknown,
        Self::TerminalRevoked,
        Self::TerminalExpired,
        Self::TerminalRole,
        Self::TerminalNone,
        Self::TerminalConflict,
        Self::TerminalSelf,
        Self::ServerRate,
        Self::ServerBusy,
        Self::ServerSlow,
        Self::ServerStore,
        Self::ServerFault,
        Self::TokenUnknown,
        Self::TokenConflict,
        Self::TokenNotTheirs,
        Self::TokenFinal,
        Self::UserUnknown,
        Self::KeyTaken,
        Self::ProofMalformed,
        Self::ProofCertificate,
        Self::ProofSignature,
        Self::ProofTerminal,
        Self::ProofReplayed,
        Self::ProofForeignNonce,
        Self::ProofExpired,
        Self::ProofClone,
        Self::ProofRequired,
    ];

    /// The code as sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestMalformed => "request.malformed",
            Self::RequestTooLarge => "request.too-large",
            Self::RequestMediaType => "request.media-type",
            Self::RequestInvalid => "request.invalid",
            Self::RequestRoute => "request.route",
            Self::RequestMethod => "request.method",
            Self::TerminalUnknown => "terminal.unknown",
            Self::TerminalRevoked => "terminal.revoked",
            Self::TerminalExpired => "terminal.expired",
            Self::TerminalRole => "terminal.role",
            Self::TerminalNone => "terminal.none",
            Self::TerminalConflict => "terminal.conflict",
            Self::TerminalSelf => "terminal.self",
            Self::ServerRate => "server.rate",
            Self::ServerBusy => "server.busy",
            Self::ServerSlow => "server.slow",
            Self::ServerStore => "server.store",
            Self::ServerFault => "server.fault",
            Self::TokenUnknown => "token.unknown",
            Self::TokenConflict => "token.conflict",
            Self::TokenNotTheirs => "token.not-theirs",
            Self::TokenFinal => "token.final",
            Self::UserUnknown => "user.unknown",
            Self::KeyTaken => "key.taken",
            Self::ProofMalformed => "proof.malformed",
            Self::ProofCertificate => "proof.certificate",
            Self::ProofSignature => "proof.signature",
            Self::ProofTerminal => "proof.terminal",
            Self::ProofReplayed => "proof.replayed",
            Self::ProofForeignNonce => "proof.foreign-nonce",
            Self::ProofExpired => "proof.expired",
            Self::ProofClone => "proof.clone",
            Self::ProofRequired => "proof.required",
        }
    }
}

impl Problem {
    /// Its code, if this release knows it.
    pub fn known_code(&self) -> Option<ProblemCode> {
        ProblemCode::ALL.into_iter().find(|known| known.as_str() == self.code)
    }

    /// Whether the presence proof is refused, possibly for a reason that only a later release knows.
    pub fn refuses_proof(&self) -> bool {
        self.code.starts_with("proof.")
    }

    /// Whether it concerns the token: any other failure is treated as if the server were unreachable.
    pub fn is_of_token(&self) -> bool {
        self.known_code() == Some(ProblemCode::TokenUnknown) || self.refuses_proof()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(code: &str) -> Problem {
        Problem { kind: String::new(), title: String::new(), status: 409, detail: None, code: code.to_owned() }
    }

    #[test]
    fn every_code_is_found_again_and_no_two_are_the_same() {
        for code in ProblemCode::ALL {
            assert_eq!(problem(code.as_str()).known_code(), Some(code));
        }
        for unknown in ["", "proof", "proof.", "Proof.clone", "proof.clone "] {
            assert_eq!(problem(unknown).known_code(), None, "{unknown}");
        }
    }

    #[test]
    fn a_refused_proof_stays_refused_whatever_the_reason_is_called() {
        let refused = |code: &str| problem(code).refuses_proof();
        assert!(refused("proof.clone") && refused("proof.of-a-later-release"));
        assert!(!refused("token.unknown") && !refused("server.busy") && !refused("proofs.none"));
    }
}
