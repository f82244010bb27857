// Verifies presence proofs without Rollcall: docs/proof.md. Reads `rollcall scan --proof -o json`, or ndjson, from stdin.
//
//	rollcall scan --proof -o json | go run verify.go ca.crt [NONCE in hex]
//
// Exit status: 0 every proof holds, 1 one does not, 2 there is none. Freshness is the caller's to judge: give the nonce
// that you expect, and remember the last counter of each token.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

const identityUse = "1.3.6.1.4.1.32473.82.10"

type claims struct {
	Nonce   []byte `cbor:"10,keyasint"`
	Ueid    []byte `cbor:"256,keyasint"`
	Counter uint32 `cbor:"-70002,keyasint"`
}

// verify gives the claims of a message that holds.
func verify(message, der []byte, ca *x509.Certificate, nonce []byte) (*claims, error) {
	var sign1 cose.Sign1Message // it takes tag 18 only
	if err := sign1.UnmarshalCBOR(message); err != nil {
		return nil, err
	}
	header := sign1.Headers.Protected
	if algorithm, err := header.Algorithm(); err != nil || algorithm != cose.AlgorithmES256 ||
		header[cose.HeaderLabelType] != "application/x.rollcall-1" || len(header) != 2 {
		return nil, errors.New("another algorithm or type")
	}

	identity, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := identity.CheckSignatureFrom(ca); err != nil {
		return nil, err
	}
	if now := time.Now(); now.Before(identity.NotBefore) || now.After(identity.NotAfter) {
		return nil, errors.New("the certificate is not in time")
	}
	if len(identity.ExtKeyUsage) > 0 || len(identity.UnknownExtKeyUsage) != 1 || identity.UnknownExtKeyUsage[0].String() != identityUse {
		return nil, errors.New("a certificate for another purpose")
	}

	var found claims
	if err := cbor.Unmarshal(sign1.Payload, &found); err != nil {
		return nil, err
	}
	id, err := hex.DecodeString(strings.ReplaceAll(identity.Subject.CommonName, "-", ""))
	kid, _ := sign1.Headers.Unprotected[cose.HeaderLabelKeyID].([]byte)
	if err != nil || len(id) != 16 || !bytes.Equal(kid, id) || !bytes.Equal(found.Ueid, append([]byte{1}, id...)) {
		return nil, errors.New("another token's certificate")
	}

	verifier, err := cose.NewVerifier(cose.AlgorithmES256, identity.PublicKey)
	if err != nil {
		return nil, err
	}
	if err := sign1.Verify(nil, verifier); err != nil {
		return nil, err
	}
	if nonce != nil && !bytes.Equal(nonce, found.Nonce) {
		return nil, errors.New("another nonce")
	}
	return &found, nil
}

type scan struct {
	Proof *struct {
		Cose        string `json:"cose"`
		Certificate string `json:"identity_certificate"`
	} `json:"proof"`
}

// read gives the objects of an array, or those that stand one after the other.
func read(text []byte) ([]scan, error) {
	var scans []scan
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		return scans, json.Unmarshal(text, &scans)
	}
	for decoder := json.NewDecoder(bytes.NewReader(text)); ; {
		var one scan
		if err := decoder.Decode(&one); err == io.EOF {
			return scans, nil
		} else if err != nil {
			return nil, err
		}
		scans = append(scans, one)
	}
}

func run() (int, error) {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		return 1, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return 1, errors.New("the CA is no certificate in PEM")
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return 1, err
	}
	var nonce []byte
	if len(os.Args) > 2 {
		if nonce, err = hex.DecodeString(os.Args[2]); err != nil {
			return 1, err
		}
	}
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 1, err
	}
	scans, err := read(input)
	if err != nil {
		return 1, err
	}
	status := 2
	for _, one := range scans {
		if one.Proof == nil || one.Proof.Cose == "" {
			continue
		}
		message, _ := base64.RawURLEncoding.DecodeString(one.Proof.Cose)
		der, _ := base64.RawURLEncoding.DecodeString(one.Proof.Certificate)
		found, err := verify(message, der, ca, nonce)
		if err != nil {
			return 1, err
		}
		id := hex.EncodeToString(found.Ueid[1:])
		token := strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
		fmt.Printf("token %s, counter %d, nonce %x: holds\n", token, found.Counter, found.Nonce)
		status = 0
	}
	return status, nil
}

func main() {
	status, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "it does not hold:", err)
	}
	os.Exit(status)
}
