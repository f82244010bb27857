//! Pictures that come onto the cards of a batch.

use std::fs;

use crate::{
    batch::{Desk, SILENCE, arguments},
    slot::Lift,
};

/// It begins like a JPEG; what it looks like does not matter here, that all of it arrives does.
fn picture(length: usize) -> Vec<u8> {
    let rest = (4..length.max(4)).map(|at| u8::try_from(at % 251).unwrap());
    b"\xFF\xD8\xFF\xD9".iter().copied().chain(rest).take(length).collect()
}

case!(EachDriver, pictures_of_a_batch);
fn pictures_of_a_batch(kind: &str) {
    let stack = crate::stack::Stack::start(2, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    let folder = stack.home();
    fs::create_dir(folder.join("faces")).unwrap();
    for (name, length) in [("u1.jpg", 8192), ("u2.jpg", 4), ("long.jpg", 8193), ("none.jpg", 0)] {
        fs::write(folder.join("faces").join(name), picture(length)).unwrap();
    }
    let file = folder.join("people.csv");
    let write = |faces: [&str; 3]| {
        let rows: Vec<_> =
            (1..).zip(faces).map(|(n, face)| format!("u{n},\"Müller, 山田 {n}\",{face},B{n}\n")).collect();
        fs::write(&file, format!("id,name,portrait,room\n{}", rows.concat())).unwrap();
    };
    write(["faces/long.jpg", "faces/none.jpg", "faces/missing.jpg"]);
    let bad = stack.rollcall(&arguments(&file)).expect(65);
    assert_eq!(bad.code(), "csv.bad-rows");
    for line in ["line 2, column portrait", "line 3, column portrait", "line 4, column portrait"] {
        assert!(bad.stderr.contains(line), "{bad:?}");
    }

    write(["faces/u1.jpg", "faces/u2.jpg", ""]);
    let mut desk = Desk::new(&stack, kind, 3);
    desk.fill();
    // In the middle of the picture, which has 37 parts. Either card may be the one that gets it; no other takes so long.
    for at in [0, 1] {
        desk.slot(at).arm(Some(Lift { at: 45, carried_out: false }));
    }
    let mut batch = stack.stream(&[&arguments(&file)[..], &["--max-failures", "1000"]].concat());
    let (mut done, mut lifted) = (0, 0);
    while done < 3 {
        let told = batch.next(SILENCE).expect("an object");
        let at = desk.at(&told);
        match told["error"]["code"].as_str() {
            None => {
                done += 1;
                desk.change(at);
            }
            Some("card.left") => {
                lifted += 1;
                desk.put_back();
            }
            Some(other) => panic!("{other}: {told}"),
        }
    }
    assert!(batch.ended(SILENCE).success());
    assert_eq!(lifted, 1);
    for (user, length) in [("u1", 8192), ("u2", 4), ("u3", 0)] {
        desk.show(user);
        let to = folder.join(format!("{user}.read"));
        let args = ["token", "verify", "--reader", desk.first(), "--portrait", to.to_str().unwrap()];
        let told = stack.ndjson(0, &args);
        assert_eq!((&told[0]["user"]["id"], &told[0]["user"]["fields"]["portrait"]), (&user.into(), &().into()));
        assert_eq!(to.exists(), length > 0);
        if length > 0 {
            assert_eq!(fs::read(&to).unwrap(), picture(length));
            assert_eq!(stack.rollcall(&args).expect(2).code(), "file.exists");
        }
        desk.hide();
    }
}
