//! What one tap came to: judged against what this terminal knows, told to the list, and printed.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use uuid::Uuid;

use super::json;
use crate::{
    api::User,
    card::{
        link::LinkError,
        trace::{self, Judged, TraceRecord},
    },
    failure::{ExitClass, Failure},
    reader::Insertion,
    terminal::admission::{Origin, Rules, ServerVerdict, decide},
    terminal::lookups::LookupOutcome,
    terminal::presence::{
        Holder, Input, Refused, Source, Tap,
        store::{CertificateOf, TerminalStore, TerminalStoreError},
    },
    terminal::tap::{Seen, TapError, Tapped, Timings, replay::Played},
    token::{
        TokenError,
        open::{RememberedItem, TokenMemory},
        select::TokenMode,
    },
};

/// One finished tap, and where and when it was.
#[derive(Debug)]
pub struct Outcome {
    /// When it ended.
    pub at: Timestamp,
    /// Where.
    pub reader: String,
    /// Which insertion.
    pub insertion: Insertion,
    /// What came of it.
    pub tapped: Tapped,
    /// Who it was, also when this terminal then refused it.
    who: Option<(Uuid, User)>,
    /// What the server had to do with it.
    server: ServerPart,
}

/// What the server had to do with an outcome.
#[derive(Debug, Default)]
struct ServerPart {
    /// What it said; none when it was not asked.
    word: Option<ServerVerdict>,
    /// Who said whose the token is.
    origin: Option<Origin>,
    /// How long the request took.
    took: Option<Duration>,
    /// What whoever stands there is to know.
    warning: Option<String>,
}

impl Outcome {
    /// Takes a finished tap, remembers what is worth it, and refuses what this terminal has a reason to refuse: a use
    /// counter that fell back, and whom the operator denied. `insertion` is the one of the reader: the list, which
    /// several processes write, is told the part of it that they agree on.
    pub fn judge(
        store: &mut TerminalStore,
        at: Timestamp,
        reader: String,
        insertion: Insertion,
        mut tapped: Tapped,
        answered: Option<(&LookupOutcome, &Rules)>,
    ) -> Result<Self, TerminalStoreError> {
        for (item, der) in std::mem::take(&mut tapped.learned) {
            match der {
                Some(der) => store.keep_certificate(&certificate_of(item), &der)?,
                None => store.forget_certificate(&certificate_of(item))?,
            }
        }
        let mut who = None;
        let mut judged = Judged { server: answered.is_some(), ..Judged::default() };
        if let Ok(Seen::Authenticated(token)) = &tapped.result {
            let (token_id, counter, user) = (token.token_id, token.proof.counter, token.user.clone());
            if let Some(last) = refused_counter(store, token_id, counter)? {
                judged.last_counter = Some(last);
                tapped.result = Err(TapError::Counter { last, found: counter });
            } else if store.list()?.is_denied(&token_id.to_string()) || store.list()?.is_denied(&user.id) {
                judged.denied = true;
                tapped.result = Err(TapError::Denied);
            }
            who = Some((token_id, user));
        }
        let mut outcome =
            Self { at, reader, insertion: insertion.shared(), tapped, who, server: ServerPart::default() };
        if let Some((answered, rules)) = answered {
            outcome.apply_lookup(answered, rules);
            // Whom the operator refused here, under the id that the server gives, is refused too.
            if let Ok(Seen::Authenticated(token)) = &outcome.tapped.result
                && store.list()?.is_denied(&token.user.id)
            {
                judged.denied = true;
                outcome.tapped.result = Err(TapError::Denied);
            }
        }
        trace_judgement(outcome.tapped.traced, judged);
        Ok(outcome)
    }

    /// The outcome of a tap that was played from a trace: this terminal knows nothing of the token, and what the one that
    /// wrote the trace had against it is in there.
    pub fn played(tap: Played) -> Self {
        let Played { at, reader, mut tapped, judged } = tap;
        let mut who = None;
        if let Ok(Seen::Authenticated(token)) = &tapped.result {
            who = Some((token.token_id, token.user.clone()));
            let found = token.proof.counter;
            match judged {
                Judged { last_counter: Some(last), .. } => tapped.result = Err(TapError::Counter { last, found }),
                Judged { denied: true, .. } => tapped.result = Err(TapError::Denied),
                _ => {}
            }
        }
        Self { at, reader, insertion: Insertion::default(), tapped, who, server: ServerPart::default() }
    }

    /// Takes what the server said, or says while it is away, of a token that this terminal would let in.
    fn apply_lookup(&mut self, answered: &LookupOutcome, rules: &Rules) {
        self.server.took = answered.took;
        let Ok(Seen::Authenticated(token)) = &mut self.tapped.result else { return };
        match decide(&token.user, answered, rules, self.at) {
            Ok(admitted) => {
                token.user = admitted.user.clone();
                self.who = Some((token.token_id, admitted.user));
                self.server.word = Some(admitted.word);
                self.server.origin = Some(admitted.origin);
                self.server.warning = admitted.warning;
            }
            Err(refusal) => {
                self.server.word = Some(refusal.word());
                self.tapped.result = Err(refusal.into());
            }
        }
    }

    /// What whoever stands there is to know, though it is no failure.
    pub fn warning(&self) -> Option<&str> {
        self.server.warning.as_deref()
    }

    fn source(&self) -> Source {
        match self.server.origin {
            Some(Origin::Server) => Source::Server,
            _ => Source::Card,
        }
    }

    /// The token that was authenticated and let in.
    pub fn authenticated(&self) -> Option<Uuid> {
        match &self.tapped.result {
            Ok(Seen::Authenticated(token)) => Some(token.token_id),
            _ => None,
        }
    }

    /// The failure, when it is one.
    pub fn failure(&self) -> Option<Failure> {
        self.tapped.failure()
    }

    /// The class of the failure.
    pub fn class(&self) -> Option<ExitClass> {
        self.failure().map(|f| f.class)
    }

    /// What the list is told. An exchange that broke says nothing about who is there.
    pub fn input(&self) -> Option<Input> {
        match &self.tapped.result {
            Ok(Seen::Identified(_)) => None,
            Ok(Seen::Authenticated(token)) => Some(Input::Tap(Tap {
                reader: self.reader.clone(),
                insertion: self.insertion,
                holder: Holder {
                    token_id: token.token_id,
                    user: token.user.clone(),
                    source: self.source(),
                    authenticated: true,
                },
            })),
            Err(error) if is_about_the_link(error) => None,
            Err(error) => Some(Input::Refused(Refused {
                reader: self.reader.clone(),
                insertion: self.insertion,
                error: error.to_failure(self.tapped.exchanges).to_json(),
                token_id: self.who.as_ref().map(|(id, _)| *id).or(self.tapped.told),
                user: self.who.as_ref().map(|(_, user)| user.clone()),
            })),
        }
    }

    /// Where the time went, for who asked with `-v`.
    pub fn account(&self) -> String {
        let Timings { connect, authenticate, read, total, inside } = self.tapped.timings;
        let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        let nonce = if self.tapped.server_nonce { ", nonce of the server" } else { "" };
        let server = self.server.took.map_or_else(String::new, |took| format!(", server {}", ms(took)));
        format!(
            "{}: {} exchanges, {} at the card; connect {}, authenticate {}, read {}, total {}{server}{nonce}",
            self.reader,
            self.tapped.exchanges,
            ms(inside),
            ms(connect),
            ms(authenticate),
            ms(read),
            ms(total),
        )
    }

    /// The object `rollcall.scan/1`; `proof` puts the message of the presence proof into it.
    pub fn object(&self, proof: bool) -> json::ScanView {
        let token = match &self.tapped.result {
            Ok(Seen::Authenticated(token)) => Some(token),
            _ => None,
        };
        let timings = self.tapped.timings;
        json::ScanView {
            schema: json::Schema::default(),
            at: self.at.into(),
            reader: self.reader.clone(),
            token_id: self.who.as_ref().map(|(id, _)| *id).or(self.tapped.told),
            identified: self.who.is_some() || self.tapped.told.is_some(),
            authenticated: json::AuthenticatedView { token: token.is_some(), server: said(self.server.word) },
            source: token.map(|_| self.source()),
            user: token.map(|token| token.user.clone()),
            proof: token.map(|token| json::ProofView {
                verified: true,
                counter: token.proof.counter,
                nonce_source: if self.tapped.server_nonce {
                    json::NonceSource::Server
                } else {
                    json::NonceSource::Local
                },
                cose: proof.then(|| BASE64_URL_SAFE_NO_PAD.encode(&token.proof.cose)),
            }),
            timings_ms: json::TimingsView {
                connect: timings.connect.into(),
                authenticate: timings.authenticate.into(),
                read: timings.read.into(),
                server: self.server.took.map(Into::into),
                total: timings.total.into(),
                card: timings.inside.into(),
            },
            exchanges: self.tapped.exchanges,
            error: self.failure().map(|f| f.to_json()),
        }
    }
}

const fn said(word: Option<ServerVerdict>) -> json::ServerVerdictView {
    match word {
        None => json::ServerVerdictView::NotAsked,
        Some(ServerVerdict::Known) => json::ServerVerdictView::Authenticated,
        Some(ServerVerdict::Away) => json::ServerVerdictView::Unreachable,
        Some(ServerVerdict::Refused) => json::ServerVerdictView::Refused,
    }
}

/// Writes into the trace, where there is one, what this terminal had against the token.
fn trace_judgement(tap: u32, judged: Judged) {
    if let Some(trace) = trace::write::current().filter(|_| tap > 0 && judged != Judged::default()) {
        trace.lone(tap, TraceRecord::Judged(judged));
    }
}

/// The last counter, when this one is not greater.
fn refused_counter(store: &mut TerminalStore, token_id: Uuid, counter: u32) -> Result<Option<u32>, TerminalStoreError> {
    if store.record_counter(token_id, counter)? {
        return Ok(None);
    }
    Ok(Some(store.counter(token_id)?.unwrap_or(counter)))
}

/// Whether an error is about the exchange, and not about the card. A mute card is one that lies there.
fn is_about_the_link(error: &TapError) -> bool {
    match error {
        TapError::Link(e) | TapError::Token(TokenError::Link(e)) => {
            !matches!(e, LinkError::CardMute | LinkError::TimedOut | LinkError::Malformed(_))
        }
        _ => false,
    }
}

/// Where the store keeps this.
pub fn certificate_of(item: RememberedItem) -> CertificateOf {
    match item {
        RememberedItem::Identity(token_id) => CertificateOf::Identity(token_id),
        RememberedItem::Ecka(TokenMode::Open(token_id), kvn) => CertificateOf::Own { token_id, kvn },
        RememberedItem::Ecka(TokenMode::Private(set_id), kvn) => CertificateOf::Set { set_id, kvn },
    }
}

/// The memory of a terminal: its store, opened once more for the threads of the readers.
#[derive(Debug)]
pub struct StoreMemory(pub std::sync::Mutex<TerminalStore>);

impl TokenMemory for StoreMemory {
    fn recall(&self, item: &RememberedItem) -> Option<Vec<u8>> {
        // A store that cannot be read costs an exchange, not the tap.
        let store = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        store.certificate(&certificate_of(*item)).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{proof::VerifiedProof, token::open::AuthenticatedToken};

    fn tapped(token_id: Uuid, counter: u32) -> Tapped {
        let user = User { id: "7".into(), name: "Ada Lovelace".into(), fields: [].into() };
        let proof = VerifiedProof { counter, record: [0; 120], cose: Vec::new() };
        let token = AuthenticatedToken { token_id, proof, user };
        Tapped { result: Ok(Seen::Authenticated(Box::new(token))), ..Tapped::failed(TapError::Foreign) }
    }

    /// The same counter twice, or a lower one: two cards have one identity, or a proof came a second time.
    #[test]
    fn a_counter_that_does_not_rise_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let mut store = TerminalStore::open(home.path()).unwrap();
        let (token, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let cases = [
            (token, 5, None),
            (token, 5, Some(5)),
            (token, 4, Some(5)),
            (other, 1, None),
            (token, 6, None),
            (token, 5, Some(6)),
            (other, 2, None),
        ];
        for (id, counter, refused_after) in cases {
            let at = "2026-11-23T07:00:00Z".parse().unwrap();
            let outcome = Outcome::judge(&mut store, at, "reader".into(), 1.into(), tapped(id, counter), None).unwrap();
            let told = outcome.input();
            match refused_after {
                None => {
                    assert_eq!(outcome.authenticated(), Some(id), "{counter}");
                    assert!(matches!(told, Some(Input::Tap(_))));
                }
                Some(expected) => {
                    assert_eq!(outcome.authenticated(), None, "{counter}");
                    assert_eq!(outcome.failure().unwrap().code, "token.counter");
                    assert!(matches!(outcome.tapped.result, Err(TapError::Counter { last, .. }) if last == expected));
                    assert!(matches!(told, Some(Input::Refused(Refused { token_id: Some(t), .. })) if t == id));
                    assert!(!outcome.object(true).authenticated.token);
                }
            }
        }
    }

    /// A replay has no list and no counters: what the terminal had against the token is as it was recorded.
    #[test]
    fn a_played_tap_is_refused_as_it_was() {
        let played = |judged| {
            let at = "2026-11-23T07:00:00Z".parse().unwrap();
            let outcome =
                Outcome::played(Played { at, reader: "reader".into(), tapped: tapped(Uuid::nil(), 5), judged });
            (outcome.failure().map(|failure| failure.code), outcome.object(false).user.is_some())
        };
        assert_eq!(played(Judged::default()), (None, true));
        assert_eq!(played(Judged { denied: true, ..Judged::default() }), (Some("token.denied"), false));
        assert_eq!(played(Judged { last_counter: Some(5), ..Judged::default() }), (Some("token.counter"), false));
    }
}
