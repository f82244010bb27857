//! A card that the test itself inserts into a reader, and removes at any APDU.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use rollcall::emulator::vpcd::ATR;

use crate::card::Card;

/// When the card is removed: at which APDU, counted from 1, and whether that one was still received and executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lift {
    pub at: usize,
    pub carried_out: bool,
}

/// The planned removal, and how many APDUs have come since it was set.
#[derive(Default)]
struct Plan {
    lift: Option<Lift>,
    apdus: usize,
}

/// A card in its reader, until it is removed.
pub struct Slot {
    stream: TcpStream,
    plan: Arc<Mutex<Plan>>,
    service: JoinHandle<Box<dyn Card>>,
}

/// How a card's answer is made of the honest one, by the number of the APDU.
pub type Bend = Box<dyn FnMut(usize, Vec<u8>) -> Vec<u8> + Send>;

/// The answer to reset, by the number of the question in this insertion.
type Waking = Box<dyn FnMut(usize) -> Vec<u8> + Send>;

/// Longer than an ATR may be: to the service the card is mute.
pub const NO_ATR: [u8; 40] = [0x3B; 40];

impl Slot {
    /// Connects the card to the reader behind this port of vpcd.
    pub fn insert(port: &str, card: Box<dyn Card>) -> Self {
        Self::insert_bent(port, card, Box::new(|_, honest| honest))
    }

    /// Connects a card that is removed at this APDU, counted from the first.
    pub fn insert_lifted(port: &str, card: Box<dyn Card>, lift: Option<Lift>) -> Self {
        let plan = Plan { lift, apdus: 0 };
        Self::insert_planned(port, card, plan, Box::new(|_| ATR.to_vec()), Box::new(|_, honest| honest))
    }

    pub fn insert_bent(port: &str, card: Box<dyn Card>, bend: Bend) -> Self {
        Self::insert_as(port, card, &ATR, bend)
    }

    /// Connects a card with this ATR.
    pub fn insert_as(port: &str, card: Box<dyn Card>, atr: &[u8], bend: Bend) -> Self {
        let atr = atr.to_vec();
        Self::insert_waking(port, card, Box::new(move |_| atr.clone()), bend)
    }

    /// A card that stays mute at its first power-ups, this many times: no driver accepts an ATR of this length.
    pub fn insert_late(port: &str, card: Box<dyn Card>, mute: usize) -> Self {
        let atr = move |asked| if asked <= mute { NO_ATR.to_vec() } else { ATR.to_vec() };
        Self::insert_waking(port, card, Box::new(atr), Box::new(|_, honest| honest))
    }

    fn insert_waking(port: &str, card: Box<dyn Card>, atr: Waking, bend: Bend) -> Self {
        Self::insert_planned(port, card, Plan::default(), atr, bend)
    }

    fn insert_planned(port: &str, mut card: Box<dyn Card>, plan: Plan, mut atr: Waking, mut bend: Bend) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port.parse::<u16>().expect("a port"))).expect("a reader");
        stream.set_nodelay(true).expect("a socket");
        let mut reader = stream.try_clone().expect("a socket");
        let plan = Arc::new(Mutex::new(plan));
        let told = Arc::clone(&plan);
        let service = std::thread::spawn(move || {
            // It ends when the card is lifted, by either side.
            let _ = serve(&mut reader, &mut *card, &mut atr, &told, &mut bend);
            let _ = reader.shutdown(Shutdown::Both);
            card.reset();
            card
        });
        Self { stream, plan, service }
    }

    /// Counts APDUs from now on, from 1, and removes the card at this one.
    pub fn arm(&self, lift: Option<Lift>) {
        *self.plan.lock().expect("a plan") = Plan { lift, apdus: 0 };
    }

    /// How many APDUs came since [`Self::arm`].
    pub fn apdus(&self) -> usize {
        self.plan.lock().expect("a plan").apdus
    }

    /// Whether the card has been removed as planned.
    pub fn is_lifted(&self) -> bool {
        self.service.is_finished()
    }

    /// Waits until the card has been removed as planned, and returns it.
    pub fn lifted(self) -> Box<dyn Card> {
        self.service.join().expect("the card's thread")
    }

    /// Removes the card, unless already removed, and returns it.
    pub fn remove(self) -> Box<dyn Card> {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.service.join().expect("the card's thread")
    }
}

fn serve(
    stream: &mut TcpStream,
    card: &mut dyn Card,
    atr: &mut Waking,
    plan: &Mutex<Plan>,
    bend: &mut Bend,
) -> io::Result<()> {
    let mut asked = 0;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut frame = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut frame)?;
        let answer = match frame[..] {
            [4] => {
                asked += 1;
                atr(asked)
            }
            [_] => {
                card.reset();
                continue;
            }
            _ => {
                let (number, now) = {
                    let mut plan = plan.lock().expect("a plan");
                    plan.apdus += 1;
                    (plan.apdus, plan.lift.filter(|lift| lift.at == plan.apdus))
                };
                if now.is_some_and(|lift| !lift.carried_out) {
                    return Ok(());
                }
                let honest = card.process(&frame);
                if now.is_some() {
                    return Ok(());
                }
                bend(number, honest)
            }
        };
        let length = u16::try_from(answer.len()).expect("a frame").to_be_bytes();
        stream.write_all(&[&length[..], &answer].concat())?;
    }
}
