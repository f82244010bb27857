#!/usr/bin/env bash
# JWK Sets (RFC 7517) with a P-256 key and one key that the reader does not know.
#
# Versions:  Go modules github.com/go-jose/go-jose/v4 4.1.9 and github.com/MicahParks/jwkset 0.11.4; nimbus-jose-jwt 10.10
#            (Maven Central); PyPI python-jose 3.5.0, and PyJWT 2.15.1 and jwcrypto 1.6.1 beside them; Go (seen with 1.26), a
#            JDK (seen with 17)
# Input:     the unknown key is on secp256k1 (RFC 8812, section 3.1), on Ed448 (RFC 8037, section 3.1), on a curve that is not
#            registered (brainpoolP256r1 as "BP-256"), or of a type of its own (as RFC 7517, section 4.1, allows).
# Guess:     all but jwcrypto find the P-256 key: a reader should ignore keys of a set that it does not understand or whose
#            values it does not support (RFC 7517, section 5).
# Seen:      go-jose, jwkset and python-jose raise an error for each set with a key that they do not know. nimbus-jose-jwt
#            passes over an unknown type, but not over an unknown curve. PyJWT and jwcrypto find the P-256 key each time.
# So:        who adds a key of a new kind to a published set shuts out readers that have no need of it: give it a set of its
#            own. A reader should take the keys out of the list one by one.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
{ python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check --only-binary :all: python-jose==3.5.0 \
    PyJWT==2.15.1 jwcrypto==1.6.1 cryptography==50.0.2; } >/dev/null 2>&1 || cannot "the Python packages cannot be installed (pip)"
mvn -q -B dependency:copy -Dartifact=com.nimbusds:nimbus-jose-jwt:10.10 -DoutputDirectory="$work" >/dev/null 2>&1 ||
    cannot "com.nimbusds:nimbus-jose-jwt:10.10 cannot be fetched (mvn)"

cat > make.py <<'PY'
import base64, json, jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448

def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

def on(curve, name, kid):
    point = ec.derive_private_key(4711, curve).public_key().public_numbers()
    return {"kty": "EC", "crv": name, "kid": kid, "x": text(point.x.to_bytes(32, "big")), "y": text(point.y.to_bytes(32, "big"))}

known = on(ec.SECP256R1(), "P-256", "known")
edwards = ed448.Ed448PrivateKey.from_private_bytes(bytes(57)).public_key().public_bytes_raw()
unknown = {
    "none": [],
    "secp256k1": [on(ec.SECP256K1(), "secp256k1", "other")],
    "Ed448": [{"kty": "OKP", "crv": "Ed448", "kid": "other", "x": text(edwards)}],
    "own-curve": [on(ec.BrainpoolP256R1(), "BP-256", "other")],
    "own-type": [{"kty": "https://example.com/key", "kid": "other"}],
}
for name, keys in unknown.items():
    with open(name + ".json", "w") as file:
        json.dump({"keys": [*keys, known]}, file)
with open("token", "w") as file:
    file.write(jwt.encode({"sub": "desk"}, ec.derive_private_key(4711, ec.SECP256R1()), "ES256", {"kid": "known"}))
PY
cat > read.py <<'PY'
import json, sys, jose.jwt, jwt, jwcrypto.jwk
with open("token") as file:
    token = file.read()
readers = {
    "python-jose": lambda text: jose.jwt.decode(token, json.loads(text), ["ES256"])["sub"] == "desk",
    "PyJWT": lambda text: jwt.PyJWKSet.from_json(text)["known"].key_id == "known",
    "jwcrypto": lambda text: jwcrypto.jwk.JWKSet.from_json(text).get_key("known")["crv"] == "P-256",
}
for reader, read in readers.items():
    for name in sys.argv[1:]:
        with open(name + ".json") as file:
            text = file.read()
        try:
            print(reader, name, "found" if read(text) else "not found")
        except Exception as error:
            print(reader, name, type(error).__name__)
PY
cat > Read.java <<'JAVA'
import com.nimbusds.jose.jwk.JWKSet;
import java.nio.file.*;

public class Read {
    public static void main(String[] names) throws Exception {
        for (String name : names) {
            try {
                boolean found = JWKSet.parse(Files.readString(Path.of(name + ".json"))).getKeyByKeyId("known") != null;
                System.out.println("nimbus " + name + (found ? " found" : " not found"));
            } catch (java.text.ParseException e) {
                System.out.println("nimbus " + name + " ParseException");
            }
        }
    }
}
JAVA
mkdir go
cat > go/go.mod <<'GO'
module read

go 1.24

require (
	github.com/MicahParks/jwkset v0.11.4
	github.com/go-jose/go-jose/v4 v4.1.9
)
GO
cat > go/main.go <<'GO'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/MicahParks/jwkset"
	"github.com/go-jose/go-jose/v4"
)

func main() {
	for _, name := range os.Args[1:] {
		text, err := os.ReadFile("../" + name + ".json")
		if err != nil {
			panic(err)
		}
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(text, &set); err != nil {
			fmt.Println("go-jose", name, "error,", len(set.Key("known")), "found")
		} else {
			fmt.Println("go-jose", name, len(set.Key("known")), "found")
		}
		var marshaled jwkset.JWKSMarshal
		if err := json.Unmarshal(text, &marshaled); err != nil {
			panic(err)
		}
		keys, err := marshaled.ToStorage()
		if err != nil {
			fmt.Println("jwkset", name, "error")
			continue
		}
		_, err = keys.KeyRead(context.Background(), "known")
		fmt.Println("jwkset", name, "found", err == nil)
	}
}
GO
(cd go && GOTOOLCHAIN=local GOFLAGS=-mod=mod go build -o ../read .) >/dev/null 2>&1 || cannot "go-jose and jwkset cannot be built (go)"
javac -nowarn -cp nimbus-jose-jwt-10.10.jar Read.java 2>/dev/null || cannot "javac"
names=(none secp256k1 Ed448 own-curve own-type)
seen=$(venv/bin/python make.py && (cd go && ../read "${names[@]}") && java -cp nimbus-jose-jwt-10.10.jar:. Read "${names[@]}" &&
    venv/bin/python read.py "${names[@]}") || cannot "a reader"
printf '%s\n' "$seen"
expected="go-jose none 1 found
jwkset none found true
go-jose secp256k1 error, 0 found
jwkset secp256k1 error
go-jose Ed448 error, 0 found
jwkset Ed448 error
go-jose own-curve error, 0 found
jwkset own-curve error
go-jose own-type error, 0 found
jwkset own-type error
nimbus none found
nimbus secp256k1 found
nimbus Ed448 found
nimbus own-curve ParseException
nimbus own-type found
python-jose none found
python-jose secp256k1 KeyError
python-jose Ed448 JWKError
python-jose own-curve KeyError
python-jose own-type JWKError
PyJWT none found
PyJWT secp256k1 found
PyJWT Ed448 found
PyJWT own-curve found
PyJWT own-type found
jwcrypto none found
jwcrypto secp256k1 found
jwcrypto Ed448 found
jwcrypto own-curve found
jwcrypto own-type found"
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
