#!/usr/bin/env bash
# jCardSim: AES keys of the types TYPE_AES_TRANSIENT_RESET and TYPE_AES_TRANSIENT_DESELECT.
#
# Versions:  com.klinec:jcardsim 3.0.6.0 (Maven Central), a JDK (seen with 17)
# Guess:     after the event that clears it, a reset or a deselection, a key's isInitialized() is false, as the Java Card API
#            3.0.5 has it (javacard.security.Key).
# Seen:      selecting the applet again clears the RESET key too, while an array that is CLEAR_ON_RESET keeps its bytes. A key
#            that was cleared still says that it is initialized and is then a key of zero bytes: AES encrypts with it without
#            an exception (66e94bd4 is the first of a block of zeros under a key of zeros), after a selection and after a reset.
# So:        a session key that should last until the reset is gone after the next selection, and a test in which both sides
#            run in the simulator does not notice. Set such keys after each selection, and try on a card what a cleared one does.
#
# jCardSim's issue 225 has the second half, seen with HMAC keys.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
mvn -q -B dependency:copy -Dartifact=com.klinec:jcardsim:3.0.6.0 -DoutputDirectory="$work" -Dmdep.stripVersion=true >/dev/null 2>&1 ||
    cannot "com.klinec:jcardsim:3.0.6.0 cannot be fetched (mvn)"

cat > Keys.java <<'JAVA'
import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.utils.AIDUtil;
import java.util.Arrays;
import java.util.HexFormat;
import javacard.framework.*;
import javacard.security.*;
import javacardx.crypto.Cipher;

/** INS 1 sets the keys and arrays. INS 2 answers, for RESET and DESELECT: array, isInitialized(), a block of zeros encrypted. */
public class Keys extends Applet {
    static final short ZERO = 0, BLOCK = 16;

    final AESKey[] keys = {
        (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES_TRANSIENT_RESET, KeyBuilder.LENGTH_AES_128, false),
        (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES_TRANSIENT_DESELECT, KeyBuilder.LENGTH_AES_128, false)};
    final byte[][] arrays = {
        JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_RESET),
        JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_DESELECT)};
    final Cipher cipher = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_ECB_NOPAD, false);

    public static void install(byte[] b, short o, byte l) { new Keys().register(); }

    public void process(APDU apdu) {
        if (selectingApplet()) { return; }
        byte[] b = apdu.getBuffer();
        byte ins = b[1];
        short at = 0;
        for (int i = 0; i < 2; i++) {
            if (ins == 1) {
                byte[] value = new byte[BLOCK];
                Arrays.fill(value, (byte) 0x5A);
                keys[i].setKey(value, ZERO);
                arrays[i][0] = 0x5A;
                continue;
            }
            b[at++] = arrays[i][0];
            b[at++] = (byte) (keys[i].isInitialized() ? 1 : 0);
            try {
                cipher.init(keys[i], Cipher.MODE_ENCRYPT);
                at += cipher.doFinal(new byte[BLOCK], ZERO, BLOCK, b, at);
            } catch (CryptoException e) {
                b[at++] = (byte) e.getReason();
            }
        }
        apdu.setOutgoingAndSend(ZERO, at);
    }

    static void say(Simulator card, String when) {
        String answer = HexFormat.of().formatHex(card.transmitCommand(new byte[] {0, 2, 0, 0, 0}));
        System.out.println(when + ": " + answer.replaceAll("^(..)(..)(.{8}).{24}(..)(..)(.{8}).{24}9000$",
            "RESET array $1 initialized $2 block $3, DESELECT array $4 initialized $5 block $6"));
    }

    public static void main(String[] none) {
        Simulator card = new Simulator();
        AID aid = AIDUtil.create("F046494E44");
        card.installApplet(aid, Keys.class);
        card.selectApplet(aid);
        card.transmitCommand(new byte[] {0, 1, 0, 0});
        say(card, "set");
        card.selectApplet(aid);
        say(card, "selected again");
        card.transmitCommand(new byte[] {0, 1, 0, 0});
        card.reset();
        card.selectApplet(aid);
        say(card, "set, reset");
    }
}
JAVA
javac -nowarn -cp jcardsim.jar Keys.java 2>/dev/null || cannot "javac"
seen=$(java -cp jcardsim.jar:. Keys 2>&1) || cannot "java"
printf '%s\n' "$seen"
expected='set: RESET array 5a initialized 01 block 7ec4e2ba, DESELECT array 5a initialized 01 block 7ec4e2ba
selected again: RESET array 5a initialized 01 block 66e94bd4, DESELECT array 00 initialized 01 block 66e94bd4
set, reset: RESET array 00 initialized 01 block 66e94bd4, DESELECT array 00 initialized 01 block 66e94bd4'
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
