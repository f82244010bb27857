"""A lookup with the Python client: lookup.py PKI URL TOKEN [TOKEN that nobody has]."""

import sys

import openapi_client as rollcall

pki, url, token, nobody = sys.argv[1:]
configuration = rollcall.Configuration(host=url, ssl_ca_cert=f"{pki}/ca.crt")
configuration.cert_file, configuration.key_file = f"{pki}/terminal-tls.crt", f"{pki}/terminal-tls.key"
taps = rollcall.TapsApi(rollcall.ApiClient(configuration))
found = taps.post_lookups(rollcall.LookupRequest(token_id=token, nonces=1))
try:
    taps.post_lookups(rollcall.LookupRequest(token_id=nobody))
    refused = "nothing"
except rollcall.ApiException as problem:
    refused = rollcall.Problem.from_json(problem.body).code
print(found.status.value, found.user.name, len(found.nonces), refused)
