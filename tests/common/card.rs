//! The two tokens under test: the applet in the JavaCard simulator, and the token in software. Both take APDUs only.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use rollcall::{
    channel::scp03::StaticKeys,
    crypto::{Key128, random::SystemRandom},
    emulator::{PersistentState, SoftwareToken, VolatileStore},
};

/// A start key, used for all three keys.
pub type StartKey = [u8; 16];

/// A card: an APDU in, an APDU out.
pub trait Card: Send {
    fn process(&mut self, apdu: &[u8]) -> Vec<u8>;
    fn reset(&mut self);
}

impl Card for SoftwareToken {
    fn process(&mut self, apdu: &[u8]) -> Vec<u8> {
        SoftwareToken::process(self, apdu)
    }

    fn reset(&mut self) {
        SoftwareToken::reset(self);
    }
}

/// A blank card of this kind: `applet` or `virtual`.
pub fn blank(kind: &str, start: StartKey) -> Box<dyn Card> {
    if kind == "applet" {
        return Box::new(Simulated::blank(start));
    }
    let keys = StaticKeys::all(&Key128::new(start));
    let state = PersistentState::blank(&keys, &mut SystemRandom).expect("a blank state");
    Box::new(SoftwareToken::new(state, Box::new(VolatileStore), Box::new(SystemRandom)))
}

/// The applet in a simulator's process, spoken to as the reader driver vpcd does.
struct Bridge {
    process: Child,
    listener: TcpListener,
    control: BufReader<UnixStream>,
    stream: TcpStream,
    _folder: tempfile::TempDir,
}

impl Bridge {
    fn start(start: StartKey) -> Self {
        let command = std::env::var("ROLLCALL_BRIDGE").expect(
            "ROLLCALL_BRIDGE names the simulator; scripts/test sets it, ROLLCALL_TEST_CARDS=virtual does without",
        );
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (keys, control) = (folder.path().join("keys"), folder.path().join("control"));
        std::fs::write(&keys, hex::encode(start)).unwrap();
        let line = format!(
            // It ends when its input closes, however this process ends.
            "{command} --connect {} --control {} --start-keys-file {} & read -r _; kill -KILL $!",
            listener.local_addr().unwrap(),
            control.display(),
            keys.display()
        );
        // The simulator writes about itself to standard output.
        let mut shell = Command::new("sh");
        let process = shell.args(["-c", &line]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let stream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        // The control socket is bound before the simulator connects.
        let control = BufReader::new(UnixStream::connect(&control).unwrap());
        Self { process, listener, control, stream, _folder: folder }
    }

    /// A blank card in place of the last one.
    fn renew(&mut self) {
        let listener = &self.listener;
        let control = &mut self.control;
        self.stream = std::thread::scope(|scope| {
            let next = scope.spawn(|| listener.accept().unwrap().0);
            control.get_mut().write_all(b"new\n").unwrap();
            let mut line = String::new();
            control.read_line(&mut line).unwrap();
            assert_eq!(line, "ok\n");
            next.join().unwrap()
        });
        self.stream.set_nodelay(true).unwrap();
    }

    fn exchange(&mut self, message: &[u8]) -> Vec<u8> {
        self.tell(message);
        let mut length = [0; 2];
        self.stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        self.stream.read_exact(&mut answer).unwrap();
        answer
    }

    fn tell(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        self.stream.write_all(&[&length[..], message].concat()).unwrap();
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Simulators that no test uses at the moment: starting one takes longer than most tests.
static IDLE: Mutex<Vec<(StartKey, Bridge)>> = Mutex::new(Vec::new());

/// Ends all simulators: statics are never dropped.
pub fn end() {
    IDLE.lock().map(|mut idle| idle.clear()).unwrap_or_default();
}

/// Holds a simulator until dropped.
struct Simulated(Option<(StartKey, Bridge)>);

impl Simulated {
    fn blank(start: StartKey) -> Self {
        let idle = {
            let mut idle = IDLE.lock().unwrap();
            idle.iter().position(|(key, _)| *key == start).map(|at| idle.swap_remove(at).1)
        };
        let bridge = idle.map_or_else(
            || Bridge::start(start),
            |mut bridge| {
                bridge.renew();
                bridge
            },
        );
        Self(Some((start, bridge)))
    }
}

impl Card for Simulated {
    fn process(&mut self, apdu: &[u8]) -> Vec<u8> {
        // One byte is a control byte to vpcd; a reader never sends such an APDU.
        if apdu.len() < 2 {
            return vec![0x67, 0];
        }
        self.0.as_mut().unwrap().1.exchange(apdu)
    }

    fn reset(&mut self) {
        self.0.as_mut().unwrap().1.tell(&[2]);
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        // After a test that failed during an exchange the simulator is not reused.
        if let (Some(bridge), false) = (self.0.take(), std::thread::panicking()) {
            IDLE.lock().unwrap().push(bridge);
        }
    }
}
