//! Rollcall: a terminal for NFC/PC-SC smart cards that knows, with proof, who is here.
//!
//! # The map
//!
//! From the top down; a module imports only modules further down, and a test checks that.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cli`] | the command line: arguments, one file per command, the only part that prints |
//! | [`doctor`] | diagnosis of terminal, readers and cards: probes that run in parallel |
//! | [`server`] | the background server: routes, access control, the store and its audit log |
//! | [`config`] | flags over environment over `config.toml`, resolved once |
//! | `board` | the page of who is here, for browsers: its content, access control, and files |
//! | [`terminal`] | the terminal: taps, admission, current user list, lookups, renewal, enrollment, administration |
//! | [`server_client`] | the terminal's client of the server: one method per route, and verification of what it signs |
//! | [`emulator`] | the same token in software, in a reader of the driver vpcd |
//! | [`pki`] | the CA of a terminal: its files, what it certifies, and for how long |
//! | [`token`] | the interface to our applet: identifiers, commands, user record, and the one way into a channel |
//! | [`reader`] | readers and the connection to a card; `reader::pcsc` alone imports the crate `pcsc` |
//! | [`channel`] | SCP11a, SCP03 and secure messaging as state machines without input or output |
//! | [`proof`] | the presence proof: template, message, verification |
//! | [`card`] | any ISO 7816-4 card over any [`card::link::Link`]: commands, status words, TLV, chaining, traces |
//! | [`crypto`] | the primitives, over OpenSSL |
//! | [`api`] | types that are exchanged: between terminal and server, and between our layers |
//! | [`files`], [`failure`], [`rates`], [`proxies`] | state files; failures as shown to users; rate limits; proxy headers |
//!
//! # The path of one tap
//!
//! [`reader::monitor`] reports a card → [`terminal::reader_pool`] orders the [`terminal::tap::worker`] of that reader
//! to tap → [`terminal::tap::tap_terminal`] connects and begins a transaction → [`token::open`] runs SELECT, the
//! handshake of [`channel::scp11`] and INTERNAL AUTHENTICATE, and checks the [`proof`] → the transaction ends →
//! [`terminal::admission`] decides from what the store and the server know → [`terminal::presence`] changes the list →
//! the printer shows the events.
//!
//! # Invariants
//!
//! - A token counts as authenticated only when both the handshake and the signature of its identity key are valid.
//! - Nothing from a card is used unless it came under a verified R-MAC, is signed, or merely names what is then proved.
//! - There is no network and no prompt between the first and the last exchange of a tap, and nothing waits for a disk
//!   write.
//! - The list equals a replay of the events, whenever the process is killed.
//! - Secrets are held in types that erase themselves and cannot be printed.

pub mod api;
#[cfg(feature = "board")]
pub mod board;
pub mod card;
pub mod channel;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod doctor;
pub mod emulator;
pub mod failure;
pub mod files;
pub mod pki;
pub mod proof;
pub mod proxies;
#[cfg(any(feature = "board", feature = "server"))]
pub mod rates;
pub mod reader;
#[cfg(feature = "server")]
pub mod server;
pub mod server_client;
pub mod terminal;
pub mod token;
