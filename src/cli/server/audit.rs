//! `rollcall server audit verify` and `reconcile`: verify the audit log, and reconcile it with what terminals know.

use std::{fs::File, io::Read, path::Path};

use jiff::Timestamp;

use super::{
    args::{AuditArgs, AuditCommand, VerifyArgs},
    run::{authorities, store},
};
use crate::{
    api::v1::{AuditHead, FEED_TYPE, Feed, SignedFeed},
    cli::{confirm::confirm, printer::Printer, views},
    config::Settings,
    crypto::{ec::Point, jws},
    failure::{ExitClass, Failure, number_of},
    pki::PkiDir,
    server::{
        self, RunError, ServerStore,
        audit::{self, AuditError, Verifier},
        store::MissingRecord,
    },
};

/// Records read at a time.
const PAGE: u32 = 1000;

/// Runs the command.
///
/// # Errors
/// That of a file of heads, of the store, or of the output. A damaged log only affects the status.
pub fn run(args: &AuditArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    match &args.command {
        AuditCommand::Verify(args) => verify_log(args, settings, out),
        AuditCommand::Reconcile(args) => reconcile(args.dry_run, settings, out),
    }
}

/// Restores the token statuses that terminals still enforce but this log has lost; the terminals then follow this log.
fn reconcile(dry_run: bool, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let (url, now) = (store(settings)?, Timestamp::now());
    let (own, previous) = authorities(settings)?;
    let (store, missing, lost) = server::block_on(async {
        let store = ServerStore::open_existing(&url, &own, previous.as_ref()).await?;
        let (missing, lost) = (store.missing_records().await?, store.lost_statuses().await?);
        store.close().await;
        Ok((url, missing, lost))
    })?
    .map_err(RunError::Store)?;
    for MissingRecord { terminal, head, at } in &missing {
        out.note(&format!(
            "{terminal} has seen record {}, which this log does not have (it said so at {at:.0})",
            head.seq
        ));
    }
    let known = lost.iter().filter(|one| one.known.is_some()).count();
    if known < lost.len() {
        out.warning(
            &format!("no longer known here: {} that terminals refuse", number_of(lost.len() - known, "token")),
            Some("enroll their holders again; the terminals refuse these cards as unknown"),
        );
    }
    let lost = if dry_run || missing.is_empty() {
        lost
    } else {
        let what = format!(
            "this trusts {} about {}, and gives up whatever else was lost since the backup",
            number_of(missing.len(), "terminal"),
            number_of(known, "token")
        );
        confirm(settings, out, &what, "reconcile")?;
        server::block_on(async {
            let store = ServerStore::open_existing(&store, &own, previous.as_ref()).await?;
            let lost = store.reconcile(audit::SERVER, now).await?;
            store.close().await;
            Ok(lost)
        })?
        .map_err(RunError::Store)?
    };
    let rows: Vec<_> = lost.into_iter().map(views::Reconciliation::from).collect();
    out.list(
        &rows,
        if missing.is_empty() {
            "no terminal misses a record of this log"
        } else {
            "no terminal keeps out a token that this store lets in"
        },
    )?;
    Ok(0)
}

fn verify_log(args: &VerifyArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let told = told(args, settings)?;
    let url = store(settings)?;
    let (verified, head) = server::block_on(async {
        let store = ServerStore::inspect(&url).await?;
        let done = verify(&store, told).await;
        store.close().await;
        done
    })?
    .map_err(RunError::Store)?;
    let bad = verified.as_ref().err();
    out.object(&views::Audit {
        schema: views::Schema::default(),
        whole: bad.is_none(),
        records: head.seq,
        head: head.hash,
        first_bad: bad.map(AuditError::first_bad),
        what: bad.map(ToString::to_string),
    })?;
    Ok(if bad.is_none() { 0 } else { ExitClass::No.exit_status() })
}

/// Verifies the log. The head is read first, so that records added meanwhile cause no contradiction.
///
/// # Errors
/// That of the store. Damage to the log is the first part of the value.
pub async fn verify(
    store: &ServerStore,
    told: Vec<AuditHead>,
) -> Result<(Result<u64, AuditError>, AuditHead), server::ServerStoreError> {
    let head = store.audit_head().await?;
    let mut verifier = Verifier::new(told);
    let mut after = 0;
    let last = i64::try_from(head.seq).unwrap_or(i64::MAX);
    loop {
        let page = store.audit(after, PAGE).await?;
        for record in page.iter().filter(|record| record.seq <= last) {
            if let Err(error) = verifier.next(record) {
                return Ok((Err(error), head));
            }
        }
        match page.last() {
            Some(record) if record.seq < last => after = record.seq,
            _ => break,
        }
    }
    Ok((verifier.end(&head), head))
}

/// The heads that terminals were given, from feeds that our server signed.
fn told(args: &VerifyArgs, settings: &Settings) -> Result<Vec<AuditHead>, Failure> {
    if args.feed.is_empty() {
        return Ok(Vec::new());
    }
    let cas = PkiDir::new(settings.pki_folder()).load_trusted()?;
    args.feed.iter().map(|path| one_feed(path, &cas)).collect()
}

fn one_feed(path: &Path, cas: &[Point]) -> Result<AuditHead, Failure> {
    let bad = |what: String| {
        Failure::new(ExitClass::Data, "audit.feed", format!("{}: {what}", path.display()))
            .hint("give the answer of GET /v1/revocations, or its JWS alone")
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(jws::LIMIT as u64 + 1024).read_to_string(&mut text));
    read.map_err(|error| bad(error.to_string()))?;
    let jws = serde_json::from_str::<SignedFeed>(&text).map_or(text, |feed| feed.jws);
    let mut verdicts = cas.iter().map(|ca| jws::verify(jws.trim(), FEED_TYPE, ca));
    let first = verdicts.next().ok_or_else(|| bad("there is no CA here".to_owned()))?;
    // While a CA is being rotated out, its server still signs under it.
    let verified = verdicts.find(Result::is_ok).unwrap_or(first).map_err(|error| bad(error.to_string()))?;
    let feed: Feed = serde_json::from_slice(&verified.payload).map_err(|error| bad(error.to_string()))?;
    Ok(feed.audit)
}
