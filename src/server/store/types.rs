//! What goes into the store and comes out of it.

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

/// A terminal that makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalRow {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it was revoked.
    pub revoked: bool,
    /// The thumbprints of the keys that it uses to tokens, one for each TLS key that is in use.
    pub ecka_keys: Vec<Vec<u8>>,
    /// The names that its certificates hold.
    pub subjects: Subjects,
    /// When the certificate of the key ends that it came with, as far as is known.
    pub until: Timestamp,
}

/// A certificate that a terminal came with, and that ends later than the one that is known of its key.
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
    /// The thumbprint (RFC 9679) of the key that it uses to tokens.
    pub ecka_key: [u8; 32],
    /// The common names of the certificates.
    pub subjects: Subjects,
    /// When the TLS certificate expires.
    pub not_after: Timestamp,
}

/// A terminal to be made known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTerminal {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its keys.
    pub keys: RegisteredKeys,
}

/// What became of a new terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is known now.
    New,
    /// It was known, with these keys and this role.
    Unchanged,
    /// There is another of this name, or one that was revoked.
    NameTaken,
    /// The key belongs to another terminal.
    KeyTaken,
}

/// The keys of a token, and what they were certified with.
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

/// What is registered of the identity of a token.
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
    /// Whose it is.
    pub user: User,
    /// Its keys.
    pub keys: TokenKeys,
    /// The token that it stands in for.
    pub replaces: Option<Uuid>,
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// The token is known, with these certificates: the ones given, or those of the same registration before.
    Registered(TokenKeys),
    /// The id is taken by a token with other keys, or of another user.
    Conflict,
    /// The token to be replaced is not known.
    NothingToReplace,
    /// The token to be replaced is another user's.
    NotTheirs,
}

/// What became of a change of status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusChange {
    /// This is what the token is now.
    Done(RegisteredToken),
    /// There is no such token.
    Unknown,
    /// It is revoked, and stays so.
    Final,
}

/// One lookup to be decided.
#[derive(Debug, Clone)]
pub struct LookupTask {
    /// Who asks.
    pub terminal: String,
    /// For which token.
    pub token_id: Uuid,
    /// With which proof.
    pub proof: PresentedProof,
    /// The nonces to give to the terminal.
    pub nonces: Vec<[u8; 32]>,
}

/// With what the id of the user begins to whom the tokens of a forgotten one belong.
pub const STAND_IN: &str = "forgotten-";

/// Adds lookups that came meanwhile, and tells the moment at which all of them are decided.
pub type JoiningLookups<'a> = dyn FnMut(&mut Vec<LookupTask>) -> Timestamp + Send + 'a;

/// The proof of a lookup, as far as it was checked without the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresentedProof {
    /// None was sent.
    Nothing,
    /// It does not hold.
    Refused(ProofRefusal),
    /// Its signature, its certificate and its terminal are right.
    Claims {
        /// The nonce in it.
        nonce: [u8; 32],
        /// The use counter in it.
        counter: u32,
        /// SHA-256 of what was signed.
        claims: [u8; 32],
    },
    /// None: the channel was resumed.
    Resumed {
        /// The use counter of the proof on which it rests.
        counter: u32,
        /// That proof came at this moment or later.
        since: Timestamp,
    },
}

/// Why a proof is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProofRefusal {
    /// It is not a message of our form, or for another token than the one asked for.
    Malformed,
    /// The certificate is not that of this token's identity key.
    Certificate,
    /// The identity key did not sign it.
    Signature,
    /// It was made for another terminal.
    Terminal,
    /// Its nonce was used before, or this very proof was.
    Replayed,
    /// Its nonce was given to another terminal.
    ForeignNonce,
    /// It came more than seven days after its nonce could be used.
    Expired,
    /// Its use counter contradicts what another proof has shown: two cards have one identity.
    Clone,
    /// None came, and the resumed channel rests on none that is here, of this terminal and young enough.
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

    /// The code of the problem.
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

/// What a lookup came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupResult {
    /// There is no such token.
    Unknown,
    /// The proof is not taken.
    Refused(ProofRefusal),
    /// This is what is known of it.
    Token {
        /// Whether it is let in.
        status: TokenStatus,
        /// Why not.
        reason: Option<String>,
        /// Whose it is.
        user: User,
        /// What the proof showed.
        freshness: Option<Freshness>,
        /// When the fresh proof came that was shown, or on which the resumed channel rests.
        proved: Option<Timestamp>,
    },
}

/// A record that a terminal was told of, and that this log does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRecord {
    /// The terminal.
    pub terminal: String,
    /// The record.
    pub head: AuditHead,
    /// When the terminal said so.
    pub at: Timestamp,
}

/// A token that terminals keep out more than this store does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostStatus {
    /// The token.
    pub token_id: Uuid,
    /// Whose it is; none where this store does not know the token.
    pub user_id: Option<String>,
    /// What this store says of it; none where it does not know it.
    pub known: Option<TokenStatus>,
    /// What terminals were told.
    pub status: TokenStatus,
    /// Why.
    pub reason: Option<String>,
    /// Who says so.
    pub terminals: Vec<String>,
}

/// What became of events that a terminal brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventsKept {
    /// They are there; so many were new.
    Stored(u32),
    /// Another event stands under this number: nothing was stored.
    Conflict(i64),
}

/// An event that a terminal brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its number in its list.
    pub seq: i64,
    /// The object, as it was sent.
    pub body: String,
    /// What the server takes out of it.
    pub index: EventIndex,
}

/// Which events are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only those of this user.
    pub user: Option<String>,
    /// Only those at this moment or after it.
    pub since: Option<Timestamp>,
    /// Only those before this moment.
    pub until: Option<Timestamp>,
    /// Only those after this one.
    pub after: Option<EventMark>,
}

/// The place of an event among all of them.
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

/// What was forgotten because it was old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Events.
    pub events: u64,
    /// Proofs.
    pub proofs: u64,
    /// Nonces.
    pub nonces: u64,
    /// Whether there is more.
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
