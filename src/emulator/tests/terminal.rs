//! The terminal's own code to open a token, in both privacy modes.

use crate::channel::CommandName;
use uuid::Uuid;

use super::rig::{ADMIN, Draft, ECKA, READ, Rig, new_key};
use crate::{
    card::{
        apdu::ApduFormat,
        link::{Link, LinkError, Sensitivity as Tracing},
        status::Status,
    },
    channel::ChannelError,
    crypto::{
        random::SystemRandom,
        x509::{Certificate, CertificateProfile, TerminalRole},
    },
    terminal::tap::{Depth, Seen, TapError, Tapped, tap_card},
    token::{
        TokenError,
        commands::PART_MAX,
        constants::{PORTRAIT_MAX, TAG_PORTRAIT},
        open::{AuthenticationContext, Credentials, NoMemory, RememberedItem, SlotWish, TokenMemory},
        session::Session,
    },
};

fn tap(rig: &mut Rig, depth: Depth) -> Tapped {
    tap_with(rig, depth, &NoMemory, &mut |_, answer| answer).0
}

/// Alters an answer, given its command.
type Change<'a> = &'a mut dyn FnMut(&[u8], Vec<u8>) -> Vec<u8>;

/// A token whose answers are altered in transit; it records the commands.
struct Between<'a> {
    rig: &'a mut Rig,
    change: Change<'a>,
    sent: Vec<Vec<u8>>,
}

impl Link for Between<'_> {
    fn transmit(&mut self, command: &[u8], _: Tracing) -> Result<Vec<u8>, LinkError> {
        self.sent.push(command.to_vec());
        let answer = self.rig.token.process(command);
        Ok((self.change)(command, answer))
    }
}

/// A tap, and the INS of each command that it sent.
fn tap_with(rig: &mut Rig, depth: Depth, memory: &dyn TokenMemory, change: Change<'_>) -> (Tapped, Vec<u8>) {
    let certificate = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let class = CertificateProfile::Terminal(TerminalRole::Read);
    let credentials = Credentials {
        ca: *rig.ca.public(),
        key: rig.terminal.clone(),
        certificate: Certificate::verify(&certificate, rig.ca.public(), &[class]).unwrap(),
        previous: None,
    };
    let mut context = AuthenticationContext {
        credentials: &credentials,
        memory,
        nonce: [3; 32],
        now: "2026-11-23T00:00:00Z".parse().unwrap(),
        format: ApduFormat::Short,
        random: &mut SystemRandom,
        learned: Vec::new(),
        slot: SlotWish::No,
        nonce_shown: false,
    };
    let mut between = Between { rig, change, sent: Vec::new() };
    let tapped = tap_card(&mut between, &mut context, depth, None, None);
    (tapped, between.sent.iter().map(|apdu| apdu[1]).collect())
}

const SELECT: u8 = 0xA4;
const GET_DATA: u8 = 0xCA;
const VERIFY: u8 = 0x2A;
const AGREE: u8 = 0x82;

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

fn count(sent: &[u8], ins: u8) -> usize {
    sent.iter().map(|sent| usize::from(*sent == ins)).sum()
}

fn refusal(tapped: Tapped) -> TokenError {
    match tapped.result {
        Err(TapError::Token(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_a_refused_certificate_leads_to_a_question_after_the_ca() {
    let mut rig = Rig::issued();
    for (ins, status, step) in [
        (AGREE, 0x6A80, "MUTUAL AUTHENTICATE"),
        (AGREE, 0x6A88, "MUTUAL AUTHENTICATE"),
        (VERIFY, 0x6982, "PERFORM SECURITY OPERATION"),
        (VERIFY, 0x6985, "PERFORM SECURITY OPERATION"),
    ] {
        let status = Status(status);
        let mut change = |command: &[u8], answer: Vec<u8>| {
            if command[1] == ins { status.0.to_be_bytes().to_vec() } else { answer }
        };
        let (tapped, sent) = tap_with(&mut rig, Depth::Authenticate, &NoMemory, &mut change);
        let error = refusal(tapped);
        assert!(
            matches!(error, TokenError::Channel(ChannelError::Refused { step: s, status: t }) if (s.as_str(), t) == (step, status)),
            "{error:?}"
        );
        assert_eq!(count(&sent, GET_DATA), 1, "the certificate and nothing else");
    }
}

#[test]
fn a_certificate_that_our_own_ca_key_refuses_is_offered_once() {
    let mut rig = Rig::issued();
    for status in [0x6A80_u16, 0x6A88] {
        let mut change = |command: &[u8], answer: Vec<u8>| {
            // The last piece of a chain, or the only one.
            if command[1] == VERIFY && command[0] == 0x80 { status.to_be_bytes().to_vec() } else { answer }
        };
        let (tapped, sent) = tap_with(&mut rig, Depth::Authenticate, &NoMemory, &mut change);
        let error = refusal(tapped);
        assert!(matches!(error, TokenError::TerminalRefused(Status(s)) if s == status), "{error:?}");
        let pieces = count(&sent, VERIFY);
        assert_eq!(pieces, 2, "one certificate in two pieces");
    }
}

/// Has the same certificate cached for everything.
struct Remembers(Vec<u8>);

impl TokenMemory for Remembers {
    fn recall(&self, item: &RememberedItem) -> Option<Vec<u8>> {
        matches!(item, RememberedItem::Ecka(..)).then(|| self.0.clone())
    }
}

#[test]
fn a_card_that_is_another_after_it_was_selected_again_is_refused() {
    let mut rig = Rig::issued();
    let subject = Uuid::from_bytes(rig.id).to_string().into_bytes();
    let earlier = Draft { subject, ..Draft::new(ECKA, new_key().public(), &rig.ca) }.sign(&rig.ca);
    let memory = Remembers(earlier);
    for (other, works) in [(false, true), (true, false)] {
        let mut selected = 0;
        let mut change = |command: &[u8], mut answer: Vec<u8>| {
            selected += usize::from(command[1] == SELECT);
            if command[1] == SELECT && selected == 2 && other {
                // Another CA key first: the same token would not have changed it during a tap.
                let at = answer.len() - 2 - 18 - 1;
                answer[at] ^= 1;
            }
            answer
        };
        let (tapped, sent) = tap_with(&mut rig, Depth::Authenticate, &memory, &mut change);
        assert_eq!(count(&sent, SELECT), 2);
        match tapped.result {
            Ok(Seen::Authenticated(_)) => assert!(works),
            Err(TapError::Token(TokenError::Form(CommandName::Select))) => assert!(!works),
            result => panic!("{result:?}"),
        }
    }
}

#[test]
fn a_portrait_is_read_back_or_there_is_none() {
    let mut rig = Rig::issued();
    let mut session = Session::new(rig.role(ADMIN).messaging, ApduFormat::Short);
    assert_eq!(session.read_portrait(&mut rig.token).unwrap(), None);
    for length in [1, PART_MAX, PORTRAIT_MAX] {
        let portrait: Vec<u8> = (0..=255).cycle().take(length).collect();
        session.write_parts(&mut rig.token, TAG_PORTRAIT, &portrait).unwrap();
        assert_eq!(session.read_portrait(&mut rig.token).unwrap(), Some(portrait), "{length}");
    }
}
