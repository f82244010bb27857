use std::{net::TcpListener, sync::mpsc, thread};

use super::*;
use crate::{
    channel::scp03::StaticKeys,
    crypto::random::SystemRandom,
    emulator::{PersistentState, VolatileStore},
};

fn token() -> SoftwareToken {
    let state = PersistentState::blank(&StaticKeys::test(), &mut SystemRandom).unwrap();
    SoftwareToken::new(state, Box::new(VolatileStore), Box::new(SystemRandom))
}

fn seat(address: &str, patience: Duration) -> CardSetup<'_> {
    CardSetup { address, patience, card_timing: CardTiming::Own, platform: None }
}

/// A reader driver: listens, and exchanges frames with the card that connects.
struct Driver(TcpListener);

impl Driver {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    fn card(&self) -> TcpStream {
        self.0.accept().unwrap().0
    }
}

fn send(card: &mut TcpStream, frame: &[u8]) {
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    // In two writes, as vpcd 0.8 does.
    card.write_all(&length).unwrap();
    card.write_all(frame).unwrap();
}

fn receive(card: &mut TcpStream) -> String {
    let mut length = [0; 2];
    card.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u16::from_be_bytes(length).into()];
    card.read_exact(&mut frame).unwrap();
    hex::encode_upper(frame)
}

fn ask(card: &mut TcpStream, frame: &str) -> String {
    send(card, &hex::decode(frame).unwrap());
    receive(card)
}

const SELECT: &str = "00A404000AF0524F4C4C43414C4C01";

#[test]
fn frames_controls_and_the_way_out() {
    let driver = Driver::new();
    let address = driver.address();
    let stop = StopHandle::default();
    let stopper = stop.clone();
    let (events, heard) = mpsc::channel();
    let runner = thread::spawn(move || {
        run(&mut token(), seat(&address, PATIENCE), &stop, &mut |event| events.send(format!("{event:?}")).unwrap())
    });
    let mut card = driver.card();
    assert_eq!(ask(&mut card, "04"), hex::encode_upper(ATR));
    send(&mut card, &[POWER_ON]);
    assert_eq!(ask(&mut card, "00CAFF3300"), "6D00");
    assert!(ask(&mut card, SELECT).ends_with("9000"));
    assert_eq!(ask(&mut card, "04"), hex::encode_upper(ATR));
    assert_eq!(ask(&mut card, "00CAFF3300"), "6A88");
    // Malformed APDUs are answered; an unknown control byte is not.
    assert_eq!(ask(&mut card, "00CAFF"), "6700");
    assert_eq!(ask(&mut card, ""), "6700");
    send(&mut card, &[9]);
    send(&mut card, &[RESET]);
    assert_eq!(ask(&mut card, "00CAFF3300"), "6D00");
    // The reader goes away and comes back: the same card reconnects, and has lost its session.
    assert!(ask(&mut card, SELECT).ends_with("9000"));
    drop(card);
    let mut card = driver.card();
    assert_eq!(ask(&mut card, "00CAFF3300"), "6D00");
    stopper.stop();
    runner.join().unwrap().unwrap();
    assert_eq!(
        heard.into_iter().collect::<Vec<_>>(),
        ["Inserted", "Removed { busy: 0ns }", "Inserted", "Removed { busy: 0ns }"]
    );
}

/// Computing time is added up; a token that is being stopped does not wait.
#[test]
fn the_time_of_every_command_is_added_up() {
    let (mut token, stop, card_timing) = (token(), StopHandle::default(), CardTiming::J3r180);
    stop.stop();
    let mut timed = Timed { card_timing, stop: &stop, platform: None, busy: Duration::ZERO };
    let apdu = hex::decode("802A0010020102").unwrap();
    for times in 1..=2 {
        timed.process(&mut token, &apdu);
        assert_eq!(timed.busy, card_timing.of(&apdu) * times);
    }
    assert!(!timed.busy.is_zero());
}

#[test]
fn the_atr_is_well_formed() {
    assert_eq!(ATR[1..].iter().fold(0, |sum, byte| sum ^ byte), 0);
    assert_eq!(ATR[1] & 0x0F, 5, "historical bytes");
}

#[test]
fn nobody_listening_is_an_error_after_the_patience() {
    let address = Driver::new().address();
    let error = run(&mut token(), seat(&address, Duration::ZERO), &StopHandle::default(), &mut |_| ()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("no reader listens at {address}")));
    let stop = StopHandle::default();
    stop.stop();
    run(&mut token(), seat(&address, Duration::ZERO), &stop, &mut |_| ()).unwrap();
}
