//! Chooses which address of a host name to try first: the one that answered last, or else the first to answer. A dead
//! one in front, such as an IPv6 address without a route, would cost every new connection its share of the time limit.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

/// How long an address may take to answer in the race.
const RACE: Duration = Duration::from_secs(1);

/// A name without an address, which ureq carries to [`super::error`].
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct UnknownHost {
    /// The name.
    pub host: String,
    /// What the system says.
    pub why: String,
}

/// Resolves names, and remembers which address worked.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    system: Arc<DefaultResolver>,
    good: Arc<Mutex<Option<SocketAddr>>>,
}

impl Addresses {
    /// Forgets the address after a connection failed or broke, so that it is looked for again.
    pub fn forget(&self) {
        *self.good.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Puts the address that worked first; the others keep their order.
    fn sort(&self, found: &mut [SocketAddr]) {
        if found.len() < 2 {
            return;
        }
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if !good.is_some_and(|good| found.contains(&good)) {
            *good = first_to_answer(found);
        }
        if let Some(at) = found.iter().position(|address| Some(*address) == *good) {
            found[..=at].rotate_right(1);
        }
    }
}

impl Resolver for Addresses {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let unknown = |why| {
            let host = uri.host().unwrap_or_default().to_owned();
            Error::Other(Box::new(UnknownHost { host, why }))
        };
        let mut found = self.system.resolve(uri, config, timeout).map_err(|error| match error {
            Error::Io(error) => unknown(error.to_string()),
            Error::HostNotFound => unknown("no such host".to_owned()),
            other => other,
        })?;
        self.sort(&mut found);
        Ok(found)
    }
}

/// Tries all addresses at once.
fn first_to_answer(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let (tell, answers) = mpsc::channel();
    for address in addresses.iter().copied() {
        let tell = tell.clone();
        let knock = move || {
            if TcpStream::connect_timeout(&address, RACE).is_ok() {
                let _ = tell.send(address);
            }
        };
        // Without a thread, the addresses are tried in their order.
        thread::Builder::new().name("address".to_owned()).spawn(knock).ok()?;
    }
    drop(tell);
    answers.recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_one_that_answers_is_found() {
        let alive = TcpListener::bind("127.0.0.1:0").unwrap();
        let (alive_at, dead_at) = (alive.local_addr().unwrap(), {
            let gone = TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        });
        assert_eq!(first_to_answer(&[dead_at, alive_at]), Some(alive_at));
        assert_eq!(first_to_answer(&[dead_at]), None);
    }

    #[test]
    fn the_one_that_answered_goes_first_until_it_is_forgotten() {
        let alive = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = alive.local_addr().unwrap();
        // Nobody listens on this port.
        let [one, two] = ["127.0.0.1:1", "127.0.0.2:1"].map(|address| address.parse().unwrap());
        let addresses = Addresses::default();
        let sorted = |mut found: [SocketAddr; 3]| {
            addresses.sort(&mut found);
            found
        };
        assert_eq!(sorted([one, two, good]), [good, one, two]);
        drop(alive);
        assert_eq!(sorted([two, good, one]), [good, two, one], "it is remembered");
        addresses.forget();
        assert_eq!(sorted([one, two, good]), [one, two, good], "nobody answers");
    }
}
