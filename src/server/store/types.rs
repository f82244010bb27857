//! The types that go into the store and come out of it.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    api::{
        User,
        problem::ProblemCode,
        v1::{AuditHead, Freshness, RegisteredToken, Role, TokenStatus},
    },
    server::presence::EventIndex,
};

/// A terminal that sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalRow {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it was revoked.
    pub revoked: bool,
    /// The thumbprints of the keys with which it authenticates to tokens, one for each TLS key in use.
    pub ecka_keys: Vec<Vec<u8>>,
    /// The names in its certificates.
    pub subjects: Subjects,
    /// When the certificate of its TLS key ends, as far as is known.
    pub until: Timestamp,
}

/// A certificate that a terminal presented, and that ends later than the known one of the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    /// The name of the terminal.
    pub terminal: String,
    /// SHA-256 of the point of its TLS key.
    pub tls_key: [u8; 32],
    /// When the certificate ends.
    pub until: Timestamp,
}

/// The common names of a terminal's two certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    /// Of the TLS certificate.
    pub tls: String,
    /// Of the certificate for tokens.
    pub ecka: String,
}

/// The keys of a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredKeys {
    /// SHA-256 of the 65-byte point of its TLS key.
    pub tls_key: [u8; 32],
    /// The thumbprint (RFC 9679) of the key with which it authenticates to tokens.
    pub ecka_key: [u8; 32],
    /// The common names of the certificates.
    pub subjects: Subjects,
    /// When the TLS certificate expires.
    pub not_after: Timestamp,
}

/// A terminal to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTerminal {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its keys.
    pub keys: RegisteredKeys,
}

/// The result of registering a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is registered now.
    New,
    /// It was registered before, with these keys and this role.
    Unchanged,
    /// The name belongs to a terminal that is neither revoked nor expired.
    NameTaken,
    /// The key belongs to another terminal.
    KeyTaken,
}

/// The keys of a token, with their certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKeys {
    /// The public identity key, 65 bytes.
    pub identity_key: Vec<u8>,
    /// The public own ECKA key, 65 bytes.
    pub ecka_key: Vec<u8>,
    /// The certificate of the identity key, DER.
    pub identity_certificate: Vec<u8>,
    /// The certificate of the own ECKA key, DER.
    pub ecka_certificate: Vec<u8>,
}

/// The registered identity of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredIdentity {
    /// The public key, 65 bytes.
    pub key: Vec<u8>,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
}

/// A token to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its id.
    pub token_id: Uuid,
    /// Its user.
    pub user: User,
    /// Its keys.
    pub keys: TokenKeys,
    /// The token that it replaces.
    pub replaces: Option<Uuid>,
}

/// The result of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// The token is registered with these certificates: the given ones, or those of the same registration before.
    Registered(TokenKeys),
    /// The id belongs to a token with other keys, or of another user.
    Conflict,
    /// The token to be replaced is unknown.
    NothingToReplace,
    /// The token to be replaced belongs to another user.
    NotTheirs,
}

/// The result of a change of status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusChange {
    /// The token after the change.
    Done(RegisteredToken),
    /// There is no such token.
    Unknown,
    /// It is revoked permanently.
    Final,
}

/// One lookup to be decided.
#[derive(Debug, Clone)]
pub struct LookupTask {
    /// The requesting terminal.
    pub terminal: String,
    /// The token looked up.
    pub token_id: Uuid,
    /// The proof sent with it.
    pub proof: PresentedProof,
    /// The nonces to give to the terminal.
    pub nonces: Vec<[u8; 32]>,
}

/// The prefix of the id of the user that gets the tokens of a forgotten one.
pub const STAND_IN: &str = "forgotten-";

/// Adds lookups that arrived meanwhile, and returns the time at which all of them are decided.
pub type JoiningLookups<'a> = dyn FnMut(&mut Vec<LookupTask>) -> Timestamp + Send + 'a;

/// The proof of a lookup, checked as far as possible without the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresentedProof {
    /// None was sent.
    Nothing,
    /// It is not valid.
    Refused(ProofRefusal),
    /// Its signature, certificate and terminal are right.
    Claims {
        /// The nonce in it.
        nonce: [u8; 32],
        /// The use counter in it.
        counter: u32,
        /// SHA-256 of what was signed.
        claims: [u8; 32],
    },
    /// None was sent, because the channel was resumed.
    Resumed {
        /// The use counter of the proof on which it rests.
        counter: u32,
        /// That proof must have come at this time or later.
        since: Timestamp,
    },
}

/// Why a proof is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProofRefusal {
    /// It is not a message of our form, or is for another token than the one looked up.
    Malformed,
    /// The certificate is not that of this token's identity key.
    Certificate,
    /// The identity key did not sign it.
    Signature,
    /// It was made for another terminal.
    Terminal,
    /// Its nonce, or the proof itself, was used before.
    Replayed,
    /// Its nonce was given to another terminal.
    ForeignNonce,
    /// It came more than seven days after its nonce could be used.
    Expired,
    /// Its use counter contradicts what another proof has shown: two cards have one identity.
    Clone,
    /// None was sent, and the resumed channel rests on no stored proof of this terminal that is recent enough.
    Required,
}

impl ProofRefusal {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::Certificate,
        Self::Signature,
        Self::Terminal,
        Self::Replayed,
        Self::ForeignNonce,
        Self::Expired,
        Self::Clone,
        Self::Required,
    ];

    /// The problem code.
    pub const fn code(self) -> ProblemCode {
        match self {
            Self::Malformed => ProblemCode::ProofMalformed,
            Self::Certificate => ProblemCode::ProofCertificate,
            Self::Signature => ProblemCode::ProofSignature,
            Self::Terminal => ProblemCode::ProofTerminal,
            Self::Replayed => ProblemCode::ProofReplayed,
            Self::ForeignNonce => ProblemCode::ProofForeignNonce,
            Self::Expired => ProblemCode::ProofExpired,
            Self::Clone => ProblemCode::ProofClone,
            Self::Required => ProblemCode::ProofRequired,
        }
    }
}

/// The result of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupResult {
    /// There is no such token.
    Unknown,
    /// The proof is not accepted.
    Refused(ProofRefusal),
    /// The token is known.
    Token {
        /// Its status; only an active token is let in.
        status: TokenStatus,
        /// The reason for any other status.
        reason: Option<String>,
        /// Its user.
        user: User,
        /// How fresh the proof is.
        freshness: Option<Freshness>,
        /// When the fresh proof came: this one, or the one on which the resumed channel rests.
        proved: Option<Timestamp>,
    },
}

/// A record whose head a terminal was given, but that this log does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRecord {
    /// The terminal.
    pub terminal: String,
    /// The head of the record.
    pub head: AuditHead,
    /// When the terminal reported it.
    pub at: Timestamp,
}

/// A token with a stricter status at terminals than in this store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostStatus {
    /// The token.
    pub token_id: Uuid,
    /// Its user; `None` if this store does not know the token.
    pub user_id: Option<String>,
    /// Its status in this store; `None` if this store does not know it.
    pub known: Option<TokenStatus>,
    /// The status that terminals hold.
    pub status: TokenStatus,
    /// The reason for that status.
    pub reason: Option<String>,
    /// The terminals that hold it.
    pub terminals: Vec<String>,
}

/// The result of storing events of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventsKept {
    /// They are stored; this many were new.
    Stored(u32),
    /// There is another event under this number: nothing was stored.
    Conflict(i64),
}

/// An event that a terminal sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its number in its list.
    pub seq: i64,
    /// The object, as it was sent.
    pub body: String,
    /// What the server extracts from it.
    pub index: EventIndex,
}

/// The events to search for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only those of this user.
    pub user: Option<String>,
    /// Only those at this time or after it.
    pub since: Option<Timestamp>,
    /// Only those before this time.
    pub until: Option<Timestamp>,
    /// Only those after this one.
    pub after: Option<EventMark>,
}

/// The position of an event among all events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMark {
    /// When it happened, in milliseconds.
    pub at: i64,
    /// The terminal.
    pub terminal: String,
    /// The list.
    pub list: Uuid,
    /// The number.
    pub seq: i64,
}

/// What was deleted because of its age.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Events.
    pub events: u64,
    /// Proofs.
    pub proofs: u64,
    /// Nonces.
    pub nonces: u64,
    /// Whether more is left to delete.
    pub more: bool,
}

/// How many records of the log name the tokens of a user, up to one record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountedRecords {
    /// The number of that record.
    pub upto: i64,
    /// How many, by the id of the token.
    pub by_token: HashMap<String, u64>,
}
