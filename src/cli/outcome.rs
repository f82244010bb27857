//! Converts the outcome of a tap into what is printed.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::views;
use crate::{
    terminal::{
        admission::{ServerVerdict, TapOutcome},
        tap::Timings,
    },
    token::open::Evidence,
};

/// The timings, for `-v`.
pub fn account(outcome: &TapOutcome) -> String {
    let Timings { connect, authenticate, read, total, inside } = outcome.timings;
    let ms = |time: std::time::Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let nonce = if outcome.is_resumed {
        ", resumed"
    } else if outcome.server_nonce {
        ", nonce of the server"
    } else {
        ""
    };
    let server = outcome.server_took.map_or_else(String::new, |took| format!(", server {}", ms(took)));
    format!(
        "{}: {} exchange{}, {} at the card; connect {}, authenticate {}, read {}, total {}{server}{nonce}",
        outcome.reader,
        outcome.exchanges,
        if outcome.exchanges == 1 { "" } else { "s" },
        ms(inside),
        ms(connect),
        ms(authenticate),
        ms(read),
        ms(total),
    )
}

/// The object `rollcall.scan/1`; `proof` includes the message of the presence proof.
pub fn scan_view(outcome: &TapOutcome, proof: bool) -> views::ScanView {
    let (admitted, holder) = (outcome.decision.admitted(), outcome.decision.holder());
    let timings = outcome.timings;
    let token_id = holder.map(|(token_id, _)| token_id).or(outcome.told);
    views::ScanView {
        schema: views::Schema::default(),
        at: outcome.at.into(),
        reader: outcome.reader.clone(),
        token_id,
        identified: token_id.is_some(),
        authenticated: views::AuthenticatedView {
            token: admitted.is_some(),
            server: server_verdict(outcome.decision.server()),
        },
        source: admitted.map(|admission| admission.source),
        user: admitted.map(|admission| admission.token.user.clone()),
        proof: admitted.and_then(|admission| proof_view(&admission.token.evidence, outcome.server_nonce, proof)),
        timings_ms: views::TimingsView {
            connect: timings.connect.into(),
            authenticate: timings.authenticate.into(),
            read: timings.read.into(),
            server: outcome.server_took.map(Into::into),
            total: timings.total.into(),
            card: timings.inside.into(),
        },
        exchanges: outcome.exchanges,
        error: outcome.failure().map(|failure| failure.to_json()),
    }
}

/// `message` includes the message and the identity certificate. A resumed channel has no proof.
fn proof_view(evidence: &Evidence, server_nonce: bool, message: bool) -> Option<views::ProofView> {
    let Evidence::Proof { proof, identity_certificate } = evidence else { return None };
    Some(views::ProofView {
        verified: true,
        counter: proof.counter,
        nonce_source: if server_nonce { views::NonceSource::Server } else { views::NonceSource::Local },
        cose: message.then(|| BASE64_URL_SAFE_NO_PAD.encode(&proof.cose)),
        identity_certificate: message.then(|| BASE64_URL_SAFE_NO_PAD.encode(identity_certificate)),
    })
}

const fn server_verdict(verdict: Option<ServerVerdict>) -> views::ServerVerdictView {
    match verdict {
        None => views::ServerVerdictView::NotAsked,
        Some(ServerVerdict::Known) => views::ServerVerdictView::Authenticated,
        Some(ServerVerdict::Away) => views::ServerVerdictView::Unreachable,
        Some(ServerVerdict::Refused) => views::ServerVerdictView::Refused,
    }
}
