//! Makes the connections of this process one after the other, to avoid a race in PC/SC Lite.
//!
//! PC/SC Lite (seen in 1.9.9, the same in 2.5.1) inserts a new handle into the list of its context without the lock
//! under which other threads search for theirs, through the lists of all contexts older than their own. A thread that
//! searches in between follows a pointer that is not set yet. Nobody searches the newest context: so each context is
//! established and connected before the next one is.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a connection may keep the others waiting: a hanging driver must not block the other readers.
const PATIENCE: Duration = Duration::from_millis(100);

static TURNS: Turns = Turns { state: Mutex::new(TurnState { last: 0, now: None }), ended: Condvar::new() };

/// Establishes a context and connects it while no other thread does.
pub(super) fn in_turn<T>(connect: impl FnOnce() -> T) -> T {
    let _turn = TURNS.take(PATIENCE);
    connect()
}

struct Turns {
    state: Mutex<TurnState>,
    ended: Condvar,
}

#[derive(Default)]
struct TurnState {
    /// The number of the last turn.
    last: u64,
    /// The current turn, and when it began.
    now: Option<(u64, Instant)>,
}

impl Turns {
    /// Waits for the end of the current turn, and takes over one that exceeds `patience`.
    fn take(&self, patience: Duration) -> Turn<'_> {
        let mut state = self.state();
        while let Some((_, began)) = state.now {
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            (state, _) = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        state.last += 1;
        state.now = Some((state.last, Instant::now()));
        Turn { turns: self, number: state.last }
    }

    fn state(&self) -> MutexGuard<'_, TurnState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        if state.now.is_some_and(|(number, _)| number == self.number) {
            state.now = None;
            self.turns.ended.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        thread,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn turns() -> Turns {
        Turns { state: Mutex::default(), ended: Condvar::new() }
    }

    #[test]
    fn one_is_connected_after_the_other() {
        let (turns, inside, worst) = (turns(), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _turn = turns.take(LONG);
                        worst.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(worst.into_inner(), 1);
    }

    #[test]
    fn one_that_hangs_keeps_nobody() {
        let turns = turns();
        let hanging = turns.take(LONG);
        let other = turns.take(Duration::from_millis(1));
        // The hanging turn ends later, and ends no turn but its own.
        drop(hanging);
        assert!(turns.state().now.is_some_and(|(number, _)| number == 2));
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let turns = &turns;
            scope.spawn(move || {
                let _turn = turns.take(LONG);
                tell.send(()).unwrap();
            });
            assert!(told.try_recv().is_err(), "it waits for the one that took over");
            drop(other);
            told.recv_timeout(LONG).unwrap();
        });
        assert!(turns.state().now.is_none());
    }
}
