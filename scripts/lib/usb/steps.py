"""What is tried in the guest: readers, cards and the watch service. The service's side is in `service.py`."""

import json
import statistics

import service
from machine import Trouble

PEOPLE = ("ada", "grace")


def spread(times):
    if not times:
        return "never"
    return f"median {statistics.median(times):.1f} s, longest {max(times):.1f} s"


def person(event):
    return (event.get("user") or {}).get("id")


def is_event(name, who=None):
    return lambda event: event.get("event") == name and (who is None or person(event) == who)


def names(events):
    """What happened, for a table: names of events with reason or code."""
    said = []
    for event in events:
        more = event.get("reason") or (event.get("error") or {}).get("code")
        said.append(event.get("event", "?") + (f"({more})" if more else ""))
    return " ".join(said) or "nothing"


def present(lab):
    """Who is on the list, each with its state."""
    done = lab.guest.rollcall("users", "-o", "json")
    if done.status != 0:
        raise Trouble(f"rollcall users: {done.brief()}")
    return {entry["user"]["id"]: entry["state"] for entry in json.loads(done.out)}


def prepare(lab):
    """Rollcall from its package, keys, two people with a card each, both readers plugged in."""
    table, guest = lab.table, lab.guest
    guest.put(lab.given.package, "/root/rollcall.deb")
    install = "DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends install /root/rollcall.deb"
    done = guest.run(install, 600)
    table.row("the package installs", done.status == 0, done.brief() if done.status else f"{done.seconds:.0f} s")
    versions = guest.must(
        "dpkg-query -f '${Package} ${Version}, ' -W rollcall pcscd libccid polkitd systemd; echo Linux $(uname -r)"
    )
    table.row("versions", None, versions)
    made = guest.rollcall("pki", "init")
    if made.status != 0:
        raise Trouble(f"pki init: {made.brief()}")
    for number, who in enumerate(PEOPLE):
        lab.machine.plug(number)
        lab.cards[number].lay()
        wait_reader(lab)
        done = guest.rollcall("enroll", "--yes", "--id", who, "--name", who.title())
        table.row(f"a blank card is enrolled ({who})", done.status == 0, done.brief())
        pull_out(lab, number)
    for number in range(len(PEOPLE)):
        lab.machine.plug(number)
    wait_reader(lab)
    done = guest.rollcall("scan", "-o", "ndjson")
    table.row("a scan of two readers", done.status == 0 and done.out.count("\n") == 2, done.brief())


def wait_reader(lab):
    """Until a card is present, as `readers --watch` has it; the row of its own is for what follows."""
    stream = lab.stream("readers", "--watch", "-o", "ndjson")
    got, _ = stream.wait(lambda event: event.get("state") == "present", lab.seconds(60))
    stream.end()
    if got is None:
        raise Trouble("no reader showed its card")


def pull_out(lab, number):
    """Until pcscd has noticed, too: on a busy host the reader is listed for a while, and what comes next would be told of it."""
    stream = lab.stream("readers", "--watch", "-o", "ndjson")
    stream.wait(lambda event: event.get("state") == "present", lab.seconds(60))
    lab.machine.unplug(number)
    got, _ = stream.wait(lambda event: event.get("event") == "reader_removed", lab.seconds(60))
    stream.end()
    if got is None:
        raise Trouble("a reader that was pulled out is still there")


def tidy(lab):
    """After a step: everything plugged in and laid down, pcscd startable, no watch."""
    lab.guest.run(f"rm -f {service.RULES}; systemctl unmask --runtime polkit.service")
    lab.guest.run("systemctl stop rollcall-watch.service; pkill -x rollcall; systemctl start polkit.service pcscd.socket")
    for number, card in enumerate(lab.cards):
        lab.plug(number)
        card.lay()


def everybody(lab, watch, seconds):
    """Waits for the arrival of all; true when they came."""
    missing = set(PEOPLE)
    while missing:
        got, _ = watch.wait(lambda event: event.get("event") == "arrived" and person(event) in missing, seconds)
        if got is None:
            return False
        missing.discard(person(got))
    return True


def started(lab):
    """A watch that has seen everybody. Who is on the list already does not arrive, so the list is cleared before."""
    lab.guest.rollcall("users", "clear", "--yes")
    watch = lab.watch()
    if not everybody(lab, watch, lab.seconds(60)):
        lab.table.row("watch sees the cards that lie there", False, names(watch.seen))
    return watch


def hotplug(lab):
    table, watch = lab.table, started(lab)
    since = len(watch.seen)
    here, gone, lost, reasons, refused = [], [], [], set(), []
    slow = lab.given.plugs - lab.given.plugs // 5
    for turn in range(slow):
        number, who = turn % len(PEOPLE), PEOPLE[turn % len(PEOPLE)]
        for act, name, times in (
            (lab.machine.unplug, "left", gone),
            (lab.machine.plug, "arrived", here),
        ):
            began = lab.now()
            act(number)
            got, before = watch.wait(is_event(name, who), lab.seconds(30))
            refused += [event for event in before if event.get("event") == "refused"]
            if got is None:
                lost.append(f"{name} {turn + 1} (said: {names(before)})")
            else:
                times.append(lab.now() - began)
                reasons.add(got.get("reason"))
    reasons.discard(None)
    table.row(f"{slow} times out: seen by watch", len(gone) == slow, f"{len(gone)}, {spread(gone)}, {reasons}")
    table.row(f"{slow} times in: seen by watch", len(here) == slow, f"{len(here)}, {spread(here)}")
    if lost:
        table.row("what was lost", None, "; ".join(lost[:4]))
    quick = lab.given.plugs - slow
    for turn in range(quick):
        lab.machine.unplug(turn % len(PEOPLE))
        lab.machine.plug(turn % len(PEOPLE))
    # One more of each, waited for, so that everything before has settled.
    settled = True
    for number, who in enumerate(PEOPLE):
        lab.machine.unplug(number)
        while watch.wait(is_event("left", who), lab.seconds(15))[0]:
            pass
        lab.machine.plug(number)
        settled &= watch.wait(is_event("arrived", who), lab.seconds(60))[0] is not None
    table.row(f"{quick} times out and in without a pause, then once more", settled, names(watch.seen[-6:]))
    refused += [event for event in watch.seen[since:] if event.get("event") == "refused"]
    table.row("nobody was refused", not refused, names(refused))
    table.row("the list has everybody", listed(lab, PEOPLE, 1), str(lab.list))
    added, removed = (sum(e.get("event") == n for e in watch.seen) for n in ("reader_added", "reader_removed"))
    table.row("readers added and removed", None, f"{added} and {removed}")
    watch.end()


def cards(lab):
    table, watch = lab.table, started(lab)
    here, gone, others = [], [], []
    for _ in range(10):
        for act, name, times in ((lab.cards[0].lift, "left", gone), (lab.cards[0].lay, "arrived", here)):
            began = lab.now()
            act()
            got, before = watch.wait(is_event(name, PEOPLE[0]), lab.seconds(30))
            others += before
            if got is not None:
                times.append(lab.now() - began)
    table.row("10 times lifted: seen by watch", len(gone) == 10, f"{len(gone)}, {spread(gone)}")
    table.row("10 times laid down: seen by watch", len(here) == 10, f"{len(here)}, {spread(here)}")
    table.row("and nothing else", not others, names(others))
    watch.end()


def unit(lab):
    table, guest = lab.table, lab.guest
    guest.rollcall("users", "clear", "--yes")
    guest.must("systemctl start rollcall-watch.service")
    table.row("the watch service lists everybody", listed(lab, PEOPLE), str(lab.list))
    facts = guest.must(
        "pid=$(systemctl show --property MainPID --value rollcall-watch.service); "
        "stat -c %U /proc/$pid; sed -n 's/^\\(NoNewPrivs\\|Seccomp\\|CapEff\\):\\t//p' /proc/$pid/status"
    ).split()
    table.row("it runs in its sandbox", facts == ["rollcall", "0000000000000000", "1", "2"], " ".join(facts))
    lab.machine.unplug(1)
    table.row("a reader pulled out under it", listed(lab, PEOPLE[:1]), str(lab.list))
    lab.machine.plug(1)
    table.row("and plugged in", listed(lab, PEOPLE), str(lab.list))
    guest.must("systemctl stop rollcall-watch.service")
    state = guest.run("systemctl is-failed rollcall-watch.service").out.strip()
    table.row("stopped, it ended well", state == "inactive", state)


def listed(lab, people, seconds=60):
    """Waits until exactly these are present; `lab.list` is what was seen last."""
    end, pattern = lab.now() + lab.seconds(seconds), dict.fromkeys(people, "present")
    while (now := present(lab)) != pattern and lab.now() < end:
        lab.pause(1)
    lab.list = now
    return now == pattern


STEPS = {
    "unit": unit,
    "hotplug": hotplug,
    "cards": cards,
    "service": service.service,
    "idle": service.idle,
    "doctor": service.doctor,
    "polkit": service.polkit,
    "reboot": service.reboot,
}
