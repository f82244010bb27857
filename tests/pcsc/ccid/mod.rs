//! What only the second driver shows: readers that fail while the card stays, and decisions that readers make
//! themselves.

mod decisions;
mod faults;
mod feedback;
mod peers;
mod tap;

use std::sync::{Arc, Mutex};

use crate::card::{Card, StartKey, blank};

/// A place on the reader where a blank card can take that of another without anybody noticing: half a second less than a
/// new insertion.
#[derive(Clone)]
struct Place {
    card: Arc<Mutex<Box<dyn Card>>>,
    key: StartKey,
}

impl Place {
    fn new(key: StartKey) -> Self {
        Self { card: Arc::new(Mutex::new(blank("virtual", key))), key }
    }

    fn renew(&self) {
        *self.card.lock().expect("a card") = blank("virtual", self.key);
    }
}

impl Card for Place {
    fn process(&mut self, apdu: &[u8]) -> Vec<u8> {
        self.card.lock().expect("a card").process(apdu)
    }

    fn reset(&mut self) {
        self.card.lock().expect("a card").reset();
    }
}
