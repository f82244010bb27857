#!/usr/bin/env python3
"""The parts of scripts/mutants that are no shell: cutting a tree down, and the ledger in tests/mutants/.

A line of the ledger: OUTCOME, STAGE, COMMIT, MUTANT, with tabs between. The commit is the one whose tests judged it.
`reasons.tsv` says of each survivor why it may live: HOW MANY, MUTANT without its place, REASON.
"""

import collections
import glob
import json
import os
import pathlib
import re
import shutil
import sys

LEDGER = pathlib.Path(__file__).resolve().parents[2] / "tests" / "mutants"
OUTCOMES = {"CaughtMutant": "killed", "MissedMutant": "survived", "Timeout": "timeout", "Unviable": "unviable"}
TOKEN, TAP, SERVER = "src/emulator/", "src/terminal/tap/", "src/server/"

# The files each shard mutates, and the reduced source tree used in its first stage.
SHARDS = {
    "channel": ("lower", ["src/channel/**"]),
    "proof": ("lower", ["src/proof.rs"]),
    "x509": ("lower", ["src/crypto/x509/*.rs"]),
    "crypto": ("lower", ["src/crypto/*.rs"]),
    "token": ("lower", ["src/token/*.rs"]),
    "card": ("bottom", ["src/card/*.rs"]),
    "vt-core": ("virtual", [TOKEN + n for n in (
        "core.rs", "handshake.rs", "certificate.rs", "session.rs", "slots.rs", "resumption.rs")]),
    "vt-objects": ("virtual", [TOKEN + n for n in ("objects.rs", "keys.rs", "lifecycle.rs", "state.rs", "store.rs")]),
    "vt-command": ("virtual", [TOKEN + n for n in ("command.rs", "encoding.rs", "start_keys.rs", "transport.rs", "vpcd.rs")]),
    "tap": ("switched", [TAP + n for n in ("resumption.rs", "distance.rs")]),
    "server-auth": ("switched", [SERVER + n for n in (
        "auth.rs", "behind_proxy.rs", "router.rs", "routes.rs", "tls.rs", "signer.rs", "identity_batcher.rs",
        "verified_certificates.rs", "api/terminals.rs", "api/tokens.rs", "store/known_terminals.rs",
        "store/queries/terminals.rs", "store/queries/tokens.rs")]),
    "server-proofs": ("switched", [SERVER + n for n in (
        "proofs.rs", "lookup_batcher.rs", "state.rs", "api/lookups.rs", "store/queries/lookups.rs", "store/queries/proofs.rs")]),
    "server-audit": ("switched", [SERVER + n for n in (
        "audit.rs", "api/revocations.rs", "api/users.rs", "store_recertification.rs", "store/queries/audit.rs",
        "store/queries/witnesses.rs")]),
    "server-limits": ("switched", ["src/rates.rs", "src/api/user.rs"] + [SERVER + n for n in (
        "body.rs", "listen.rs", "metrics.rs", "exposition.rs", "readiness.rs", "problem.rs", "failure.rs", "api/health.rs")]),
    "server-presence": ("switched", [SERVER + n for n in (
        "presence.rs", "past_presence.rs", "equipment.rs", "heard.rs", "follow.rs", "api/presence.rs", "api/events.rs", "store/events.rs",
        "store/queries/presence.rs", "store/queries/events.rs", "store/queries/equipment.rs", "store/queries/known_lists.rs")]),
    "server-store": ("switched", [SERVER + "store/" + n for n in (
        "absence.rs", "backup.rs", "error.rs", "migrations.rs", "mod.rs", "postgres.rs", "privacy.rs", "rows.rs", "sqlite.rs",
        "tables.rs", "types.rs", "url.rs", "queries/copy.rs", "queries/format.rs", "queries/mod.rs", "queries/privacy.rs",
        "queries/users.rs")]),
    "server-client": ("switched", ["src/server_client/*.rs"]),
}
LOWER = ["card", "channel", "crypto", "failure", "files", "proof", "token", "emulator", "api"]


def cut(tree, kind):
    """Leaves of a copy of the source what the mutated code and its own tests need: it is built 1,500 times."""
    source = pathlib.Path(tree) / "src"
    kept = {"bottom": ["card"], "lower": LOWER, "virtual": [name for name in LOWER if name != "api"]}[kind]
    lib = (source / "lib.rs").read_text()
    (source / "lib.rs").write_text(re.sub(r"^pub mod (\w+);\n", lambda m: m[0] if m[1] in kept else "", lib, flags=re.M))
    (source / "main.rs").unlink(missing_ok=True)
    for path in source.iterdir():
        if path.stem not in kept and path.stem != "lib":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if kind != "bottom":
        tests = source / "emulator" / "tests" / "mod.rs"
        # It needs the terminal, which this reduced tree lacks.
        tests.write_text(tests.read_text().replace("mod terminal;\n", ""))
    if kind == "virtual":
        (source / "token" / "mod.rs").write_text("//! Constants.\npub mod constants;\n")
        for folder in ("card", "channel", "crypto", "proof*"):
            for path in map(pathlib.Path, glob.glob(f"{source}/{folder}/**/*.rs", recursive=True) + glob.glob(f"{source}/{folder}.rs")):
                if "tests" not in path.parts:
                    path.write_text(without_tests(path.read_text()))
    manifest = pathlib.Path(tree) / "Cargo.toml"
    text = re.sub(r"\n\[\[(test|bin)\]\]\n(.+\n)*", "", manifest.read_text()).replace('default-run = "rollcall"\n', "")
    manifest.write_text(text.replace('debug = "line-tables-only"', "debug = 0"))


def without_tests(text):
    text = re.sub(r"\n#\[cfg\(test\)\]\nmod tests;\n", "\n", text)
    return text.split("\n#[cfg(test)]\nmod tests {")[0].rstrip("\n") + "\n"


def place(mutant):
    """The mutant without line and column: they move, its meaning does not."""
    return re.sub(r"^([^:]+):\d+:\d+: ", r"\1: ", mutant)


def ledger(shard):
    path = LEDGER / f"{shard}.tsv"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def record(shard, out, stage, commit):
    """Takes the outcomes of a run over into the ledger. A later stage decides anew what it ran, and a run that was
    ended before its end says which mutants nobody judged."""
    out = pathlib.Path(out)
    lines = {mutant["name"]: ("not run", "-", "-", mutant["name"]) for mutant in json.loads((out / "mutants.json").read_text())}
    lines.update({line[3]: tuple(line) for line in ledger(shard)})
    for outcome in json.loads((out / "outcomes.json").read_text())["outcomes"]:
        if outcome["scenario"] != "Baseline":
            name = outcome["scenario"]["Mutant"]["name"]
            lines[name] = (OUTCOMES[outcome["summary"]], stage, commit, name)
    write(shard, lines)


def write(shard, lines):
    text = "".join("\t".join(line) + "\n" for line in sorted(lines.values(), key=lambda line: natural(line[3])))
    LEDGER.mkdir(exist_ok=True)
    (LEDGER / f"{shard}.tsv").write_text("# outcome, stage, commit, mutant: see scripts/mutants --help\n" + text)


def take(listed, commit):
    """Takes over what the fast way found out: mutants of any shards, each with its outcome and its stage."""
    for shard in {mutant["shard"] for mutant in listed}:
        lines = {line[3]: tuple(line) for line in ledger(shard)}
        for mutant in (mutant for mutant in listed if mutant["shard"] == shard):
            outcome = mutant.get("outcome", "not run")
            lines[mutant["name"]] = (outcome, mutant.get("stage", "switched" if "outcome" in mutant else "-"), commit, mutant["name"])
        write(shard, lines)


def natural(name):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def survivors(shard):
    """One expression for each survivor, as `cargo mutants --re` takes it."""
    for outcome, _, _, name in ledger(shard):
        if outcome == "survived":
            print("^" + re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", name) + "$")


def reasons():
    path = LEDGER / "reasons.tsv"
    rows = [line.split("\t") for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {row[1]: (int(row[0]), row[2]) for row in rows}


def report():
    """Prints the totals. Fails when a survivor has no reason, when more than 2 % survive, or when any were not run."""
    total, bad, known = collections.Counter(), [], reasons()
    for shard in SHARDS:
        lines = ledger(shard)
        if not lines:
            print(f"mutants: {shard}: not run")
            bad.append(f"the whole shard {shard}")
            continue
        count = collections.Counter(line[0] for line in lines)
        alive = collections.Counter(place(line[3]) for line in lines if line[0] in ("survived", "unjudged"))
        bad += [f"{n} times {name}" for name, n in alive.items() if n > known.get(name, (0, ""))[0]]
        total.update(count)
        print(f"mutants: {shard}: {tell(count)}, judged at {', '.join(sorted({line[2] for line in lines} - {'-'}))}")
    viable = total["killed"] + total["timeout"] + total["survived"]
    print(f"mutants: all: {tell(total)}: {100 * total['survived'] / max(viable, 1):.1f} % of {viable} survive")
    for name in bad:
        print(f"mutants: survives without a reason, or was not run: {name}")
    return 1 if bad or total["not run"] or total["survived"] > 0.02 * viable else 0


def tell(count):
    words = ["killed", "timeout", "survived", "unviable", "unjudged", "not run"]
    return ", ".join(f"{count[word]} {word.replace('timeout', 'ended by the time limit')}" for word in words)


def main(command, *arguments):
    if command == "shards":
        print("\n".join(SHARDS))
    elif command == "tree":
        print(SHARDS[arguments[0]][0])
    elif command == "files":
        print("\n".join(SHARDS[arguments[0]][1]))
    elif command == "report":
        return report()
    else:
        {"cut": cut, "record": record, "survivors": survivors}[command](*arguments)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except BrokenPipeError:
        os._exit(1)
