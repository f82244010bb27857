//! Checks the readers: none, hidden from the service, or one probe for each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use super::{
    Finding, Probe, ProbeReport,
    card::{self, Beside},
};
use crate::{
    config::UnmatchedName,
    failure::{Failure, Remedy, number_of},
    reader::{
        ReaderState,
        identity::split_number,
        pattern::lasting,
        reachable,
        select::{ALL_IGNORED, ReaderChoice},
    },
    terminal::survey::{is_bystander, woken},
};

/// The maximum number of readers in pcsc-lite.
const READERS_MAX: usize = 16;
/// Kernel modules that claim an NFC reader for themselves.
const MODULES: [&str; 4] = ["pn533_usb", "pn533", "port100", "nfc"];
/// The USB class of smart card readers.
const CCID: &str = "0b";

/// For a reader that another program holds, or whose driver does not answer.
const UNDECIDED: &str = "left out for now: `ignore` in config.toml names a serial number or a USB port, and this \
    reader cannot be asked for its own";

/// `exchange` is how long to wait for a slot that looks mute.
pub fn probe(all: Vec<ReaderState>, exchange: Duration) -> Probe {
    Probe {
        name: "readers",
        subject: None,
        limit: Duration::from_secs(3) + exchange,
        silent: || {
            Finding::fault("reader.slow", "the kernel's lists cannot be read in time", Remedy::run("sudo dmesg | tail"))
        },
        work: Box::new(move |report| inspect(report, &all)),
    }
}

fn inspect(report: &ProbeReport, all: &[ReaderState]) {
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    let taken = in_the_way(&modules);
    let devices = ccid_devices(Path::new("/sys/bus/usb/devices"));
    let meant = report.context.settings.readers.pick(all);
    let found = match (&meant, all.len()) {
        (_, 0) => none(&taken, &devices),
        (Err(failure), _) => Failure::from(failure.clone()).into(),
        (_, READERS_MAX..) => Finding::warning(
            "reader.too-many",
            format!("{} readers: the PC/SC service knows no more than {READERS_MAX}", all.len()),
            Remedy::with("unplug those that are not needed", "rollcall readers"),
        ),
        (_, count) if !taken.is_empty() => Finding::warning(
            "reader.kernel-driver",
            format!("{}, and the kernel module {} may hold one more", number_of(count, "reader"), taken[0]),
            unload(&taken),
        ),
        (_, count) => Finding::good(number_of(count, "reader")),
    };
    report.found(found.fact("usb", devices).fact("modules", taken));
    let settings = &report.context.settings;
    let names: Vec<_> = all.iter().map(|reader| reader.name.as_str()).collect();
    if settings.readers.ignores_all(all) {
        report.found_below("configuration", all_ignored());
    }
    for reader in all.iter().filter(|reader| settings.readers.ignores(&reader.name)) {
        let left_out = match settings.readers.choice(&reader.name) {
            ReaderChoice::Undecided => Finding::skipped(UNDECIDED),
            _ => Finding::skipped("left out by `ignore` in config.toml"),
        };
        report.found_below("reader", Finding { subject: Some(reader.name.clone()), ..left_out });
    }
    let used: Vec<_> = names.iter().copied().filter(|name| !settings.readers.ignores(name)).collect();
    for found in same_names(&used).into_iter().chain(numbered(&names)) {
        report.found_below("names", found);
    }
    for name in settings.unmatched(&names) {
        report.found_below("configuration", unmatched(&name));
    }
    for name in names.iter().filter(|name| settings.feedback.is_unknown(name)) {
        report.found_below("configuration", no_feedback(name));
    }
    let meant = reachable(meant.unwrap_or_default());
    let woken = late(&meant, settings.limits.exchange);
    let is_one = |one: &ReaderState| may_hold_a_token(one) || woken.contains(&one.name);
    for reader in &meant {
        let has_card = meant.iter().any(|one| one.name != reader.name && is_one(one));
        let is_alone = names.iter().all(|name| *name == reader.name);
        let ignore = if is_alone { None } else { lasting(&reader.name, &names) };
        report.begin(card::probe((*reader).clone(), Beside { has_card, ignore }, settings.limits.exchange));
    }
}

/// The configuration leaves no reader. Commands that wait for cards say it as well.
pub fn all_ignored() -> Finding {
    Finding::warning(
        "config.all-ignored",
        ALL_IGNORED,
        Remedy::with("make it match only what never has a token; these are the names", "rollcall readers"),
    )
}

/// Whether it holds a card that may be a token.
fn may_hold_a_token(reader: &ReaderState) -> bool {
    reader.slot.is_occupied() && !is_bystander(&reader.slot)
}

/// The slots that look mute but whose card answers when connected to. If another card may be a token, none is tried.
fn late(meant: &[&ReaderState], exchange: Duration) -> BTreeSet<String> {
    if meant.iter().any(|one| may_hold_a_token(one)) {
        return BTreeSet::new();
    }
    woken(meant, exchange).unwrap_or_default()
}

fn unmatched(name: &UnmatchedName) -> Finding {
    let found = Finding::warning(
        "config.no-such-reader",
        format!("{name} in config.toml matches no reader that is here now"),
        Remedy::with("plug it in, or take a name from this list", "rollcall readers"),
    );
    Finding { subject: Some(name.name.clone()), ..found }
}

/// A reader that should be recognised by its name, but is not.
fn no_feedback(name: &str) -> Finding {
    let found = Finding::warning(
        "config.no-feedback",
        "`auto` under `[feedback]` in config.toml: no known model has the name of this reader",
        "name its model, or take it out",
    );
    Finding { subject: Some(name.to_owned()), ..found }
}

/// Readers with the same name: a name reaches only the first of them. Commands that read cards say it as well, because
/// they leave the others out.
pub fn same_names(names: &[&str]) -> Vec<Finding> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let several = counts.into_iter().filter(|(_, count)| *count > 1);
    several
        .map(|(name, count)| {
            let found = Finding::fault(
                "reader.same-name",
                format!("{count} readers have this name, and only the first of them can be reached"),
                "give them names of their own: FRIENDLYNAME in the files of /etc/reader.conf.d",
            );
            Finding { subject: Some(name.to_owned()), ..found }
        })
        .collect()
}

/// Readers of one model without serial numbers: the number in their names follows the order of plugging in.
fn numbered(names: &[&str]) -> Vec<Finding> {
    let mut models = BTreeMap::<&str, BTreeSet<&str>>::new();
    for name in names {
        if let (base, Some((number, _))) = split_number(name) {
            models.entry(base).or_default().insert(number);
        }
    }
    let several = models.into_iter().filter(|(_, numbers)| numbers.len() > 1);
    several
        .map(|(base, numbers)| {
            let found = Finding::skipped(format!(
                "{} readers differ by a number only, which follows the order of plugging in: as an alias take what \
                 `rollcall readers --explain` calls stable",
                numbers.len()
            ));
            Finding { subject: Some(base.to_owned()), ..found }
        })
        .collect()
}

fn none(taken: &[String], devices: &[String]) -> Finding {
    if !taken.is_empty() {
        return Finding::fault(
            "reader.kernel-driver",
            format!("no reader: the kernel module {} takes NFC readers for itself", taken[0]),
            unload(taken),
        );
    }
    match devices {
        [] => Finding::fault(
            "reader.none",
            "no reader is connected",
            Remedy::with("plug one in, and see whether USB shows it", "lsusb"),
        ),
        [device, ..] => Finding::fault(
            "reader.no-driver",
            format!("{device} is connected, and the PC/SC service has no driver for it"),
            Remedy::run("sudo apt install libccid libacsccid1 && sudo systemctl restart pcscd"),
        ),
    }
}

fn unload(modules: &[String]) -> Remedy {
    let list = modules.join(" ");
    Remedy::run(format!(
        "sudo modprobe -r {list}; printf 'blacklist %s\\n' {list} | sudo tee /etc/modprobe.d/rollcall.conf"
    ))
}

/// The loaded modules that claim readers, ordered so that a module comes before those that it uses.
fn in_the_way(modules: &str) -> Vec<String> {
    let loaded = |name: &&&str| modules.lines().any(|line| line.split(' ').next() == Some(**name));
    MODULES.iter().filter(loaded).map(|name| (*name).to_owned()).collect()
}

/// The USB devices with an interface of the smart card reader class.
fn ccid_devices(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let interfaces = entries.flatten().map(|entry| entry.path());
    let readers = interfaces.filter(|path| read(&path.join("bInterfaceClass")) == CCID);
    let mut names: Vec<_> = readers
        .filter_map(|path| {
            let device = path.file_name()?.to_str()?.split(':').next()?.to_owned();
            let name = read(&folder.join(&device).join("product"));
            Some(if name.is_empty() { format!("USB device {device}") } else { name })
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES: &str = "pn533_usb 20480 0 - Live 0x0\npn533 57344 1 pn533_usb, Live 0x0\nnfcsim 1 0 - Live 0x0\n";

    #[test]
    fn modules_are_known_by_their_whole_name_and_unloaded_in_order() {
        assert_eq!(in_the_way(MODULES), ["pn533_usb", "pn533"]);
        assert!(in_the_way("ccid_nfc 1 0 - Live 0x0\n").is_empty());
        let found = none(&in_the_way(MODULES), &[]);
        assert_eq!(found.code, Some("reader.kernel-driver"));
        assert!(found.remedy.unwrap().starts_with("sudo modprobe -r pn533_usb pn533;"));
    }

    #[test]
    fn names_that_tell_readers_apart_badly_are_told() {
        let brief =
            |found: Vec<Finding>| found.into_iter().map(|one| (one.code, one.subject.unwrap())).collect::<Vec<_>>();
        let twice = ["One Model", "Other", "One Model"];
        assert_eq!(brief(same_names(&twice)), [(Some("reader.same-name"), "One Model".to_owned())]);
        assert_eq!(brief(numbered(&twice)), []);
        let models =
            ["ACS 00 00", "ACS 01 00", "Two Slots 02 00", "Two Slots 02 01", "Two (A1) 03 00", "Two (B2) 04 00"];
        assert_eq!(brief(same_names(&models)), []);
        assert_eq!(brief(numbered(&models)), [(None, "ACS".to_owned())]);
    }

    #[test]
    fn a_reader_that_usb_shows_lacks_its_driver() {
        let folder = tempfile::tempdir().unwrap();
        for (place, file, text) in [
            ("1-1:1.0", "bInterfaceClass", "0b\n"),
            ("1-2:1.0", "bInterfaceClass", "03\n"),
            ("1-1", "product", "ACR122U\n"),
        ] {
            fs::create_dir_all(folder.path().join(place)).unwrap();
            fs::write(folder.path().join(place).join(file), text).unwrap();
        }
        let devices = ccid_devices(folder.path());
        assert_eq!(devices, ["ACR122U"]);
        assert_eq!(none(&[], &devices).code, Some("reader.no-driver"));
        assert_eq!(none(&[], &[]).code, Some("reader.none"));
    }
}
