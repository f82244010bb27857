//! Makes each part of a certificate wrong in turn, under a valid signature.

use super::*;

/// A certificate assembled byte by byte, so that any part can be wrong while its signature is valid.
#[derive(Clone)]
pub(super) struct Draft {
    version: Vec<u8>,
    serial: Vec<u8>,
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    pub(super) validity: Vec<u8>,
    pub(super) subject: Vec<u8>,
    key: Vec<u8>,
    between: Vec<u8>,
    pub(super) extensions: Vec<Vec<u8>>,
    after: Vec<u8>,
    outer_algorithm: Vec<u8>,
    unused_bits: u8,
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let mut out = vec![tag];
    match value.len() {
        n @ 0..=0x7F => out.push(u8::try_from(n).unwrap()),
        n @ 0x80..=0xFF => out.extend([0x81, u8::try_from(n).unwrap()]),
        n => {
            out.push(0x82);
            out.extend(u16::try_from(n).unwrap().to_be_bytes());
        }
    }
    out.extend(value);
    out
}

fn hexed(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

pub(super) fn named(tag: u8, text: &[u8]) -> Vec<u8> {
    der(0x30, &[&der(0x31, &[&der(0x30, &[&hexed("0603550403"), &der(tag, &[text])])])])
}

pub(super) fn times(not_before: &str, not_after: &str) -> Vec<u8> {
    der(0x30, &[&der(0x17, &[not_before.as_bytes()]), &der(0x17, &[not_after.as_bytes()])])
}

pub(super) fn extension(oid: &str, critical: &str, value: &str) -> Vec<u8> {
    der(0x30, &[&hexed(oid), &hexed(critical), &der(4, &[&hexed(value)])])
}

const USAGE: &str = "0603551d0f";
const AUTHORITY: &str = "0603551d23";
const CLASS: &str = "0603551d25";
const TRUE: &str = "0101ff";

pub(super) fn class_value(number: u8) -> String {
    format!("300c060a2b0601040181fd5952{number:02x}")
}

impl Draft {
    /// A correct certificate of a token.
    pub(super) fn good(ca: &KeyPair, key: &KeyPair) -> Self {
        let algorithm = hexed("300a06082a8648ce3d040302");
        let authority = format!("30168014{}", hex::encode(ca.public().key_identifier()));
        Self {
            version: hexed("a003020102"),
            serial: hexed("020105"),
            issuer: named(0x0C, b"Rollcall CA"),
            validity: times("261122150405Z", "361119150405Z"),
            subject: named(0x0C, TOKEN.as_bytes()),
            key: [hexed("3059301306072a8648ce3d020106082a8648ce3d030107034200"), key.public().as_bytes().to_vec()]
                .concat(),
            between: vec![],
            extensions: vec![
                extension(USAGE, TRUE, "03020308"),
                extension(AUTHORITY, "", &authority),
                extension(CLASS, "", &class_value(8)),
            ],
            after: vec![],
            outer_algorithm: algorithm.clone(),
            algorithm,
            unused_bits: 0,
        }
    }

    pub(super) fn signed(&self, ca: &KeyPair) -> Vec<u8> {
        let extensions: Vec<_> = self.extensions.iter().map(Vec::as_slice).collect();
        let wrapped = if extensions.is_empty() { vec![] } else { der(0xA3, &[&der(0x30, &extensions)]) };
        let parts = [
            &self.version,
            &self.serial,
            &self.algorithm,
            &self.issuer,
            &self.validity,
            &self.subject,
            &self.key,
            &self.between,
            &wrapped,
            &self.after,
        ]
        .map(Vec::as_slice);
        self.framed(ca, &der(0x30, &parts))
    }

    fn framed(&self, ca: &KeyPair, signed: &[u8]) -> Vec<u8> {
        let signature = der(3, &[&[self.unused_bits], &ca.sign(signed).unwrap()]);
        der(0x30, &[signed, &self.outer_algorithm, &signature])
    }
}

/// Changes one part of a correct draft, signs it, and returns the error.
fn refusal(change: impl FnOnce(&mut Draft)) -> CertificateError {
    let (ca, pair) = (key(), key());
    let mut draft = Draft::good(&ca, &pair);
    change(&mut draft);
    Certificate::verify(&draft.signed(&ca), ca.public(), &CertificateProfile::ALL).unwrap_err()
}

fn accepted(change: impl FnOnce(&mut Draft)) -> Certificate {
    let (ca, pair) = (key(), key());
    let mut draft = Draft::good(&ca, &pair);
    change(&mut draft);
    Certificate::verify(&draft.signed(&ca), ca.public(), &CertificateProfile::ALL).unwrap()
}

macro_rules! refused {
    ($change:expr, $pattern:pat) => {{
        let found = refusal($change);
        assert!(matches!(found, $pattern), "{}: {found:?}", stringify!($change));
    }};
}

#[test]
fn the_draft_itself_is_good() {
    let read = accepted(|_| {});
    assert_eq!((read.class(), read.subject(), read.serial()), (CertificateProfile::TokenEcka, TOKEN, &[5][..]));
}

#[test]
fn the_fixed_parts_are_fixed() {
    refused!(|d| d.version = vec![], CertificateError::Form { part: "version", .. }); // v1
    refused!(|d| d.version = hexed("a003020101"), CertificateError::Form { part: "version", .. }); // v2
    refused!(|d| d.algorithm = hexed("300a06082a8648ce3d040303"), CertificateError::Form { .. }); // SHA-384
    refused!(|d| d.outer_algorithm = hexed("300a06082a8648ce3d040303"), CertificateError::Form { .. });
    refused!(|d| d.outer_algorithm = hexed("300c06082a8648ce3d0403020500"), CertificateError::Form { .. });
    refused!(|d| d.unused_bits = 1, CertificateError::Form { part: "outer frame", .. });
    refused!(|d| d.between = hexed("81020000"), CertificateError::Form { part: "extensions", .. }); // issuerUniqueID
    refused!(|d| d.after = hexed("0500"), CertificateError::Form { part: "frame", error: DerError::Trailing });
    refused!(|d| d.extensions.clear(), CertificateError::Form { part: "extensions", .. });
}

#[test]
fn serial_numbers_are_positive_and_short() {
    for bad in ["0200", "020100", "020180", "02020001", "0203ff0000", "02150102030405060708090a0b0c0d0e0f101112131415"]
    {
        refused!(|d| d.serial = hexed(bad), CertificateError::Profile("serial number"));
    }
    assert_eq!(accepted(|d| d.serial = hexed("02020080")).serial(), &[0x80]);
    let longest = "7f02030405060708090a0b0c0d0e0f1011121314";
    assert_eq!(accepted(|d| d.serial = hexed(&format!("0214{longest}"))).serial(), hexed(longest));
}

#[test]
fn names_are_one_common_name() {
    assert_eq!(accepted(|d| d.subject = named(0x13, b"door")).subject(), "door"); // PrintableString
    for bad in [
        named(0x0C, b""),
        named(0x0C, b"line\nline"),
        named(0x0C, b"\xff\xfe"),
        named(0x13, "é".as_bytes()),
        named(0x0C, &[b'x'; 65]),
    ] {
        refused!(|d| d.subject = bad.clone(), CertificateError::Profile("subject"));
        refused!(|d| d.issuer = bad, CertificateError::Profile("issuer"));
    }
    let attribute = |oid: &str| der(0x30, &[&hexed(oid), &der(0x0C, &[b"x"])]);
    let (name, organisation) = (attribute("0603550403"), attribute("060355040a"));
    for bad in [
        vec![],
        der(0x31, &[&organisation]),
        [der(0x31, &[&name]), der(0x31, &[&organisation])].concat(),
        der(0x31, &[&name, &organisation]),
        der(0x31, &[]),
        named(0x16, b"x")[2..].to_vec(), // IA5String
    ] {
        refused!(|d| d.subject = der(0x30, &[&bad]), CertificateError::Form { part: "subject", .. });
    }
}

#[test]
fn times_are_utc_times() {
    let generalized = der(0x30, &[&der(0x18, &[b"20261122150405Z"]), &der(0x17, &[b"361119150405Z"])]);
    refused!(|d| d.validity = generalized, CertificateError::Form { part: "validity", .. });
    let three = der(0x30, &[&der(0x17, &[b"261122150405Z"]).repeat(3)]);
    refused!(|d| d.validity = three, CertificateError::Form { part: "validity", error: DerError::Trailing });
    for bad in [
        "2611221504Z",
        "261122150405",
        "261122150405+0000",
        "26112215040xZ",
        "261322150405Z",
        "260230150405Z",
        "261122240000Z",
        "261122150460Z",
        "800101000000Z",
        "991231235959Z",
    ] {
        refused!(|d| d.validity = times(bad, "361119150405Z"), CertificateError::Profile("validity"));
        refused!(|d| d.validity = times("261122150405Z", bad), CertificateError::Profile("validity"));
    }
    // Two digits from 50 on are in the last century.
    let late = accepted(|d| d.validity = times("261122150405Z", "500101000000Z"));
    assert!(matches!(late.check_time(from()), Err(CertificateError::Expired { .. })));
    assert_eq!(&late.not_after_digits(), b"500101000000");
}

#[test]
fn keys_are_uncompressed_points_of_p256() {
    let (ca, pair) = (key(), key());
    let good = Draft::good(&ca, &pair).key;
    let mut off_the_curve = good.clone();
    *off_the_curve.last_mut().unwrap() ^= 1;
    let mut other_curve = good.clone();
    other_curve[22] ^= 1;
    let compressed = [hexed("3039301306072a8648ce3d020106082a8648ce3d030107032200"), {
        let mut point = pair.public().as_bytes()[..33].to_vec();
        point[0] = 2;
        point
    }]
    .concat();
    let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::SECP384R1).unwrap();
    let p384 = openssl::pkey::PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap();
    let rsa = openssl::pkey::PKey::from_rsa(openssl::rsa::Rsa::generate(1024).unwrap()).unwrap();
    for bad in
        [off_the_curve, other_curve, compressed, p384.public_key_to_der().unwrap(), rsa.public_key_to_der().unwrap()]
    {
        refused!(|d| d.key = bad, CertificateError::Key);
    }
}

#[test]
fn each_extension_stands_there_once() {
    refused!(|d| drop(d.extensions.remove(0)), CertificateError::Missing("key usage"));
    refused!(|d| drop(d.extensions.remove(1)), CertificateError::Missing("authority key identifier"));
    refused!(|d| drop(d.extensions.remove(2)), CertificateError::Missing("extended key usage"));
    for again in 0..3 {
        refused!(|d| d.extensions.push(d.extensions[again].clone()), CertificateError::Duplicate);
    }
    let unknown = extension("0603551d0e", "", "040100");
    refused!(|d| d.extensions.extend([unknown.clone(), unknown.clone()]), CertificateError::Duplicate);
    accepted(|d| d.extensions.reverse());
}

#[test]
fn unknown_extensions_are_refused_when_critical() {
    for oid in ["0603551d13", "0603551d11", "06022a03"] {
        refused!(|d| d.extensions.push(extension(oid, TRUE, "0500")), CertificateError::Critical);
        accepted(|d| d.extensions.push(extension(oid, "", "0500")));
    }
}

#[test]
fn criticality_is_as_the_profile_has_it() {
    const PART: &str = "criticality of an extension";
    refused!(|d| d.extensions[0] = extension(USAGE, "", "03020308"), CertificateError::Profile(PART));
    refused!(|d| d.extensions[2] = extension(CLASS, TRUE, &class_value(8)), CertificateError::Profile(PART));
    refused!(|d| d.extensions[1] = extension(AUTHORITY, TRUE, "3000"), CertificateError::Profile(PART));
    for loose in ["010100", "010101", "01020000"] {
        refused!(|d| d.extensions[0] = extension(USAGE, loose, "03020308"), CertificateError::Form { .. });
    }
}

#[test]
fn key_usage_fits_the_class() {
    for bad in ["03020780", "03020388", "0302030c", "03020008", "030100", "0303030800"] {
        refused!(|d| d.extensions[0] = extension(USAGE, TRUE, bad), CertificateError::Profile("key usage"));
    }
    refused!(|d| d.extensions[0] = extension(USAGE, TRUE, "0302030800"), CertificateError::Form { .. });
    for class in CertificateProfile::ALL {
        let right = class.key_usage();
        let wrong = if right[0] == 3 { "03020780" } else { "03020308" };
        let change = |usage: String| {
            move |d: &mut Draft| {
                d.extensions[0] = extension(USAGE, TRUE, &usage);
                d.extensions[2] = extension(CLASS, "", &class_value(class.number()));
                d.subject = named(0x0C, b"subject");
            }
        };
        assert_eq!(accepted(change(format!("0302{}", hex::encode(right)))).class(), class);
        refused!(change(wrong.to_owned()), CertificateError::Profile("key usage"));
    }
}

#[test]
fn the_authority_is_named_by_its_key_identifier_alone() {
    let id = "00112233445566778899aabbccddeeff00112233";
    refused!(|d| d.extensions[1] = extension(AUTHORITY, "", &format!("30168014{id}")), CertificateError::Authority);
    let short = extension(AUTHORITY, "", &format!("30158013{}", &id[2..]));
    refused!(|d| d.extensions[1] = short, CertificateError::Profile("authority key identifier"));
    for bad in ["3000".to_owned(), format!("30198014{id}820101"), format!("3016a014{id}"), format!("30168014{id}00")] {
        refused!(|d| d.extensions[1] = extension(AUTHORITY, "", &bad), CertificateError::Form { .. });
    }
}

#[test]
fn the_class_is_exactly_one() {
    let two = format!("3018{}{}", &class_value(8)[4..], &class_value(10)[4..]);
    refused!(
        |d| d.extensions[2] = extension(CLASS, "", &two),
        CertificateError::Form { error: DerError::Trailing, .. }
    );
    refused!(|d| d.extensions[2] = extension(CLASS, "", "3000"), CertificateError::Form { .. });
    for bad in [
        class_value(0),
        class_value(4),
        class_value(12),
        "300b06092b0601040181fd5952".to_owned(),     // the arc itself
        "300d060b2b0601040181fd59528108".to_owned(), // below it
        "300c060a2b0601040181fd595308".to_owned(),   // beside it
    ] {
        refused!(|d| d.extensions[2] = extension(CLASS, "", &bad), CertificateError::Profile("extended key usage"));
    }
}

#[test]
fn what_is_behind_the_end_is_refused() {
    let (ca, pair) = (key(), key());
    let draft = Draft::good(&ca, &pair);
    let good = draft.signed(&ca);
    let verify = |der: &[u8]| Certificate::verify(der, ca.public(), &CertificateProfile::ALL);
    verify(&good).unwrap();
    assert!(verify(&[&good[..], &[0]].concat()).is_err());
    // Extra bytes inside the frame, after the signature; and a length that is not the shortest.
    let inner = &good[4..];
    assert!(verify(&der(0x30, &[inner, &[0x05, 0x00]])).is_err());
    let length = u16::try_from(inner.len()).unwrap().to_be_bytes();
    assert!(verify(&[&[0x30, 0x83, 0x00][..], &length, inner].concat()).is_err());
    // The same inside the signed part.
    let mut parts = only(&good, 0x30).unwrap();
    let (signed, _) = parts.object(0x30).unwrap();
    let length = u16::try_from(signed.len()).unwrap().to_be_bytes();
    let loose = [&[0x30, 0x83, 0x00][..], &length, signed].concat();
    assert!(verify(&draft.framed(&ca, &loose)).is_err());
}

/// Signed by the right CA, so that nothing else is wrong.
#[test]
fn what_is_behind_the_end_is_refused_inside_too() {
    let trailing = |part: &'static str, found: &CertificateError| matches!(found, CertificateError::Form { part: p, error: DerError::Trailing } if *p == part);
    // After the text of a name.
    let attribute = der(0x30, &[&hexed("0603550403"), &der(0x0C, &[b"x"]), &[5, 0]]);
    let subject = der(0x30, &[&der(0x31, &[&attribute])]);
    let found = refusal(|d| d.subject = subject);
    assert!(trailing("subject", &found), "{found:?}");
    // After the value of an extension, known or unknown.
    for oid in [USAGE, "06022a03"] {
        let value = der(4, &[&hexed("03020308")]);
        let found = refusal(|d| d.extensions.push(der(0x30, &[&hexed(oid), &value, &[5, 0]])));
        assert!(trailing("extensions", &found), "{oid}: {found:?}");
    }
    // After the list of extensions, inside its wrapper.
    let (ca, pair) = (key(), key());
    let mut draft = Draft::good(&ca, &pair);
    let list: Vec<_> = draft.extensions.iter().map(Vec::as_slice).collect();
    let wrapped = der(0xA3, &[&der(0x30, &list), &[5, 0]]);
    draft.extensions.clear();
    draft.after = wrapped;
    let found = Certificate::verify(&draft.signed(&ca), ca.public(), &CertificateProfile::ALL).unwrap_err();
    assert!(trailing("extensions", &found), "{found:?}");
}

/// The limit is that of the class found, not the longest of those expected.
#[test]
fn a_terminals_certificate_is_as_short_as_cards_take_it_whatever_else_is_expected() {
    let of_length = |more: usize| {
        let (ca, pair) = (key(), key());
        let mut draft = Draft::good(&ca, &pair);
        draft.extensions[2] = extension(CLASS, "", &class_value(1));
        draft.extensions.push(extension("06022a03", "", &hex::encode(vec![0; more])));
        let signed = draft.signed(&ca);
        (Certificate::verify(&signed, ca.public(), &CertificateProfile::ALL).map(|_| ()), signed.len())
    };
    for more in 0..120 {
        let (outcome, length) = of_length(more);
        match outcome {
            Ok(()) => assert!(length <= TERMINAL_LIMIT, "{length}"),
            Err(CertificateError::TooLong { .. }) => assert!(length > TERMINAL_LIMIT, "{length}"),
            Err(other) => panic!("{length}: {other:?}"),
        }
    }
}

#[test]
fn the_signature_is_looked_at_before_the_body() {
    let (ca, pair) = (key(), key());
    let draft = Draft { version: vec![], ..Draft::good(&ca, &pair) };
    let refusal = Certificate::verify(&draft.signed(&key()), ca.public(), &CertificateProfile::ALL).unwrap_err();
    assert!(matches!(refusal, CertificateError::Signature), "{refusal}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_byte_may_change(flip in 1..=255_u8) {
        let (ca, pair) = (key(), key());
        let good = issued(&ca, &pair, CertificateProfile::Terminal(TerminalRole::Read), "terminal-0");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= flip;
            prop_assert!(Certificate::verify(&bad, ca.public(), &CertificateProfile::ALL).is_err(), "byte {}", at);
        }
    }

    #[test]
    fn any_bytes_are_refused_in_peace(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let ca = key();
        prop_assert!(Certificate::verify(&bytes, ca.public(), &CertificateProfile::ALL).is_err());
    }

    // The walk under a valid signature: whatever an authority signs is read or refused without a panic.
    #[test]
    fn any_signed_body_is_read_or_refused(at in 0..320_usize, new in any::<u8>(), cut in 0..320_usize) {
        let (ca, pair) = (key(), key());
        let draft = Draft::good(&ca, &pair);
        let good = draft.signed(&ca);
        let mut parts = only(&good, 0x30).unwrap();
        let (_, whole) = parts.object(0x30).unwrap();
        let mut changed = whole.to_vec();
        let at = at % changed.len();
        changed[at] = new;
        let _ = Certificate::verify(&draft.framed(&ca, &changed), ca.public(), &CertificateProfile::ALL);
        prop_assert!(Certificate::verify(&draft.framed(&ca, &whole[..cut % whole.len()]), ca.public(), &CertificateProfile::ALL).is_err());
    }
}

#[test]
fn no_truncation_is_accepted() {
    let (ca, pair) = (key(), key());
    let good = issued(&ca, &pair, CertificateProfile::Identity, TOKEN);
    for length in 0..good.len() {
        assert!(Certificate::verify(&good[..length], ca.public(), &CertificateProfile::ALL).is_err(), "{length}");
    }
}
