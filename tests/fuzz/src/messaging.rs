//! Secure messaging: only what the other side sealed can be opened.

use rollcall::{
    card::{
        apdu::{ApduFormat, Command, Received, Response},
        status::Status,
    },
    channel::messaging::{Messaging, SessionKeys},
    crypto::Key128,
};

use crate::input::Input;

fn side() -> Messaging {
    let key = |byte| Key128::new([byte; 16]);
    Messaging::new(SessionKeys { enc: key(1), mac: key(2), rmac: key(3), dek: key(4) }, [5; 16])
}

/// Exchanges in both directions, each sound, bent, or made up.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (mut terminal, mut card) = (side(), side());
    while let Some(choice) = input.more() {
        let format = if choice & 1 == 0 { ApduFormat::Short } else { ApduFormat::Extended };
        let header = [input.byte() & !0x10, input.byte(), input.byte(), input.byte()];
        let payload = input.run();
        let command = Command::new(header[0], header[1], header[2], header[3]).data(payload);
        let wrapped = terminal.wrap(&command, format).expect("wrapped");
        if choice & 6 == 6 {
            return forged_command(&mut card, &wrapped, format, input);
        }
        let opened = open(&mut card, wrapped.header(), wrapped.payload(), format);
        assert_eq!(opened.as_deref(), Some(payload));

        let answer = input.run();
        let sealed = card.seal(answer, Status::OK).expect("sealed");
        if choice & 6 == 4 {
            return forged_answer(&mut terminal, &sealed, input);
        }
        let response = terminal.unwrap(&Response { data: sealed, status: Status::OK }).expect("unwrapped");
        assert_eq!(response, Response { data: answer.to_vec(), status: Status::OK });
    }
}

fn open(card: &mut Messaging, header: [u8; 4], data: &[u8], format: ApduFormat) -> Option<Vec<u8>> {
    let command = Command::new(header[0], header[1], header[2], header[3]).data(data);
    let length = u16::try_from(data.len()).expect("short").to_be_bytes();
    let lc =
        if format == ApduFormat::Short && length[0] == 0 { vec![length[1]] } else { vec![0, length[0], length[1]] };
    assert!(command.encode(format).iter().all(|apdu| Received::parse(apdu).is_some()));
    card.open(header, &lc, data).expect("no failure of the library").map(|opened| opened.to_vec())
}

/// Another header, other data or another length: refused, unless the bytes came out the same.
fn forged_command(card: &mut Messaging, wrapped: &Command, format: ApduFormat, mut input: Input<'_>) {
    let header: [u8; 4] = std::array::from_fn(|i| wrapped.header()[i] ^ input.byte());
    let data = forge(wrapped.payload(), &mut input);
    let same = header == wrapped.header() && data == wrapped.payload();
    assert_eq!(open(card, header, &data, format).is_some(), same);
}

fn forged_answer(terminal: &mut Messaging, sealed: &[u8], mut input: Input<'_>) {
    let status = Status(u16::from_be_bytes([input.byte(), input.byte()]));
    let data = forge(sealed, &mut input);
    let same = status == Status::OK && data == sealed;
    match terminal.unwrap(&Response { data, status }) {
        // An error status is passed on unchanged, without data.
        Ok(response) if !status.carries_mac() => assert_eq!(response, Response::status(status)),
        result => assert_eq!(result.is_ok(), same),
    }
}

/// Bytes changed at places of the fuzzer's choice, the end cut or lengthened; or bytes of its own.
fn forge(sound: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let mut data = sound.to_vec();
    match input.byte() % 4 {
        0 => return input.0.to_vec(),
        1 => data.truncate(input.byte().into()),
        2 => data.extend_from_slice(input.run()),
        _ => {}
    }
    while let (Some(place), Some(change)) = (input.more(), input.more()) {
        if let Some(byte) = data.get_mut(usize::from(place)) {
            *byte ^= change;
        }
    }
    data
}
