//! Tests of the card platform around the applet.

use crate::{
    card::tlv,
    crypto::{
        CryptoError,
        random::{Random, SystemRandom},
    },
    emulator::{CardPlatform, PlatformAnswer, Uid},
};

const UID: &str = "FFCA000000";
const DOMAIN: &str = "00A4040008A00000015100000000";
const OURS: &str = "00A404000AF0524F4C4C43414C4C0100";

fn platform(uid: Uid, number: u8) -> CardPlatform {
    CardPlatform::new(uid, &[number; 10], Box::new(SystemRandom)).unwrap()
}

fn ask(platform: &mut CardPlatform, apdu: &str) -> PlatformAnswer {
    platform.answer(&hex::decode(apdu).unwrap())
}

fn uid(platform: &mut CardPlatform) -> Vec<u8> {
    let PlatformAnswer::ByReader(answer) = ask(platform, UID) else { panic!("the reader tells it") };
    assert!(answer.ends_with(&[0x90, 0]));
    answer
}

#[test]
fn a_fixed_uid_stays_and_a_random_one_changes_with_the_field_only() {
    let (mut fixed, mut random) = (platform(Uid::Fixed, 1), platform(Uid::Random, 1));
    let first = (uid(&mut fixed), uid(&mut random));
    assert_eq!((first.0.len(), first.0[0]), (9, 4));
    assert_eq!((first.1.len(), first.1[0]), (6, 8));
    assert_eq!((uid(&mut fixed), uid(&mut random)), first);
    fixed.reset();
    random.reset();
    assert_eq!(uid(&mut fixed), first.0);
    assert_ne!(uid(&mut random), first.1);
    assert_ne!(uid(&mut platform(Uid::Fixed, 2)), first.0);
}

#[test]
fn the_security_domain_tells_who_the_card_is_while_it_is_selected() {
    let mut card = platform(Uid::Fixed, 1);
    let cplc = "80CA9F7F00";
    assert_eq!(ask(&mut card, cplc), PlatformAnswer::ByNobody);
    let select = |card: &mut CardPlatform| {
        assert!(matches!(ask(card, DOMAIN), PlatformAnswer::ByDomain(a) if a.ends_with(&[0x90, 0])));
    };
    select(&mut card);
    let PlatformAnswer::ByDomain(answer) = ask(&mut card, cplc) else { panic!("it is selected") };
    let told = tlv::only(&answer[..answer.len() - 2], 0x9F7F).unwrap().to_vec();
    assert_eq!(told.len(), 42);
    let PlatformAnswer::ByDomain(answer) = ask(&mut card, "8050000008010203040506070800") else {
        panic!("it is selected")
    };
    assert_eq!(answer.len(), 10 + 3 + 16 + 2);
    assert_eq!(ask(&mut card, "80CA004200"), PlatformAnswer::ByDomain(vec![0x6A, 0x88]));
    // The token is selected instead, or the field was off.
    assert_eq!(ask(&mut card, OURS), PlatformAnswer::ByNobody);
    assert_eq!(ask(&mut card, cplc), PlatformAnswer::ByNobody);
    select(&mut card);
    card.reset();
    assert_eq!(ask(&mut card, cplc), PlatformAnswer::ByNobody);
    assert_eq!(ask(&mut card, "FF"), PlatformAnswer::ByNobody, "no APDU");
}

#[test]
fn with_a_random_uid_nothing_else_is_told() {
    let mut card = platform(Uid::Random, 1);
    for apdu in [DOMAIN, "80CA9F7F00", "8050000008010203040506070800", OURS] {
        assert_eq!(ask(&mut card, apdu), PlatformAnswer::ByNobody, "{apdu}");
    }
}

#[test]
fn without_randomness_there_is_no_new_uid_and_no_wrong_answer() {
    struct Once(bool);
    impl Random for Once {
        fn fill(&mut self, buffer: &mut [u8]) -> Result<(), CryptoError> {
            if std::mem::replace(&mut self.0, true) {
                return Err(openssl::error::ErrorStack::get().into());
            }
            SystemRandom.fill(buffer)
        }
    }
    let mut card = CardPlatform::new(Uid::Random, &[1; 10], Box::new(Once(false))).unwrap();
    let first = uid(&mut card);
    card.reset();
    assert_eq!(uid(&mut card), first);
    assert!(CardPlatform::new(Uid::Random, &[1; 10], Box::new(Once(true))).is_err());
}
