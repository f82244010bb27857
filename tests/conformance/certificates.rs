//! PERFORM SECURITY OPERATION: whose certificate is accepted, and that any alteration is refused.

use rollcall::{card::tlv, crypto::ec::KeyPair};

use crate::{
    draft::{
        ADMIN, Draft, ECKA, IDENTITY, READ, SET, authority, class_oid, extended_key_usage, extension, from_hex,
        key_info, key_usage, name, validity,
    },
    guard::refused,
    terminal::{CardRig, apdus, new_key},
};

/// Each certificate is refused with 6A80, leaves no session, and nothing is written. The untouched one is taken first
/// and last, so that it is the change that is refused.
fn all_refused(rig: &mut CardRig, certificates: Vec<(String, Vec<u8>)>) {
    let good = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let (before, count) = (rig.snapshot(), rig.count());
    assert_eq!(rig.verify_certificate(&good), 0x9000);
    for (what, certificate) in certificates {
        // An earlier good certificate does not help.
        assert_eq!(rig.verify_certificate(&good), 0x9000);
        let status = rig.verify_certificate(&certificate);
        refused(&what, status, 0x6A80);
        rig.assert_no_session(&what);
    }
    assert_eq!(rig.verify_certificate(&good), 0x9000);
    assert_eq!(rig.snapshot(), before);
    assert_eq!(rig.count(), count + 1);
}

/// What is changed in a draft, and what it is called.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Draft));

/// Each change to the draft, signed by the right CA.
fn all_changes_refused(kind: &str, changes: &[Change<'_>]) {
    let mut rig = CardRig::issued(kind);
    let certificates = changes
        .iter()
        .map(|(what, change)| {
            let mut draft = Draft::new(READ, rig.terminal.public(), &rig.ca);
            change(&mut draft);
            ((*what).to_owned(), draft.sign(&rig.ca))
        })
        .collect();
    all_refused(&mut rig, certificates);
}

/// An unknown extension with this BOOLEAN: only FF is true in DER, and false is not written (X.690, 11.1 and 11.5).
fn with_flag(flag: &[u8]) -> Vec<u8> {
    tlv::object(0x30, &[&[6, 3, 0x55, 0x1D, 54][..], flag, &[4, 2, 5, 0]].concat())
}

case!(EachCard, certificate_of_another_ca);
fn certificate_of_another_ca(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let (key, other) = (*rig.terminal.public(), new_key());
    let claims_ours = Draft::new(ADMIN, &key, &rig.ca);
    let itself: &KeyPair = &rig.terminal;
    let certificates = vec![
        ("another CA".to_owned(), Draft::new(ADMIN, &key, &other).sign(&other)),
        ("another CA that names ours".to_owned(), claims_ours.sign(&other)),
        ("signed by itself".to_owned(), claims_ours.sign(itself)),
        ("names another CA".to_owned(), Draft::new(ADMIN, &key, &other).sign(&rig.ca)),
    ];
    all_refused(&mut rig, certificates);
}

case!(EachCard, certificate_of_another_class);
fn certificate_of_another_class(kind: &str) {
    let mut rig = CardRig::private(kind);
    let key = *rig.terminal.public();
    let mut certificates: Vec<_> = (0..=0x7F)
        .filter(|class| !(1..=3).contains(class))
        .map(|class| (format!("class .{class}"), Draft::new(class, &key, &rig.ca).sign(&rig.ca)))
        .collect();
    for class in [ECKA, SET, IDENTITY] {
        assert!(certificates.iter().any(|(what, _)| *what == format!("class .{class}")));
    }
    let tls = [("server", "06082b06010505070301"), ("client", "06082b06010505070302"), ("any", "0604551d2500")];
    for (what, oid) in tls {
        let mut draft = Draft::new(READ, &key, &rig.ca);
        draft.extensions[2] = extended_key_usage(false, &[from_hex(oid)]);
        certificates.push((format!("TLS {what}"), draft.sign(&rig.ca)));
        draft.extensions[0] = key_usage(true, &[3, 2, 7, 0x80]);
        certificates.push((format!("TLS {what}, digitalSignature"), draft.sign(&rig.ca)));
    }
    certificates.push(("the token's own".to_owned(), rig.own_certificate.clone()));
    certificates.push(("the token's identity".to_owned(), rig.identity_certificate.clone()));
    certificates.push(("the set's".to_owned(), rig.set_certificate.clone()));
    all_refused(&mut rig, certificates);
}

case!(EachCard, certificate_with_bent_fields);
fn certificate_with_bent_fields(kind: &str) {
    let changes: &[Change<'_>] = &[
        ("version 1", &|d| d.fields[0] = Vec::new()),
        ("version 2", &|d| d.fields[0] = from_hex("a003020101")),
        ("version 4", &|d| d.fields[0] = from_hex("a003020103")),
        ("inner algorithm ecdsa-with-SHA384", &|d| d.fields[2] = from_hex("300a06082a8648ce3d040303")),
        ("outer algorithm ecdsa-with-SHA384", &|d| d.outer = from_hex("300a06082a8648ce3d040303")),
        ("outer algorithm with parameters", &|d| d.outer = from_hex("300c06082a8648ce3d0403020500")),
        ("no outer algorithm", &|d| d.outer = Vec::new()),
        ("no serial number", &|d| d.fields[1] = Vec::new()),
        ("no issuer", &|d| d.fields[3] = Vec::new()),
        ("no validity", &|d| d.fields[4] = Vec::new()),
        ("no subject", &|d| d.fields[5] = Vec::new()),
        ("no key", &|d| d.fields[6] = Vec::new()),
        ("fields in another order", &|d| d.fields.swap(3, 4)),
        ("GeneralizedTime", &|d| d.fields[4] = validity(0x18, "20261101000000Z", "20361030000000Z")),
        ("time without Z", &|d| d.fields[4] = validity(0x17, "261101000000", "361030000000")),
        ("time with a zone", &|d| d.fields[4] = validity(0x17, "261101000000+0100", "361030000000+0100")),
        ("time without seconds", &|d| d.fields[4] = validity(0x17, "2611010000Z", "3610300000Z")),
        ("time that is no digits", &|d| d.fields[4] = validity(0x17, "26110100000AZ", "361030000000Z")),
        ("a year of the last century", &|d| d.fields[4] = validity(0x17, "800101000000Z", "810101000000Z")),
        ("trailing bytes in the validity", &|d| {
            let mut times = d.fields[4][2..].to_vec();
            times.extend([5, 0]);
            d.fields[4] = tlv::object(0x30, &times);
        }),
        ("trailing bytes behind the extensions", &|d| d.tail = vec![5, 0]),
        ("an issuerUniqueID", &|d| d.fields[6].extend([0x81, 2, 0, 1])),
        ("another curve", &|d| {
            let at = d.fields[6].windows(8).position(|w| w == &from_hex("2a8648ce3d030107")[..]).unwrap();
            d.fields[6][at + 7] = 1;
        }),
        ("unused bits in the key", &|d| {
            let at = d.fields[6].len() - 66;
            d.fields[6][at] = 1;
        }),
    ];
    all_changes_refused(kind, changes);
}

case!(EachCard, certificate_with_bent_extensions);
fn certificate_with_bent_extensions(kind: &str) {
    let ours = |d: &Draft| d.extensions.clone();
    let changes: &[Change<'_>] = &[
        ("no extensions", &|d| d.extensions.clear()),
        ("no keyUsage", &|d| drop(d.extensions.remove(0))),
        ("no authorityKeyIdentifier", &|d| drop(d.extensions.remove(1))),
        ("no extendedKeyUsage", &|d| drop(d.extensions.remove(2))),
        ("digitalSignature", &|d| d.extensions[0] = key_usage(true, &[3, 2, 7, 0x80])),
        ("digitalSignature and keyAgreement", &|d| d.extensions[0] = key_usage(true, &[3, 2, 3, 0x88])),
        ("keyCertSign", &|d| d.extensions[0] = key_usage(true, &[3, 2, 2, 4])),
        ("keyEncipherment", &|d| d.extensions[0] = key_usage(true, &[3, 2, 5, 0x20])),
        ("no usage at all", &|d| d.extensions[0] = key_usage(true, &[3, 1, 0])),
        ("keyUsage not critical", &|d| d.extensions[0] = key_usage(false, &[3, 2, 3, 8])),
        ("keyUsage twice", &|d| d.extensions.push(ours(d)[0].clone())),
        ("authorityKeyIdentifier twice", &|d| d.extensions.push(ours(d)[1].clone())),
        ("extendedKeyUsage twice", &|d| d.extensions.push(ours(d)[2].clone())),
        ("authorityKeyIdentifier of another CA", &|d| d.extensions[1] = authority(&[0x22; 20])),
        ("authorityKeyIdentifier cut", &|d| d.extensions[1] = authority(&[0x22; 19])),
        ("two classes", &|d| d.extensions[2] = extended_key_usage(false, &[class_oid(1), class_oid(3)])),
        ("a class and clientAuth", &|d| {
            d.extensions[2] = extended_key_usage(false, &[class_oid(1), from_hex("06082b06010505070302")]);
        }),
        ("no class", &|d| d.extensions[2] = extended_key_usage(false, &[])),
        ("a class of another arc", &|d| {
            d.extensions[2] = extended_key_usage(false, &[from_hex("060a2b0601040181fd595301")]);
        }),
        ("a longer class", &|d| {
            d.extensions[2] = extended_key_usage(false, &[from_hex("060b2b0601040181fd59520101")]);
        }),
        ("extendedKeyUsage critical", &|d| d.extensions[2] = extended_key_usage(true, &[class_oid(1)])),
        ("an unknown critical extension", &|d| d.extensions.push(extension(54, true, &[5, 0]))),
        ("basicConstraints, critical", &|d| d.extensions.push(extension(19, true, &[0x30, 0]))),
        ("an extension that says that it is not critical", &|d| d.extensions.push(with_flag(&[1, 1, 0]))),
        ("an extension whose true is 01", &|d| d.extensions.push(with_flag(&[1, 1, 1]))),
        ("an extension with an empty BOOLEAN", &|d| d.extensions.push(with_flag(&[1, 0]))),
        ("an object behind the list of extensions", &|d| {
            let list = tlv::object(0x30, &std::mem::take(&mut d.extensions).concat());
            d.tail = tlv::object(0xA3, &[&list[..], &[5, 0]].concat());
        }),
        ("an unknown critical extension first", &|d| d.extensions.insert(0, extension(54, true, &[5, 0]))),
        ("trailing bytes behind an extension's value", &|d| {
            let mut inner = d.extensions[0][2..].to_vec();
            inner.extend([5, 0]);
            d.extensions[0] = tlv::object(0x30, &inner);
        }),
    ];
    all_changes_refused(kind, changes);
}

/// Points that are no key: in the right certificate of the right CA.
pub fn no_points(good: &[u8; 65]) -> Vec<(&'static str, Vec<u8>)> {
    let with = |at: usize, to: &dyn Fn(u8) -> u8| {
        let mut point = good.to_vec();
        point[at] = to(point[at]);
        point
    };
    let prime = from_hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
    vec![
        ("off the curve by one bit of y", with(64, &|byte| byte ^ 1)),
        ("off the curve by one bit of x", with(1, &|byte| byte ^ 0x80)),
        ("infinity", vec![0]),
        ("infinity, padded", vec![0; 65]),
        ("zero", [&[4][..], &[0; 64]].concat()),
        ("all ones", [&[4][..], &[0xFF; 64]].concat()),
        ("x at the prime", [&[4][..], &prime, &good[33..]].concat()),
        ("y at the prime", [&good[..33], &prime].concat()),
        ("x and y swapped", [&[4][..], &good[33..], &good[1..33]].concat()),
        ("compressed", [&[2 + (good[64] & 1)][..], &good[1..33]].concat()),
        ("compressed, padded", [&[2 + (good[64] & 1)][..], &good[1..]].concat()),
        ("hybrid", [&[6 + (good[64] & 1)][..], &good[1..]].concat()),
        ("one byte short", good[..64].to_vec()),
        ("one byte long", [&good[..], &[0]].concat()),
        ("nothing", Vec::new()),
    ]
}

case!(EachCard, certificate_with_a_bad_point);
fn certificate_with_a_bad_point(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let good = *rig.terminal.public();
    let (mut off, mut malformed) = (Vec::new(), Vec::new());
    for (what, point) in no_points(good.as_bytes()) {
        let mut draft = Draft::new(READ, &good, &rig.ca);
        draft.fields[6] = key_info(0, &point);
        // PSO checks only form and signature: whether 65 bytes are a point shows at the key agreement.
        let formed = point.len() == 65;
        (if formed { &mut off } else { &mut malformed }).push((what.to_owned(), draft.sign(&rig.ca)));
    }
    let own = rig.own.unwrap();
    let before = rig.snapshot();
    for (what, certificate) in off {
        let seen = rig.verify_certificate(&certificate);
        let status = if seen == 0x9000 { rig.agree(0x41, &own).0 } else { seen };
        refused(&what, status, 0x6A80);
        rig.assert_no_session(&what);
    }
    assert_eq!(rig.snapshot(), before);
    all_refused(&mut rig, malformed);
}

case!(EachCard, certificate_with_any_byte_changed);
fn certificate_with_any_byte_changed(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let good = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let bent = (0..good.len())
        .map(|at| {
            let mut certificate = good.clone();
            certificate[at] ^= 1 << (at % 8);
            (format!("byte {at}"), certificate)
        })
        .collect();
    all_refused(&mut rig, bent);
}

case!(EachCard, certificate_cut_at_any_length);
fn certificate_cut_at_any_length(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let good = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let mut bent: Vec<_> =
        (0..good.len()).map(|length| (format!("cut at {length}"), good[..length].to_vec())).collect();
    bent.push(("trailing byte".to_owned(), [&good[..], &[0]].concat()));
    bent.push(("twice".to_owned(), good.repeat(2)[..410].to_vec()));
    let draft = Draft::new(READ, rig.terminal.public(), &rig.ca);
    let tbs = draft.tbs();
    let signature = rig.ca.sign(&tbs).unwrap();
    let bits = |unused: u8, tail: &[u8]| tlv::object(3, &[&[unused][..], &signature, tail].concat());
    bent.push(("unused bits in the signature".to_owned(), draft.seal(tbs.clone(), &bits(1, &[]))));
    bent.push(("a byte behind the signature, in the BIT STRING".to_owned(), draft.seal(tbs.clone(), &bits(0, &[0]))));
    let behind = [bits(0, &[]), vec![5, 0]].concat();
    bent.push(("an object behind the signature".to_owned(), draft.seal(tbs.clone(), &behind)));
    bent.push(("no signature".to_owned(), draft.seal(tbs.clone(), &[])));
    bent.push(("an empty signature".to_owned(), draft.seal(tbs.clone(), &[3, 1, 0])));
    let zeros = from_hex("0309 00 3006 020100 020100");
    bent.push(("the signature 0, 0".to_owned(), draft.seal(tbs, &zeros)));
    all_refused(&mut rig, bent);
}

case!(EachCard, certificate_too_long);
fn certificate_too_long(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let sized = |rig: &CardRig, subject: usize| {
        let mut draft = Draft::new(READ, rig.terminal.public(), &rig.ca);
        draft.fields[5] = name(&"n".repeat(subject));
        draft.sign(&rig.ca)
    };
    // Signatures differ in length by a byte or two: the longest certificate accepted is 416 bytes.
    let of_length = |rig: &CardRig, wanted: usize| {
        (0..4000).map(|n| sized(rig, 20 + n % 64)).find(|certificate| certificate.len() == wanted).expect("that length")
    };
    let fits = of_length(&rig, 416);
    assert_eq!(rig.verify_certificate(&fits), 0x9000);
    let bent = (417..=420).map(|length| (format!("{length} bytes"), of_length(&rig, length))).collect();
    all_refused(&mut rig, bent);
    // Lengths that promise more than there is, and an indefinite one.
    let bent = ["3080", "30840000016D", "3083000001", "30820FFF", "3082FFFF", "30FF", "308101", "3000", "30"];
    let bent = bent.iter().map(|digits| ((*digits).to_owned(), [from_hex(digits), vec![0x30; 40]].concat())).collect();
    all_refused(&mut rig, bent);
}

case!(EachCard, certificate_parameters);
fn certificate_parameters(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let good = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let before = rig.snapshot();
    for (header, status) in [
        ("802A0311", 0x6A80),
        ("802A0300", 0x6A80),
        ("802A03FF", 0x6A80),
        ("802A0410", 0x6A88),
        ("802A0010", 0x6A88),
        ("802A0110", 0x6A88),
        ("802A7F10", 0x6A88),
        ("002A0310", 0x6E00),
        ("042A0310", 0x6E00),
        ("842A0310", 0x6E00),
    ] {
        assert_eq!(rig.verify_certificate(&good), 0x9000);
        let status_now = rig.plain(header, &good).sw;
        refused(header, status_now, status);
        rig.assert_no_session(header);
    }
    // A first piece in the middle of another certificate's chain starts over: the two are never joined.
    assert_eq!(rig.verify_certificate(&good), 0x9000);
    let pieces = apdus([0x80, 0x2A, 3, 0x10], &good);
    assert_eq!(rig.send(&pieces[0]).sw, 0x9000);
    let status = rig.chain(&pieces).sw;
    refused("the first piece twice", status, 0x6700);
    rig.assert_no_session("the first piece twice");
    assert_eq!(rig.snapshot(), before);
}
