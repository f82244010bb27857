use super::*;

fn context() -> ProbeContext {
    let folder = tempfile::tempdir().unwrap();
    ProbeContext {
        settings: Settings { state_folder: folder.path().join("none"), ..Settings::default() },
        unconfigured: None,
        environment: Box::new(|_| None),
        deep: false,
        clock: Timestamp::now,
    }
}

fn probe(name: &'static str, work: impl FnOnce(&ProbeReport) + Send + 'static) -> Probe {
    let limit = Duration::from_millis(200);
    let silent = || Finding::fault("test.silent", "it hangs", "wait");
    Probe { name, subject: Some(name.to_uppercase()), limit, silent, work: Box::new(work) }
}

#[test]
fn one_that_hangs_is_told_and_hides_nothing() {
    let (_never, wait) = mpsc::channel::<()>();
    let roots = vec![
        probe("hangs", move |report| {
            report.found(Finding::good("so far"));
            let _ = wait.recv();
        }),
        probe("tree", |report| {
            report.begin(probe("leaf", |report| report.found(Finding::warning("leaf.dry", "dry", "water it"))));
            report.found(Finding::good("stands"));
        }),
    ];
    let mut ended = Vec::new();
    let found = examine_all(context(), roots, |name| ended.push(name));
    let brief: Vec<_> = found.iter().map(|(depth, one)| (*depth, one.probe, one.code)).collect();
    assert_eq!(
        brief,
        [(0, "hangs", None), (0, "hangs", Some("test.silent")), (0, "tree", None), (1, "leaf", Some("leaf.dry")),]
    );
    assert_eq!(found[3].1.subject.as_deref(), Some("LEAF"));
    ended.sort_unstable();
    assert_eq!(ended, ["leaf", "tree"]);
}

#[test]
fn what_comes_too_late_is_not_told() {
    let (late, wait) = mpsc::channel::<()>();
    let roots = vec![
        probe("late", move |report| {
            let _ = wait.recv();
            report.found(Finding::good("too late"));
            report.begin(probe("child", |_| ()));
        }),
        Probe {
            limit: Duration::from_millis(400),
            ..probe("longer", move |_| {
                thread::park_timeout(Duration::from_millis(300));
                drop(late);
                thread::park_timeout(Duration::from_millis(50));
            })
        },
    ];
    let found = examine_all(context(), roots, |_| ());
    let brief: Vec<_> = found.iter().map(|(_, one)| one.code).collect();
    assert_eq!(brief, [Some("test.silent")]);
}
