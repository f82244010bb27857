//! `rollcall.toml(5)`: every configuration key. The table is that of docs/cli.md, "Configuration"; a test compares
//! them.

use super::page::ManPage;

/// A key of `config.toml`.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The table, without brackets; empty at the top of the file.
    pub table: &'static str,
    /// The key; empty for a table with user-defined keys.
    pub key: &'static str,
    /// The type of its value.
    pub kind: &'static str,
    /// The default; empty if there is none.
    pub default: &'static str,
    /// The meaning, in Markdown.
    pub meaning: &'static str,
}

const fn setting(
    table: &'static str,
    key: &'static str,
    kind: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting { table, key, kind, default, meaning }
}

/// All keys.
#[rustfmt::skip] // a line each
pub const SETTINGS: &[Setting] = &[
    setting("", "output", "string", "`text`", "as `--output`: `text`, `json`, `ndjson`, `csv`"),
    setting("", "reader", "strings", "all", "as `--reader`: parts of names, globs, `serial:…`, `usb:…`, or aliases"),
    setting("", "verbose", "boolean", "`false`", "as `--verbose`"),
    setting("", "color", "string", "`auto`", "as `--color`: `auto`, `always`, `never`"),
    setting("", "ignore", "strings", "", "`[\"*SAM*\"]`: readers that are left out of every command"),
    setting("", "source", "string", "`auto`", "where user information comes from: `auto`, `card`, `server`"),
    setting("", "on_event", "string", "", "a command that `watch` runs for each event, by `sh -c`, with the event on its stdin"),
    setting("", "retention", "duration", "for ever", "how long this terminal keeps events, and users of the server (`90d`); see [privacy.md](privacy.md)"),
    setting("", "heartbeat", "duration", "`2s`", "how often a card in mode `field` is checked"),
    setting("", "stale_after", "duration", "`60s`", "how long a card in mode `field` may be silent before its entry becomes unconfirmed, and how long an unconfirmed entry stays on the list"),
    setting("", "perso_key", "string", "", "a PKCS#11 URI (RFC 7512) in place of `pki/perso.key`; `ROLLCALL_PERSO_KEY` overrides it"),
    setting("board", "listen", "string", "", "where `watch` serves the board: `127.0.0.1:7480`; `board = \"127.0.0.1:7480\"` says the same where nothing else is set"),
    setting("board", "hosts", "strings", "", "the names under which browsers reach it over a network"),
    setting("board", "certificate", "path", "", "its certificate chain (PEM); needed, with `key`, for any address but a loopback address"),
    setting("board", "key", "path", "", "the private key of that certificate (PEM)"),
    setting("board", "fields", "strings", "none", "the fields of a user that it shows beside the name; `id` is one"),
    setting("board", "portraits", "boolean", "`false`", "whether `watch` reads the portrait on the card of whoever is let in, and the board shows it"),
    setting("board", "expected", "path", "", "a CSV file with the people who are expected"),
    setting("board", "title", "string", "", "what the place is called"),
    setting("board", "texts", "path", "", "a file with its texts in another language"),
    setting("alias", "", "string each", "", "`\"north door\" = \"ACR122U*00 00\"`, `\"desk\" = \"serial:70D7E2EE\"`: names for readers"),
    setting("presence", "", "string each", "`field`", "who counts as present: `field`, `toggle` or `until:DURATION`, as `default = …`, and one key for each reader or alias; the first match in the file wins"),
    setting("presence", "min_stay", "duration", "`3s`", "in mode `toggle`, how long after a tap another one of the same token at the same reader is still that tap; at most `10m`, and `0s` counts every tap"),
    setting("feedback", "", "string each", "nothing", "what readers show of a tap: the model whose commands are sent (`acr122u`, `acr1252u`, `springcard-h663`, `springcore`), or `auto`, which takes the model from its name; one key for each reader or alias; the first match in the file wins. See [hardware.md](hardware.md), \"Lights and buzzers\""),
    setting("feedback", "sound", "boolean", "`false`", "whether `watch` plays a short sound on this computer for whoever is admitted, and another one for whoever is not, with the first of `pw-play`, `paplay` and `aplay` that works"),
    setting("resume", "", "boolean or string each", "`false`", "where a token that was authenticated in full at this `watch` a short while ago gets through faster, without public-key operations: `default = …`, and one key for each reader or alias; the first match in the file wins. `true` is for open tokens, `\"private\"` for private ones too. Where there is a server, it has to allow it (`resume_max_age`). See [operating.md](operating.md), \"The fast tap\""),
    setting("resume", "max_age", "duration", "`12h`", "how long after a full tap; at most `24h`"),
    setting("distance", "", "duration each", "`false`", "how much longer than the least time of the same token at the same reader a tap may take to answer, `1ms` to `5s`: `default = …`, and one key for each reader or alias; the first match in the file wins, and `false` removes the bound. A slower one is refused (`token.too-far`). See [operating.md](operating.md), \"A bound on distance\""),
    setting("limits", "exchange", "duration", "`5s`", "for one exchange with a card; at most `10m`, and `ROLLCALL_EXCHANGE_LIMIT` overrides it"),
    setting("limits", "tap", "duration", "`15s`", "for a whole tap; at most `10m`, and `ROLLCALL_TAP_LIMIT` overrides it"),
    setting("limits", "on_event", "duration", "`10s`", "for one run of `on_event`"),
    setting("server", "url", "string", "", "`https://host:port` of this terminal's server, 443 where no port is named; `ROLLCALL_SERVER_URL` overrides it"),
    setting("server", "timeout", "duration", "`5s`", "for one request; connecting may take two fifths of it, and at least 2s: raise it on a slow link"),
    setting("server", "feed_max_age", "duration", "`24h`", "how old the last status feed may be while the server is away"),
    setting("server", "offline_max_age", "duration", "`8h`", "how old user information may be while the server is away"),
    setting("server", "listen", "string", "`127.0.0.1:7443`", "`server run`: where it listens; `ROLLCALL_SERVER_LISTEN` overrides it"),
    setting("server", "board", "string", "", "where `server run` serves the board of all terminals: `127.0.0.1:7480`; its other settings are under `[board]`"),
    setting("server", "store", "string", "SQLite in the state folder", "`server run`: `sqlite://FILE` or `postgres://…`; with a password only in a file that its owner alone may read; `ROLLCALL_SERVER_STORE` overrides it"),
    setting("server", "rate", "integer", "`200`", "requests of one terminal a second; 0: no limit; `ROLLCALL_SERVER_RATE` overrides it"),
    setting("server", "connections", "integer", "`1024`", "connections at one time"),
    setting("server", "proxies", "strings", "none", "`server run`: the addresses or networks of proxies in front of it (`[\"192.0.2.7\", \"10.0.0.0/8\"]`); each of their connections begins with a PROXY header, version 1 or 2, and counts for the address in it; the board accepts no such header"),
    setting("server", "resume_max_age", "duration", "never", "`server run`: how long after its proof a token may use fast taps at the terminal of that proof, at most `24h`; without it every tap is a full one. See [operating.md](operating.md), \"The fast tap\""),
    setting("server", "retention", "duration", "", "`server run`: how long events, proofs and nonces are kept, 10d or longer (see [privacy.md](privacy.md)); without it events and proofs are kept for ever, and nonces for 90 days"),
];

/// The purpose of each table of the file, in its order.
const TABLES: &[(&str, &str, &str)] = &[
    ("", "KEYS AT THE TOP OF THE FILE", "These come before the first table."),
    (
        "board",
        "THE TABLE [board]",
        "The page of who is here that `watch` serves to browsers. Paths are relative to the configuration folder.",
    ),
    ("alias", "THE TABLE [alias]", "Names for readers. They can be used wherever a reader is named."),
    ("presence", "THE TABLE [presence]", "Until when somebody counts as present after a tap."),
    ("feedback", "THE TABLE [feedback]", "Lights and buzzers of readers, and sounds, for `watch`."),
    ("resume", "THE TABLE [resume]", "Taps of people who were here a short while ago."),
    ("distance", "THE TABLE [distance]", "Taps that may have been relayed over a network."),
    ("limits", "THE TABLE [limits]", "How long something may take before it is given up."),
    ("server", "THE TABLE [server]", "The server of this terminal, and the one that runs here."),
];

/// The typical configuration of a terminal at a door.
const EXAMPLE: &str = r#"reader = ["north door"]
retention = "90d"
board = "127.0.0.1:7480"

[alias]
"north door" = "ACR122U*00 00"

[presence]
default = "field"
"north door" = "toggle"

[server]
url = "https://rollcall.example.org:7443""#;

const FILES: &[(&str, &str)] = &[
    ("~/.config/rollcall/config.toml", "The configuration, unless `--config` or `ROLLCALL_CONFIG` names another file."),
    ("$XDG_CONFIG_HOME/rollcall/config.toml", "The same, where this variable is set."),
    ("$ROLLCALL_HOME/config.toml", "The configuration, where this variable is set."),
    ("/var/lib/rollcall/config.toml", "That of the service rollcall-watch of the Debian package."),
    ("/var/lib/rollcall-server/config.toml", "That of its service rollcall-server."),
];

/// Makes the page.
pub fn page(date: &str) -> ManPage {
    let mut page = ManPage::new("rollcall.toml", 5, date, "configuration of rollcall(1)");
    page.section("DESCRIPTION");
    page.paragraph(
        "The file `config.toml` in the configuration folder sets defaults for every command. It is written in TOML, and is optional.",
    );
    page.paragraph(
        "An option on the command line overrides the environment, which overrides this file. An unknown key, an invalid value, and a file that everybody may write are refused; the error names file, line and key (exit status 78).",
    );
    page.paragraph(
        "A duration is a string of a whole number and a unit: `500ms`, `5s`, `2m`, `8h`, `1d`. Strings are a list, such as `[\"a\", \"b\"]`; a single string is a list of one.",
    );
    for (table, title, about) in TABLES {
        page.section(title);
        page.paragraph(about);
        for setting in SETTINGS.iter().filter(|setting| setting.table == *table) {
            let key = if setting.key.is_empty() { "NAME" } else { setting.key };
            let default =
                if setting.default.is_empty() { String::new() } else { format!(" Default: {}.", setting.default) };
            page.item(&format!("{key} ({})", setting.kind), &format!("{}.{default}", capital(setting.meaning)));
        }
    }
    page.section("EXAMPLES");
    page.paragraph("A terminal at a door, with a board and a server:");
    page.example(&EXAMPLE.lines().collect::<Vec<_>>());
    page.section("EXIT STATUS");
    page.item("78", "Every command ends with this status where this file is wrong.");
    page.section("ENVIRONMENT");
    page.item("ROLLCALL_CONFIG", "Another file; as `--config`, which overrides it.");
    page.item("ROLLCALL_HOME", "The folder of this file and of all state.");
    page.paragraph("Where a variable overrides a key, the key says so; rollcall(1) lists all variables.");
    page.section("FILES");
    for (path, what) in FILES {
        page.item(path, what);
    }
    page.section("SEE ALSO");
    page.names(
        &["rollcall(1)", "rollcall-doctor(1)", "rollcall-watch(1)", "rollcall-server-run(1)"].map(str::to_owned),
    );
    page
}

/// Starts with a capital letter, if it begins with a letter.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Global, Settings};

    #[test]
    fn every_table_has_its_section_and_every_key_its_item() {
        let source = page("2026-01-01").into_source();
        for setting in SETTINGS {
            assert!(TABLES.iter().any(|(table, ..)| *table == setting.table), "{setting:?}");
            let key = if setting.key.is_empty() { "NAME" } else { setting.key };
            assert!(source.contains(&format!(".TP\n\\fB{key} ({})\\fR\n", setting.kind)), "{setting:?}");
        }
        assert_eq!(source.matches("\n.TP\n").count(), SETTINGS.len() + FILES.len() + 3);
    }

    #[test]
    fn the_example_is_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, EXAMPLE).unwrap();
        let typed = Global { config: Some(path), ..Global::default() };
        let home = |name: &str| (name == "ROLLCALL_HOME").then(|| folder.path().as_os_str().to_owned());
        assert!(Settings::resolve(&typed, &home).unwrap().server.url.is_some());
    }
}
