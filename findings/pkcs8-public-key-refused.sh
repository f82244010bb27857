#!/usr/bin/env bash
# Private keys as Bouncy Castle writes them by default, with the public key beside: OneAsymmetricKey v2 (RFC 5958, section 2).
#
# Versions:  org.bouncycastle:bcprov-jdk18on 1.82 (Maven Central), PyPI cryptography 50.0.2, pycryptodome 4.4.0; a JDK (seen
#            with 17)
# Guess:     cryptography, the JDK and pycryptodome read such a key; RFC 8410, section 10.3, shows one.
# Seen:      cryptography raises "Could not deserialize key data", and says no more than that a tag was unexpected. A key of
#            version 1 (-Dorg.bouncycastle.pkcs8.v1_info_only=true) it reads. The JDK and pycryptodome read both.
# So:        write version 1 for a key file that others shall read, and do not take that error for a wrong password or a broken
#            file: look at the INTEGER at the start. The maintainers changed it in September 2026 (pyca/cryptography, pull
#            request 15635); 50.0.2 does not have it.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
mvn -q -B dependency:copy -Dartifact=org.bouncycastle:bcprov-jdk18on:1.82 -DoutputDirectory="$work" >/dev/null 2>&1 ||
    cannot "org.bouncycastle:bcprov-jdk18on:1.82 cannot be fetched (mvn)"
{ python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check --only-binary :all: cryptography==50.0.2 \
    pycryptodome==4.4.0; } >/dev/null 2>&1 || cannot "the Python packages cannot be installed (pip)"

cat > Write.java <<'JAVA'
import java.nio.file.*;
import java.security.*;
import java.security.spec.PKCS8EncodedKeySpec;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

/** Writes a key of each kind to FOLDER/KIND.der, and says whether the JDK reads it. */
public class Write {
    public static void main(String[] folder) throws Exception {
        for (String kind : new String[] {"Ed25519", "X25519"}) {
            byte[] key = KeyPairGenerator.getInstance(kind, new BouncyCastleProvider()).generateKeyPair().getPrivate().getEncoded();
            Files.write(Path.of(folder[0], kind + ".der"), key);
            String read;
            try {
                KeyFactory.getInstance(kind, "SunEC").generatePrivate(new PKCS8EncodedKeySpec(key));
                read = "reads";
            } catch (GeneralSecurityException e) {
                read = "raises";
            }
            System.out.println(folder[0] + " " + kind + " JDK " + read);
        }
    }
}
JAVA
cat > read.py <<'PY'
import sys
from Crypto.PublicKey import ECC
from cryptography.hazmat.primitives.serialization import load_der_private_key
for folder in sys.argv[1:]:
    for kind in ("Ed25519", "X25519"):
        with open(f"{folder}/{kind}.der", "rb") as file:
            key = file.read()
        print(folder, kind, "INTEGER", key[4], "bytes", len(key))
        for name, read in (("cryptography", lambda data: load_der_private_key(data, None)), ("pycryptodome", ECC.import_key)):
            try:
                read(key)
                print(folder, kind, name, "reads")
            except ValueError as error:
                print(folder, kind, name, "raises", str(error)[:35])
PY
mkdir default v1
javac -nowarn -cp bcprov-jdk18on-1.82.jar Write.java 2>/dev/null || cannot "javac"
seen=$(java -cp bcprov-jdk18on-1.82.jar:. Write default &&
    java -Dorg.bouncycastle.pkcs8.v1_info_only=true -cp bcprov-jdk18on-1.82.jar:. Write v1 &&
    venv/bin/python read.py default v1) || cannot "java or python"
printf '%s\n' "$seen"
expected="default Ed25519 JDK reads
default X25519 JDK reads
v1 Ed25519 JDK reads
v1 X25519 JDK reads
default Ed25519 INTEGER 1 bytes 83
default Ed25519 cryptography raises Could not deserialize key data. The
default Ed25519 pycryptodome reads
default X25519 INTEGER 1 bytes 83
default X25519 cryptography raises Could not deserialize key data. The
default X25519 pycryptodome reads
v1 Ed25519 INTEGER 0 bytes 48
v1 Ed25519 cryptography reads
v1 Ed25519 pycryptodome reads
v1 X25519 INTEGER 0 bytes 48
v1 X25519 cryptography reads
v1 X25519 pycryptodome reads"
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
