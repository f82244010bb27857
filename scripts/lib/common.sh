# shellcheck shell=bash
# Sourced by the scripts: where things are, and how they are built. Everything it says goes to stderr.
# shellcheck disable=SC2034  # the callers use what is set here

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
[[ $target == /* ]] || target=$PWD/$target

setup() { "$root/scripts/setup" "$@"; }

# build_rollcall: makes the release build current and sets $rollcall; ROLLCALL_BIN names another build instead.
build_rollcall() {
    if [[ -n ${ROLLCALL_BIN:-} ]]; then
        rollcall=$(realpath -e -- "$ROLLCALL_BIN")
        return
    fi
    setup build
    (cd -- "$root" && cargo build --release --locked --quiet </dev/null >&2)
    rollcall=$target/release/rollcall
}

# use_java: the JDK that can still write Java 7 class files, where there is a choice.
use_java() {
    local javac
    for javac in /usr/lib/jvm/java-17-*/bin/javac; do
        [[ -x $javac ]] || continue
        export JAVA_HOME=${javac%/bin/javac}
        export PATH=$JAVA_HOME/bin:$PATH
        return
    done
}

# build_applet: makes the applet's classes current and sets $bridge, the command that runs one card in the simulator.
build_applet() {
    setup java
    use_java
    bridge=
}
