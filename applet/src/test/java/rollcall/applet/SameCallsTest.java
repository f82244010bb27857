package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.applet.Cards.refused;
import static rollcall.terminal.Bytes.cat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
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

/** RESUME makes the same calls, to the applet and to the platform, for any terminal and any slots. */
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

    /** The calls after a wrong C-MAC, under a slot's key or the decoy. */
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
        // One key for the derivation and three session keys; no elliptic curve operation.
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

    /**
      * The time of one call as measured by jcalgtest, in µs: J3R180, J3H145 (its public results of 2021-10, cards
      * "JCOP4 J3R180 SECID P71" and "JCOP3 J3H145g P60", 256 bytes). It lacks Signature.update for the J3R180, so sign
      * stands for it; keys are in persistent memory. Calls not listed were not measured or take only microseconds.
     */
    private static final Map<String, int[]> PRICES = Map.ofEntries(
        Map.entry("AESKey.setKey", new int[] {3200, 7890}), Map.entry("Cipher.init", new int[] {6090, 13660}),
        Map.entry("Cipher.doFinal", new int[] {1860, 9010}), Map.entry("AES Signature.init", new int[] {6110, 13640}),
        Map.entry("AES Signature.update", new int[] {2140, 7790}), Map.entry("AES Signature.sign", new int[] {2140, 10320}),
        Map.entry("EC Signature.init", new int[] {8120, 5750}), Map.entry("EC Signature.sign", new int[] {31960, 56290}),
        Map.entry("EC Signature.verify", new int[] {30220, 50320}), Map.entry("KeyAgreement.init", new int[] {7900, 8520}),
        Map.entry("KeyAgreement.generateSecret", new int[] {20040, 55080}), Map.entry("ECPrivateKey.setS", new int[] {3450, 17320}),
        Map.entry("MessageDigest.doFinal", new int[] {7920, 8630}),
        Map.entry("RandomData.generateData", new int[] {1180, 1450}), Map.entry("stored", new int[] {2810, 1520}));

    /**
     * The card's computing time for a full tap with proof, with a slot, and for a resumed tap; README.md must show it
     * too.
     */
    @Test
    void costOfAFullAndOfAResumedTap() throws IOException {
        token.run();
        Scp11a terminal = token.terminal(Certificates.READ);
        CallLog.take();
        Channel channel = terminal.open(0x41, token.own);
        Enrollment.ok("proof", channel.send(0x88, 0, 1, new byte[32]));
        Map<String, Integer> full = priced(CallLog.take());
        fill(terminal);
        Map<String, Integer> withSlot = priced(CallLog.take());
        Resumption resumption = new Resumption(terminal);
        channel = resumption.open(line);
        channel.emptyBlock = false;
        Enrollment.ok("presence", channel.send(0x88, 2, 1));
        Map<String, Integer> resumed = priced(CallLog.take());
        System.out.println("full tap: " + full + "\nresumed tap: " + resumed);
        for (String name : List.of("KeyAgreement.generateSecret", "EC Signature.verify", "EC Signature.sign",
            "ECPrivateKey.setS")) {
            assertEquals(name.equals("KeyAgreement.generateSecret") ? 3 : 1, full.get(name), name);
            assertNull(resumed.get(name), name);
        }
        assertEquals(List.of(4, 2, 3, 9, 4, 2, 1), Stream.of("AESKey.setKey", "Cipher.init", "AES Signature.init",
            "AES Signature.sign", "AES Signature.update", "Cipher.doFinal", "stored").map(resumed::get).toList());
        String readme = Files.readString(Path.of("README.md"));
        for (String row : List.of(row("a full tap with proof", full), row("the same, with a slot", withSlot),
            row("a resumed tap", resumed))) {
            assertTrue(readme.contains(row), "README.md lacks: " + row);
        }
        assertTrue(share(resumed, full, 0) <= 0.35 && share(resumed, full, 1) <= 0.40, "a resumed tap costs too much");
    }

    private static double share(Map<String, Integer> one, Map<String, Integer> other, int card) {
        return (double) sum(one, card) / sum(other, card);
    }

    private static String row(String what, Map<String, Integer> calls) {
        return "| " + what + " | " + Math.round(sum(calls, 0) / 1000.0) + " | " + Math.round(sum(calls, 1) / 1000.0) + " |";
    }

    private static int sum(Map<String, Integer> calls, int card) {
        return calls.entrySet().stream().filter(call -> PRICES.containsKey(call.getKey()))
            .mapToInt(call -> call.getValue() * PRICES.get(call.getKey())[card]).sum();
    }

    /** Counts priced calls by name. Only Cmac uses an AES-MAC, and only Ec signs. */
    private static Map<String, Integer> priced(List<String> calls) {
        Map<String, Integer> counts = new TreeMap<>();
        String in = "";
        for (String call : calls) {
            if (call.startsWith("rollcall/applet/Cmac.") || call.startsWith("rollcall/applet/Ec.")) {
                in = call.contains("/Cmac.") ? "AES " : "EC ";
            }
            String name = call.substring(call.lastIndexOf('/', call.indexOf('(')) + 1, call.indexOf('('));
            boolean stores = name.equals("Persistent.copy") || name.equals("Persistent.put") || name.equals("Persistent.zero");
            counts.merge(stores ? "stored" : name.startsWith("Signature.") ? in + name : name, 1, Integer::sum);
        }
        counts.keySet().retainAll(PRICES.keySet());
        return counts;
    }
}
