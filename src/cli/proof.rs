//! `rollcall proof verify`: verifies presence proofs after the fact, without a card.

use std::{fs::File, io, path::Path};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Deserializer, Value};
use uuid::Uuid;

use super::{
    args::{ProofArgs, ProofCommand, ProofVerifyArgs},
    printer::Printer,
    views::{ProofCheckResult, ProofCheckView, ProofReportView, Schema},
};
use crate::{
    config::{OutputFormat, Settings},
    crypto::{
        ec::Point,
        x509::{Authority, Certificate, CertificateProfile, from_pem},
    },
    failure::{ExitClass, Failure},
    files,
    pki::PkiDir,
    terminal::user_csv::{self, TextEncoding},
    token::proof_checks::{ProofCheck, ProofExpectation, ProofReport, ProofVerdict, ShownProof, check_proof},
};

/// The longest file of proofs, in bytes: some thousand objects.
const PROOFS: u64 = 4 * 1024 * 1024;
/// How a message begins: COSE_Sign1 is the CBOR tag 18 (RFC 9052, 2).
const MESSAGE_TAG: u8 = 0xD2;
/// The longest file of a certificate, in bytes.
const CERTIFICATE: u64 = 16 * 1024;

/// Runs the command.
///
/// # Errors
/// `proof.unreadable` and `proof.input` for a file; `pki.…` for the CA of this terminal; that of the output. A proof
/// that is not valid only affects the status.
pub fn run(args: &ProofArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let ProofCommand::Verify(args) = &args.command;
    verify(args, settings, out)
}

fn verify(args: &ProofVerifyArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let input = read(&args.file, PROOFS)?;
    let own = args.certificate.as_deref().map(certificate).transpose()?;
    let authorities = authorities(args.ca.as_deref(), settings)?;
    let terminal = args.terminal.as_deref().map(|path| terminal(path, &authorities)).transpose()?;
    let now = Timestamp::now();
    let expected =
        ProofExpectation { authorities: &authorities, nonce: args.nonce.as_ref(), terminal: terminal.as_deref(), now };
    let found = proofs(&input, &args.file)?;
    if found.without > 0 {
        out.note(&format!("skipped, without a presence proof: {} of the objects", found.without));
    }
    let mut reports = Vec::with_capacity(found.proofs.len());
    for proof in &found.proofs {
        let certificate = own.as_deref().or(proof.certificate.as_deref());
        let shown = ShownProof {
            cose: &proof.cose,
            certificate: certificate.ok_or_else(|| no_certificate(&args.file))?,
            token_id: proof.token_id,
            counter: proof.counter,
        };
        reports.push(view(&check_proof(&shown, &expected), now));
    }
    match reports.as_slice() {
        // For programs, a list in the input remains a list.
        [one] if !found.list || settings.format == OutputFormat::Text => out.object(one)?,
        all => out.list(all, "")?,
    }
    Ok(if reports.iter().all(|report| report.verified) { 0 } else { ExitClass::No.exit_status() })
}

/// A proof found in the file.
#[derive(Debug)]
struct FoundProof {
    cose: Vec<u8>,
    certificate: Option<Vec<u8>>,
    token_id: Option<Uuid>,
    counter: Option<u64>,
}

#[derive(Debug)]
struct Found {
    proofs: Vec<FoundProof>,
    /// Objects without a proof.
    without: usize,
    /// Whether the input was a list, or had several objects.
    list: bool,
}

/// Finds the proofs: JSON begins with a bracket, a message with the tag 18 (D2).
fn proofs(input: &[u8], path: &Path) -> Result<Found, Failure> {
    let text = files::without_mark(input).trim_ascii_start();
    if !text.is_empty() && !matches!(text[0], b'{' | b'[') {
        // A message that was cut is taken: the check of its form says how long it is.
        if input[0] != MESSAGE_TAG {
            return Err(no_form(path, text));
        }
        let message = FoundProof { cose: input.to_vec(), certificate: None, token_id: None, counter: None };
        return Ok(Found { proofs: vec![message], without: 0, list: false });
    }
    let mut objects = Vec::new();
    let mut list = false;
    for value in Deserializer::from_slice(text).into_iter::<Value>() {
        match value.map_err(|error| bad(path, &format!("not JSON: {error}")))? {
            Value::Array(all) => {
                list = true;
                objects.extend(all);
            }
            one => objects.push(one),
        }
    }
    let mut proofs = Vec::new();
    for object in &objects {
        proofs.extend(proof(object, path)?);
    }
    if proofs.is_empty() {
        return Err(bad(path, "there is no presence proof in it"));
    }
    Ok(Found { without: objects.len() - proofs.len(), list: list || objects.len() > 1, proofs })
}

/// The proof in an object, if it has one.
fn proof(object: &Value, path: &Path) -> Result<Option<FoundProof>, Failure> {
    // The value of `proof` alone is one, too, as jq prints it.
    let proof = if object["cose"].is_string() { object } else { &object["proof"] };
    let binary = |name: &str| match &proof[name] {
        Value::Null => Ok(None),
        Value::String(text) => BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map(Some)
            .map_err(|error| bad(path, &format!("{name} is not base64url without padding: {error}"))),
        _ => Err(bad(path, &format!("{name} is not a string"))),
    };
    let Some(cose) = binary("cose")? else { return Ok(None) };
    let token_id = match &object["token_id"] {
        Value::Null => None,
        Value::String(text) => Some(text.parse().map_err(|_| bad(path, "token_id is not a UUID"))?),
        _ => return Err(bad(path, "token_id is not a string")),
    };
    let counter = match &proof["counter"] {
        Value::Null => None,
        other => Some(other.as_u64().ok_or_else(|| bad(path, "counter is not a whole number"))?),
    };
    Ok(Some(FoundProof { cose, certificate: binary("identity_certificate")?, token_id, counter }))
}

fn view(report: &ProofReport, now: Timestamp) -> ProofReportView {
    let claims = report.claims.as_ref();
    let check = |(check, verdict): &(ProofCheck, ProofVerdict)| {
        let (result, why) = match verdict {
            ProofVerdict::Ok => (ProofCheckResult::Ok, None),
            ProofVerdict::Failed(why) => (ProofCheckResult::Failed, Some(why.clone())),
            ProofVerdict::NotChecked => (ProofCheckResult::NotChecked, None),
        };
        ProofCheckView { check: (*check).into(), result, why }
    };
    let failure = report.failure();
    ProofReportView {
        schema: Schema::default(),
        at: now.into(),
        verified: failure.is_none(),
        token_id: claims.map(|claims| Uuid::from_bytes(claims.token_id)),
        counter: claims.map(|claims| claims.counter),
        nonce: claims.map(|claims| hex::encode(claims.nonce)),
        terminal: claims.map(|claims| hex::encode(claims.terminal)),
        checks: report.checks.iter().map(check).collect(),
        error: failure.map(|(check, why)| Failure::new(ExitClass::No, check.code(), why).to_json()),
    }
}

/// The named CA, or those that this terminal trusts.
fn authorities(named: Option<&Path>, settings: &Settings) -> Result<Vec<Point>, Failure> {
    let Some(path) = named else {
        return Ok(PkiDir::new(settings.pki_folder()).load_trusted()?);
    };
    let authority = Authority::read(&certificate(path)?).map_err(|error| {
        bad(path, &format!("not the certificate of a CA: {error}")).hint("name pki/ca.crt of the terminal")
    })?;
    Ok(vec![*authority.point()])
}

/// A certificate as DER; PEM is recognised by its dash.
fn certificate(path: &Path) -> Result<Vec<u8>, Failure> {
    let content = read(path, CERTIFICATE)?;
    if content.first() == Some(&0x30) {
        return Ok(content);
    }
    from_pem(&content).ok_or_else(|| {
        Failure::new(ExitClass::Data, "proof.input", format!("{}: not a certificate, PEM or DER", path.display()))
            .hint("name the file of a certificate")
    })
}

/// The certificate of a terminal under these CAs; with another, every proof would count as failed because of it.
fn terminal(path: &Path, authorities: &[Point]) -> Result<Vec<u8>, Failure> {
    let der = certificate(path)?;
    Certificate::verify_under(&der, authorities, &CertificateProfile::TERMINAL).map_err(|error| {
        bad(path, &format!("not the certificate of a terminal of this CA: {error}"))
            .hint("name pki/terminal-ecka.crt of the terminal that read the card")
    })?;
    Ok(der)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| {
        Failure::new(ExitClass::Io, "proof.unreadable", format!("{} cannot be read: {error}", path.display()))
            .hint("name an existing file that is not too long, or - for stdin")
    };
    let content = if path.as_os_str() == "-" {
        files::read_bounded(io::stdin().lock(), limit)
    } else {
        File::open(path).and_then(|file| files::read_bounded(file, limit))
    };
    content.map_err(failed)
}

fn bad(path: &Path, what: &str) -> Failure {
    Failure::new(ExitClass::Data, "proof.input", format!("{}: {what}", path.display()))
        .hint("take what rollcall scan --proof --output json or rollcall token verify --output json prints")
}

/// Of the outputs only JSON has all that a verification needs.
fn no_form(path: &Path, text: &[u8]) -> Failure {
    let is_all = |fits: fn(&u8) -> bool| text.trim_ascii_end().iter().all(fits);
    let what = if let Ok((_, TextEncoding::Utf16Le | TextEncoding::Utf16Be)) = user_csv::decode(text) {
        "it is text in UTF-16: save it in UTF-8 (iconv -f UTF-16 -t UTF-8)"
    } else if is_all(u8::is_ascii_hexdigit) {
        "it is hex: a COSE message has to be binary (xxd -r -p)"
    } else if is_all(|byte| byte.is_ascii_alphanumeric() || b"-_+/=".contains(byte)) {
        "it is base64 alone: a COSE message has to be binary (basenc --base64url -d)"
    } else {
        "neither the JSON of scan --proof or token verify, nor a COSE message"
    };
    Failure::new(ExitClass::Data, "proof.input", format!("{}: {what}", path.display()))
        .hint("write the file with --output json or --output ndjson")
}

fn no_certificate(path: &Path) -> Failure {
    Failure::new(ExitClass::Data, "proof.input", format!("{}: there is no identity certificate in it", path.display()))
        .hint("name the certificate of the token: --certificate FILE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::{random::SystemRandom, x509::ServerName},
        pki::ClockCheck,
        proof::MESSAGE,
    };

    fn found(text: &str) -> Result<Found, Failure> {
        proofs(text.as_bytes(), Path::new("f"))
    }

    fn cose() -> String {
        format!(
            r#"{{"token_id":"02020202-0202-0202-0202-020202020202","proof":{{"cose":"{}","counter":7,"identity_certificate":"MII"}}}}"#,
            "0oRY"
        )
    }

    #[test]
    fn an_object_a_list_and_lines_are_taken() {
        let without = r#"{"proof":null}"#;
        let forms = [
            (cose(), 1, 0, false),
            (format!(" \n[{}]", cose()), 1, 0, true),
            (format!("[{},{without}]", cose()), 1, 1, true),
            (format!("{}\n{without}\n{}\n", cose(), cose()), 2, 1, true),
        ];
        for (text, count, without, list) in forms {
            let found = found(&text).unwrap();
            assert_eq!((found.proofs.len(), found.without, found.list), (count, without, list), "{text}");
            let first = &found.proofs[0];
            assert_eq!((first.cose.as_slice(), first.counter), (&[0xD2, 0x84, 0x58][..], Some(7)));
            assert_eq!(
                (first.certificate.as_deref(), first.token_id),
                (Some(&[0x30, 0x82][..]), Some(Uuid::from_bytes([2; 16])))
            );
        }
    }

    #[test]
    fn only_the_certificate_of_a_terminal_is_one_to_compare_with() {
        let folder = tempfile::tempdir().unwrap();
        let homes = ["a", "b"].map(|name| PkiDir::new(folder.path().join(name)));
        for home in &homes {
            let names = [ServerName::parse("localhost").unwrap()];
            home.init(&names, None, ClockCheck::Enforced, Timestamp::now(), &mut SystemRandom).unwrap();
        }
        let authorities = homes[0].load_trusted().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("broken"), [0x30, 3, 1]).unwrap();
        assert!(terminal(&file("a/terminal-ecka.crt"), &authorities).is_ok());
        for wrong in ["a/terminal-tls.crt", "a/ca.crt", "b/terminal-ecka.crt", "broken"] {
            let failure = terminal(&file(wrong), &authorities).unwrap_err();
            assert_eq!((failure.code, failure.class), ("proof.input", ExitClass::Data), "{wrong}");
            assert!(failure.hint.is_some_and(|hint| hint.contains("terminal-ecka.crt")), "{wrong}");
        }
    }

    #[test]
    fn the_value_of_a_proof_is_one_too() {
        let inner = serde_json::from_str::<Value>(&cose()).unwrap()["proof"].to_string();
        let found = found(&inner).unwrap();
        let first = &found.proofs[0];
        assert_eq!((first.cose.as_slice(), first.counter), (&[0xD2, 0x84, 0x58][..], Some(7)));
        assert!(first.certificate.is_some() && first.token_id.is_none());
    }

    #[test]
    fn a_message_is_taken_as_it_is() {
        let message = [0xD2, 0x84, 0x0A];
        let found = proofs(&message, Path::new("f")).unwrap();
        assert_eq!((found.proofs[0].cose.as_slice(), found.list), (&message[..], false));
        assert!(found.proofs[0].certificate.is_none());
    }

    #[test]
    fn what_is_neither_json_nor_a_message_is_told_as_such() {
        let csv = "time,token_id,proof_cose\n2026-11-30T20:00:00Z,02020202-0202-0202-0202-020202020202,0oRY\n";
        let text = "a  Ada Lovelace  verified\n";
        let none = "neither the JSON";
        let wide: Vec<u8> = cose().encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (other, what) in [
            (csv.as_bytes().to_vec(), none),
            (format!("\u{FEFF}{csv}").into_bytes(), none),
            (text.as_bytes().to_vec(), none),
            (b"0oRY\n".to_vec(), "base64 alone"),
            (b"d28458".to_vec(), "hex"),
            ("x".repeat(MESSAGE).into_bytes(), "base64 alone"),
            ([b"\xFF\xFE".to_vec(), wide].concat(), "UTF-16"),
        ] {
            let failure = proofs(&other, Path::new("f")).unwrap_err();
            assert_eq!((failure.code, failure.class), ("proof.input", ExitClass::Data), "{what}");
            assert!(failure.message.contains(what), "{failure:?}");
            assert!(failure.hint.is_some_and(|hint| hint.contains("--output json") && !hint.contains("--certificate")));
        }
    }

    #[test]
    fn what_has_no_proof_is_bad_input() {
        let wrong = [
            String::new(),
            "{".to_owned(),
            "[]".to_owned(),
            r#"{"proof":{"cose":null}}"#.to_owned(),
            r#"{"proof":{"cose":7}}"#.to_owned(),
            r#"{"proof":{"cose":"*"}}"#.to_owned(),
            cose().replace("02020202-", ""),
            cose().replace(":7,", ":-7,"),
            format!("{} {{", cose()),
        ];
        for text in wrong {
            let failure = found(&text).unwrap_err();
            assert_eq!((failure.code, failure.class), ("proof.input", ExitClass::Data), "{text}");
        }
    }
}
