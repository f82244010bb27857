"""Whether the CA's client certificate FILE holds, as pyca/cryptography judges, and OTHER does not: FILE CA OTHER."""

import sys

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError


def certificate(path):
    with open(path, "rb") as file:
        return x509.load_pem_x509_certificate(file.read())


leaf, ca, other = map(certificate, sys.argv[1:])
verifier = PolicyBuilder().store(Store([ca])).build_client_verifier()
verified = verifier.verify(leaf, [])
try:
    verifier.verify(other, [])
except VerificationError:
    print("it holds for", ", ".join(str(name.value) for name in verified.subjects))
else:
    sys.exit("a certificate for another purpose holds, too")
