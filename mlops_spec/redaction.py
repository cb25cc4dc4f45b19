"""What looks like a secret, whatever it is called."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"AccountKey=|SharedAccessKey=|[?&]sig=[\w%+/=-]{20,}"  # Azure connection strings, SAS
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\bey[JK][\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}"  # JSON web token
    r"|\b(?:ghp|gho|ghs|github_pat|hf|xox[abp]|sk)[_-][A-Za-z0-9_-]{16,}"
    r"|(?<![\w/+])[\w+/]{86}==(?!=)"  # 64 bytes in base64: a storage account's key
    r"|://[^/\s:@]+:[^/\s@$]+@"  # a password inside a URL
)


def is_secret(text: str) -> bool:
    """Whether a secret is in a text, by its look."""
    return bool(_SECRET.search(text))


def redact(text: str) -> str:
    """Text without what looks like a secret: for messages that quote what somebody wrote."""
    return _SECRET.sub("***", text)
