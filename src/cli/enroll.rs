//! `rollcall enroll`: makes a blank card somebody's token.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;

use super::{
    args::EnrollArgs,
    json,
    printer::Printer,
    server::client::{connect, patiently},
    station,
};
use crate::{
    card::{apdu::Format, meter::Metered},
    channel::scp03::StaticKeys,
    config::Settings,
    crypto::{
        ec::Point,
        random::{SystemRandom, bytes},
    },
    directory::Server,
    enroll::{Authority, Certificates, Desk, Ending, EnrollError, Pending, Report, Visited, Wanted, journal::Journal},
    failure::{Class, Failure},
    pki::{Ca, Caution, Home, PkiError},
    reader::{
        self,
        pcsc::{Card, Limits},
    },
    tap::failure::{enrollment, link},
    token::{
        TokenError,
        open::{Forgetful, Visit},
        record::Layout,
    },
    wire::{User, v1::TokenRequest},
};

/// Runs the command.
pub fn run(args: &EnrollArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let user = User { id: args.id.clone(), name: args.name.clone(), fields: args.fields.iter().cloned().collect() };
    // A user that does not fit is refused before a card is touched.
    Layout::of(&user).map_err(|e| enrollment(&e.into(), 0))?;
    let home = Home::new(settings.pki_folder());
    let now = Timestamp::now();
    let mut authority = authority(settings, &home, now)?;
    // Where the CA key lies there are keys for administration too; an enrolling desk has its own.
    let credentials = if home.has_ca_key() { home.load_admin_terminal(now)? } else { home.load_terminal(now)? };
    let credentials = station::credentials(credentials);
    let (perso, start) = (home.load_perso_key()?, StaticKeys::all(&home.load_start_key()?));
    let journal = Journal::new(&settings.state_folder);

    let reader = one_reader(settings)?;
    let limits = Limits { exchange: settings.limits.exchange, connect: settings.limits.exchange, deadline: None };
    let mut card = Card::connect(&reader, limits).map_err(|e| link(&e, 0))?;
    let mut random = SystemRandom;
    let mut desk = Desk {
        authority: &mut *authority,
        perso: &perso,
        start: &start,
        journal: &journal,
        format: Format::Short,
        random: &mut SystemRandom,
        progress: &mut |done, of, what| out.progress(what, done as u64, Some(of as u64)),
    };
    let mut visit = Visit {
        credentials: &credentials,
        memory: &Forgetful,
        nonce: bytes(&mut random).map_err(|e| enrollment(&TokenError::from(e).into(), 0))?,
        now,
        format: Format::Short,
        random: &mut random,
        learned: Vec::new(),
    };
    let report = visits(&mut desk, &mut card, &user, &mut visit);
    out.progress_end();
    let report = report?;
    remember(settings, &visit)?;
    if report.test_keys {
        out.warning(
            "this card carries the public GlobalPlatform TEST KEYS: whoever watched this enrollment knows its keys",
            Some("use it for tests only; install the applet with start keys of your own (see the README)"),
        );
    }
    out.object(&object(&reader, &report, user))?;
    Ok(0)
}

/// One visit to the card, or two: it is let go while a server is asked for its certificates.
fn visits(desk: &mut Desk<'_>, card: &mut Card, user: &User, visit: &mut Visit<'_>) -> Result<Report, Failure> {
    let mut pending: Option<Box<Pending>> = None;
    loop {
        let transaction = card.begin().map_err(|e| link(&e, 0))?;
        let mut metered = Metered::new(transaction);
        let visited = desk.enroll(&mut metered, &mut &*user, visit, pending.as_deref());
        let exchanges = metered.exchanges;
        drop(metered);
        match visited.map_err(|e| enrollment(&e, exchanges))? {
            Visited::Done(report) => {
                desk.close(&report).map_err(|e| enrollment(&e, exchanges))?;
                return Ok(report);
            }
            Visited::Certify(mut waiting) => {
                desk.certify(&mut waiting).map_err(|e| enrollment(&e, exchanges))?;
                pending = Some(waiting);
            }
        }
    }
}

/// Who certifies: the server, where there is one, so that it knows every token; otherwise the CA that lies here.
fn authority(settings: &Settings, home: &Home, now: Timestamp) -> Result<Box<dyn Authority>, Failure> {
    if settings.server.url.is_some() {
        let point = *home.load_authority()?.point();
        return Ok(Box::new(Remote { server: connect(settings)?, point }));
    }
    let caution = if settings.yes { Caution::Waived } else { Caution::Usual };
    let ca = home.load_ca(caution)?;
    Ok(Box::new(Certifier { point: *ca.authority().point(), ca, now }))
}

/// The CA at the server, which registers the token in the same step.
struct Remote {
    server: Server,
    point: Point,
}

impl Authority for Remote {
    fn ca(&self) -> &Point {
        &self.point
    }

    fn is_here(&self) -> bool {
        false
    }

    fn certify(&mut self, wanted: &Wanted) -> Result<Certificates, EnrollError> {
        let encoded = |point: &Point| BASE64_URL_SAFE_NO_PAD.encode(point.as_bytes());
        let request = TokenRequest {
            token_id: wanted.token_id,
            user: wanted.user.clone(),
            identity_key: encoded(&wanted.identity),
            ecka_key: encoded(&wanted.ecka),
            replaces: None,
        };
        let answer = patiently(|| self.server.register_token(&request))?;
        let decoded = |text: &str| {
            let unreadable = |_| EnrollError::Certify("the server sent a certificate that cannot be read".to_owned());
            BASE64_URL_SAFE_NO_PAD.decode(text).map_err(unreadable)
        };
        Ok(Certificates { ecka: decoded(&answer.ecka)?, identity: decoded(&answer.identity)? })
    }
}

/// The CA that lies here.
struct Certifier {
    ca: Ca,
    point: Point,
    now: Timestamp,
}

impl Authority for Certifier {
    fn ca(&self) -> &Point {
        &self.point
    }

    fn is_here(&self) -> bool {
        true
    }

    fn certify(&mut self, wanted: &Wanted) -> Result<Certificates, EnrollError> {
        let refused = |e: PkiError| EnrollError::Certify(e.to_string());
        let (id, now) = (wanted.token_id, self.now);
        let ecka = self.ca.certify_token_ecka(id, &wanted.ecka, now, &mut SystemRandom).map_err(refused)?;
        let identity = self.ca.certify_identity(id, &wanted.identity, now, &mut SystemRandom).map_err(refused)?;
        Ok(Certificates { ecka, identity })
    }
}

/// The certificates were just read: the first tap at this terminal need not read them again.
fn remember(settings: &Settings, visit: &Visit<'_>) -> Result<(), Failure> {
    let mut store = station::store(settings)?;
    for (item, der) in &visit.learned {
        if let Some(der) = der {
            store.keep_certificate(&super::outcome::certificate_of(*item), der)?;
        }
    }
    Ok(())
}

fn object(reader: &str, report: &Report, user: User) -> json::Enroll {
    json::Enroll {
        schema: json::Schema::default(),
        at: Timestamp::now().into(),
        reader: reader.to_owned(),
        token_id: Some(report.token_id),
        user: Some(user),
        error: None,
        result: Some(match report.ending {
            Ending::Enrolled => json::Enrolled::Enrolled,
            Ending::Resumed => json::Enrolled::Resumed,
        }),
        test_keys: report.test_keys,
    }
}

/// The one reader that is meant and has a card.
pub fn one_reader(settings: &Settings) -> Result<String, Failure> {
    let readers = reader::pcsc::list()?;
    let occupied: Vec<_> = readers
        .into_iter()
        .filter(|r| settings.readers.matches(&r.name) && r.slot.is_occupied())
        .map(|r| r.name)
        .collect();
    match occupied.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(Class::No, "scan.nobody", "no card is in range").hint("put a card on a reader")),
        several => Err(Failure::new(
            Class::Usage,
            "reader.ambiguous",
            format!("{} readers have a card: {}", several.len(), several.join(", ")),
        )
        .hint("name one: --reader NAME")),
    }
}
