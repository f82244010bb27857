//! The checks that every request must pass first: a page of another origin must not read the board, even if its name
//! server directs its name here (DNS rebinding).

use std::net::{IpAddr, SocketAddr};

use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{HOST, HeaderName, ORIGIN},
};

/// The origin of a request according to the browser (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names under which the board is reached.
#[derive(Debug)]
pub struct Gate {
    scheme: &'static str,
    port: u16,
    /// `name:port`, in lower case; links use the first.
    hosts: Vec<String>,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoardPurpose {
    /// A file of the page, without personal data.
    File,
    /// The present users.
    People,
    /// To redeem a link.
    Login,
}

impl Gate {
    /// For the address that the board listens on, and further names of this machine.
    pub fn new(address: SocketAddr, names: &[String], is_tls: bool) -> Self {
        let port = address.port();
        let mut hosts: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        match address.ip() {
            ip if ip.is_unspecified() => {}
            IpAddr::V4(ip) => hosts.push(ip.to_string()),
            IpAddr::V6(ip) => hosts.push(format!("[{ip}]")),
        }
        if address.ip().is_loopback() {
            hosts.push("localhost".to_owned());
        }
        let (scheme, default) = if is_tls { ("https", 443) } else { ("http", 80) };
        // Browsers omit the default port of the scheme.
        let with_port = |host: String| if port == default { host } else { format!("{host}:{port}") };
        Self { scheme, port, hosts: hosts.into_iter().map(with_port).collect() }
    }

    /// The port that the board listens on.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the board for a browser.
    pub fn url(&self) -> Option<String> {
        self.hosts.first().map(|host| format!("{}://{host}/", self.scheme))
    }

    /// Whether the request may be answered at all.
    ///
    /// # Errors
    /// The status of the refusal.
    pub fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        purpose: BoardPurpose,
    ) -> Result<(), StatusCode> {
        let allowed = match purpose {
            BoardPurpose::Login => *method == Method::POST,
            BoardPurpose::File | BoardPurpose::People => *method == Method::GET || *method == Method::HEAD,
        };
        if !allowed {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        // The absolute form, meant for proxies, names its own host.
        if uri.authority().is_some() {
            return Err(StatusCode::BAD_REQUEST);
        }
        let host = only(headers, &HOST)?.ok_or(StatusCode::BAD_REQUEST)?.to_ascii_lowercase();
        if !self.hosts.contains(&host) {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
        let origin = only(headers, &ORIGIN)?;
        let own = format!("{}://{host}", self.scheme);
        if origin.map_or(purpose == BoardPurpose::Login, |origin| !origin.eq_ignore_ascii_case(&own)) {
            return Err(StatusCode::FORBIDDEN);
        }
        let site = only(headers, &SEC_FETCH_SITE)?;
        let is_own = site.is_none_or(|site| site == "same-origin" || site == "none");
        if purpose != BoardPurpose::File && !is_own {
            return Err(StatusCode::FORBIDDEN);
        }
        Ok(())
    }
}

/// The value of a header that may occur only once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, StatusCode> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| StatusCode::BAD_REQUEST),
        (Some(_), Some(_)) => Err(StatusCode::BAD_REQUEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[(&str, &str)] = &[("host", "127.0.0.1:7480")];

    fn local() -> Gate {
        Gate::new("127.0.0.1:7480".parse().unwrap(), &[], false)
    }

    fn ask(gate: &Gate, method: &str, uri: &str, purpose: BoardPurpose, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        gate.check(&method, &uri.parse().unwrap(), &map, purpose).map_or_else(|status| status.as_u16(), |()| 200)
    }

    #[test]
    fn only_the_boards_own_names_are_hosts() {
        let gate = local();
        for host in ["127.0.0.1:7480", "localhost:7480", "LOCALHOST:7480"] {
            assert_eq!(ask(&gate, "GET", "/", BoardPurpose::People, &[("host", host)]), 200, "{host}");
        }
        // What a page would send whose name was rebound to this address.
        for host in ["evil.example:7480", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:7480", "[::1]:7480", ""]
        {
            assert_eq!(ask(&gate, "GET", "/", BoardPurpose::People, &[("host", host)]), 421, "{host}");
        }
        assert_eq!(ask(&gate, "GET", "/", BoardPurpose::File, &[]), 400);
        assert_eq!(ask(&gate, "GET", "/", BoardPurpose::File, &[OWN[0], OWN[0]]), 400);
        assert_eq!(ask(&gate, "GET", "http://127.0.0.1:7480/", BoardPurpose::File, OWN), 400);
    }

    #[test]
    fn an_address_for_all_has_the_names_that_it_was_given() {
        let gate = Gate::new("0.0.0.0:443".parse().unwrap(), &["Desk.example.org".to_owned()], true);
        assert_eq!(gate.url().unwrap(), "https://desk.example.org/");
        assert_eq!(ask(&gate, "GET", "/", BoardPurpose::People, &[("host", "desk.example.org")]), 200);
        for host in ["0.0.0.0", "localhost", "desk.example.org:7480", "192.0.2.1"] {
            assert_eq!(ask(&gate, "GET", "/", BoardPurpose::People, &[("host", host)]), 421, "{host}");
        }
        assert_eq!(Gate::new("[::1]:7480".parse().unwrap(), &[], false).url().unwrap(), "http://[::1]:7480/");
        assert_eq!(Gate::new("0.0.0.0:443".parse().unwrap(), &[], true).url(), None);
    }

    #[test]
    fn another_origin_reads_nothing() {
        let gate = local();
        let with = |purpose, name, value| ask(&gate, "GET", "/events", purpose, &[OWN[0], (name, value)]);
        assert_eq!(with(BoardPurpose::People, "origin", "http://127.0.0.1:7480"), 200);
        for origin in ["https://127.0.0.1:7480", "http://evil.example", "null", "http://127.0.0.1:7481"] {
            assert_eq!(with(BoardPurpose::People, "origin", origin), 403, "{origin}");
            assert_eq!(with(BoardPurpose::File, "origin", origin), 403, "{origin}");
        }
        // The origin has to match the requested host exactly.
        assert_eq!(with(BoardPurpose::People, "origin", "http://localhost:7480"), 403);
        for site in ["cross-site", "same-site"] {
            assert_eq!(with(BoardPurpose::People, "sec-fetch-site", site), 403, "{site}");
            // A link in a mail leads to the page itself, which has no personal data.
            assert_eq!(with(BoardPurpose::File, "sec-fetch-site", site), 200, "{site}");
        }
        assert_eq!(with(BoardPurpose::People, "sec-fetch-site", "same-origin"), 200);
    }

    #[test]
    fn nothing_but_a_link_is_posted() {
        let gate = local();
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT"] {
            assert_eq!(ask(&gate, method, "/", BoardPurpose::File, OWN), 405, "{method}");
            assert_eq!(ask(&gate, method, "/events", BoardPurpose::People, OWN), 405, "{method}");
        }
        let own = ("origin", "http://127.0.0.1:7480");
        assert_eq!(ask(&gate, "POST", "/login", BoardPurpose::Login, &[OWN[0], own]), 200);
        assert_eq!(ask(&gate, "GET", "/login", BoardPurpose::Login, &[OWN[0], own]), 405);
        // A form of another page sends its origin, and an old browser none.
        assert_eq!(ask(&gate, "POST", "/login", BoardPurpose::Login, OWN), 403);
        assert_eq!(
            ask(&gate, "POST", "/login", BoardPurpose::Login, &[OWN[0], ("origin", "https://evil.example")]),
            403
        );
    }
}
