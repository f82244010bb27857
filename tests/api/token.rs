//! Tokens in software, and the proofs that they make.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rollcall::{
    api::{
        User,
        v1::{AuditHead, LookupRequest, TokenCertificates, TokenRequest},
    },
    crypto::{
        ec::{self, KeyPair},
        random::{SystemRandom, bytes},
    },
    proof::{Claims, thumbprint},
    server_client::ServerClient,
};
use uuid::Uuid;

use super::site::Terminal;

/// A token whose private keys the test holds.
pub struct Token {
    pub id: Uuid,
    pub identity: KeyPair,
    pub ecka: KeyPair,
}

pub fn user(id: &str) -> User {
    User { id: id.to_owned(), name: format!("Person {id}"), fields: [("team".to_owned(), "α".to_owned())].into() }
}

impl Token {
    pub fn new() -> Self {
        let id = uuid::Builder::from_random_bytes(bytes(&mut SystemRandom).unwrap()).into_uuid();
        let pair = || KeyPair::generate(&mut SystemRandom).unwrap();
        Self { id, identity: pair(), ecka: pair() }
    }

    pub fn request(&self, user_id: &str) -> TokenRequest {
        TokenRequest {
            token_id: self.id,
            user: user(user_id),
            identity_key: BASE64_URL_SAFE_NO_PAD.encode(self.identity.public().as_bytes()),
            ecka_key: BASE64_URL_SAFE_NO_PAD.encode(self.ecka.public().as_bytes()),
            replaces: None,
        }
    }

    /// A registered token.
    pub fn registered(server: &ServerClient, user_id: &str) -> (Self, TokenCertificates) {
        let token = Self::new();
        let certificates = server.register_token(&token.request(user_id)).unwrap();
        (token, certificates)
    }

    pub fn claims(&self, terminal: &Terminal, nonce: [u8; 32], counter: u32) -> Claims {
        Claims {
            terminal: thumbprint(terminal.keys.ecka.public()),
            nonce,
            token_id: *self.id.as_bytes(),
            binding: [7; 32],
            counter,
            record: [9; 32],
        }
    }

    /// A lookup with a proof over this nonce.
    pub fn ask(&self, terminal: &Terminal, nonce: [u8; 32], counter: u32) -> LookupRequest {
        lookup(self.id, Some(&message(&self.claims(terminal, nonce, counter), &self.identity)))
    }
}

pub fn lookup(token_id: Uuid, cose: Option<&[u8]>) -> LookupRequest {
    let proof = cose.map(|cose| BASE64_URL_SAFE_NO_PAD.encode(cose));
    LookupRequest { token_id, proof, identity_certificate: None, resumed: None, nonces: 0 }
}

/// The COSE_Sign1 of these claims, put together by hand.
pub fn message(claims: &Claims, key: &KeyPair) -> Vec<u8> {
    let signed = claims.sig_structure();
    let signature = ec::signature_to_raw(&key.sign(&signed).unwrap()).unwrap();
    let (protected, payload) = (&signed[14..44], &signed[signed.len() - 182..]);
    [b"\xD2\x84\x58\x1E", protected, b"\xA1\x04\x50", &claims.token_id, b"\x58\xB6", payload, b"\x58\x40", &signature]
        .concat()
}

/// A nonce of the server for this terminal.
pub fn nonce(server: &ServerClient) -> [u8; 32] {
    nonces(server, 1)[0]
}

pub fn nonces(server: &ServerClient, count: u16) -> Vec<[u8; 32]> {
    let given = server.nonces(count).unwrap().nonces;
    given.iter().map(|n| BASE64_URL_SAFE_NO_PAD.decode(&n.nonce).unwrap().try_into().unwrap()).collect()
}

/// The code of a refusal.
pub fn code<T: std::fmt::Debug>(answer: Result<T, rollcall::server_client::ServerError>) -> String {
    match answer {
        Err(rollcall::server_client::ServerError::Problem(problem)) => problem.code,
        other => panic!("{other:?}"),
    }
}

/// What a terminal knows of the audit log at its first request.
pub fn nothing_told() -> AuditHead {
    AuditHead { seq: 0, hash: String::new() }
}
