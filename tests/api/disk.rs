//! The disk of a SQLite store is full.

use std::{fs, process::Command};

use rollcall::server_client::{ServerClient, ServerError};

use super::{Kind, Site, small_disk::SmallDisk, token::user};

/// Puts users until one is rejected; returns those accepted, and why the last one was not.
fn put_until_refused(admin: &ServerClient, round: usize) -> (Vec<String>, String) {
    let mut kept = Vec::new();
    for n in 0..1000 {
        let id = format!("{round}-{n}");
        match admin.put_user(&user(&id)) {
            Ok(_) => kept.push(id),
            Err(ServerError::Busy(why, _)) => return (kept, why),
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("there is always room");
}

case!(Sqlite, a_server_whose_disk_is_full_says_so_and_goes_on);
/// No change is taken that is lost, what is there can be read, and changes are taken again as soon as there is room.
fn a_server_whose_disk_is_full_says_so_and_goes_on(kind: &Kind) {
    let mut site = Site::new(kind);
    let folder = site.home.path().join("small");
    let disk = SmallDisk::mount(&folder);
    site.store = format!("sqlite://{}/server.db", folder.display());
    assert!(site.rollcall(&["server", "init"]).status.success());
    let server = site.start_limited();
    let admin = site.admin.client(server.port);
    admin.put_user(&user("before")).unwrap();
    let may_grow = |limit: String| {
        let status = Command::new("prlimit").args(["--pid", &server.id().to_string(), &limit]).status();
        assert!(status.unwrap().success(), "{limit}");
    };
    for round in 1..=3 {
        let filler = disk.as_ref().map(SmallDisk::fill);
        if filler.is_none() {
            // Without the right to mount, forbid files to grow instead.
            let log = fs::metadata(folder.join("server.db-wal")).unwrap().len();
            may_grow(format!("--fsize={log}:unlimited"));
        }
        let cause = if filler.is_some() { "its disk is full" } else { "its disk fails" };
        let (kept, why) = put_until_refused(&admin, round);
        assert!(why.contains(cause), "{why}");
        // A change as small as that of the readiness still fits.
        let health = admin.health();
        if filler.is_some() {
            assert!(matches!(&health, Err(ServerError::Busy(why, _)) if why.contains(cause)), "{round}: {health:?}");
        }
        for id in kept.iter().map(String::as_str).chain(["before"]) {
            assert_eq!(admin.user(id).unwrap(), user(id));
        }
        // A small change of the server's own may fit in between, and then it is back for that moment.
        server.await_told("the store is unavailable: its disk", round);
        match filler {
            Some(file) => file.set_len(0).unwrap(),
            None => may_grow("--fsize=unlimited".to_owned()),
        }
        admin.put_user(&user(&format!("after {round}"))).unwrap();
        admin.health().unwrap();
        server.await_told("the store is back", server.told("the store is unavailable"));
    }
    assert_eq!(site.verify(&[])["whole"], true);
}
