//! Which of the addresses of a name is asked first: the one that answered last, or else the one that answers first. A dead
//! one in front of them, as an IPv6 address without a way, would cost every new connection its share of the time limit.

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

/// How long an address may take to answer before the others count.
const RACE: Duration = Duration::from_secs(1);

/// Resolves names, and remembers which address was good.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    system: Arc<DefaultResolver>,
    good: Arc<Mutex<Option<SocketAddr>>>,
}

impl Addresses {
    /// No connection came to be, or one broke: the address is looked for again.
    pub fn forget(&self) {
        *self.good.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The good one first; the others stay in their order.
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
        let mut found = self.system.resolve(uri, config, timeout)?;
        self.sort(&mut found);
        Ok(found)
    }
}

/// All are tried at once.
fn first_to_answer(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let (tell, answers) = mpsc::channel();
    for address in addresses.iter().copied() {
        let tell = tell.clone();
        let knock = move || {
            if TcpStream::connect_timeout(&address, RACE).is_ok() {
                let _ = tell.send(address);
            }
        };
        // Without a thread they are tried in their order.
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
        // A port at which nobody listens.
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
