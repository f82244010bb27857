//! `rollcall enroll`: makes a blank card somebody's token.

use jiff::Timestamp;
use uuid::Uuid;

use super::{args::EnrollArgs, json, printer::Printer, station};
use crate::{
    card::{apdu::Format, meter::Metered},
    channel::scp03::StaticKeys,
    config::Settings,
    crypto::{
        ec::Point,
        random::{SystemRandom, bytes},
    },
    enroll::{Authority, Desk, Ending, EnrollError, Report, journal::Journal},
    failure::{Class, Failure},
    pki::{Ca, Caution, Home},
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
    wire::User,
};

/// Runs the command.
pub fn run(args: &EnrollArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let user = User { id: args.id.clone(), name: args.name.clone(), fields: args.fields.iter().cloned().collect() };
    // A user that does not fit is refused before a card is touched.
    Layout::of(&user).map_err(|e| enrollment(&e.into(), 0))?;
    let home = Home::new(settings.pki_folder());
    let now = Timestamp::now();
    let credentials = station::credentials(home.load_admin_terminal(now)?);
    let caution = if settings.yes { Caution::Waived } else { Caution::Usual };
    let ca = home.load_ca(caution)?;
    let mut authority = Certifier { point: *ca.authority().point(), ca, now };
    let (perso, start) = (home.load_perso_key()?, StaticKeys::all(&home.load_start_key()?));
    let journal = Journal::new(&settings.state_folder);

    let reader = one_reader(settings)?;
    let limits = Limits { exchange: settings.limits.exchange, connect: settings.limits.exchange, deadline: None };
    let mut card = Card::connect(&reader, limits).map_err(|e| link(&e, 0))?;
    let transaction = card.begin().map_err(|e| link(&e, 0))?;
    let mut metered = Metered::new(transaction);

    let mut random = SystemRandom;
    let mut desk = Desk {
        authority: &mut authority,
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
    let result = desk.enroll(&mut metered, &user, &mut visit);
    out.progress_end();
    let report = result.map_err(|e| enrollment(&e, metered.exchanges))?;
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

    fn certify_ecka(&mut self, token_id: Uuid, point: &Point) -> Result<Vec<u8>, EnrollError> {
        let made = self.ca.certify_token_ecka(token_id, point, self.now, &mut SystemRandom);
        made.map_err(|e| EnrollError::Certify(e.to_string()))
    }

    fn certify_identity(&mut self, token_id: Uuid, point: &Point) -> Result<Vec<u8>, EnrollError> {
        let made = self.ca.certify_identity(token_id, point, self.now, &mut SystemRandom);
        made.map_err(|e| EnrollError::Certify(e.to_string()))
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
