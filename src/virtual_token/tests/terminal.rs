//! The terminal's own way in, on tokens in both privacy modes.

use uuid::Uuid;

use super::rig::{Draft, READ, Rig};
use crate::{
    card::apdu::Format,
    crypto::{
        random::SystemRandom,
        x509::{Certificate, Class, Role},
    },
    tap::{Depth, Seen, TapError, Tapped, visit},
    token::{
        TokenError,
        open::{Credentials, Forgetful, Visit},
    },
};

fn tap(rig: &mut Rig, depth: Depth) -> Tapped {
    let certificate = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let class = Class::Terminal(Role::Read);
    let credentials = Credentials {
        ca: *rig.ca.public(),
        key: rig.terminal.clone(),
        certificate: Certificate::verify(&certificate, rig.ca.public(), &[class]).unwrap(),
    };
    let mut around = Visit {
        credentials: &credentials,
        memory: &Forgetful,
        nonce: [3; 32],
        now: "2026-11-23T00:00:00Z".parse().unwrap(),
        format: Format::Short,
        random: &mut SystemRandom,
        learned: Vec::new(),
    };
    visit(&mut rig.token, &mut around, depth)
}

#[test]
fn a_private_token_tells_who_it_is_only_inside_the_channel() {
    let mut rig = Rig::issued_private();
    let refused = tap(&mut rig, Depth::Identify);
    assert!(matches!(refused.result, Err(TapError::Private)));
    assert_eq!(refused.told, None);
    let tapped = tap(&mut rig, Depth::Authenticate);
    assert_eq!(tapped.told, None);
    let Ok(Seen::Authenticated(token)) = tapped.result else { panic!("{:?}", tapped.result) };
    assert_eq!(token.token_id, Uuid::from_bytes(rig.id));
    assert_eq!((token.user.id.as_str(), token.user.name.as_str()), ("a", "b"));
}

#[test]
fn an_open_token_of_another_authority_is_refused() {
    let mut rig = Rig::issued();
    assert!(matches!(tap(&mut rig, Depth::Authenticate).result, Ok(Seen::Authenticated(_))));
    rig.ca = super::rig::new_key();
    let refused = tap(&mut rig, Depth::Authenticate).result;
    assert!(matches!(refused, Err(TapError::Token(TokenError::OtherAuthority))), "{refused:?}");
}
