//! The main loop of every long-running command: everything that can wake it arrives in one inbox, and a [`Handler`]
//! processes one message after the other, on one thread.
//!
//! Deliberately absent: signals. Whoever catches them calls a [`Stopper`].

use std::{
    convert::Infallible,
    ops::ControlFlow,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use crate::{
    failure::Failure,
    reader::{
        Insertion,
        monitor::{Monitor, ReaderEvent},
    },
    terminal::{
        context::RenewedCertificates,
        hooks::HookReport,
        lookups::{LookupOutcome, ServerEvent},
        presence::store::{Waiter, Wakeup},
        tap::worker::ReaderReport,
        thread::no_thread,
    },
};

/// Everything that can wake a long-running command; `W` is the type of messages from its own worker threads.
#[derive(Debug)]
pub enum Message<W = Infallible> {
    /// A change at the readers.
    Reader(ReaderEvent),
    /// A tap has ended, or a token that stays in the field has answered.
    Tap(ReaderReport),
    /// The server's answer about a token that was tapped.
    LookupOutcome {
        /// The result of the tap.
        report: ReaderReport,
        /// The server's answer.
        answered: Box<LookupOutcome>,
    },
    /// A change in the state of the server connection.
    Server(ServerEvent),
    /// The renewal of this terminal's certificates succeeded or failed.
    Renewed(Box<Result<RenewedCertificates, Failure>>),
    /// Another process has left something in the store.
    Woken(Waiter),
    /// A report about the command that receives the events.
    Hook(HookReport),
    /// A message from one of the command's own worker threads.
    Work(W),
    /// A reader has finished showing the signal of a tap: the portrait may be read now.
    Signalled {
        /// The reader.
        reader: String,
        /// The insertion of the card.
        insertion: Insertion,
    },
    /// A request to stop.
    Stop,
}

/// How long the loop waits for the next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Indefinitely.
    Forever,
    /// At most this long; then [`Handler::idle`] is called.
    AtMost(Duration),
    /// Not at all: the loop ends.
    End,
}

/// How a command handles its messages.
pub trait Handler<W = Infallible> {
    /// Called before each message: how long to wait for it.
    ///
    /// # Errors
    /// Ends the loop.
    fn wait(&mut self) -> Result<Wait, Failure>;

    /// Handles a message. `Break` ends the loop.
    ///
    /// # Errors
    /// Ends the loop.
    fn message(&mut self, message: Message<W>) -> Result<ControlFlow<()>, Failure>;

    /// Called when nothing came for as long as [`Handler::wait`] said. `Break` ends the loop.
    ///
    /// # Errors
    /// Ends the loop.
    fn idle(&mut self) -> Result<ControlFlow<()>, Failure>;
}

/// Sends messages to the loop from any thread. A clone sends to the same loop.
#[derive(Debug)]
pub struct Mailbox<W = Infallible>(Sender<Message<W>>);

impl<W> Clone for Mailbox<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W> Mailbox<W> {
    /// Sends; returns `false` when the loop has ended, and the message is dropped.
    pub fn send(&self, message: Message<W>) -> bool {
        self.0.send(message).is_ok()
    }

    /// Wraps each value in a message, for callers that need a plain closure.
    pub fn forward<T>(&self, wrap: fn(T) -> Message<W>) -> impl Fn(T) + Send + Sync + use<T, W>
    where
        W: Send,
    {
        let mailbox = self.clone();
        // If the loop has ended, nobody needs the message.
        move |value| drop(mailbox.0.send(wrap(value)))
    }
}

/// Ends a loop in an orderly way, from another thread.
#[derive(Debug)]
pub struct Stopper<W = Infallible>(Mailbox<W>);

impl<W> Stopper<W> {
    /// Sends [`Message::Stop`] to the handler.
    pub fn stop(self) {
        self.0.send(Message::Stop);
    }
}

/// The inbox and its sources.
#[derive(Debug)]
pub struct EventLoop<W = Infallible> {
    mailbox: Mailbox<W>,
    inbox: Receiver<Message<W>>,
    monitor: Option<Monitor>,
}

impl<W> Default for EventLoop<W> {
    fn default() -> Self {
        let (sender, inbox) = mpsc::channel();
        Self { mailbox: Mailbox(sender), inbox, monitor: None }
    }
}

impl<W: Send + 'static> EventLoop<W> {
    /// A loop without sources yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The mailbox that sends to this loop.
    pub fn mailbox(&self) -> Mailbox<W> {
        self.mailbox.clone()
    }

    /// The stopper of this loop.
    pub fn stopper(&self) -> Stopper<W> {
        Stopper(self.mailbox())
    }

    /// Starts delivering reader events, beginning with the readers and cards already present.
    ///
    /// # Errors
    /// `system.no-thread` when a thread cannot be started.
    pub fn watch_readers(&mut self) -> Result<(), Failure> {
        let mailbox = self.mailbox();
        let monitor = Monitor::start(move |event| mailbox.send(Message::Reader(event))).map_err(no_thread)?;
        self.monitor = Some(monitor);
        Ok(())
    }

    /// Starts delivering wake-ups by other processes that use the store.
    ///
    /// # Errors
    /// `system.no-thread` when a thread cannot be started.
    pub fn watch_store(&self, wakeup: Wakeup) -> Result<(), Failure> {
        let mailbox = self.mailbox();
        let wait = move || {
            while let Ok(waiter) = wakeup.wait() {
                if !mailbox.send(Message::Woken(waiter)) {
                    return;
                }
            }
        };
        thread::Builder::new().name("wakeup".to_owned()).spawn(wait).map_err(no_thread).map(drop)
    }

    /// Passes messages to `handler` until it ends the loop. The readers are no longer watched afterwards.
    ///
    /// # Errors
    /// The error of the handler.
    pub fn run(&mut self, handler: &mut dyn Handler<W>) -> Result<(), Failure> {
        while self.turn(handler)?.is_continue() {}
        self.monitor = None;
        Ok(())
    }

    /// Messages that arrived and were not handled.
    pub fn pending(&self) -> impl Iterator<Item = Message<W>> + '_ {
        self.inbox.try_iter()
    }

    fn turn(&self, handler: &mut dyn Handler<W>) -> Result<ControlFlow<()>, Failure> {
        let received = match handler.wait()? {
            Wait::End => return Ok(ControlFlow::Break(())),
            Wait::Forever => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Wait::AtMost(limit) => self.inbox.recv_timeout(limit),
        };
        match received {
            Ok(message) => handler.message(message),
            Err(RecvTimeoutError::Timeout) => handler.idle(),
            // invariant: the loop holds a mailbox itself, so this does not happen.
            Err(RecvTimeoutError::Disconnected) => Ok(ControlFlow::Break(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records what it is given, and ends as configured.
    #[derive(Default)]
    struct Recorder {
        waits: Vec<Wait>,
        seen: Vec<String>,
    }

    impl Handler<u8> for Recorder {
        fn wait(&mut self) -> Result<Wait, Failure> {
            Ok(self.waits.pop().unwrap_or(Wait::Forever))
        }

        fn message(&mut self, message: Message<u8>) -> Result<ControlFlow<()>, Failure> {
            self.seen.push(format!("{message:?}"));
            Ok(if matches!(message, Message::Stop) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        }

        fn idle(&mut self) -> Result<ControlFlow<()>, Failure> {
            self.seen.push("idle".to_owned());
            Ok(ControlFlow::Continue(()))
        }
    }

    #[test]
    fn messages_come_in_order_and_a_stop_is_the_handlers_to_take() {
        let mut events = EventLoop::<u8>::new();
        let mailbox = events.mailbox();
        let stopper = events.stopper();
        thread::spawn(move || {
            assert!(mailbox.send(Message::Work(1)) && mailbox.send(Message::Work(2)));
            stopper.stop();
            assert!(mailbox.send(Message::Work(3)));
        })
        .join()
        .unwrap();
        let mut handler = Recorder::default();
        events.run(&mut handler).unwrap();
        assert_eq!(handler.seen, ["Work(1)", "Work(2)", "Stop"]);
        assert!(matches!(events.pending().collect::<Vec<_>>().as_slice(), [Message::Work(3)]));
    }

    #[test]
    fn nothing_came_is_told_and_the_handler_may_end_without_a_message() {
        let mut events = EventLoop::<u8>::new();
        let mut handler = Recorder { waits: vec![Wait::End, Wait::AtMost(Duration::ZERO)], seen: Vec::new() };
        events.run(&mut handler).unwrap();
        assert_eq!(handler.seen, ["idle"]);
    }

    #[test]
    fn a_loop_that_is_gone_takes_nothing() {
        let mailbox = EventLoop::<u8>::new().mailbox();
        assert!(!mailbox.send(Message::Work(1)));
    }
}
