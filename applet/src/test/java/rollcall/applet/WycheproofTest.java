package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.hex;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;
import org.junit.jupiter.api.Test;

/**
  * Runs whole sets of Project Wycheproof through the applet's own classes. Valid cases must be accepted and give the
  * right answer; invalid ones must be rejected. Compressed points are rejected whatever the set says about them.
 */
class WycheproofTest {

    private final Ec ec = new Ec();
    private final Persistent store = new Persistent();
    private int taken;
    private int refused;

    private static JsonObject read(String name) throws IOException {
        Path path = Path.of("../tests/vectors/wycheproof", name + "_test.json");
        return JsonParser.parseString(Files.readString(path)).getAsJsonObject();
    }

    private static byte[] bytes(JsonObject in, String name) {
        return hex(in.get(name).getAsString());
    }

    private void hold(JsonObject test, boolean accepted) {
        assertEquals(test.get("result").getAsString().equals("valid"), accepted, "case " + test.get("tcId"));
        if (accepted) {
            taken++;
        } else {
            refused++;
        }
    }

    private void tell(String name, JsonObject set) {
        assertEquals(set.get("numberOfTests").getAsInt(), taken + refused);
        assertTrue(taken > 0 && refused > 0);
        System.out.printf("vectors: applet, Wycheproof %s: %d cases, %d taken, %d refused, 0 not applicable%n",
            name, taken + refused, taken, refused);
    }

    /** The applet checks a point's length first: 65 bytes, by the length of the command or its TLV. */
    @Test
    void ecdh() throws IOException {
        JsonObject set = read("ecdh_secp256r1_ecpoint");
        for (JsonElement group : set.getAsJsonArray("testGroups")) {
            for (JsonElement each : group.getAsJsonObject().getAsJsonArray("tests")) {
                JsonObject test = each.getAsJsonObject();
                byte[] point = bytes(test, "public");
                byte[] secret = new byte[Constants.SCALAR];
                boolean agreed = point.length == Constants.POINT
                    && ec.agree(scalar(test), point, (short) 0, secret, (short) 0);
                if (agreed) {
                    assertArrayEquals(bytes(test, "shared"), secret, "case " + test.get("tcId"));
                }
                hold(test, agreed);
            }
        }
        tell("ECDH P-256 with points", set);
    }

    /** Wycheproof writes a private key as a number of any length. */
    private ECPrivateKey scalar(JsonObject test) {
        byte[] number = new BigInteger(test.get("private").getAsString(), 16).toByteArray();
        int zeros = Math.max(0, number.length - Constants.SCALAR);
        byte[] digits = Arrays.copyOfRange(number, zeros, number.length);
        byte[] padded = cat(new byte[Constants.SCALAR - digits.length], digits);
        ECPrivateKey key = (ECPrivateKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PRIVATE, P256.BITS, false);
        store.privateKey(key, padded, (short) 0);
        return key;
    }

    @Test
    void ecdsa() throws IOException {
        JsonObject set = read("ecdsa_secp256r1_sha256");
        for (JsonElement each : set.getAsJsonArray("testGroups")) {
            JsonObject group = each.getAsJsonObject();
            ECPublicKey key = (ECPublicKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PUBLIC, P256.BITS, false);
            store.publicKey(key, bytes(group.getAsJsonObject("publicKey"), "uncompressed"), (short) 0);
            for (JsonElement one : group.getAsJsonArray("tests")) {
                JsonObject test = one.getAsJsonObject();
                byte[] message = bytes(test, "msg");
                byte[] signature = bytes(test, "sig");
                hold(test, ec.verify(key, cat(message, signature), (short) 0, (short) message.length,
                    (short) message.length, (short) signature.length));
            }
        }
        tell("ECDSA P-256 SHA-256, DER", set);
    }
}
