// Verifies presence proofs without Rollcall: docs/proof.md. Reads `rollcall scan --proof -o json`, or ndjson, from stdin.
//
//     rollcall scan --proof -o json | java -cp LIBRARIES Verify.java ca.crt [NONCE in hex]
//
// Exit status: 0 every proof holds, 1 one does not, 2 there is none. Freshness is the caller's to judge: give the nonce
// that you expect, and remember the last counter of each token.

import COSE.AlgorithmID;
import COSE.Message;
import COSE.MessageTag;
import COSE.OneKey;
import COSE.Sign1Message;
import com.upokecenter.cbor.CBORObject;
import java.io.ByteArrayInputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.UUID;

public class Verify {
    private static final String IDENTITY = "1.3.6.1.4.1.32473.82.10";

    private static X509Certificate certificate(byte[] bytes) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(bytes));
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }

    /** The claims of a message that holds. */
    private static CBORObject verify(byte[] bytes, byte[] der, X509Certificate ca, byte[] nonce) throws Exception {
        // The library takes a message without its tag, too.
        require(CBORObject.DecodeFromBytes(bytes).HasOneTag(18), "no COSE_Sign1");
        Sign1Message message = (Sign1Message) Message.DecodeFromBytes(bytes, MessageTag.Sign1);
        CBORObject header = message.getProtectedAttributes();
        require(header.size() == 2 && header.get(CBORObject.FromObject(1)).equals(AlgorithmID.ECDSA_256.AsCBOR())
                && header.get(CBORObject.FromObject(16)).AsString().equals("application/x.rollcall-1"),
            "another algorithm or type");

        X509Certificate identity = certificate(der);
        identity.verify(ca.getPublicKey());
        require(identity.getIssuerX500Principal().equals(ca.getSubjectX500Principal()), "the certificate is not the CA's");
        identity.checkValidity();
        require(List.of(IDENTITY).equals(identity.getExtendedKeyUsage()), "a certificate for another purpose");

        CBORObject claims = CBORObject.DecodeFromBytes(message.GetContent());
        UUID token = UUID.fromString(identity.getSubjectX500Principal().getName().substring("CN=".length()));
        byte[] id = ByteBuffer.allocate(16).putLong(token.getMostSignificantBits()).putLong(token.getLeastSignificantBits()).array();
        byte[] ueid = ByteBuffer.allocate(17).put((byte) 1).put(id).array();
        require(Arrays.equals(message.getUnprotectedAttributes().get(CBORObject.FromObject(4)).GetByteString(), id)
                && Arrays.equals(claims.get(CBORObject.FromObject(256)).GetByteString(), ueid),
            "another token's certificate");

        require(message.validate(new OneKey(identity.getPublicKey(), null)), "the signature is wrong");
        require(nonce == null || Arrays.equals(claims.get(CBORObject.FromObject(10)).GetByteString(), nonce), "another nonce");
        return claims;
    }

    public static void main(String[] args) throws Exception {
        X509Certificate ca = certificate(Files.readAllBytes(Path.of(args[0])));
        byte[] nonce = args.length > 1 ? HexFormat.of().parseHex(args[1]) : null;
        String text = new String(System.in.readAllBytes(), StandardCharsets.UTF_8).strip();
        List<CBORObject> scans = new ArrayList<>();
        if (text.startsWith("[")) {
            scans.addAll(CBORObject.FromJSONString(text).getValues());
        } else {
            text.lines().filter(line -> !line.isBlank()).map(CBORObject::FromJSONString).forEach(scans::add);
        }
        int status = 2;
        for (CBORObject scan : scans) {
            CBORObject proof = scan.get("proof");
            if (proof == null || proof.isNull() || proof.get("cose").isNull()) {
                continue;
            }
            Base64.Decoder base64 = Base64.getUrlDecoder();
            try {
                byte[] message = base64.decode(proof.get("cose").AsString());
                CBORObject claims = verify(message, base64.decode(proof.get("identity_certificate").AsString()), ca, nonce);
                String id = HexFormat.of().formatHex(claims.get(CBORObject.FromObject(256)).GetByteString()).substring(2);
                System.out.printf("token %s, counter %d, nonce %s: holds%n",
                    id.replaceFirst("(.{8})(.{4})(.{4})(.{4})", "$1-$2-$3-$4-"),
                    claims.get(CBORObject.FromObject(-70002)).AsInt64(),
                    HexFormat.of().formatHex(claims.get(CBORObject.FromObject(10)).GetByteString()));
                status = 0;
            } catch (Exception error) {
                System.err.println("it does not hold: " + error.getMessage());
                System.exit(1);
            }
        }
        System.exit(status);
    }
}
