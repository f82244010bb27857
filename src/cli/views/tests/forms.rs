//! Every object in every output format: `forms.txt` shows what scripts and people get for the samples below.

use std::{fmt::Write as _, io};

use super::*;
use crate::{
    api::v1::{ForgottenUser, PresenceState, PresentUser, Role, TokenStatus},
    cli::printer::{OutputOptions, Printable, Printer, column::places, tests::stream::Stream},
    config::OutputFormat,
    token::proof_checks::ProofCheck,
};

fn printed(format: OutputFormat, print: impl FnOnce(&mut Printer)) -> String {
    let written = Stream::default();
    let options = OutputOptions { format, colour_out: true, ..OutputOptions::default() };
    let mut printer = Printer::on(options, Box::new(written.clone()), Box::new(io::sink()));
    print(&mut printer);
    printer.end().unwrap();
    written.text().replace('\u{1b}', "^")
}

/// JSON lines, csv, a table, lines one by one, and the object alone.
fn forms<T: Printable>(objects: &[T]) -> String {
    let places = places::<T>();
    assert!(places.iter().copied().eq(1..=places.len()), "two columns in one place: {places:?}");
    let mut text = printed(OutputFormat::Ndjson, |out| out.list(objects, "").unwrap());
    text += &printed(OutputFormat::Csv, |out| out.list(objects, "").unwrap());
    text += &printed(OutputFormat::Text, |out| out.list(objects, "").unwrap());
    for object in objects {
        text += &printed(OutputFormat::Text, |out| out.item(object).unwrap());
        text += &printed(OutputFormat::Text, |out| out.object(object).unwrap());
    }
    text
}

/// The samples with one field set to each of these values.
fn each<T: Clone, V>(object: &T, values: impl IntoIterator<Item = V>, set: impl Fn(&mut T, V)) -> Vec<T> {
    let change = |value| {
        let mut object = object.clone();
        set(&mut object, value);
        object
    };
    values.into_iter().map(change).collect()
}

fn reader() -> ReaderView {
    ReaderView {
        schema: Schema::default(),
        reader: "R".into(),
        alias: Some("door".into()),
        state: ReaderStateView::Present,
        atr: Some("3B00".into()),
        card: Some("rollcall".into()),
        says: Some("no historical bytes".into()),
        atr_fields: vec![AtrField { name: "TS".into(), bytes: "3B".into(), meaning: "direct".into() }],
        names: vec!["a card".into()],
        ignored: false,
        stable: None,
    }
}

fn scans() -> Vec<ScanView> {
    use ServerVerdictView::{Authenticated, NotAsked, Refused, Unreachable};
    let mut scans = each(&scan(), [NotAsked, Authenticated, Unreachable, Refused], |scan, server| {
        scan.authenticated.server = server;
    });
    let identified = AuthenticatedView { token: false, server: NotAsked };
    scans.push(ScanView { authenticated: identified, user: None, proof: None, source: None, ..scan() });
    scans.push(ScanView { identified: false, ..scans[4].clone() });
    scans.push(ScanView { error: Some(error()), token_id: None, ..scans[5].clone() });
    scans[0].proof = Some(ProofView {
        cose: Some("hEOh".into()),
        identity_certificate: Some("MIIB".into()),
        nonce_source: NonceSource::Server,
        ..proof()
    });
    scans
}

fn enrollments() -> Vec<Enroll> {
    let enroll = Enroll {
        schema: Schema::default(),
        at: at().into(),
        reader: "R".into(),
        token_id: Some(token_id()),
        user: Some(ann()),
        error: None,
        result: None,
        set: Some("0011223344556677".into()),
        test_keys: false,
        changes: Vec::new(),
    };
    let results = [None, Some(Enrolled::Enrolled), Some(Enrolled::Resumed), Some(Enrolled::Replaced)];
    let mut all = each(&enroll, results, |enroll, result| enroll.result = result);
    all.push(Enroll { result: Some(Enrolled::Planned), token_id: None, changes: user_changes(), ..enroll.clone() });
    all.push(Enroll { error: Some(error()), test_keys: true, user: None, ..enroll });
    all
}

fn entries() -> Vec<UserEntry> {
    let entry = entry();
    let lone = presence::Entry {
        user: User { fields: [].into(), ..ann() },
        state: presence::EntryState::Unconfirmed,
        authenticated: false,
        ..entry.clone()
    };
    let resumed = presence::Entry { resumed: true, ..entry.clone() };
    let now = at() + jiff::SignedDuration::from_mins(200);
    [entry, lone, resumed].map(|entry| UserEntry::new(entry, now)).into()
}

fn events() -> Vec<EventView> {
    use presence::EventKind::{
        Arrived, Confirmed, Left, ReaderAdded, ReaderAvailable, ReaderRemoved, ReaderUnavailable, Refused, ServiceBack,
        ServiceLost, Unconfirmed,
    };
    let event = presence::Event {
        event: Arrived,
        seq: 17,
        at: at(),
        reader: Some("R".into()),
        token_id: Some(token_id()),
        user: Some(ann()),
        source: Some(presence::Source::Card),
        authenticated: Some(true),
        resumed: None,
        reason: None,
        error: None,
        by: None,
        note: None,
    };
    let kinds = [
        Arrived,
        Left,
        ReaderAdded,
        ReaderRemoved,
        Refused,
        ServiceBack,
        ServiceLost,
        Unconfirmed,
        Confirmed,
        ReaderUnavailable,
        ReaderAvailable,
    ];
    let mut events = each(&event, kinds, |event, kind| event.event = kind);
    events[0].resumed = Some(true);
    events[1].reason = Some(presence::Reason::Expired);
    (events[4].error, events[7].reason) = (Some(error()), Some(presence::Reason::NoAnswer));
    (events[6].reader, events[6].token_id, events[6].user) = (None, None, None);
    (events[6].source, events[6].authenticated) = (None, None);
    events.into_iter().map(EventView::from).collect()
}

fn files() -> Vec<Pki> {
    use PkiState::{Broken, Expired, Expiring, NotYetValid, Valid};
    let file = Pki {
        schema: Schema::default(),
        file: "ca.crt".into(),
        kind: PkiKind::Certificate,
        class: Some("ca".into()),
        subject: Some("Rollcall CA".into()),
        serial: Some("01".into()),
        not_before: Some(at().into()),
        not_after: Some(at().into()),
        state: Valid,
        new: false,
    };
    let mut files = each(&file, [Valid, Expiring, Expired, NotYetValid, Broken], |file, state| file.state = state);
    let (class, subject, serial) = (None, None, None);
    files.push(Pki {
        kind: PkiKind::SecretKey,
        class,
        subject,
        serial,
        not_before: None,
        not_after: None,
        new: true,
        ..file
    });
    files
}

fn token() -> TokenView {
    TokenView {
        schema: Schema::default(),
        reader: "R".into(),
        atr: Some("3B00".into()),
        state: TokenState::Issued,
        mode: Some(TokenModeView::Open),
        version: "1.0".into(),
        token_id: Some(token_id()),
        set_id: Some("0011223344556677".into()),
        ecka_kvn: Some("41".into()),
        ca_id: Some("0011223344556677".into()),
        authenticated: Some(true),
        user: Some(ann()),
        error: None,
        proof: Some(proof()),
    }
}

fn tokens() -> Vec<TokenView> {
    use TokenState::{Blank, Blocked, Issued, Personalised, Terminated};
    let states = [Blank, Personalised, Issued, Blocked, Terminated];
    let mut tokens = each(&token(), states, |token, state| token.state = state);
    tokens.push(TokenView { authenticated: Some(false), error: Some(error()), user: None, proof: None, ..token() });
    let mode = Some(TokenModeView::Private);
    tokens.push(TokenView { authenticated: Some(false), mode, token_id: None, atr: None, ..token() });
    tokens.push(TokenView { authenticated: None, mode: None, set_id: None, ecka_kvn: None, ca_id: None, ..token() });
    tokens
}

/// A changed name, a new field, and a removed one.
fn user_changes() -> Vec<UserChangeView> {
    let change = |part, key: Option<&str>, before: Option<&str>, after: Option<&str>| UserChangeView {
        part,
        key: key.map(str::to_owned),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    };
    vec![
        change(UserPartView::Name, None, Some("Ann"), Some("Anne")),
        change(UserPartView::Field, Some("room"), None, Some("B1")),
        change(UserPartView::Field, Some("team"), Some("red"), None),
    ]
}

fn row_differences() -> Vec<RowDifferenceView> {
    let difference = |row, before, after: &[User]| RowDifferenceView {
        id: "007".into(),
        row,
        token_id: Some(token_id()),
        before,
        after: after.to_vec(),
    };
    vec![
        difference(RowNowView::Changed, Some(ann()), &[ann()]),
        difference(RowNowView::Gone, None, &[ann()]),
        RowDifferenceView { token_id: None, ..difference(RowNowView::Gone, Some(ann()), &[]) },
    ]
}

fn changes() -> Vec<TokenChange> {
    use TokenChanged::{Done, Planned, Unchanged};
    let change = TokenChange {
        schema: Schema::default(),
        at: at().into(),
        reader: "R".into(),
        token_id: Some(token_id()),
        action: TokenAction::Write,
        result: Done,
        state: TokenState::Issued,
        server: Some(RegisteredView::Suspended),
        user: Some(ann()),
        changes: Some(user_changes()),
    };
    let mut changes = each(&change, [Done, Unchanged, Planned], |change, result| change.result = result);
    changes.push(TokenChange { token_id: None, server: None, user: None, changes: None, ..change });
    changes
}

fn rotations() -> Vec<RotationView> {
    use TokenChanged::{Done, Planned, Unchanged};
    let (schema, reader, token_id) = (Schema::default(), "R".into(), Some(token_id()));
    let rotation = RotationView { schema, at: at().into(), reader, token_id, result: None, error: None };
    let results = [None, Some(Done), Some(Unchanged), Some(Planned)];
    let mut rotations = each(&rotation, results, |rotation, result| rotation.result = result);
    rotations.push(RotationView { token_id: None, error: Some(error()), ..rotation });
    rotations
}

fn cards() -> Vec<IssuedCardView> {
    use IssuedCardState::{Blocked, Issued, Replaced, Terminated};
    let (token_id, user) = (token_id(), ann());
    let (schema, card) = (Schema::default(), Some("0011223344".to_owned()));
    let (issued, changed) = (at().into(), at().into());
    let card = IssuedCardView { schema, token_id, user, card, state: Issued, denied: false, issued, changed };
    let mut cards = each(&card, [Issued, Blocked, Terminated, Replaced], |card, state| card.state = state);
    (cards[1].denied, cards[3].card) = (true, None);
    cards
}

fn server_tokens() -> Vec<ServerToken> {
    use TokenStatus::{Active, Lost, Revoked, Suspended};
    let (schema, reason) = (Schema::default(), Some("left in a train".to_owned()));
    let (token_id, user_id, changed) = (token_id(), "7".into(), at().into());
    let token =
        ServerToken { schema, token_id, user_id, user_name: None, status: Active, reason, changed, counter: Some(7) };
    let mut tokens = each(&token, [Active, Suspended, Lost, Revoked], |token, status| token.status = status);
    (tokens[0].reason, tokens[0].counter) = (None, None);
    tokens[1].user_name = Some("Ann".into());
    tokens
}

fn presences() -> Vec<PresenceView> {
    let later = at() + jiff::SignedDuration::from_hours(2);
    let one = |state, silent, last_word| {
        let (user, token_id, terminal, reader) = (Some(ann()), Some(token_id()), "door".into(), Some("R".into()));
        let (authenticated, by) = (Some(true), None);
        let (since, last_seen) = (at(), at());
        let one = PresentUser { user, token_id, terminal, reader, since, last_seen, state, silent, authenticated, by };
        PresenceView::new(one, later, last_word)
    };
    let (authenticated, by) = (Some(false), Some("desk".into()));
    let entered = PresenceView { authenticated, by, ..one(PresenceState::Present, Some(false), Some(later)) };
    let nobody = PresenceView { user: None, token_id: None, reader: None, ..one(PresenceState::Present, None, None) };
    vec![
        one(PresenceState::Present, Some(false), Some(later)),
        one(PresenceState::Unconfirmed, Some(false), Some(later)),
        one(PresenceState::Present, Some(true), Some(at())),
        one(PresenceState::Present, Some(true), None),
        nobody,
        entered,
    ]
}

fn server_events() -> Vec<ServerEventView> {
    let event = |event| ServerEventView {
        schema: Schema::default(),
        terminal: "door".into(),
        list: token_id(),
        received: at().into(),
        event,
    };
    let refused = json!({ "code": "token.foreign", "message": "foreign" });
    vec![
        event(json!({ "event": "left", "seq": 7, "at": "2026-11-22T15:04:05.123Z", "reader": "R", "reason": "lifted",
            "user": { "id": "7", "name": "Ann" } })),
        event(
            json!({ "event": "refused", "seq": 8, "at": "2026-11-22T15:04:05.123Z", "reader": null, "error": refused }),
        ),
        event(json!({ "event": "of a later release", "seq": 9 })),
    ]
}

fn areas() -> Vec<AreaView> {
    use AreaMark::{Fault, Look, Ok};
    let area = AreaView {
        schema: Schema::default(),
        area: "server".into(),
        mark: Ok,
        code: Some("server.slow".into()),
        what: "it took 700 ms".into(),
        remedy: Some("look at it: uptime".into()),
        command: Some("uptime".into()),
        facts: [("unsent".to_owned(), json!(7))].into(),
    };
    let mut areas = each(&area, [Ok, Look, Fault], |area, mark| area.mark = mark);
    (areas[0].code, areas[0].remedy, areas[0].command) = (None, None, None);
    areas
}

fn findings() -> Vec<FindingView> {
    use Severity::{Fault, Note, Ok, Warning};
    let finding = FindingView {
        schema: Schema::default(),
        probe: "reader".into(),
        subject: Some("R".into()),
        depth: 2,
        severity: Ok,
        code: Some("reader.none".into()),
        what: "no reader".into(),
        remedy: Some("see: lsusb".into()),
        command: Some("lsusb".into()),
        facts: [("usb".to_owned(), json!(["a", 7]))].into(),
        took_ms: Ms(1.25),
    };
    let mut findings = each(&finding, [Ok, Note, Warning, Fault], |finding, severity| finding.severity = severity);
    (findings[0].subject, findings[0].code, findings[0].remedy, findings[0].command) = (None, None, None, None);
    findings
}

fn proof_reports() -> Vec<ProofReportView> {
    use crate::token::proof_checks::ProofCheck::{Form, Nonce, Signature};
    use ProofCheckResult::{Failed, NotChecked, Ok};
    let check = |(check, result): (ProofCheck, ProofCheckResult)| {
        let why = (result == Failed).then(|| "another form".to_owned());
        ProofCheckView { check: check.into(), result, why }
    };
    let good = ProofReportView {
        schema: Schema::default(),
        at: at().into(),
        verified: true,
        token_id: Some(token_id()),
        counter: Some(7),
        nonce: Some("01".repeat(32)),
        terminal: Some("02".repeat(32)),
        checks: [(Form, Ok), (Signature, Ok), (Nonce, NotChecked)].map(check).into(),
        error: None,
    };
    let bad = ProofReportView {
        verified: false,
        token_id: None,
        counter: None,
        nonce: None,
        terminal: None,
        checks: [(Form, Failed), (Signature, NotChecked), (Nonce, NotChecked)].map(check).into(),
        error: Some(ErrorObject { code: "proof.malformed".into(), message: "another form".into(), ..error() }),
        ..good.clone()
    };
    vec![good, bad]
}

fn exchanges() -> Vec<Exchanged> {
    let exchange = Exchanged {
        schema: Schema::default(),
        at: at().into(),
        reader: "R".into(),
        number: 3,
        secure: true,
        command: "00A4040000".into(),
        data: "6F00".into(),
        status: "9000".into(),
        meaning: "done".into(),
        tlv: vec![Tlv { depth: 0, tag: "6F".into(), length: 0, value: String::new() }],
        expected: vec!["9000".into(), "6A82".into()],
        as_expected: None,
        followed: vec![CarriedApdu { command: "00C0000002".into(), data: "6F00".into(), status: "9000".into() }],
        ms: Ms(9.8),
    };
    each(&exchange, [None, Some(true), Some(false)], |exchange, as_expected| exchange.as_expected = as_expected)
}

fn backups() -> Vec<Backup> {
    let backup = Backup {
        schema: Schema::default(),
        file: "monday.db".to_owned(),
        records: 9,
        whole: true,
        users: 1,
        tokens: 2,
        terminals: 3,
        events: 4,
    };
    each(&backup, [true, false], |backup, whole| backup.whole = whole)
}

fn all() -> String {
    use ReaderStateView::{Empty, Exclusive, Mute, Present, Removed, Unavailable};
    let mut text = String::new();
    let mut add = |name: &str, forms: String| writeln!(text, "== {name}\n{forms}").unwrap();
    let states = [Empty, Present, Exclusive, Mute, Unavailable, Removed];
    let mut readers = each(&reader(), states, |reader, state| reader.state = state);
    readers.push(ReaderView { alias: None, atr: None, card: None, says: None, ..reader() });
    add("reader", forms(&readers));
    add("scan", forms(&scans()));
    add("enroll", forms(&enrollments()));
    let batch = |dry_run| {
        let (schema, journal) = (Schema::default(), "f.journal".to_owned());
        let differences = if dry_run { row_differences() } else { Vec::new() };
        BatchView { schema, rows: 9, done: 4, begun: 2, free: 3, journal, dry_run, differences }
    };
    add("batch", forms(&[batch(false), batch(true)]));
    add("user", forms(&entries()));
    add("event", forms(&events()));
    add("denied", forms(&denials()));
    add("allowed", forms(&[Allowed { schema: Schema::default(), id: "7".into() }]));
    let (removed, kept) = (
        crate::cli::views::Removed { entries: 1, events: 20, cards: 2, certificates: 3, heartbeats: 4, cached: 1 },
        Kept { counters: 2, denials: 1, enrollments: 0 },
    );
    add(
        "forgotten",
        forms(&[Forgotten { schema: Schema::default(), user_id: "7".into(), dry_run: false, removed, kept }]),
    );
    #[cfg(feature = "board")]
    add("board-link", forms(&board_links()));
    add("token", forms(&tokens()));
    add("card", forms(&cards()));
    add("token-change", forms(&changes()));
    add("proof", forms(&proof_reports()));
    add("rotation", forms(&rotations()));
    let state = RotationState { schema: Schema::default(), tokens: 3, done: 1, left: vec![token_id(), token_id()] };
    add("rotation-state", forms(&[state]));
    let (set, successor) = ("0011223344556677".to_owned(), "8899aabbccddeeff".to_owned());
    let (schema, tokens, done, left) = (Schema::default(), 9, 4, 5);
    add("set-rotation", forms(&[SetRotationView { schema, set, successor, tokens, done, left, finished: true }]));
    add("pki", forms(&files()));
    let bundle = |server| {
        let (schema, name, role, not_after) = (Schema::default(), "door".into(), Role::Read, at().into());
        TerminalBundleView { schema, name, role, server, not_after, file: "door.bundle".into() }
    };
    add("terminal-bundle", forms(&[bundle(None), bundle(Some("https://desk.example".into()))]));
    let server = |new| {
        let (schema, listening, terminal) = (Schema::default(), Some("[::1]:8443".into()), Some("t".into()));
        ServerState { schema, store: "sqlite:s.db".into(), listening, terminal, new }
    };
    add("server", forms(&[server(Some(true)), server(Some(false)), server(None)]));
    let audit = |whole: bool| {
        let (first_bad, what) = if whole { (None, None) } else { (Some(3), Some("hash".to_owned())) };
        Audit { schema: Schema::default(), whole, records: 7, head: "ab".into(), first_bad, what }
    };
    add("audit", forms(&[audit(true), audit(false)]));
    let back = |before| {
        let (schema, token_id, user_id) = (Schema::default(), token_id(), Some("7".to_owned()));
        let (reason, terminals) = (Some("left on a train".into()), vec!["door".into(), "gate".into()]);
        Reconciliation { schema, token_id, user_id, before, status: TokenStatus::Lost, reason, terminals }
    };
    add("reconciliation", forms(&[back(Some(TokenStatus::Active)), back(None)]));
    add("backup", forms(&backups()));
    let nobody = User { name: "=1+1".into(), fields: [].into(), ..ann() };
    let added = ServerUserView {
        result: Some(TokenChanged::Done),
        changes: Some(user_changes()),
        ..ServerUserView::from(ann())
    };
    add("server-user", forms(&[ann().into(), nobody.into(), added]));
    add("server-token", forms(&server_tokens()));
    let terminal = |revoked| {
        let (schema, name, role) = (Schema::default(), "door".into(), Role::Enroll);
        let (last_seen, certificate_until, now) = (None, None, at());
        ServerTerminal { schema, name, role, revoked, added: at().into(), last_seen, certificate_until, now }
    };
    let seen = |hours| {
        let later = at() + jiff::SignedDuration::from_hours(hours);
        let (last_seen, certificate_until) = (Some(at().into()), Some(at().into()));
        ServerTerminal { last_seen, certificate_until, now: later, ..terminal(false) }
    };
    add("server-terminal", forms(&[terminal(false), terminal(true), seen(0), seen(3)]));
    add("import", forms(&[import(TokenChanged::Planned, 2), import(TokenChanged::Done, 21)]));
    add("presence", forms(&presences()));
    add("server-event", forms(&server_events()));
    let id = "7".into();
    let done = ForgottenUser { id, tokens: 1, events: 2, proofs: 3, records: 4, unsealed_records: 5, token_records: 6 };
    add("server-forgotten", forms(&[ServerForgotten::from(done)]));
    add("status", forms(&areas()));
    add("finding", forms(&findings()));
    add("apdu", forms(&exchanges()));
    text
}

fn import(result: TokenChanged, count: u64) -> Import {
    let room =
        UserChangeView { part: UserPartView::Field, key: Some("room".into()), before: Some("B1".into()), after: None };
    let changes = (0..count).map(|n| ChangedUser { id: n.to_string(), changes: vec![room.clone()] }).collect();
    Import { schema: Schema::default(), created: 1, changed: count, unchanged: 3, result, changes }
}

fn denials() -> [Denied; 2] {
    let bare = || Denied { schema: Schema::default(), id: "7".into(), name: None, reason: None, at: None };
    let (name, reason, at) = (Some("Ann".into()), Some("left the house".into()), Some(at().into()));
    [bare(), Denied { name, reason, at, ..bare() }]
}

#[cfg(feature = "board")]
fn board_links() -> Vec<BoardLinkView> {
    let made = BoardLinkView {
        schema: Schema::default(),
        id: "3f9a01c2".into(),
        label: None,
        state: LinkStateView::Waiting,
        made: at().into(),
        open_until: at().into(),
        ends: at().into(),
        url: Some("https://desk.example/#secret".into()),
    };
    let opened = BoardLinkView { label: Some("hall".into()), state: LinkStateView::Opened, url: None, ..made.clone() };
    vec![made, opened]
}

#[test]
fn every_object_looks_as_it_did_in_every_form() {
    same_as_kept("forms.txt", &all());
}

/// There are samples of every object.
#[test]
fn every_object_has_samples() {
    let sampled: Vec<_> = all().lines().filter_map(|line| line.strip_prefix("== ")).map(str::to_owned).collect();
    let named: Vec<_> = NAMES.iter().map(|name| name["rollcall.".len()..name.len() - "/1".len()].to_owned()).collect();
    assert_eq!(sampled, named);
}
