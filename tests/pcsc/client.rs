//! The `yubikit` client in its own process, because the environment chooses its PC/SC stack.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, ExitCode, ExitStatus, Stdio},
};

use jiff::Timestamp;
use rollcall::{
    api::User,
    channel::scp03::StaticKeys,
    crypto::{
        Key128,
        ec::{KeyPair, Point},
        random::SystemRandom,
        x509::{self, Certificate, CertificateProfile, CertificateTemplate, TerminalRole},
    },
    pki::PkiDir,
    token::record::{Layout, decode},
};
use uuid::Uuid;

use crate::{
    people::enrolled,
    stack::Stack,
    yubikit_client::{self, Issue},
};

case!(EachCard, yubikit_personalises);
/// yubikit takes a blank card to ISSUED with its own personalisation functions, and then opens SCP11a on it.
fn yubikit_personalises(card: &str) {
    let stack = Stack::start(2, card);
    child(&stack, "personalise", "42");
}

case!(EachCard, yubikit_opens_a_channel);
/// yubikit opens SCP11a on a token that `rollcall enroll` has made.
fn yubikit_opens_a_channel(card: &str) {
    let stack = enrolled(2, 1, card);
    opens(&stack, "p1");
}

/// yubikit opens SCP11a on the token of this user, which lies in the first reader.
pub fn opens(stack: &Stack, user: &str) {
    child(stack, "open", user);
}

fn child(stack: &Stack, job: &str, user: &str) {
    let output = stack
        .command(std::env::current_exe().expect("a path"))
        .env("ROLLCALL_TEST_CLIENT", job)
        .env("ROLLCALL_TEST_READER", &stack.readers()[0])
        .env("ROLLCALL_TEST_USER", user)
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A process that does this job with the card in this reader until its input ends.
pub fn hold(stack: &Stack, reader: &str, job: &str) -> Child {
    let mut child = stack
        .command(std::env::current_exe().expect("a path"))
        .env("ROLLCALL_TEST_CLIENT", job)
        .env("ROLLCALL_TEST_READER", reader)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut ready = [0; 1];
    child.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("it holds the card");
    child
}

/// Ends the input of such a process, and waits for it.
pub fn end(mut child: Child) -> ExitStatus {
    drop(child.stdin.take());
    child.wait().expect("it ends")
}

/// What the child process does.
pub fn run(job: &str) -> ExitCode {
    let reader = std::env::var("ROLLCALL_TEST_READER").expect("a reader");
    match job {
        "personalise" => personalise(&reader),
        "open" => open(&reader),
        "hold" => keep(&reader, pcsc::ShareMode::Exclusive, pcsc::Protocols::ANY),
        "idle" => idle(),
        "transact" => transact(&reader),
        "share-t0" => keep(&reader, pcsc::ShareMode::Shared, pcsc::Protocols::T0),
        "share-t1" => keep(&reader, pcsc::ShareMode::Shared, pcsc::Protocols::T1),
        "share-raw" => keep(&reader, pcsc::ShareMode::Shared, pcsc::Protocols::RAW),
        other => panic!("no job {other}"),
    }
    ExitCode::SUCCESS
}

/// Is connected to the service, and to no reader, until the input ends; a byte is told when it is.
fn idle() {
    let _context = pcsc::Context::establish(pcsc::Scope::User).expect("a service");
    print!("!");
    std::io::stdout().flush().expect("told");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("an input");
}

/// Has a transaction with the card until the input ends, and says nothing to it; a byte is told when it does.
fn transact(reader: &str) {
    let context = pcsc::Context::establish(pcsc::Scope::User).expect("a service");
    let name = std::ffi::CString::new(reader).expect("a name");
    let mut card = context.connect(&name, pcsc::ShareMode::Shared, pcsc::Protocols::ANY).expect("a card");
    let transaction = card.transaction().expect("nobody else's");
    print!("!");
    std::io::stdout().flush().expect("told");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("an input");
    transaction.end(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).expect("ended");
}

/// Has the card, for itself or with others, until the input ends; a byte is told when it does.
fn keep(reader: &str, mode: pcsc::ShareMode, protocols: pcsc::Protocols) {
    let context = pcsc::Context::establish(pcsc::Scope::User).expect("a service");
    let name = std::ffi::CString::new(reader).expect("a name");
    let card = context.connect(&name, mode, protocols).expect("a card");
    print!("!");
    std::io::stdout().flush().expect("told");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("an input");
    card.disconnect(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).expect("left");
}

fn personalise(reader: &str) {
    let ca = KeyPair::generate(&mut SystemRandom).expect("a key");
    let terminal = KeyPair::generate(&mut SystemRandom).expect("a key");
    let token_id = Uuid::from_bytes([0x42; 16]);
    let subject = token_id.to_string();
    let certify = |class: CertificateProfile, key: &Point| issue(&ca, class, &subject, key);
    let certificate = issue(&ca, CertificateProfile::Terminal(TerminalRole::Read), "a terminal", terminal.public());
    let user = User { id: "42".into(), name: "Made by yubikit".into(), ..User::default() };
    let key = |n: u8| Key128::new([n; 16]);
    let issue = Issue {
        ca: ca.clone(),
        terminal: (terminal.clone(), certificate.clone()),
        token_id,
        record: Layout::of(&user).expect("it fits").compact,
        keys: StaticKeys { enc: key(1), mac: key(2), dek: key(3) },
    };
    yubikit_client::personalise(reader, &issue, &certify);
    let ecka = yubikit_client::certificate(reader);
    let ecka = Certificate::verify(&ecka, ca.public(), &[CertificateProfile::TokenEcka]).expect("valid");
    assert_eq!(ecka.subject(), subject);
    let record = yubikit_client::read_record(reader, &issue.terminal.0, &issue.terminal.1, ecka.point());
    assert_eq!(decode(&record).expect("a record").user, user);
}

fn issue(ca: &KeyPair, class: CertificateProfile, subject: &str, key: &Point) -> Vec<u8> {
    let now = Timestamp::now();
    let not_after = now + jiff::SignedDuration::from_hours(24 * 30);
    let template = CertificateTemplate { class, subject, key, not_before: now, not_after };
    x509::issue(ca, "Rollcall CA", &template, &mut SystemRandom).expect("a certificate")
}

fn open(reader: &str) {
    let home = std::env::var("ROLLCALL_HOME").expect("a home");
    let terminal = PkiDir::new(Path::new(&home).join("pki")).load_terminal(Timestamp::now()).expect("keys");
    let ecka = yubikit_client::certificate(reader);
    let ecka = Certificate::verify(&ecka, terminal.authority.point(), &[CertificateProfile::TokenEcka]).expect("valid");
    let record = yubikit_client::read_record(reader, &terminal.key, terminal.certificate.der(), ecka.point());
    assert_eq!(decode(&record).expect("a record").user.id, std::env::var("ROLLCALL_TEST_USER").expect("a user"));
}
