//! For the tests of whatever prints: a stream that can be read afterwards, or that fails.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// The stream; a clone writes to the same place.
#[derive(Clone, Default)]
pub struct Stream {
    written: Arc<Mutex<Vec<u8>>>,
    fails: Option<io::ErrorKind>,
}

impl Stream {
    /// One that takes nothing, and fails like this.
    pub fn failing(kind: io::ErrorKind) -> Self {
        Self { fails: Some(kind), ..Self::default() }
    }

    /// What was written.
    pub fn bytes(&self) -> Vec<u8> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.fails {
            Some(kind) => Err(kind.into()),
            None => self.written.lock().unwrap_or_else(PoisonError::into_inner).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
