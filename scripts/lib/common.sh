# shellcheck shell=bash
# Sourced by the scripts: defines paths and how to build things. All its output goes to stderr.
# shellcheck disable=SC2034  # the callers use what is set here

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
[[ $target == /* ]] || target=$PWD/$target

# Does nothing in a root file system that already has everything (ROLLCALL_SETUP=none).
setup() { [[ ${ROLLCALL_SETUP-} == none ]] || "$root/scripts/setup" "$@"; }

# build_rollcall: updates the release build and sets $rollcall; ROLLCALL_BIN names another build instead.
build_rollcall() {
    if [[ -n ${ROLLCALL_BIN:-} ]]; then
        rollcall=$(realpath -e -- "$ROLLCALL_BIN")
        return
    fi
    setup build
    release_build --bin rollcall
    rollcall=$target/release/rollcall
}

# release_build [OPTION…]: cargo's release build, with paths of this machine kept out of messages.
release_build() {
    local flags=${RUSTFLAGS:+${RUSTFLAGS// /$'\x1f'}$'\x1f'}
    flags+=--remap-path-prefix=$root=/usr/src/rollcall$'\x1f'
    flags+=--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/usr/share/cargo
    (cd -- "$root" && CARGO_ENCODED_RUSTFLAGS=$flags cargo build --release --locked --quiet "$@" </dev/null >&2)
}

# use_java: selects a JDK that can still write Java 7 class files, if there is a choice.
use_java() {
    local javac
    for javac in /usr/lib/jvm/java-17-*/bin/javac; do
        [[ -x $javac ]] || continue
        export JAVA_HOME=${javac%/bin/javac}
        export PATH=$JAVA_HOME/bin:$PATH
        return
    done
}

# build_applet: updates the applet's classes and sets $bridge, the command that runs one card on the strict platform of
# the test classes, which come before the simulator on the class path. Appending `--platform lenient` runs the card on
# the plain simulator. Concurrent runs build it once.
build_applet() {
    setup java
    use_java
    local applet=$root/applet
    local classes=$applet/target
    local stamp=$classes/.built
    if ! applet_is_current; then
        mkdir -p -- "$classes"
        exec 8>"$classes/.lock"
        flock --timeout 900 8
        if ! applet_is_current; then
            # Maven emits colour resets even with colours disabled.
            mvn -q -B --no-transfer-progress -f "$applet/pom.xml" -DskipTests package </dev/null 2>&1 |
                sed -e 's/\x1b\[[0-9;]*m//g' -e '/^$/d' >&2
            touch -- "$stamp"
        fi
        exec 8>&-
    fi
    # Cards are short runs on few cores: start fast, stay small. The simulator's random data is the same in every
    # process unless told otherwise.
    bridge="java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Xss512k -Xmx96m"
    bridge+=" -Dcom.licel.jcardsim.randomdata.secure=1"
    bridge+=" -cp $(printf %q "$classes/classes:$classes/test-classes:$classes/lib/jcardsim.jar")"
    bridge+=" rollcall.bridge.VpcdBridge"
}

applet_is_current() {
    [[ -e $stamp && -z $(find "$applet/pom.xml" "$applet/src" -newer "$stamp" -print -quit) ]]
}
