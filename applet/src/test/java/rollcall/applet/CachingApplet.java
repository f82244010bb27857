package rollcall.applet;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import rollcall.terminal.Bytes;

/**
  * The applet for tests that open thousands of channels with the same certificates: caches signature verifications and
  * key agreements by their inputs. Results are unchanged, and everything random stays random.
 */
public final class CachingApplet extends RollcallApplet {

    private CachingApplet(byte[] startKeys, short offset) {
        super(new Persistent(), new CachingEc(), new SecureMessaging(new Transients()), startKeys, offset);
    }

    public static void install(byte[] parameters, short offset, byte length) {
        short keys = startKeys(parameters, offset);
        new CachingApplet(keys < 0 ? null : parameters, keys < 0 ? 0 : keys).register();
    }

    private static final class CachingEc extends Ec {

        private static final int MOST = 64;
        private final Map<String, byte[]> results = new LinkedHashMap<>(MOST, 0.75f, true) {
            @Override
            protected boolean removeEldestEntry(Map.Entry<String, byte[]> eldest) {
                return size() > MOST;
            }
        };

        /** The cached result; empty if the engine refused. */
        private byte[] once(String inputs, Supplier<byte[]> compute) {
            byte[] known = results.get(inputs);
            if (known == null) {
                known = compute.get();
                results.put(inputs, known);
            }
            return known;
        }

        @Override
        boolean agree(ECPrivateKey scalar, byte[] point, short offset, byte[] to, short toOffset) {
            byte[] s = new byte[Constants.SCALAR];
            scalar.getS(s, (short) 0);
            byte[] other = Bytes.part(point, offset, Constants.POINT);
            byte[] secret = once("agree " + Bytes.hex(s) + Bytes.hex(other), () -> {
                byte[] made = new byte[Constants.SCALAR];
                return super.agree(scalar, other, (short) 0, made, (short) 0) ? made : new byte[0];
            });
            System.arraycopy(secret, 0, to, toOffset, secret.length);
            return secret.length != 0;
        }

        @Override
        boolean verify(ECPublicKey key, byte[] b, short offset, short length, short signature, short signatureLength) {
            byte[] point = new byte[Constants.POINT];
            key.getW(point, (short) 0);
            byte[] signed = Arrays.copyOfRange(b, offset, signature + signatureLength);
            return once("verify " + Bytes.hex(point) + length + " " + (signature - offset) + " " + Bytes.hex(signed), () ->
                new byte[super.verify(key, b, offset, length, signature, signatureLength) ? 1 : 0]).length != 0;
        }
    }
}
