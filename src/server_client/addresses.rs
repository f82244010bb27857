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
}

impl Resolver for Addresses {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut found = self.system.resolve(uri, config, timeout)?;
        if found.len() < 2 {
            return Ok(found);
        }
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if !good.is_some_and(|good| found.contains(&good)) {
            *good = first_to_answer(&found);
        }
        if let Some(at) = found.iter().position(|address| Some(*address) == *good) {
            found[..=at].rotate_right(1);
        }
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
}
