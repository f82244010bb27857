//! The software token for programs in other languages: each line of hexadecimal digits is an APDU, and is answered by a
//! line. `save` saves the current state, and `restore` loads it into a token that was just powered on.

use std::io::{BufRead, Write};

use rollcall::{
    channel::scp03::StaticKeys,
    crypto::{Key128, random::SystemRandom},
    emulator::{PersistentState, SoftwareToken, VolatileStore},
};

/// Serves a blank token with these start keys (three of 32 digits each) until standard input ends.
pub fn serve(keys: &str) {
    let keys = hex::decode(keys).expect("hexadecimal keys");
    let key = |n: usize| Key128::new(keys[16 * n..16 * (n + 1)].try_into().expect("16 bytes"));
    let keys = StaticKeys { enc: key(0), mac: key(1), dek: key(2) };
    let token = |state| SoftwareToken::new(state, Box::new(VolatileStore), Box::new(SystemRandom));
    let mut now = token(PersistentState::blank(&keys, &mut SystemRandom).expect("a blank state"));
    let mut saved = now.state().to_file().expect("a state");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let answer = match line.as_str() {
            "save" => {
                saved = now.state().to_file().expect("a state");
                String::new()
            }
            "restore" => {
                now = token(PersistentState::from_file(&saved).expect("a state of ours"));
                String::new()
            }
            apdu => hex::encode(now.process(&hex::decode(apdu).expect("hexadecimal digits"))),
        };
        println!("{answer}");
        std::io::stdout().flush().expect("somebody listens");
    }
}
