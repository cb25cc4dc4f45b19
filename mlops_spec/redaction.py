"""What is not shown as it is: what looks like a secret, and what a terminal would obey."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"(?:Account|SharedAccess)Key=[\w+/=]*|[?&]sig=[\w%+/=-]{20,}"  # Azure connection strings, SAS
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\bey[JK][\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}"  # JSON web token
    r"|\b(?:ghp|gho|ghs|github_pat|hf|xox[abp]|sk)[_-][A-Za-z0-9_-]{16,}"
    r"|(?<![\w/+])[\w+/]{86}==(?!=)"  # 64 bytes in base64: a storage account's key
    r"|://[^/\s:@]+:[^/\s@$]+@"  # a password inside a URL
    r"|[?&#](?i:X-(?:Amz|Goog)-Signature|X-Amz-Security-Token|Signature|(?:access_|auth_)?token"
    r"|(?:api[_-]?|access_?)?key|(?:client_)?secret|password)"
    r"=[^&#\s\"'\\$]{16,}"  # a parameter of a URL; ${secret:NAME} is none
    # A key of Amazon's: its id is none, but what follows it is
    r"|\bA(?:KIA|SIA)[A-Z0-9]{16}\b[^\"{}]{1,40}?(?<![\w/+])[\w/+]{40}(?![\w/+=])"
)


def is_secret(text: str) -> bool:
    """Whether a secret is in a text, by its look."""
    return bool(_SECRET.search(text))


def redact(text: str) -> str:
    """Text without what looks like a secret: for messages that quote what somebody wrote."""
    return _SECRET.sub("***", text)


def harmless(text: str) -> str:
    """Text of strangers in one line that neither moves the cursor nor hides anything.

    Control characters, line breaks and invisible ones are shown as Python escapes them.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
