#!/usr/bin/env bash
# jCardSim: KeyPair.genKeyPair beside RandomData.
#
# Versions:  com.klinec:jcardsim 3.0.6.0 (Maven Central), a JDK (seen with 17)
# Guess:     with com.licel.jcardsim.randomdata.secure=1, which makes RandomData random, generated key pairs differ too:
#            between two cards, and between two processes.
# Seen:      RandomData differs in every process; the key pairs are the same in every process, P-256 and RSA-1024 alike,
#            so two simulated cards that generate their first key pair have one private key between them.
# So:        a test that two cards have different keys passes or fails by accident; draw the scalar from RandomData.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
mvn -q -B dependency:copy -Dartifact=com.klinec:jcardsim:3.0.6.0 -DoutputDirectory="$work" -Dmdep.stripVersion=true >/dev/null 2>&1 ||
    cannot "com.klinec:jcardsim:3.0.6.0 cannot be fetched (mvn)"

cat > Pairs.java <<'JAVA'
import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.utils.AIDUtil;
import java.util.HexFormat;
import javacard.framework.*;
import javacard.security.*;

/** INS 1: eight random bytes. INS 2: the point of a P-256 pair. INS 3: the modulus of an RSA pair. */
public class Pairs extends Applet {
    public static void install(byte[] b, short o, byte l) { new Pairs().register(); }

    public void process(APDU apdu) {
        if (selectingApplet()) { return; }
        byte[] b = apdu.getBuffer();
        short n;
        if (b[1] == 1) {
            RandomData.getInstance(RandomData.ALG_SECURE_RANDOM).generateData(b, (short) 0, (short) 8);
            n = 8;
        } else if (b[1] == 2) {
            KeyPair pair = new KeyPair(KeyPair.ALG_EC_FP, KeyBuilder.LENGTH_EC_FP_256);
            pair.genKeyPair();
            n = ((ECPublicKey) pair.getPublic()).getW(b, (short) 0);
        } else {
            KeyPair pair = new KeyPair(KeyPair.ALG_RSA, KeyBuilder.LENGTH_RSA_1024);
            pair.genKeyPair();
            n = ((RSAPublicKey) pair.getPublic()).getModulus(b, (short) 0);
        }
        apdu.setOutgoingAndSend((short) 0, n);
    }

    public static void main(String[] none) {
        Simulator card = new Simulator();
        AID aid = AIDUtil.create("F04649 4E44".replace(" ", ""));
        card.installApplet(aid, Pairs.class);
        card.selectApplet(aid);
        for (int ins = 1; ins <= 3; ins++) {
            byte[] answer = card.transmitCommand(new byte[] {0, (byte) ins, 0, 0, 0});
            System.out.println(ins + " " + HexFormat.of().formatHex(answer));
        }
    }
}
JAVA
javac -nowarn -cp jcardsim.jar Pairs.java 2>/dev/null || cannot "javac"
run() { java -Dcom.licel.jcardsim.randomdata.secure=1 -cp jcardsim.jar:. Pairs 2>/dev/null | grep -E '^[123] ' || cannot "java"; }
one=$(run) && two=$(run) || exit 2
seen=$(paste -d ' ' <(printf '%s\n' "$one") <(printf '%s\n' "$two") |
    awk '{ print ($1 == 1 ? "random" : $1 == 2 ? "P-256" : "RSA"), ($2 == $4 ? "same" : "different"), length($2) }')
printf '%s\n' "$seen"
expected=$'random different 20\nP-256 same 134\nRSA same 260'
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
