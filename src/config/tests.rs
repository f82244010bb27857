use super::file::File;
use super::*;
use crate::failure::ExitClass;
use crate::reader::feedback::{FeedbackChoice, FeedbackModel};
use crate::token::resume::ResumeRule;
use proptest::prelude::*;

fn parse(text: &str) -> Result<File, Failure> {
    Ok(File::parse(Path::new("config.toml"), text)?)
}

fn environment(variables: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    |name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value))
}

fn resolve(typed: &Global, text: &str, variables: &'static [(&str, &str)]) -> Settings {
    let environment = environment(variables);
    Settings::merge(typed, parse(text).unwrap(), Folders::find(&environment).unwrap(), &environment)
}

const HOME: &[(&str, &str)] = &[("HOME", "/home/me")];

#[test]
fn everything_that_may_stand_in_the_file() {
    let text = r#"
output = "ndjson"
color = "never"
source = "card"
reader = ["north door", "Omnikey"]
ignore = "*Contact*"
verbose = true
stale_after = "90s"
retention = "90d"
heartbeat = "1s"
on_event = "notify --all"

[alias]
"north door" = "*PICC*"

[presence]
default = "toggle"
min_stay = "0s"
"north door" = "field"
"ACS" = "until:8h"

[feedback]
sound = true
"north door" = "acr122u"
"ACS" = "auto"

[limits]
exchange = "500ms"
on_event = "1m"
tap = "10s"
"#;
    let settings = resolve(&Global::default(), text, HOME);
    assert_eq!(settings.format, OutputFormat::Ndjson);
    assert_eq!(settings.colour, Colour::Never);
    assert_eq!(settings.source, UserSource::Card);
    assert!(settings.verbose && !settings.yes);
    assert_eq!(settings.stale_after, Duration::from_secs(90));
    assert_eq!(settings.retention, Some(Duration::from_secs(90 * 86_400)));
    assert_eq!(settings.heartbeat, Duration::from_secs(1));
    assert_eq!(settings.min_stay, Duration::ZERO);
    assert_eq!(settings.on_event.as_deref(), Some("notify --all"));
    assert_eq!(
        settings.limits,
        Limits { exchange: Duration::from_millis(500), hook: Duration::from_secs(60), tap: Duration::from_secs(10) }
    );
    assert!(settings.readers.matches("ACS PICC 00") && settings.readers.matches("omnikey 5022"));
    assert!(!settings.readers.matches("ACS SAM 01") && !settings.readers.matches("Omnikey Contact 5022"));
    assert_eq!(settings.ignore, ["*Contact*"]);
    assert_eq!(settings.alias("ACS PICC 00"), Some("north door"));
    // Both rules match the first: the order of the file decides.
    assert_eq!(settings.presence.at("ACS PICC 00"), PresenceMode::Field);
    assert_eq!(settings.presence.at("ACS SAM 01"), PresenceMode::Until(Duration::from_secs(8 * 3600)));
    assert_eq!(settings.presence.at("Omnikey"), PresenceMode::Toggle);
    let feedback = &settings.feedback;
    assert_eq!(feedback.at("ACS PICC 00"), Some(FeedbackChoice::Model(FeedbackModel::Acr122u)));
    assert_eq!(feedback.at("ACS SAM 01"), Some(FeedbackChoice::Auto));
    assert_eq!(feedback.at("Omnikey"), None);
    assert!(feedback.sound && !Settings::default().feedback.sound);
    // Only the second uses `auto`, and its name matches no model.
    assert!(feedback.is_unknown("ACS SAM 01") && !feedback.is_unknown("ACS PICC 00"));
    assert!(!feedback.is_unknown("ACS ACR122U 00") && !feedback.is_unknown("Omnikey"));
}

#[test]
fn names_that_fit_no_reader_are_told_with_their_keys() {
    let text = r#"
ignore = ["*SAM*", "*gone*"]
[alias]
"north door" = "*PICC*"
"back door" = "Omnikey"
[presence]
"back door" = "toggle"
"ACS" = "until:8h"
[feedback]
"back door" = "acr122u"
"*PICC*" = "auto"
[resume]
"back door" = true
"*PICC*" = "private"
"#;
    let settings = resolve(&Global::default(), text, HOME);
    let told = |readers: &[&str]| settings.unmatched(readers).iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = ["ACS [PICC] 00 00", "ACS [SAM] 00 01"];
    let expected = [
        "alias \"back door\"",
        "presence \"back door\"",
        "feedback \"back door\"",
        "resume \"back door\"",
        "ignore \"*gone*\"",
    ];
    assert_eq!(told(&all), expected);
    assert_eq!(told(&[]), Vec::<String>::new());
    // A rule for an ignored reader has no effect, but its name may be the alias that ignores it.
    let text =
        "ignore = [\"sam\"]\n[alias]\nsam = \"*SAM*\"\n[presence]\n\"*SAM*\" = \"toggle\"\n\"ACS\" = \"toggle\"\n";
    let settings = resolve(&Global::default(), text, HOME);
    let told = settings.unmatched(&all).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told, ["presence \"*SAM*\""]);
}

#[test]
fn channels_are_resumed_where_the_file_says_so() {
    let text = "[alias]\n\"north door\" = \"*PICC*\"\n[resume]\n\"north door\" = true\n\"Omni\" = false\n\"H*\" = \"private\"\n";
    let rules = resolve(&Global::default(), text, HOME).resume;
    for (reader, rule) in [
        ("ACS [PICC] 00", ResumeRule::Open),
        ("Omnikey", ResumeRule::Never),
        ("HID", ResumeRule::Private),
        ("another", ResumeRule::Never),
    ] {
        assert_eq!(rules.at(reader), rule, "{reader}");
    }
    assert_eq!((rules.is_on(), rules.max_age()), (true, Duration::from_secs(12 * 3600)));
    let everywhere = resolve(&Global::default(), "[resume]\ndefault = true\nmax_age = \"30m\"", HOME).resume;
    assert_eq!((everywhere.at("any"), everywhere.max_age()), (ResumeRule::Open, Duration::from_secs(1800)));
    let off = resolve(&Global::default(), "[resume]\n\"a\" = false", HOME).resume;
    assert!(!off.is_on() && !resolve(&Global::default(), "", HOME).resume.is_on());
}

#[test]
fn distance_is_bounded_where_the_file_says_so() {
    let text = "[alias]\n\"north door\" = \"*PICC*\"\n[distance]\n\"north door\" = \"25ms\"\n\"Omni\" = false\ndefault = \"5s\"\n";
    let settings = resolve(&Global::default(), text, HOME);
    let ms = |count| Some(Duration::from_millis(count));
    for (reader, most) in [("ACS [PICC] 00", ms(25)), ("Omnikey", None), ("another", ms(5000))] {
        assert_eq!((settings.distance.at(reader), settings.max_extra(reader)), (most, most), "{reader}");
    }
    let told: Vec<_> = settings.unmatched(&["Omnikey"]).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["alias \"north door\"", "distance \"north door\""]);
    assert_eq!(resolve(&Global::default(), "", HOME).max_extra("any"), None);
    assert_eq!(resolve(&Global::default(), "[distance]\ndefault = \"1ms\"", HOME).max_extra("any"), ms(1));
    for value in ["true", "25", "\"25\"", "\"0ms\"", "\"0s\"", "\"5001ms\"", "\"6s\"", "\"off\"", "[]", "{}", "\"\""] {
        let file = File::parse(Path::new("config.toml"), &format!("[distance]\n\"door\" = {value}"));
        let told = file.unwrap_err().to_string();
        assert!(told.contains("config.toml:2") && told.contains("expected 1ms to 5s, or false"), "{value}: {told}");
    }
    assert!(File::parse(Path::new("config.toml"), "distance = \"25ms\"").is_err());
}

/// No driver knows these readers: rules with `usb:` and `serial:` may apply.
#[test]
fn a_reader_that_cannot_be_told_apart_has_the_smallest_bound_that_it_may_have() {
    let at = |table: &str, reader| resolve(&Global::default(), &format!("[distance]\n{table}"), HOME).max_extra(reader);
    let ms = |count| Some(Duration::from_millis(count));
    for (table, reader, most) in [
        ("\"usb:1-4\" = \"25ms\"", "Door 00 00", ms(25)),
        ("\"usb:1-4\" = \"25ms\"\ndefault = \"50ms\"", "Door 00 00", ms(25)),
        ("\"usb:1-4\" = \"50ms\"\ndefault = \"25ms\"", "Door 00 00", ms(25)),
        ("\"usb:1-4\" = false\ndefault = \"25ms\"", "Door 00 00", ms(25)),
        ("\"usb:1-4\" = \"50ms\"\n\"serial:A1\" = \"30ms\"\ndoor = false", "Door 00 00", ms(30)),
        ("\"serial:A1\" = \"30ms\"", "Door (B2) 00 00", None),
        ("\"usb:1-4\" = false", "Door 00 00", None),
        // A certain match precedes all that follows.
        ("door = \"50ms\"\n\"usb:1-4\" = \"25ms\"", "Door 00 00", ms(50)),
        ("door = false\n\"usb:1-4\" = \"25ms\"\ndefault = \"9ms\"", "Door 00 00", None),
    ] {
        assert_eq!(at(table, reader), most, "{table}: {reader}");
    }
}

#[test]
fn a_reader_that_cannot_be_told_apart_resumes_no_more_than_it_certainly_may() {
    let at = |table: &str, reader| resolve(&Global::default(), &format!("[resume]\n{table}"), HOME).resume.at(reader);
    for (table, reader, rule) in [
        ("\"serial:A1\" = false\ndefault = true", "Door 00 00", ResumeRule::Never),
        ("\"usb:1-4\" = \"private\"\ndefault = true", "Door 00 00", ResumeRule::Open),
        ("\"usb:1-4\" = \"private\"\ndefault = \"private\"", "Door 00 00", ResumeRule::Private),
        ("\"usb:1-4\" = true\ndoor = \"private\"", "Door 00 00", ResumeRule::Open),
        ("\"serial:A1\" = false\ndefault = true", "Door (B2) 00 00", ResumeRule::Open),
        // A certain match precedes all that follows.
        ("door = true\n\"usb:1-4\" = false", "Door 00 00", ResumeRule::Open),
    ] {
        assert_eq!(at(table, reader), rule, "{table}: {reader}");
    }
}

#[test]
fn without_a_file_the_defaults_of_the_contract_hold() {
    let settings = resolve(&Global::default(), "", HOME);
    assert_eq!(
        (settings.format, settings.colour, settings.source),
        (OutputFormat::Text, Colour::Auto, UserSource::Auto)
    );
    assert_eq!((settings.stale_after, settings.heartbeat), (Duration::from_secs(60), Duration::from_secs(2)));
    let seconds = Duration::from_secs;
    assert_eq!(settings.min_stay, seconds(3));
    assert_eq!(settings.limits, Limits { exchange: seconds(5), tap: seconds(15), hook: seconds(10) });
    assert!(settings.readers.matches("anything"));
    assert_eq!(settings.presence.at("anything"), PresenceMode::Field);
}

#[test]
fn limits_of_the_environment_precede_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, "[limits]\nexchange = \"1s\"\ntap = \"2s\"").unwrap();
    let typed = Global { config: Some(path), ..Global::default() };
    let limits = |variables| {
        let limits = Settings::resolve(&typed, &environment(variables)).unwrap().limits;
        (limits.exchange.as_secs(), limits.tap.as_secs())
    };
    assert_eq!(limits(HOME), (1, 2));
    assert_eq!(limits(&[("HOME", "/h"), ("ROLLCALL_EXCHANGE_LIMIT", "7s"), ("ROLLCALL_TAP_LIMIT", "")]), (7, 2));
    assert_eq!(limits(&[("HOME", "/h"), ("ROLLCALL_TAP_LIMIT", "1m")]), (1, 60));
}

#[test]
fn the_environment_comes_before_the_file_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = "source = \"card\"\n[presence]\ndefault = \"field\"\n\"a\" = \"toggle\"\n";
    std::fs::write(folder.path().join("config.toml"), file).unwrap();
    let resolve = |source: &'static str, presence: &'static str| {
        let value = |name: &str| match name {
            "ROLLCALL_HOME" => Some(folder.path().into()),
            "ROLLCALL_SOURCE" => Some(source.into()),
            "ROLLCALL_PRESENCE" => Some(presence.into()),
            _ => None,
        };
        Settings::resolve(&Global::default(), &value).unwrap()
    };
    let settings = resolve("", "");
    assert_eq!((settings.source, settings.presence.at("a")), (UserSource::Card, PresenceMode::Toggle));
    let settings = resolve("server", "until:8h");
    let eight = PresenceMode::Until(Duration::from_secs(8 * 3600));
    assert_eq!((settings.source, settings.presence.at("a")), (UserSource::Server, eight));
    let typed = settings.with_source(Some(UserSource::Auto)).with_presence(Some(PresenceMode::Field));
    assert_eq!((typed.source, typed.presence.at("a")), (UserSource::Auto, PresenceMode::Field));
}

#[test]
fn what_was_typed_comes_before_the_file() {
    let typed = Global {
        output: Some(OutputFormat::Csv),
        color: Some(Colour::Always),
        reader: vec!["b".into()],
        ..Global::default()
    };
    let text = "output = \"json\"\ncolor = \"never\"\nreader = \"a\"";
    let settings = resolve(&typed, text, &[("HOME", "/h"), ("NO_COLOR", "1")]);
    assert_eq!((settings.format, settings.colour), (OutputFormat::Csv, Colour::Always));
    assert!(settings.readers.matches("b") && !settings.readers.matches("a"));
}

#[test]
fn no_color_comes_before_the_file_and_empty_means_unset() {
    let text = "color = \"always\"";
    let colour = |variables| resolve(&Global::default(), text, variables).colour;
    assert_eq!(colour(&[("HOME", "/h"), ("NO_COLOR", "1")]), Colour::Never);
    assert_eq!(colour(&[("HOME", "/h"), ("NO_COLOR", "")]), Colour::Always);
}

#[test]
fn folders() {
    let find = |variables| Folders::find(&environment(variables)).map(|f| (shown(&f.config), shown(&f.state)));
    let both = |folder: &str| (folder.to_owned(), folder.to_owned());
    assert_eq!(find(&[("ROLLCALL_HOME", "/r"), ("HOME", "/h")]).unwrap(), both("/r"));
    let xdg = find(&[("HOME", "/h")]).unwrap();
    assert_eq!(xdg, ("/h/.config/rollcall".to_owned(), "/h/.local/state/rollcall".to_owned()));
    let xdg = find(&[("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "relative"), ("HOME", "/h")]).unwrap();
    assert_eq!(xdg, ("/c/rollcall".to_owned(), "/h/.local/state/rollcall".to_owned()));
    assert_eq!(find(&[("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "/s")]).unwrap().1, "/s/rollcall");
    let failure = Failure::from(find(&[("HOME", "")]).unwrap_err());
    assert_eq!((failure.class, failure.code), (ExitClass::Config, "config.no-home"));
}

#[test]
fn refusals_name_line_key_and_remedy() {
    let refused = |text: &str| {
        let failure = parse(text).unwrap_err();
        assert_eq!(failure.class, ExitClass::Config);
        (failure.code, failure.message, failure.hint.unwrap().text)
    };
    let (code, message, hint) = refused("color = \"auto\"\n\noutptu = \"json\"");
    assert_eq!((code, message.as_str()), ("config.unknown-key", "config.toml:3: unknown key \"outptu\""));
    assert_eq!(hint, "did you mean \"output\"?");
    let (_, message, hint) = refused("[limits]\nhandshake = \"1s\"");
    assert_eq!(message, "config.toml:2: unknown key \"limits.handshake\"");
    assert_eq!(hint, "known here: exchange, on_event, tap");
    for (text, expected) in [
        ("output = \"xml\"", "config.toml:1: output: expected one of text, json, ndjson, csv"),
        ("output = 3", "config.toml:1: output: expected a string in quotes"),
        ("heartbeat = \"2\"", "config.toml:1: heartbeat: \"2\" is not a duration such as 500ms, 5s, 2m, 8h or 1d"),
        ("[presence]\na = \"always\"", "config.toml:2: presence.a: \"always\" is not field, toggle or until:DURATION"),
        ("[presence]\nmin_stay = \"11m\"", "config.toml:2: presence.min_stay: expected 0s to 600s"),
        (
            "board = \"nope\"",
            "config.toml:1: board: expected ADDRESS:PORT, such as 127.0.0.1:7480, or 0.0.0.0:7480 or [::]:7480 for every address of this machine",
        ),
        (
            "[board]\nlisten = \"7480\"",
            "config.toml:2: board.listen: expected ADDRESS:PORT, such as 127.0.0.1:7480, or 0.0.0.0:7480 or [::]:7480 for every address of this machine",
        ),
        (
            "[server]\nlisten = \"nope\"",
            "config.toml:2: server.listen: expected ADDRESS:PORT, such as 127.0.0.1:7443, or 0.0.0.0:7443 or [::]:7443 for every address of this machine",
        ),
        ("verbose = \"yes\"", "config.toml:1: verbose: expected true or false"),
        ("alias = 1", "config.toml:1: alias: expected a table"),
        ("[feedback]\nsound = \"yes\"", "config.toml:2: feedback.sound: expected true or false"),
        ("[resume]\nmax_age = \"25h\"", "config.toml:2: resume.max_age: expected at most 24h"),
        ("[resume]\na = \"open\"", "config.toml:2: resume.a: expected true, false or \"private\""),
        (
            "[feedback]\na = \"acr\"",
            "config.toml:2: feedback.a: \"acr\" is not auto, acr122u, acr1252u, springcard-h663 or springcore",
        ),
        ("[alias]\na = \"\"", "config.toml:2: alias.a: it is empty"),
        ("reader = [\"a\", 1]", "config.toml:1: reader: expected a string in quotes"),
    ] {
        let (code, message, _) = refused(text);
        assert_eq!((code, message.as_str()), ("config.bad-value", expected), "{text}");
    }
    let (code, message, _) = refused("a = 1\nb = = 2");
    assert_eq!(code, "config.syntax");
    assert!(message.starts_with("config.toml:2: "), "{message}");
}

#[test]
fn a_file_that_is_asked_for_has_to_be_there_and_trustworthy() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    assert!(matches!(File::load(&path), Err(ConfigError::Missing(_))));
    assert_eq!(File::load_if_there(&path).unwrap(), File::default());
    std::fs::write(&path, "verbose = true").unwrap();
    assert_eq!(File::load(&path).unwrap().verbose, Some(true));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(File::load(&path), Err(ConfigError::Writable(_))));
    assert!(matches!(File::load_if_there(folder.path()), Err(ConfigError::Unreadable(..))));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, [0xFF, 0xFE]).unwrap();
    assert!(matches!(File::load(&path), Err(ConfigError::Unreadable(..))));
    // It has no known length, and no end.
    assert!(matches!(File::load(Path::new("/dev/zero")), Err(ConfigError::TooLong(_))));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}|([a-z_]{1,8} = \"?[a-z0-9]{0,4}\"?\n){0,5}|\\[[a-z]{1,8}\\]\n[a-z]{1,4} = 1") {
        let _ = parse(&text);
    }
}
