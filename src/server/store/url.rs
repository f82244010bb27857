//! The address of a store: parses and checks it.

use std::{collections::HashSet, path::PathBuf, str::FromStr};

use sqlx::postgres::PgConnectOptions;

use super::ServerStoreError;

/// The parameters that are understood in a PostgreSQL URL.
const PARAMETERS: [&str; 19] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "target_session_attrs",
    "user",
];

/// The address of a store. A password in it is never printed.
#[derive(Clone)]
pub enum StoreUrl {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A database of PostgreSQL.
    Postgres(Box<PostgresUrl>),
}

/// A PostgreSQL database, at one of several hosts.
#[derive(Clone)]
pub struct PostgresUrl {
    /// Each host with all that is needed to connect to it, in the order in which they are tried; at least one.
    pub hosts: Vec<PgConnectOptions>,
    /// Whether the database must take changes.
    pub writable: bool,
    /// Whether no prepared statements are kept: for a pooler that gives each transaction another connection.
    pub uncached: bool,
}

impl FromStr for StoreUrl {
    type Err = ServerStoreError;

    fn from_str(text: &str) -> Result<Self, ServerStoreError> {
        if let Some(path) = text.strip_prefix("sqlite://").filter(|path| path.starts_with('/') && !path.contains('?')) {
            return Ok(Self::Sqlite(path.into()));
        }
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        rest.ok_or(ServerStoreError::Url).and_then(postgres).map(|url| Self::Postgres(Box::new(url)))
    }
}

/// `[user[:password]@]HOST[:PORT][,HOST[:PORT]…][/database][?parameters]`: one URL per host, since the driver takes one
/// host.
fn postgres(rest: &str) -> Result<PostgresUrl, ServerStoreError> {
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    let (mut writable, mut uncached, mut kept) = (true, false, Vec::new());
    let (mut named, mut ports, mut seen) = (None, None, HashSet::new());
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match key {
            "target_session_attrs" => {
                writable = match value {
                    "read-write" | "primary" => true,
                    "any" => false,
                    _ => return Err(bad("target_session_attrs is read-write, primary or any")),
                }
            }
            "host" | "hostaddr" => named = Some((key, value)),
            "port" => ports = Some(value),
            known if PARAMETERS.contains(&known) || (known.starts_with("options[") && known.ends_with(']')) => {
                uncached |= parameter == "statement-cache-capacity=0";
                kept.push(parameter);
            }
            _ => return Err(unknown(key)),
        }
        // The driver would silently take the last one.
        if !seen.insert(setting(key)) {
            return Err(bad(&format!("{} is given twice", setting(key))));
        }
    }
    let one = |host: &str, key: Option<(&str, &str)>, port: Option<&str>| {
        let mut all: Vec<String> = kept.iter().map(|one| (*one).to_owned()).collect();
        all.extend(key.map(|(key, host)| format!("{key}={host}")));
        all.extend(port.filter(|port| !port.is_empty()).map(|port| format!("port={port}")));
        let url = format!("postgres://{user}{host}/{database}?{}", all.join("&"));
        url.parse::<PgConnectOptions>().map_err(|error| match error {
            // The error text may contain a password: then only the kind of error is reported.
            sqlx::Error::Configuration(error) if !error.to_string().contains("://") => bad(&error.to_string()),
            _ => ServerStoreError::Url,
        })
    };
    let ports: Vec<&str> = ports.map(|ports| ports.split(',').collect()).unwrap_or_default();
    let port = |at: usize| ports.get(at).or(ports.last()).copied();
    let hosts: Result<Vec<_>, _> = match named {
        Some((key, hosts)) => {
            hosts.split(',').enumerate().map(|(at, host)| one("localhost", Some((key, host)), port(at))).collect()
        }
        None => hosts.split(',').enumerate().map(|(at, host)| one(host, None, port(at))).collect(),
    };
    Ok(PostgresUrl { hosts: hosts?, writable, uncached })
}

/// The setting of a parameter: some settings have several names.
fn setting(key: &str) -> &str {
    match key {
        "hostaddr" => "host",
        "ssl-ca" | "ssl-root-cert" => "sslrootcert",
        "ssl-cert" => "sslcert",
        "ssl-key" => "sslkey",
        "ssl-mode" => "sslmode",
        other => other,
    }
}

fn bad(what: &str) -> ServerStoreError {
    ServerStoreError::Parameter(what.to_owned())
}

fn unknown(key: &str) -> ServerStoreError {
    let key: String = key.chars().filter(|c| !c.is_control()).take(40).collect();
    let near = PARAMETERS.iter().max_by(|a, b| strsim::jaro(a, &key).total_cmp(&strsim::jaro(b, &key)));
    match near.filter(|near| strsim::jaro(near, &key) > 0.8) {
        Some(near) => bad(&format!("there is no parameter {key:?}; did you mean {near}?")),
        None => bad(&format!("there is no parameter {key:?}; there are {}", PARAMETERS.join(", "))),
    }
}

impl std::fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hosts: Vec<_> = self.hosts.iter().map(|one| format!("{}:{}", one.get_host(), one.get_port())).collect();
        let database = self.hosts.first().and_then(PgConnectOptions::get_database).unwrap_or("postgres");
        write!(f, "postgres://{}/{database}", hosts.join(","))
    }
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl std::fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl StoreUrl {
        /// The store of a test, in its folder.
        pub(in crate::server) fn in_folder(folder: &std::path::Path) -> Self {
            format!("sqlite://{}/server.db", folder.display()).parse().unwrap()
        }
    }

    fn hosts(url: &str) -> PostgresUrl {
        match url.parse().unwrap() {
            StoreUrl::Postgres(url) => *url,
            StoreUrl::Sqlite(_) => panic!("{url}"),
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let url: StoreUrl = "postgres://rollcall:Qx7canary@db.example.org:5433/people".parse().unwrap();
        assert_eq!(url.to_string(), "postgres://db.example.org:5433/people");
        assert_eq!(format!("{url:?}"), "StoreUrl(postgres://db.example.org:5433/people)");
        for wrong in [
            "postgres://u:Qx7canary@h:99999999/d",
            "postgres://u:Qx7canary@h/d?sslmode=no",
            // Pasted in the wrong place.
            "postgres://h/d?sslmode=postgres://u:Qx7canary@h/d",
            "x://Qx7canary",
        ] {
            let error = wrong.parse::<StoreUrl>().unwrap_err();
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn only_two_kinds_of_stores() {
        let url: StoreUrl = "sqlite:///var/lib/server.db".parse().unwrap();
        assert!(matches!(url, StoreUrl::Sqlite(path) if path.as_os_str() == "/var/lib/server.db"));
        for text in ["", "server.db", "sqlite://server.db", "sqlite:///a?mode=ro", "mysql://h/d"] {
            assert!(matches!(text.parse::<StoreUrl>(), Err(ServerStoreError::Url)), "{text}");
        }
        assert!("postgres://:x:y".parse::<StoreUrl>().is_err());
    }

    #[test]
    fn several_hosts_are_tried_in_their_order() {
        let url = hosts("postgres://u:p@a:1,[::1]:2,c/people?sslmode=verify-full&target_session_attrs=read-write");
        assert_eq!(url.to_string(), "postgres://a:1,[::1]:2,c:5432/people");
        assert!(url.writable && !url.uncached);
        for one in &url.hosts {
            assert_eq!((one.get_username(), one.get_database()), ("u", Some("people")));
            assert!(matches!(one.get_ssl_mode(), sqlx::postgres::PgSslMode::VerifyFull));
        }
        let url = hosts("postgresql:///d?host=x,y&port=7,8&target_session_attrs=any&statement-cache-capacity=0");
        assert_eq!(url.to_string(), "postgres://x:7,y:8/d");
        assert!(!url.writable && url.uncached);
        let url = hosts("postgres://rollcall@localhost/postgres?host=/run/postgresql");
        assert_eq!(url.hosts[0].get_socket().unwrap().as_os_str(), "/run/postgresql");
    }

    /// A misspelt parameter, such as one that asks for a verified connection, would otherwise be ignored silently.
    #[test]
    fn a_parameter_that_nobody_knows_is_an_error() {
        for (wrong, told) in [
            ("sslmod=verify-full", "did you mean sslmode?"),
            ("SSLMODE=require", "there is no parameter"),
            ("sslmode=verify_full", "verify_full"),
            ("target_session_attr=any", "did you mean target_session_attrs?"),
            ("target_session_attrs=standby", "read-write, primary or any"),
            ("connect_timeout=3", "there are application_name"),
            ("sslmode=require&&x=", "there is no parameter \"x\""),
            ("options[search_path=x", "there is no parameter \"options[search_path\""),
            ("search_path]=x", "there is no parameter \"search_path]\""),
            ("sslmode=verify-full&sslmode=disable", "sslmode is given twice"),
            ("sslmode=require&application_name=a&ssl-mode=require", "sslmode is given twice"),
            ("ssl-root-cert=/a&ssl-ca=/b", "sslrootcert is given twice"),
            ("ssl-cert=/a&sslcert=/b", "sslcert is given twice"),
            ("ssl-key=/a&sslkey=/b", "sslkey is given twice"),
            ("host=a&hostaddr=127.0.0.1", "host is given twice"),
            ("port=1&port=2", "port is given twice"),
            ("target_session_attrs=any&target_session_attrs=any", "target_session_attrs is given twice"),
        ] {
            let error = format!("postgres://h/d?{wrong}").parse::<StoreUrl>().unwrap_err();
            assert!(error.to_string().contains(told), "{wrong}: {error}");
        }
    }
}
