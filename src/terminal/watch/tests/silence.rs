//! Cards, readers and a service that do not answer, and the entries on the list in the meantime.

use super::*;

/// Whatever error the link reports, the card is tried again, and nobody leaves the list; it is reported once.
#[test]
fn a_hiccup_throws_nobody_off() {
    let errors = [LinkError::CardMute, LinkError::TimedOut, LinkError::CardReset, LinkError::SharingViolation];
    let others = [LinkError::Other("x".into()), LinkError::CardRemoved, LinkError::Service(ReaderError::ServiceHangs)];
    for error in errors.into_iter().chain(others) {
        watch(Some(HEARTBEAT), |run, told| {
            tap(run, 1, Ok(1));
            assert_eq!(told.take(), ["arrived 7"]);
            tap(run, 1, Err(error.clone()));
            let failed = told.take();
            assert!(matches!(&failed[..], [one] if one.starts_with("failed ")), "{error:?}: {failed:?}");
            told.add("begun".into());
            for _ in 0..3 {
                assert!(at_most(run) < SECOND);
                assert_eq!(run.ask_again(Instant::now() + SECOND), None, "it is being asked");
                assert_eq!(told.take().pop().unwrap(), "Inserted(Insertion(1))");
                tap(run, 1, Err(error.clone()));
                told.add("begun".into());
            }
            tap(run, 1, Ok(2));
            assert_eq!(told.take(), ["begun"], "{error:?}");
            assert!(at_most(run) > SECOND);
            assert_eq!(run.store.entries().unwrap().len(), 1);
        });
    }
}

#[test]
fn a_card_that_never_answered_is_refused_once_and_asked_again() {
    watch(Some(HEARTBEAT), |run, told| {
        tap(run, 1, Err(LinkError::Service(ReaderError::ServiceHangs)));
        assert_eq!(told.take(), ["failed pcsc.service-hangs"], "of the card that says nothing");
        tap(run, 1, Err(LinkError::CardMute));
        tap(run, 1, Err(LinkError::CardMute));
        assert_eq!(told.take(), ["refused token.mute"]);
        assert!(run.unanswered.contains("door"));
        tap(run, 1, Ok(1));
        assert_eq!(told.take(), ["arrived 7"]);
        tap(run, 1, Err(LinkError::CardMute));
        run.handle(Message::Reader(ReaderEvent::CardRemoved { reader: "door".into() })).unwrap();
        assert_eq!(told.take(), ["failed token.mute", "Removed", "left 7 lifted"]);
        assert!(!run.unanswered.contains("door"), "what is not there is not asked");
    });
}

#[test]
fn a_reader_that_says_nothing_for_stale_after_leaves_its_people_unconfirmed_until_it_answers() {
    watch(Some(HEARTBEAT), |run, told| {
        tap(run, 1, Ok(1));
        pass(SECOND * 30);
        beat(run);
        pass(SECOND * 55);
        assert_eq!((at_most(run) <= SECOND * 5, told.take()), (true, vec!["arrived 7".to_owned()]));
        pass(SECOND * 5);
        assert!(at_most(run) <= SECOND, "the card is asked again by itself");
        assert_eq!(told.take(), ["unconfirmed 7 no_answer"]);
        assert_eq!(run.store.entries().unwrap().len(), 1);
        beat(run);
        assert_eq!(told.take(), ["confirmed 7"]);
        pass(SECOND * 60);
        at_most(run);
        tap(run, 1, Err(LinkError::TimedOut));
        tap(run, 1, Ok(2));
        assert_eq!(told.take(), ["unconfirmed 7 no_answer", "confirmed 7"]);
        pass(SECOND * 60);
        at_most(run);
        pass(SECOND * 60);
        assert_eq!(at_most(run), Duration::ZERO);
        assert_eq!(run.idle().unwrap(), ControlFlow::Continue(()));
        assert_eq!(told.take(), ["unconfirmed 7 no_answer", "left 7 stale"]);
        beat(run);
        assert_eq!(told.take(), ["arrived 7"]);
    });
}

/// The reader shows a card, and every exchange with it fails: the entry stays unconfirmed until the first answer.
#[test]
fn whoever_lies_where_every_exchange_fails_stays_in_doubt() {
    for error in [LinkError::Transmission("x".into()), LinkError::ProtocolRefused] {
        watch(Some(HEARTBEAT), |run, told| {
            tap(run, 1, Ok(1));
            pass(SECOND * 60);
            at_most(run);
            assert_eq!(told.take(), ["arrived 7", "unconfirmed 7 no_answer"]);
            for _ in 0..6 {
                tap(run, 1, Err(error.clone()));
                pass(SECOND * 31);
                at_most(run);
                assert_eq!(run.idle().unwrap(), ControlFlow::Continue(()));
            }
            tap(run, 1, Ok(2));
            assert_eq!(told.take().last().unwrap(), "confirmed 7", "{error:?}");
            // A card that does not answer at all counts as gone after a while, as does one that was removed.
            pass(SECOND * 60);
            at_most(run);
            tap(run, 1, Err(error.clone()));
            tap(run, 1, Err(LinkError::TimedOut));
            pass(SECOND * 61);
            assert_eq!(run.idle().unwrap(), ControlFlow::Continue(()));
            assert_eq!(told.take().last().unwrap(), "left 7 stale", "{error:?}");
        });
    }
}

/// This holds even if the service has been hanging since before this watch began, which then knows no readers.
#[test]
fn nobody_leaves_while_the_service_hangs_or_a_reader_does_not_work() {
    let away = |error| ReaderEvent::ServiceAway(error);
    let unavailable = ReaderEvent::Available { reader: "door".into(), available: false };
    let removed = ReaderEvent::ReaderRemoved { reader: "door".into() };
    for (begins, ends) in [
        (vec![ReaderEvent::ServiceLost, away(ReaderError::ServiceHangs)], away(ReaderError::ServiceDown)),
        (vec![ReaderEvent::ServiceLost, away(ReaderError::ServiceHangs)], ReaderEvent::ServiceBack),
        // The hang ended, as shown by a reader that is reported.
        (vec![away(ReaderError::ServiceHangs)], ReaderEvent::ReaderAdded { reader: "other".into() }),
        (vec![unavailable], removed),
    ] {
        watch(Some(HEARTBEAT), |run, told| {
            tap(run, 1, Ok(1));
            for event in begins.clone() {
                run.handle(Message::Reader(event)).unwrap();
            }
            for _ in 0..6 {
                pass(SECOND * 31);
                at_most(run);
                assert_eq!(run.idle().unwrap(), ControlFlow::Continue(()));
                assert_eq!(run.store.entries().unwrap().len(), 1, "{begins:?}");
            }
            run.handle(Message::Reader(ends.clone())).unwrap();
            pass(SECOND * 61);
            assert_eq!(run.idle().unwrap(), ControlFlow::Continue(()));
            assert_eq!(told.take().last().unwrap(), "left 7 stale", "{ends:?}");
        });
    }
}

/// Without heartbeats nobody is expected to answer; with rare ones two may be missed.
#[test]
fn nobody_is_doubted_sooner_than_asked() {
    watch(None, |run, told| {
        tap(run, 1, Ok(1));
        pass(SECOND * 1000);
        at_most(run);
        assert_eq!(told.take(), ["arrived 7"]);
    });
    watch(Some(SECOND * 100), |run, told| {
        tap(run, 1, Ok(1));
        pass(SECOND * 199);
        at_most(run);
        assert_eq!(told.take(), ["arrived 7"]);
        pass(SECOND);
        at_most(run);
        assert_eq!(told.take(), ["unconfirmed 7 no_answer"]);
    });
}

#[test]
fn a_reader_that_does_not_work_has_lifted_nobody() {
    let available = |available| Message::Reader(ReaderEvent::Available { reader: "door".into(), available });
    watch(Some(HEARTBEAT), |run, told| {
        tap(run, 1, Ok(1));
        run.handle(available(false)).unwrap();
        let doubted = ["Removed", "reader_unavailable reader.unavailable", "unconfirmed 7 reader_unavailable"];
        assert_eq!(told.take()[1..], doubted);
        tap(run, 1, Err(LinkError::TimedOut));
        assert_eq!(told.take(), ["failed token.mute"]);
        assert!(!run.unanswered.contains("door"), "nobody knows of a card there");
        run.handle(available(true)).unwrap();
        let card = ReaderEvent::CardInserted { reader: "door".into(), atr: vec![], insertion: 3.into() };
        run.handle(Message::Reader(card)).unwrap();
        tap(run, 3, Ok(2));
        assert_eq!(told.take(), ["reader_available", "Inserted(Insertion(3))", "confirmed 7"]);
        run.handle(Message::Reader(ReaderEvent::ReaderRemoved { reader: "door".into() })).unwrap();
        assert_eq!(told.take(), ["reader_removed", "unconfirmed 7 reader_removed"]);
    });
}

/// It was broken under an earlier watch or service, and only the card that it shows indicates that it works.
#[test]
fn whoever_lay_at_a_reader_that_works_again_leaves_also_where_nothing_answers() {
    let mute = ReaderEvent::CardMute { reader: "door".into(), insertion: 3.into() };
    let inserted = ReaderEvent::CardInserted { reader: "door".into(), atr: vec![], insertion: 3.into() };
    for card in [mute, inserted] {
        watch(Some(HEARTBEAT), |run, told| {
            tap(run, 1, Ok(1));
            run.handle(Message::Reader(ReaderEvent::Available { reader: "door".into(), available: false })).unwrap();
            for event in [ReaderEvent::ServiceLost, ReaderEvent::ServiceBack] {
                run.handle(Message::Reader(event)).unwrap();
            }
            run.handle(Message::Reader(ReaderEvent::ReaderAdded { reader: "door".into() })).unwrap();
            told.take();
            run.handle(Message::Reader(card.clone())).unwrap();
            assert!(told.take().contains(&"reader_available".to_owned()), "{card:?}");
            tap(run, 3, Err(LinkError::CardMute));
            pass(SECOND * 61);
            at_most(run);
            assert_eq!(run.idle().unwrap(), ControlFlow::Continue(()));
            assert_eq!(told.take().last().unwrap(), "left 7 stale", "{card:?}");
        });
    }
}

/// It is plugged in, and an earlier watch reported it: this watch reports nothing about it until it is gone.
#[test]
fn a_reader_that_is_left_out_has_not_been_unplugged() {
    watch(None, |run, told| {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        run.handle(Message::Reader(ReaderEvent::ReaderAdded { reader: "other".into() })).unwrap();
        let left_out = ["other".to_owned(), "third".to_owned()];
        run.config.pool.readers = Selection::default().without(&left_out, &Aliases::new());
        told.take();
        run.plugged_in(names(&["door", "other", "third"])).unwrap();
        assert_eq!(told.take(), Vec::<String>::new());
        let list = run.store.list().unwrap();
        assert!(list.slot("other").unwrap().attached && list.slot("third").is_none());
        run.plugged_in(names(&["door", "third"])).unwrap();
        assert_eq!(told.take(), ["reader_removed"]);
    });
}

/// Otherwise displays would show its fault until somebody removed it from `ignore`.
#[test]
fn a_reader_that_is_left_out_is_not_out_of_order_any_more() {
    watch(None, |run, told| {
        let names = || ["door", "other"].map(str::to_owned).into_iter().collect::<BTreeSet<_>>();
        for event in [
            ReaderEvent::ReaderAdded { reader: "other".into() },
            ReaderEvent::Available { reader: "other".into(), available: false },
        ] {
            run.handle(Message::Reader(event)).unwrap();
        }
        told.take();
        run.plugged_in(names()).unwrap();
        assert_eq!(told.take(), [""; 0], "one that is watched stays out of order");
        run.config.pool.readers = Selection::default().without(&["other".to_owned()], &Aliases::new());
        run.plugged_in(names()).unwrap();
        assert_eq!(told.take(), ["reader_available"]);
        run.plugged_in(names()).unwrap();
        assert_eq!(told.take(), [""; 0], "it is said once");
    });
}
