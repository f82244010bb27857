//! `rollcall pki`: makes, renews and lists the keys and certificates of this machine.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::Path,
};

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{
    args::{IssueArgs, IssueCommand, PkiArgs, PkiCommand},
    confirm::confirm,
    context::connect,
    issue, pki_rotate,
    printer::Printer,
    views::{At, Pki, PkiKind, PkiState, Schema, SetRotationView},
};
use crate::{
    api::v1::Role,
    config::Settings,
    crypto::{random::SystemRandom, x509::TlsUse},
    failure::{ExitClass, Failure, Remedy, number_of},
    files::{self, word},
    pki::{
        Age, AuthorityChange, BUNDLE_FILE, Bundle, CertificateClass, CertificateDays, CertificatePlace, ClockCheck,
        Content, FileOutcome, Followed, InventoryItem, IssueReport, PkiDir, PkiError, SetId, SetRotation, TerminalName,
        bundle_from_server, server_names,
    },
    server_client::ServerUrl,
    terminal::administration::terminals,
};

/// The longest bundle that is read, in bytes.
const BUNDLE: usize = 64 * 1024;

/// Runs the command.
///
/// # Errors
/// `pki.…`; with a server, that of the connection; `confirm.…`, `file.exists`; that of the output.
pub fn run(args: &PkiArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let home = PkiDir::new(settings.pki_folder());
    let now = Timestamp::now();
    let clock_check = ClockCheck::skipped_if(settings.yes);
    let report = match &args.command {
        PkiCommand::Init { days } => {
            if settings.perso_key.is_none() && home.has_lost_perso_key() {
                let what = "perso.key is missing: this makes another one, which fits none of the issued cards \
                    (restore the old one from a backup)";
                confirm(settings, out, what, "replace")?;
            }
            Some(home.init(&server_names(), *days, clock_check, now, &mut SystemRandom)?)
        }
        PkiCommand::Renew { days } if settings.server.url.is_some() && !home.has_ca_key() => {
            if days.is_some() {
                return Err(not_here());
            }
            let followed = connect(settings).and_then(|server| terminals::renew(&server, &home));
            let followed = followed.map_err(too_late)?;
            out.note("the server has renewed this terminal's certificates");
            match followed {
                Followed::Nothing => {}
                Followed::Begun => {
                    out.note("another CA is replacing the one here; both are trusted until the rotation ends");
                }
                Followed::Ended => out.note("the previous CA is no longer trusted"),
            }
            None
        }
        PkiCommand::Renew { days } => {
            let renewed = home.renew(&server_names(), *days, clock_check, now, &mut SystemRandom);
            Some(renewed.map_err(|error| elsewhere(&home, &error))?)
        }
        PkiCommand::Issue(IssueArgs { command: IssueCommand::Server { names, days } }) => {
            let names = if names.is_empty() { server_names() } else { names.clone() };
            Some(home.issue_server(&names, *days, clock_check, now, &mut SystemRandom)?)
        }
        PkiCommand::Issue(IssueArgs { command: IssueCommand::Terminal { name, role, days, out: file } }) => {
            terminal(settings, &home, name, (*role).into(), *days, file, out)?;
            return Ok(0);
        }
        PkiCommand::Import { bundle } => {
            import(settings, &home, bundle, out)?;
            None
        }
        PkiCommand::RotateSet { id, finish } => return rotate_set(*id, *finish, settings, &home, out),
        PkiCommand::RotateCa { finish } => pki_rotate::run(*finish, settings, &home, out)?,
        PkiCommand::List => None,
    };
    if let Some(report) = &report {
        tell(&home, report, out);
    }
    list(&home, report.as_ref(), settings, now, out)
}

/// A terminal must not choose its own validity.
fn not_here() -> Failure {
    let what = "the server decides how long this terminal's certificates are valid";
    Failure::new(ExitClass::Usage, "pki.days", what).hint(Remedy::with(
        "an administrator chooses it when adding a terminal",
        "rollcall server terminal add NAME --days N --out FILE",
    ))
}

/// A terminal with an expired certificate cannot ask for another one: its server refuses it.
fn too_late(failure: Failure) -> Failure {
    if failure.code != "pki.terminal-expired" {
        return failure;
    }
    failure
        .hint(bundle_from_server("it is too late to renew it; an administrator makes a new bundle under the same name"))
}

/// A terminal whose keys came in a bundle cannot renew them itself without a server.
fn elsewhere(home: &PkiDir, error: &PkiError) -> Failure {
    let is_from_bundle = matches!(error, PkiError::NoCaKey(_)) && home.folder().join("terminal-tls.key").exists();
    let failure = error.to_failure();
    if !is_from_bundle {
        return failure;
    }
    let place = CertificatePlace { has_ca_key: false, has_server: false };
    failure.hint(place.renewal(CertificateClass::Tls(TlsUse::Client), true))
}

/// Replaces a set, or finishes its replacement.
fn rotate_set(id: SetId, finish: bool, settings: &Settings, home: &PkiDir, out: &mut Printer) -> Result<u8, Failure> {
    if finish {
        let left = home.set_rotation(id)?.left();
        let what = format!(
            "this destroys the key of the set {id} here; {left} of its tokens are not known to have the new one"
        );
        confirm(settings, out, &what, "finish")?;
        let rotation = home.finish_set_rotation(id)?;
        return out.object(&set_rotation_view(&rotation, true)).map(|()| 0);
    }
    let clock_check = ClockCheck::skipped_if(settings.yes);
    // Sets are made only beside the CA key.
    let mut ca = home.load_ca(clock_check)?;
    let mut create = || home.create_set(&mut ca, Timestamp::now(), &mut SystemRandom);
    let rotation = home.begin_set_rotation(id, &mut create)?;
    out.object(&set_rotation_view(&rotation, false))?;
    out.note(&format!("give its tokens the new key: rollcall token rotate --set {id} --all"));
    Ok(0)
}

/// The progress of the rotation, as an object.
pub fn set_rotation_view(rotation: &SetRotation, finished: bool) -> SetRotationView {
    SetRotationView {
        schema: Schema::default(),
        set: rotation.from.to_string(),
        successor: rotation.to.id.to_string(),
        tokens: rotation.tokens,
        done: rotation.done(),
        left: rotation.left(),
        finished,
    }
}

/// Through the server if there is one, because it has to know the terminals.
fn terminal(
    settings: &Settings,
    home: &PkiDir,
    name: &str,
    role: Role,
    days: Option<CertificateDays>,
    file: &Path,
    out: &mut Printer,
) -> Result<(), Failure> {
    if settings.server.url.is_some() {
        return issue::through_server(&connect(settings)?, name, role, days, file, out);
    }
    let clock_check = ClockCheck::skipped_if(settings.yes);
    issue::by_ca(home, clock_check, name, role, days, file, out)
}

/// Imports keys and certificates, and the server's address if none is configured.
fn import(settings: &Settings, home: &PkiDir, file: &Path, out: &mut Printer) -> Result<(), Failure> {
    let failed = |path: &Path, error| PkiError::Io { path: path.to_owned(), error };
    let bundle = read_bundle(file)?;
    bundle.check_in_time(Timestamp::now())?;
    match (home.given_up_for(&bundle)?, home.authority_given_up_for(&bundle)?) {
        (None, None) => home.import(&bundle)?,
        // A valid identity may belong to another terminal.
        (Some(old), Some(_)) if old.end > Timestamp::now() && old.name != bundle.identity()?.name => {
            home.import(&bundle)?;
        }
        (old, Some(change)) => {
            let (new, what) = (bundle.identity()?, authority_change(old.as_ref(), &change, &bundle)?);
            confirm(settings, out, &format!("{what}; its present keys are replaced"), &new.name)?;
            home.replace_authority(&bundle)?;
            out.note(&what);
        }
        (Some(old), None) => {
            let (new, now) = (bundle.identity()?, Timestamp::now());
            let what = format!(
                "this terminal was {} until {}; with the bundle it is {} until {}",
                old.name,
                At(old.end),
                new.name,
                At(new.end)
            );
            // An expired identity is useless; a valid one may belong to another terminal.
            if old.end > now && old.name != new.name {
                return home.import(&bundle).map_err(Failure::from);
            }
            if old.end > now {
                confirm(settings, out, &format!("{what}; its present keys are replaced"), &new.name)?;
            }
            home.take_over(&bundle)?;
            out.note(&what);
        }
    }
    let config = settings.config_folder.join("config.toml");
    let Some(url) = &bundle.server else { return Ok(()) };
    // The configuration includes the port; a bundle may omit 443.
    if url.parse::<ServerUrl>().is_ok_and(|url| settings.server.url.as_ref() == Some(&url.to_string())) {
        return Ok(());
    }
    if config.exists() {
        out.warning(
            "the configuration does not name the server of the bundle",
            Some(&format!("write url = {url:?} under [server]")),
        );
        return Ok(());
    }
    files::create_private_folder(&settings.config_folder).map_err(|error| failed(&config, error))?;
    files::replace(&config, format!("[server]\nurl = {url:?}\n").as_bytes()).map_err(|error| failed(&config, error))?;
    out.note(&format!("{} names the server {url}", config.display()));
    Ok(())
}

/// What it means for a terminal that a bundle of another CA is imported.
fn authority_change(old: Option<&TerminalName>, change: &AuthorityChange, bundle: &Bundle) -> Result<String, PkiError> {
    let new = bundle.identity()?;
    let was = old.map(|old| format!(" and was {} until {}", old.name, At(old.end))).unwrap_or_default();
    let cards = if change.is_rotation {
        "cards of the old CA are accepted until its rotation ends"
    } else {
        "cards of the old CA become strangers"
    };
    Ok(format!(
        "this terminal trusts the CA {}{was}; with the bundle it trusts the CA {} and is {} until {}; {cards}",
        change.old,
        change.new,
        new.name,
        At(new.end)
    ))
}

fn read_bundle(file: &Path) -> Result<Bundle, Failure> {
    let name = file.display();
    let mut json = Zeroizing::new(Vec::with_capacity(BUNDLE + 1));
    let opened = File::open(file).and_then(|file| file.take(BUNDLE as u64 + 1).read_to_end(&mut json));
    opened.map_err(|error| unreadable(file, &error))?;
    // A file longer than any bundle was not read to its end, so it must not be reported as cut.
    let read = if json.len() > BUNDLE { Err(PkiError::NotABundle) } else { Bundle::read(&json) };
    read.map_err(|error| {
        let failure = error.to_failure();
        Failure { message: format!("{name}: {}", failure.message), ..failure }
    })
}

/// Why the file of a bundle cannot be read: it is another file that was meant, or this user may not read it.
fn unreadable(file: &Path, error: &io::Error) -> Failure {
    let name = file.display();
    let failure = |what: String, hint: Remedy| Failure::new(ExitClass::Io, "pki.file", what).hint(hint);
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => failure(format!("{name} does not exist"), BUNDLE_FILE.into()),
        ErrorKind::IsADirectory => failure(format!("{name} is a folder"), BUNDLE_FILE.into()),
        _ => failure(
            format!("{name} cannot be read: {error}"),
            Remedy::with("check its owner and permissions, and those of its folder", format!("ls -l {}", word(file))),
        ),
    }
}

/// Reports in one line what was done, and where.
fn tell(home: &PkiDir, report: &IssueReport, out: &mut Printer) {
    let folder = home.folder().display();
    let count = |outcome| report.files.iter().filter(|file| file.outcome == outcome).count();
    match (count(FileOutcome::Created), count(FileOutcome::Renewed)) {
        (0, 0) => out.note(&format!("everything exists already; nothing was changed: {folder}")),
        (0, renewed) => out.note(&format!("renewed {} in {folder}", number_of(renewed, "certificate"))),
        (created, _) => {
            out.note(&format!("made {} in {folder}", number_of(created, "file")));
            if report.has_new_authority() {
                out.note(
                    "keep a backup of that folder where nobody else can read it: without ca.key no token can be \
                          enrolled or administered",
                );
            }
        }
    }
}

/// Lists everything, and what is wrong with it.
fn list(
    home: &PkiDir,
    report: Option<&IssueReport>,
    settings: &Settings,
    now: Timestamp,
    out: &mut Printer,
) -> Result<u8, Failure> {
    let place = CertificatePlace { has_ca_key: home.has_ca_key(), has_server: settings.server.url.is_some() };
    let items = home.inventory()?;
    let new =
        |file: &str| report.is_some_and(|r| r.files.iter().any(|f| f.name == file && f.outcome != FileOutcome::Kept));
    let objects: Vec<_> = items.iter().map(|item| object(item, new(&item.file), now)).collect();
    out.list(&objects, "there are no keys and certificates here: make them with rollcall pki init")?;
    let mut told: Vec<String> = Vec::new();
    for (what, hint) in items.iter().filter_map(|item| trouble(item, place, now)) {
        // A key that cannot be used also makes its certificate useless: report that once.
        if !told.contains(&what) {
            out.warning(&what, hint.as_deref());
            told.push(what);
        }
    }
    let broken = items.iter().any(|item| item.error().is_some());
    Ok(if broken { ExitClass::No.exit_status() } else { 0 })
}

/// What should be corrected, and how.
fn trouble(item: &InventoryItem, place: CertificatePlace, now: Timestamp) -> Option<(String, Option<String>)> {
    if let Some(error) = item.error() {
        let failure = error.to_failure();
        return Some((failure.message, failure.hint.map(|hint| hint.text)));
    }
    let facts = item.facts()?;
    let when = match facts.age(now) {
        Age::Expired => "expired",
        Age::Expiring => "expires",
        Age::NotYetValid => {
            let hint = "set the clock right: timedatectl".to_owned();
            return Some((format!("{} is valid only from {}", item.file, At(facts.not_before)), Some(hint)));
        }
        Age::Valid => return None,
    };
    let remedy = || place.renewal(facts.class, facts.age(now) == Age::Expired);
    let hint = (facts.class != CertificateClass::Authority).then(|| format!("renew it: {}", remedy()));
    Some((format!("{} {when} at {}", item.file, At(facts.not_after)), hint))
}

fn object(item: &InventoryItem, new: bool, now: Timestamp) -> Pki {
    let kind = match item.content {
        Content::PrivateKey(_) => PkiKind::PrivateKey,
        Content::SecretKey(_) => PkiKind::SecretKey,
        Content::Certificate(_) => PkiKind::Certificate,
    };
    let facts = item.facts();
    let state = match (item.error(), facts.map(|facts| facts.age(now))) {
        (Some(_), _) => PkiState::Broken,
        (None, None | Some(Age::Valid)) => PkiState::Valid,
        (None, Some(Age::Expiring)) => PkiState::Expiring,
        (None, Some(Age::Expired)) => PkiState::Expired,
        (None, Some(Age::NotYetValid)) => PkiState::NotYetValid,
    };
    Pki {
        schema: Schema::default(),
        file: item.file.clone(),
        kind,
        class: facts.map(|facts| facts.class.word().to_owned()),
        subject: facts.map(|facts| facts.subject.clone()),
        serial: facts.map(|facts| facts.serial.clone()),
        not_before: facts.map(|facts| facts.not_before.into()),
        not_after: facts.map(|facts| facts.not_after.into()),
        state,
        new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_that_this_user_may_not_read_is_not_the_wrong_file() {
        let failure = |kind: ErrorKind| unreadable(Path::new("/b/door 1.json"), &kind.into());
        for kind in [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::IsADirectory] {
            assert_eq!(failure(kind).hint, Some(BUNDLE_FILE.into()), "{kind}");
        }
        let denied = failure(ErrorKind::PermissionDenied);
        assert_eq!((denied.class, denied.code), (ExitClass::Io, "pki.file"));
        assert_eq!(denied.message, "/b/door 1.json cannot be read: permission denied");
        assert_eq!(denied.hint.unwrap().command.unwrap().to_string(), "ls -l '/b/door 1.json'");
    }
}
