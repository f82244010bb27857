package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.applet.Cards.refused;
import static rollcall.terminal.Bytes.cat;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import javacard.framework.Applet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import rollcall.bridge.SimulatedCard;
import rollcall.platform.CallLog;
import rollcall.terminal.Certificates;
import rollcall.terminal.Channel;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;
import rollcall.terminal.Resumption;
import rollcall.terminal.Scp11a;

/** RESUME carries out the same calls, of the applet's own and of the platform, whoever asks and whatever there is. */
class SameCallsTest {

    private final byte[] startKeys = Crypto.random(48);
    private final Line line = new Line(card()::transmit);
    private final Enrollment token = new Enrollment(line, startKeys);

    private SimulatedCard card() {
        try {
            Class<?> applet = new CallLog("rollcall.applet.").loadClass("rollcall.applet.RollcallApplet");
            return new SimulatedCard(applet.asSubclass(Applet.class), startKeys);
        } catch (ClassNotFoundException e) {
            throw new IllegalStateException(e);
        }
    }

    private Channel fill(Scp11a terminal) {
        Channel channel = terminal.open(0x41, token.own);
        Enrollment.ok("slot", channel.send(0x88, 1, 1, new byte[32]));
        return channel;
    }

    private List<String> resume(byte[] tid) {
        line.send(0, 0xA4, 4, 0, Scp11a.AID);
        CallLog.take();
        assertTrue(line.send(0x80, 0x86, 0, 0, cat(tid, Crypto.random(16))).isOk());
        return CallLog.take();
    }

    /** What follows a C-MAC that is wrong, under a slot and under the decoy. */
    private List<String> wrongMac(byte[] tid) {
        resume(tid);
        refused(0x6982, line.send(0x84, 0x88, 2, 1, new byte[8]));
        return CallLog.take();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void hitAndMissAreTheSameCalls(boolean isPrivate) {
        token.isPrivate = isPrivate;
        token.run();
        List<List<String>> all = new ArrayList<>();
        List<Scp11a> terminals = new ArrayList<>();
        all.add(resume(new byte[8]));
        for (int i = 0; i < 8; i++) {
            terminals.add(token.terminal(Certificates.ADMIN));
            fill(terminals.get(i));
            all.add(resume(terminals.get(i).tid()));
            all.add(resume(Crypto.random(8)));
        }
        all.add(resume(terminals.get(0).tid()));
        List<String> wrong = wrongMac(terminals.get(0).tid());
        assertEquals(wrong, wrongMac(new byte[8]));
        Enrollment.ok("blocked", fill(terminals.get(0)).send(0xF0, 0x40, 0x9F));
        all.add(resume(terminals.get(0).tid()));
        assertEquals(1, new HashSet<>(all).size());
        assertEquals(wrong, wrongMac(terminals.get(0).tid()));

        Map<String, Integer> crypto = crypto(all.get(0));
        System.out.println("RESUME, calls: " + all.get(0).size() + ", of engines and keys " + crypto);
        // One key for the derivation and three of the session; nothing of an elliptic curve.
        assertEquals(4, crypto.get("AESKey.setKey"));
        assertEquals(1, crypto.get("RandomData.generateData"));
        assertTrue(crypto.keySet().stream().noneMatch(name -> name.startsWith("EC") || name.startsWith("KeyAgreement")));
    }

    private static Map<String, Integer> crypto(List<String> calls) {
        Map<String, Integer> counts = new TreeMap<>();
        for (String call : calls) {
            if (call.startsWith("javacard/security/") || call.startsWith("javacardx/crypto/")) {
                counts.merge(call.substring(call.lastIndexOf('/', call.indexOf('(')) + 1, call.indexOf('(')), 1, Integer::sum);
            }
        }
        return counts;
    }

    /** What a card computes for a full tap with proof and for a resumed one: applet/README.md has the times of it. */
    @Test
    void costOfAFullAndOfAResumedTap() {
        token.run();
        Scp11a terminal = token.terminal(Certificates.READ);
        CallLog.take();
        Channel channel = terminal.open(0x41, token.own);
        Enrollment.ok("proof", channel.send(0x88, 0, 1, new byte[32]));
        Map<String, Integer> full = crypto(CallLog.take());
        Enrollment.ok("slot", fill(terminal).send(0xCA, 1, 0));
        Resumption resumption = new Resumption(terminal);
        CallLog.take();
        channel = resumption.open(line);
        channel.emptyBlock = false;
        Enrollment.ok("presence", channel.send(0x88, 2, 1));
        Map<String, Integer> resumed = crypto(CallLog.take());
        System.out.println("full tap: " + full + "\nresumed tap: " + resumed);
        assertEquals(List.of(3, 1), List.of(full.get("KeyAgreement.generateSecret"), full.get("Signature.verify")));
        for (String name : new String[] {"KeyAgreement.generateSecret", "Signature.verify", "ECPrivateKey.setS",
            "ECPublicKey.setW"}) {
            assertEquals(null, resumed.get(name), name);
        }
        // As often as in the handshake the engines of AES take a key: 2 ciphers, and 3 MACs of two engines.
        assertEquals(List.of(4, 2, 3), List.of(resumed.get("AESKey.setKey"), resumed.get("Cipher.init"),
            resumed.get("Signature.init")));
    }
}
