//! Tests which tokens fit a URI, and what is said of the others.
use cryptoki::{context::Function, error::RvError};

use super::*;

fn desk(serial: &str) -> Token {
    Token {
        label: "Desk".into(),
        manufacturer: "Maker".into(),
        model: "HSM 2".into(),
        serial: serial.into(),
        initialized: true,
        needs_login: true,
        pin: PinState::Fresh,
    }
}

fn uri(path: &str) -> Uri {
    format!("pkcs11:{path};object=k?module-path=/p11.so").parse().unwrap()
}

#[test]
fn each_attribute_of_a_token_finds_it() {
    for path in ["token=Desk", "manufacturer=Maker", "model=HSM%202", "serial=7", "serial=7;token=Desk", "slot-id=1"] {
        assert_eq!(token_fits(&uri(path), Ok(desk("7"))), Ok(Some(desk("7"))), "{path}");
    }
    let why = |path: &str| token_fits(&uri(path), Ok(desk("7"))).unwrap_err();
    assert_eq!(why("token=desk"), "has the label \"Desk\"");
    assert_eq!(why("token=Desk;serial=8"), "has the token \"Desk\", and has the serial number \"7\"");
    assert_eq!(why("serial=8"), "has the token \"Desk\", and has the serial number \"7\"");
    assert_eq!(why("model=HSM"), "has the token \"Desk\", and has the model \"HSM 2\"");
    assert_eq!(why("manufacturer="), "has the token \"Desk\", and has the manufacturer \"Maker\"");
    let blank = Token { initialized: false, ..desk("7") };
    assert_eq!(token_fits(&uri("token=Desk"), Ok(blank)).unwrap_err(), "has a token that is not initialised");
}

/// A label is chosen by the token: it must not bring lines or colours into a message.
#[test]
fn a_label_is_quoted() {
    let odd = Token { label: "a\n\u{1b}[2J".into(), ..desk("7") };
    let why = token_fits(&uri("token=Desk"), Ok(odd)).unwrap_err();
    assert!(why.chars().all(|c| !c.is_control()), "{why:?}");
}

#[test]
fn a_token_that_cannot_be_read_is_found_by_its_slot_alone() {
    let blank_time = Error::ParseInt("    ".parse::<u8>().unwrap_err());
    assert_eq!(token_fits(&uri("slot-id=1"), Err(&blank_time)), Ok(None));
    assert_eq!(token_fits(&uri("slot-description=a"), Err(&blank_time)), Ok(None));
    for path in ["token=Desk", "slot-id=1;serial=7"] {
        assert!(token_fits(&uri(path), Err(&blank_time)).unwrap_err().contains("slot-id"), "{path}");
    }
    let foreign = Error::Pkcs11(RvError::TokenNotRecognized, Function::GetTokenInfo);
    let why = "has a token that cannot be read: C_GetTokenInfo fails with TokenNotRecognized";
    assert_eq!(token_fits(&uri("slot-id=1"), Err(&foreign)).unwrap_err(), why);
}

#[test]
fn every_slot_is_listed_with_its_reason() {
    let skipped = |slot| Skipped { slot, why: "has no token in it".into() };
    assert_eq!(listed(&[skipped(3), skipped(5)]), "slot 3 has no token in it; slot 5 has no token in it");
    assert_eq!(listed(&[]), "the library has no slots");
    let many: Vec<_> = (0..20).map(skipped).collect();
    assert!(listed(&many).ends_with("; slot 15 has no token in it; 4 more slots"), "{}", listed(&many));
}

#[test]
fn tokens_of_one_label_have_uris_that_tell_them_apart() {
    let slot = Slot::try_from(1_u32).unwrap();
    let [one, other] = ["7", "8"].map(|serial| Fitting { slot, token: Some(desk(serial)) }.uri());
    assert_eq!(one.to_string(), "pkcs11:model=HSM%202;manufacturer=Maker;serial=7;token=Desk");
    assert_ne!(one, other);
    assert_eq!(Fitting { slot, token: None }.uri().to_string(), "pkcs11:slot-id=1");
}
