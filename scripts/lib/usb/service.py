"""What is tried in the guest: pcscd, polkit, reboots, and doctor."""

import json

import steps
from guest import as_user

RULES = "/etc/polkit-1/rules.d/00-lab.rules"
ACTIONS = ("access_pcsc", "access_card")


def bare_scan(lab, **more):
    return lab.guest.rollcall("scan", "-o", "ndjson", **more)


def all_read(done):
    return done.status == 0 and done.out.count('"authenticated":{') == len(steps.PEOPLE)


def happened(watch):
    """Events since somebody waited last that throw people off the list or refuse them. Who moved is on it under another
    reader's name: a service that starts again may number its readers in another order."""
    drained = [event for event in watch.drain() if event.get("event") in ("left", "refused")]
    return [event for event in drained if event.get("reason") != "moved"]


def back(lab, watch, seconds=60):
    """Waits until the service is back and everybody is present on the list."""
    watch.wait(steps.is_event("service_back"), lab.seconds(seconds))
    return steps.listed(lab, steps.PEOPLE)


def service(lab):
    table, guest = lab.table, lab.guest
    watch = steps.started(lab)
    for turn in range(3):
        guest.must("systemctl stop pcscd.socket pcscd.service")
        got, _ = watch.wait(steps.is_event("service_lost"), lab.seconds(30))
        table.row(f"stopped ({turn + 1} of 3): watch says so", got is not None, steps.names(watch.seen[-3:]))
        done = guest.rollcall("readers")
        right = done.status == 69 and done.codes() == ["pcsc.service-down"]
        table.row("  rollcall readers", right, done.brief())
        began = lab.now()
        guest.must("systemctl start pcscd.socket")
        found = back(lab, watch)
        table.row("  started: everybody is present", found, f"{lab.now() - began:.1f} s")
        bad = happened(watch)
        table.row("  and nobody was taken off or refused meanwhile", not bad, steps.names(bad))
    for turn in range(3):
        began = lab.now()
        guest.must("systemctl kill --signal=KILL pcscd.service")
        got, _ = watch.wait(steps.is_event("service_lost"), lab.seconds(30))
        found = back(lab, watch)
        table.row(f"killed ({turn + 1} of 3): everybody is present again", found, f"{lab.now() - began:.1f} s")
        bad = happened(watch)
        table.row("  and nobody was taken off or refused meanwhile", not bad, steps.names(bad))
    table.row("watch lives", watch.process.poll() is None, "")
    done = bare_scan(lab)
    table.row("a scan beside it", all_read(done), done.brief())
    watch.end()
    guest.must("systemctl stop pcscd.socket pcscd.service")
    second = guest.rollcall("scan", "-o", "ndjson")
    table.row("scan without the service", second.status == 69, second.brief())
    guest.must("systemctl start pcscd.socket")


def idle(lab):
    table, guest = lab.table, lab.guest
    done = guest.run("systemctl cat pcscd.service")
    table.row("pcscd ends when idle", "--auto-exit" in done.out, "--auto-exit" if "--auto-exit" in done.out else "no")
    gone = "timeout 200 sh -c 'while systemctl is-active --quiet pcscd.service; do sleep 0.5; done'"
    for turn in range(2):
        bare_scan(lab)
        ended = guest.run(gone, 300)
        table.row(f"it ended ({turn + 1} of 2)", ended.status == 0, f"{ended.seconds:.0f} s after the last command")
        done = bare_scan(lab)
        table.row("  the first command after it", all_read(done), done.brief())
    failed, times, count = [], [], 10
    for turn in range(count):
        # The command arrives while pcscd is stopping.
        script = f"systemctl kill --signal=TERM pcscd.service; sleep 0.{turn}; "
        from_guest = guest.run(script + as_user("rollcall", "scan", "-o", "ndjson"))
        times.append(from_guest.seconds)
        if not all_read(from_guest):
            failed.append(from_guest.brief())
    table.row(f"{count} commands that meet it ending", not failed, "; ".join(failed[:4]) or steps.spread(times))


def doctor(lab):
    table = lab.table
    limit = lab.seconds(60)
    done = lab.guest.rollcall("doctor", "-o", "ndjson", timeout=600)
    tell_doctor(lab, "doctor alone", done, limit)
    after = bare_scan(lab)
    table.row("  the readers answer right after it", all_read(after) and after.seconds < lab.seconds(20), after.brief())
    watch = steps.started(lab)
    watch.drain()
    done = lab.guest.rollcall("doctor", "-o", "ndjson", timeout=600)
    tell_doctor(lab, "doctor beside watch", done, limit)
    bad = happened(watch)
    table.row("  nobody was taken off the list or refused", not bad, steps.names(bad))
    after = bare_scan(lab)
    table.row("  the readers answer right after it", all_read(after) and after.seconds < lab.seconds(20), after.brief())
    table.row("  the list is right", steps.listed(lab, steps.PEOPLE), str(lab.list))
    if "--deep" not in lab.guest.rollcall("doctor", "--help").out:
        table.row("doctor --deep", None, "this program has no --deep")
        watch.end()
        return
    done = lab.guest.rollcall("doctor", "--deep", "--yes", "-o", "ndjson", timeout=600)
    table.row("doctor --deep beside watch: how it ended", None, done.brief())
    bad = happened(watch)
    table.row("  nobody was taken off the list or refused", not bad, steps.names(bad))
    watch.end()
    done = lab.guest.rollcall("doctor", "--deep", "--yes", "-o", "ndjson", timeout=600)
    tell_doctor(lab, "doctor --deep alone", done, limit)
    after = bare_scan(lab)
    table.row("  the readers answer right after it", all_read(after) and after.seconds < lab.seconds(20), after.brief())


def tell_doctor(lab, what, done, limit):
    """Its findings: no fault and no warning on a healthy reader, and an end within the limit. That it is slower than it was
    says something about the emulation, not about the reader."""
    found = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
    told = [f for f in found if f["severity"] in ("fault", "warning") and f["code"] != "link.worse"]
    bad = [f"{f['severity']} {f['code']}" for f in told]
    lab.table.row(f"{what}: ends", done.seconds < limit, f"{done.seconds:.1f} s, exit {done.status}, {len(found)} findings")
    lab.table.row("  no false alarm", not bad and bool(found), ", ".join(bad) or ("none" if found else done.brief()))


def rules(lab, allowed):
    """polkit's answers for the terminal's user, before those of the package."""
    text = 'polkit.addRule(function (action, subject) {\n    if (subject.user != "rollcall") { return; }\n'
    for action, yes in zip(ACTIONS, allowed, strict=True):
        answer = "YES" if yes else "NO"
        text += f'    if (action.id == "org.debian.pcsc-lite.{action}") {{ return polkit.Result.{answer}; }}\n'
    lab.guest.write(RULES, text + "});\n")
    lab.guest.must("systemctl restart polkit.service")


def polkit(lab):
    table = lab.table
    for allowed in ((True, True), (False, True), (True, False), (False, False)):
        rules(lab, allowed)
        said = ", ".join(f"{a} {'allowed' if y else 'denied'}" for a, y in zip(ACTIONS, allowed, strict=True))
        done = bare_scan(lab)
        if all(allowed):
            table.row(said, all_read(done), done.brief())
            continue
        # Without access to the service, polkit is not asked about access to a card.
        refused = ACTIONS[allowed.index(False)]
        text = done.out + done.err
        table.row(said, done.status == 77 and refused in text, f"{done.brief()}{named(text)}")
        examined = lab.guest.rollcall("doctor", "-o", "ndjson", timeout=600)
        faults = [json.loads(line) for line in examined.out.splitlines() if line.startswith("{")]
        faults = [f["code"] for f in faults if f["severity"] == "fault"]
        table.row("  doctor names it", refused in examined.out, ", ".join(faults) + named(examined.out))
    # Kill and mask polkit instead of stopping it: pcscd.service requires it and would stop too.
    lab.guest.must(f"rm {RULES}; systemctl restart pcscd.service; systemctl mask --runtime polkit.service")
    lab.guest.must("systemctl kill --signal=KILL polkit.service")
    done = bare_scan(lab)
    text = done.out + done.err
    table.row("polkit does not run: said", done.status != 0 and "polkit" in text, done.brief() + named(text))
    examined = lab.guest.rollcall("doctor", timeout=600)
    table.row("  doctor names it", "polkit" in examined.out + examined.err, examined.brief())
    lab.guest.must("systemctl unmask --runtime polkit.service; systemctl start polkit.service")
    done = bare_scan(lab)
    table.row("polkit runs again", all_read(done), done.brief())


def named(text):
    """Which of the actions a text names."""
    found = [action for action in ACTIONS if action in text]
    return f"; names {', '.join(found)}" if found else "; names no action"


def reboot(lab):
    table, guest = lab.table, lab.guest
    for turn, enable in enumerate(("disable", "enable")):
        guest.must(f"systemctl {enable} rollcall-watch.service")
        began = lab.now()
        guest.run("sync; systemctl reboot")
        guest.forget()
        lab.up()
        took = lab.now() - began
        if turn == 0:
            done = bare_scan(lab)
            table.row("after a reboot the first command works", all_read(done), f"{done.brief()}, boot {took:.0f} s")
        else:
            table.row("after a reboot the watch service has everybody", steps.listed(lab, steps.PEOPLE, 90), f"boot {took:.0f} s")
            log = guest.run("journalctl --boot --unit rollcall-watch.service --output cat")
            table.row("  what it said", None, " | ".join(log.out.splitlines()[:6])[:200])
    guest.must("systemctl disable --now rollcall-watch.service")
