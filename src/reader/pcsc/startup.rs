//! Copes with a service that is started on demand, or exits when idle: the first call may meet it while it starts or
//! ends, and only the next one works.

use std::{
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use pcsc::Context;

use super::establish;
use crate::reader::{ReaderError, service::own_socket};

/// Pauses before asking a starting or ending service again, in ms.
const PAUSES: [u64; 5] = [50, 100, 200, 400, 800];

/// A new context, retried while the service is being started.
pub(super) fn establish_within(until: Instant) -> Result<Context, ReaderError> {
    until_started(until, establish)
}

/// Calls `ask`, and retries it while it fails because the service is starting or ending.
pub(super) fn until_started<T>(
    until: Instant,
    mut ask: impl FnMut() -> Result<T, ReaderError>,
) -> Result<T, ReaderError> {
    let mut pauses = PAUSES.into_iter().map(Duration::from_millis);
    loop {
        let error = match ask() {
            // An ending service may close the connection before or after it has read our request.
            Err(
                error @ (ReaderError::ServiceDown
                | ReaderError::Denied
                | ReaderError::NoPolkit(_)
                | ReaderError::Version(None)),
            ) => error,
            other => return other,
        };
        let pause = pauses.next().filter(|pause| Instant::now() + *pause < until);
        match pause.filter(|_| is_listening()) {
            // Nothing signals that the service is ready: its socket was there before.
            Some(pause) => thread::sleep(pause),
            None => return Err(error),
        }
    }
}

/// Whether anybody accepts connections for the service: itself, or systemd for it.
fn is_listening() -> bool {
    cfg!(target_os = "linux") && UnixStream::connect(own_socket()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_start_is_not_waited_for() {
        let until = Instant::now() + Duration::from_secs(60);
        for error in [ReaderError::ServiceHangs, ReaderError::Other("x".into())] {
            let mut asked = 0;
            let failed = until_started(until, || -> Result<(), _> {
                asked += 1;
                Err(error.clone())
            });
            assert_eq!((failed, asked), (Err(error), 1));
        }
        assert_eq!(until_started(until, || Ok(7)), Ok(7));
        // The time is over.
        let failed = until_started(Instant::now(), || -> Result<(), _> { Err(ReaderError::ServiceDown) });
        assert_eq!(failed, Err(ReaderError::ServiceDown));
    }
}
