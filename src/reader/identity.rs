//! Identifies a reader across replugging: by its serial number, or by its USB port. The number at the end of its name
//! does not: it follows the order of plugging in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::pcsc::{ReaderAttributes, attributes};

/// How long the driver may take to answer.
const LIMIT: Duration = Duration::from_millis(500);
/// How long an answer is cached: less than it takes to replug two readers in another order.
const FRESH: Duration = Duration::from_secs(1);
/// Where the kernel lists USB devices.
const USB: &str = "/sys/bus/usb/devices";

/// What is stable about a reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReaderIdentity {
    /// The serial number, from the name or from the driver.
    pub serial: Option<String>,
    /// The USB port, as the kernel writes it: `1-4.2`.
    pub port: Option<String>,
    /// Whether the driver has answered: otherwise what is missing may be known later.
    pub was_asked: bool,
}

impl ReaderIdentity {
    /// Asks the driver for what the name does not say. A driver that hangs, or a reader that is held exclusively, gives
    /// no answer and is asked again the next time.
    pub fn of(reader: &str) -> Self {
        static KNOWN: Mutex<BTreeMap<String, (Instant, ReaderIdentity)>> = Mutex::new(BTreeMap::new());
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, identity)) = known().get(reader)
            && at.elapsed() < FRESH
        {
            return identity.clone();
        }
        let in_name = serial_in(reader).map(str::to_owned);
        let Some(told) = ask(reader) else { return Self { serial: in_name, port: None, was_asked: false } };
        let port = told.channel.and_then(|channel| usb_port(Path::new(USB), channel));
        let identity = Self { serial: in_name.or(told.serial), port, was_asked: true };
        let mut all = known();
        all.retain(|_, (at, _)| at.elapsed() < FRESH);
        all.insert(reader.to_owned(), (Instant::now(), identity.clone()));
        identity
    }

    /// A pattern by which the configuration can name this reader permanently.
    pub fn pattern(&self) -> Option<String> {
        let serial = self.serial.as_ref().map(|serial| format!("serial:{serial}"));
        serial.or_else(|| self.port.as_ref().map(|port| format!("usb:{port}")))
    }
}

/// The serial number that the USB driver writes into the name: `Maker Model [Interface] (SERIAL) 00 00`.
pub fn serial_in(name: &str) -> Option<&str> {
    let (_, rest) = split_number(name).0.rsplit_once(" (")?;
    rest.strip_suffix(')').filter(|serial| !serial.is_empty())
}

/// A name without the number and the slot at its end, and these two. The service assigns the number in plugging order.
pub fn split_number(name: &str) -> (&str, Option<(&str, &str)>) {
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|c| c.is_ascii_hexdigit());
    let parts = name.rsplit_once(' ').and_then(|(rest, slot)| Some((rest.rsplit_once(' ')?, slot)));
    match parts {
        Some(((base, number), slot)) if is_number(number) && is_number(slot) => (base, Some((number, slot))),
        _ => (name, None),
    }
}

/// Asks one question at a time for each reader, so that a hanging driver does not accumulate threads.
fn ask(reader: &str) -> Option<ReaderAttributes> {
    static ASKED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let asked = || ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    if !asked().insert(reader.to_owned()) {
        return None;
    }
    let (name, (answer, answers)) = (reader.to_owned(), mpsc::sync_channel(1));
    let ask = move || {
        let told = attributes(&name);
        asked().remove(&name);
        let _ = answer.send(told);
    };
    if thread::Builder::new().name("pcsc-attributes".to_owned()).spawn(ask).is_err() {
        asked().remove(reader);
    }
    answers.recv_timeout(LIMIT).ok().flatten()
}

/// The USB port of the device on this channel (PC/SC part 3, `SCARD_ATTR_CHANNEL_ID`: 0020, bus, address).
fn usb_port(devices: &Path, channel: u32) -> Option<String> {
    const KIND: u32 = 0x0020;
    let [_, _, bus, address] = channel.to_be_bytes();
    if channel >> 16 != KIND {
        return None;
    }
    let number = |path: &Path| fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let mut devices = fs::read_dir(devices).ok()?.flatten().map(|entry| entry.path());
    let found = devices.find(|device| {
        (number(&device.join("busnum")), number(&device.join("devnum"))) == (Some(bus.into()), Some(address.into()))
    })?;
    found.file_name()?.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_read_from_the_name() {
        for (name, serial) in [
            ("Gemalto PC Twin Reader (70D7E2EE) 00 00", Some("70D7E2EE")),
            ("ACS ACR1252 [PICC] (RR554-012) 01 00", Some("RR554-012")),
            ("QEMU USB CCID [CCID Interface] (1-0000:00:05.0-4) 00 00", Some("1-0000:00:05.0-4")),
            ("Door (Süd) next 01 00", None),
            ("Reader () 00 00", None),
            ("Rollcall Virtual 01 00 00", None),
            ("", None),
        ] {
            assert_eq!(serial_in(name), serial, "{name}");
        }
    }

    #[test]
    fn the_number_is_what_the_service_counts() {
        assert_eq!(split_number("A B 01 0A"), ("A B", Some(("01", "0A"))));
        assert_eq!(split_number("A B 1 00"), ("A B 1 00", None));
        assert_eq!(split_number("00"), ("00", None));
    }

    #[test]
    fn a_port_is_found_by_bus_and_address() {
        let folder = tempfile::tempdir().unwrap();
        for (port, bus, address) in [("1-4", "1", "7"), ("2-1.3", "2", "7")] {
            let device = folder.path().join(port);
            fs::create_dir(&device).unwrap();
            fs::write(device.join("busnum"), format!("{bus}\n")).unwrap();
            fs::write(device.join("devnum"), format!("{address}\n")).unwrap();
        }
        assert_eq!(usb_port(folder.path(), 0x0020_0207).as_deref(), Some("2-1.3"));
        assert_eq!(usb_port(folder.path(), 0x0020_0208), None);
        assert_eq!(usb_port(folder.path(), 0x0001_0207), None);
    }

    #[test]
    fn a_serial_number_comes_before_a_port() {
        let identity = ReaderIdentity { serial: Some("A1".into()), port: Some("1-4".into()), was_asked: true };
        assert_eq!(identity.pattern().as_deref(), Some("serial:A1"));
        assert_eq!(ReaderIdentity { serial: None, ..identity }.pattern().as_deref(), Some("usb:1-4"));
        assert_eq!(ReaderIdentity::default().pattern(), None);
    }
}
