"""A request without a client certificate: no_certificate.py CA URL TIMES. Each has to meet the server's alert."""

import sys

import requests

ca, url, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
for _ in range(times):
    try:
        answer = requests.get(url, verify=ca, timeout=20)
    except requests.exceptions.RequestException as error:
        if "ALERT_CERTIFICATE_REQUIRED" not in str(error):
            raise
    else:
        sys.exit(f"it was answered: {answer.status_code}")
