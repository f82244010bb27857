//! Tests which URIs are read, and which are refused.
use super::*;

/// A key as `p11tool --list-all` prints it, with the library and the PIN added.
const WHOLE: &str = "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=0d3c;token=Card%20desk;id=%01%ff;\
                     object=perso;type=secret-key?module-path=/lib/p11.so&pin-source=file:/etc/pin";

#[test]
fn what_p11tool_prints_is_taken_whole() {
    let whole = Uri {
        model: Some("SoftHSM v2".into()),
        manufacturer: Some("SoftHSM project".into()),
        serial: Some("0d3c".into()),
        token: Some("Card desk".into()),
        id: Some(vec![1, 0xFF]),
        object: Some("perso".into()),
        module_path: Some("/lib/p11.so".into()),
        pin_source: Some("/etc/pin".into()),
        ..Uri::default()
    };
    assert_eq!(WHOLE.parse(), Ok(whole.clone()));
    assert_eq!(WHOLE.replace("pkcs11:", "PKCS11:").parse(), Ok(whole.clone()));
    assert_eq!(WHOLE.replace("file:/etc", "file:///etc").parse(), Ok(whole.clone()));
    assert_eq!(WHOLE.replace("file:/etc", "/etc").parse(), Ok(whole.clone()));
    // Its printed form leads back to it.
    let shown = whole.to_string();
    assert_eq!(
        shown,
        "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=0d3c;token=Card%20desk;id=%01%FF;object=perso"
    );
    assert_eq!(format!("{shown}?module-path=/lib/p11.so&pin-source=/etc/pin").parse(), Ok(whole));
}

#[test]
fn library_and_slot_can_be_named() {
    let text = "pkcs11:library-manufacturer=a;library-description=b%3Bc;library-version=2.6;slot-manufacturer=d;\
                slot-description=e%20f;slot-id=327;id=%00?module-name=softhsm2";
    let uri: Uri = text.parse().unwrap();
    let whole = Uri {
        library_manufacturer: Some("a".into()),
        library_description: Some("b;c".into()),
        library_version: Some((2, 6)),
        slot_manufacturer: Some("d".into()),
        slot_description: Some("e f".into()),
        slot_id: Some(327),
        id: Some(vec![0]),
        module_name: Some("softhsm2".into()),
        ..Uri::default()
    };
    assert_eq!(uri, whole);
    assert_eq!(format!("{uri}?module-name=softhsm2").parse(), Ok(whole.clone()));
    assert_eq!(text.replace("=2.6", "=2").parse(), Ok(Uri { library_version: Some((2, 0)), ..whole }));
}

#[test]
fn an_empty_text_is_a_text() {
    let uri: Uri = "pkcs11:token=;object=?module-path=/c".parse().unwrap();
    assert_eq!((uri.token, uri.object), (Some(String::new()), Some(String::new())));
}

#[test]
fn what_might_name_another_key_is_refused() {
    let refused = |text: &str| text.parse::<Uri>().unwrap_err();
    assert_eq!(refused("token=a;object=b?module-path=/c"), UriError::Scheme);
    assert_eq!(refused("pkcs1"), UriError::Scheme);
    assert_eq!(refused("pkcs11:token=a?module-path=/c"), UriError::Missing("object, or id,"));
    assert_eq!(refused("pkcs11:token=a;object=b"), UriError::Missing("module-path, or module-name,"));
    assert_eq!(refused("pkcs11:token=a;token=a;object=b?module-path=/c"), UriError::Twice("token".into()));
    assert_eq!(refused("pkcs11:object=b?module-path=/c&module-path=/c"), UriError::Twice("module-path".into()));
    assert_eq!(refused("pkcs11:object=b;x-vendor=1?module-path=/c"), UriError::Unsupported("x-vendor".into()));
    assert_eq!(refused("pkcs11:object=b;module-path=/c"), UriError::Query("module-path"));
    assert_eq!(refused("pkcs11:object=b?module-path=/c&serial=1").to_string().matches("serial").count(), 1);
    assert_eq!(refused("pkcs11:token=a;object=b;type=private?module-path=/c"), UriError::Type);
    assert_eq!(refused("pkcs11:token=a;object=b?module-path=c.so"), UriError::Relative("module-path"));
    assert_eq!(refused("pkcs11:token=a;object=b?module-path=/c&pin-source=pin"), UriError::Relative("pin-source"));
    assert_eq!(refused("pkcs11:object=b?module-path=/c&pin-source=%7C/bin/pin"), UriError::Relative("pin-source"));
    assert_eq!(refused("pkcs11:object=b?module-name=../c"), UriError::Name);
    let bad = ["token", "=a", "token=%", "token=%4", "token=%zz", "token=%ff", "token=%00", "id=%0", "slot-id="];
    for bad in bad.iter().chain(&["slot-id=+1", "slot-id=1x", "library-version=256", "library-version=1.2.3"]) {
        assert_eq!(refused(&format!("pkcs11:{bad}")), UriError::Attribute((*bad).into()));
    }
}

#[test]
fn an_unknown_attribute_of_the_query_is_passed_over() {
    let uri: Uri = "pkcs11:object=b?x-vendor=1&module-path=/c&x-vendor=2".parse().unwrap();
    assert_eq!(uri, Uri { object: Some("b".into()), module_path: Some("/c".into()), ..Uri::default() });
}

#[test]
fn a_pin_in_it_is_refused_and_not_quoted() {
    for text in ["pkcs11:token=a;object=b?module-path=/c&pin-value=12345678", "pkcs11:pin-value=12345678;object=b"] {
        let told = text.parse::<Uri>().unwrap_err();
        assert_eq!(told, UriError::PinValue);
        assert!(!told.to_string().contains("1234"));
    }
}
